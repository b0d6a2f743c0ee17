//! Announcing lines of the registry file in their order, no faster than earlier ones are decided.

use std::time::Duration;

use ssid_protocol::id::SubjectId;

use super::Reading;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::request::EmitOutcome;

/// Lines taken out of the file's order at once to be announced.
const ANNOUNCED_LINES: usize = 256;
/// A line that was refused for a limit, or for this machine's clock, is offered again after this.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Whether a line that was just read is announced with this tick: no earlier one waits.
    pub(super) fn may_announce_at_once(&self, tick: &Tick) -> bool {
        self.registry.to_announce == 0
            && tick.own_events.len() < ANNOUNCED_LINES
            && self.may_announce()
    }

    /// Announces lines of the file in their order, as fast as earlier ones are decided.
    pub(crate) fn announce_lines(&mut self, tick: &mut Tick) {
        if !self.has_lines_to_announce(tick.steady) {
            return;
        }
        let page = match self
            .store
            .own_order(self.registry.announced_until, ANNOUNCED_LINES)
        {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "cannot read the order of the registry file's lines");
                return;
            }
        };
        for (order, subject) in page {
            if !self.announce_line(tick, &subject) {
                self.registry.announce_at = tick.steady.after(ANNOUNCE_AGAIN);
                return;
            }
            self.registry.announced_until = order + 1;
            self.registry.to_announce = self.registry.to_announce.saturating_sub(1);
            tick.changes.own_order.push((order, None));
        }
    }

    /// Whether lines may be announced now: nothing else waits, signing is possible, and others keep
    /// what is announced.
    pub(crate) fn may_announce(&self) -> bool {
        self.registry.reading == Reading::Current
            && self.is_signing()
            && self.own_events.have_room()
            && self.room_of_own() > 0
    }

    /// Whether the next line may be announced at once.
    pub(crate) fn has_lines_to_announce(&self, now: Steady) -> bool {
        self.registry.announce_at <= now && self.registry.to_announce > 0 && self.may_announce()
    }

    /// When lines that were refused for a while are announced again.
    pub(crate) fn announce_again_at(&self) -> Option<Steady> {
        let is_later = self.registry.announce_at > self.now.steady && self.registry.to_announce > 0;
        is_later.then_some(self.registry.announce_at)
    }

    /// Announces the event of one line, unless the subject is decided or this node stands for an
    /// event of it already. False if it has to wait.
    fn announce_line(&mut self, tick: &mut Tick, subject: &SubjectId) -> bool {
        let event = match self.registry.line(&self.store, subject) {
            Ok(Some(row)) => row.event,
            Ok(None) | Err(_) => return true,
        };
        let words = format!("{} {}", event.event, event.version);
        match self.accept(tick, event) {
            EmitOutcome::Refused {
                reason,
                retry: true,
            } => {
                tracing::debug!(
                    event = words,
                    reason,
                    "announcing the registry file's lines waits"
                );
                false
            }
            EmitOutcome::Refused {
                reason,
                retry: false,
            } => {
                tracing::warn!(
                    event = words,
                    reason,
                    "a line of the registry file is not announced"
                );
                true
            }
            _ => true,
        }
    }
}
