//! What this node tells of itself: its own heartbeats, when they are due and how they are numbered,
//! and whether it signs (SPEC §10).

use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::heartbeat::{CanSign, Heartbeat, More};
use ssid_protocol::id::Sha256Hash;
use ssid_protocol::limits;
use ssid_protocol::sync::Answer;
use ssid_storage::PeerRow;

use super::clock::{Now, Steady};
use super::engine::{Engine, Tick};
use super::messages::Ticket;
use super::request::Reply;
use super::settings::HEARTBEAT_EVERY;

/// A heartbeat that says something new about this node's state comes so long after the one before,
/// at the earliest.
const STATE_AFTER: Duration = Duration::from_millis(1100);
/// A heartbeat asked for is made anew if the last is older than this.
const FRESH: Duration = Duration::from_secs(1);

/// When the next heartbeat is due, and what the latest one said.
#[derive(Debug)]
pub(super) struct Heartbeats {
    next: Steady,
    /// When the latest was sent to everybody.
    told_at: Option<Steady>,
    /// What was last noticed of what it tells of this node's state: whether it signs, and how many
    /// decisions its registry contradicts.
    told_state: (CanSign, u64),
    /// The greatest number that this node gave a heartbeat, in earlier lives too.
    last_sequence: u64,
    /// The first and the latest number that it gave in this life.
    given: Option<(u64, u64)>,
    /// When the latest was made.
    made: Steady,
    latest: Option<Arc<VerifiedBatch>>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self {
            next: Steady(0),
            told_at: None,
            told_state: (CanSign::Starting, 0),
            last_sequence: 0,
            given: None,
            made: Steady(0),
            latest: None,
        }
    }
}

impl Heartbeats {
    /// When the next one is due.
    pub(super) fn next(&self) -> Steady {
        self.next
    }

    /// The latest one; `None` before the first of this life.
    pub(super) fn latest(&self) -> Option<&Arc<VerifiedBatch>> {
        self.latest.as_ref()
    }

    /// The number of the latest one, in earlier lives too.
    #[cfg(test)]
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Whether this may be a number that was given in this life.
    pub(super) fn has_given(&self, sequence: u64) -> bool {
        self.given
            .is_some_and(|(first, latest)| (first..=latest).contains(&sequence))
    }

    /// An earlier life gave one this number: numbers go on from there.
    pub(super) fn numbered(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
    }
}

impl Engine {
    /// Gives the heartbeat that is due its number, which goes to disk with this tick: after a
    /// restart, and whatever the clock shows then, numbers go on from there.
    pub(super) fn number_heartbeat(&mut self, tick: &mut Tick) {
        let state = (self.can_sign_kind(), self.registry.divergences());
        if state != self.heartbeats.told_state {
            self.heartbeats.told_state = state;
            self.tell_state_soon(tick.steady);
        }
        // the first one tells the outcome of the start, if that does not take long
        if self.heartbeats.told_at.is_none()
            && self.heartbeats.next == Steady(0)
            && state.0 == CanSign::Starting
        {
            self.heartbeats.next = tick.steady.after(STATE_AFTER);
        }
        if self.heartbeats.next <= tick.steady {
            self.next_sequence(tick);
        }
    }

    fn next_sequence(&mut self, tick: &mut Tick) {
        let number = tick.now.0.max(self.heartbeats.last_sequence + 1);
        self.heartbeats.last_sequence = number;
        let first = self.heartbeats.given.map_or(number, |(first, _)| first);
        self.heartbeats.given = Some((first, number));
        let row = PeerRow {
            last_sequence: self.heartbeats.last_sequence,
            ..PeerRow::default()
        };
        tick.changes.peers.push((self.me, row));
    }

    /// An own heartbeat that somebody holds: this node may have forgotten how far it had numbered
    /// them.
    pub(super) fn go_on_from(&mut self, own: &VerifiedBatch) {
        if let Statements::Heartbeat(heartbeat) = own.statements()
            && own.signer() == self.me
        {
            self.heartbeats.numbered(heartbeat.sequence);
        }
    }

    /// Sends a heartbeat when it is due. Called after the tick is on disk: the log head it names
    /// is, and its number.
    pub(super) fn send_heartbeat(&mut self, tick: &mut Tick) {
        if self.heartbeats.next > tick.steady {
            return;
        }
        self.heartbeats.told_at = Some(tick.steady);
        self.heartbeats.next = tick.steady.after(HEARTBEAT_EVERY);
        if let Some(batch) = self.make_heartbeat(tick.now()) {
            tick.effects.publish.push(batch);
        }
    }

    /// The heartbeat of the latest number.
    fn make_heartbeat(&mut self, now: Now) -> Option<Arc<VerifiedBatch>> {
        self.heartbeats.made = now.steady;
        let head = self.head_to_sign();
        let (can_sign, can_sign_reason) = self.can_sign();
        let heartbeat = Heartbeat {
            epoch: self.epochs.current().number(),
            sequence: self.heartbeats.last_sequence,
            sent_at: now.wall,
            software: concat!("ssid/", env!("CARGO_PKG_VERSION")).to_owned(),
            protocol_min: 1,
            protocol_max: 1,
            addresses: self.peers.own_addresses.clone(),
            blueprint: self.settings.blueprint.clone(),
            compliance_score: self.settings.compliance_score.clone(),
            log_id: head.log_id,
            log_size: head.size,
            log_root: head.root,
            certified_count: self.store.certified_count(),
            certified_digest: self.store.certified_digest().value(),
            open_count: self.open_count(),
            open_digest: self.open_digest(),
            can_sign,
            can_sign_reason,
            divergences: self.registry.divergences(),
            more: More::default(),
        };
        let batch = VerifiedBatch::sign(
            &self.key,
            self.epochs.current().federation(),
            Statements::Heartbeat(Box::new(heartbeat)),
        )
        .ok()?;
        let batch = Arc::new(batch);
        self.heartbeats.latest = Some(batch.clone());
        Some(batch)
    }

    /// Whether this node signs votes now.
    pub(super) fn can_sign_kind(&self) -> CanSign {
        if self.standing.read_only().is_some() {
            CanSign::ReadOnly
        } else if self.standing.abstaining().is_some() {
            CanSign::Abstaining
        } else if !self.is_signing() {
            CanSign::Starting
        } else if self.registry.trouble().is_some() {
            CanSign::NoRegistry
        } else {
            CanSign::Yes
        }
    }

    /// The same, and why not; for its heartbeat and for people.
    pub(super) fn can_sign(&self) -> (CanSign, String) {
        let kind = self.can_sign_kind();
        let mut reason = match (kind, self.startup_check_view()) {
            (CanSign::Yes, _) => String::new(),
            (CanSign::ReadOnly, _) => self.standing.read_only().unwrap_or_default().to_owned(),
            (CanSign::Abstaining, _) => self.standing.abstaining().unwrap_or_default().to_owned(),
            (CanSign::NoRegistry, _) => self.registry.trouble().unwrap_or_default().to_owned(),
            (CanSign::Starting, _) if self.has_epoch_ended() => {
                let next = self.epochs.current().number().next();
                format!("the members change: it waits for epoch {next} to begin")
            }
            (CanSign::Starting, None) => "it reads its registry file".to_owned(),
            (CanSign::Starting, Some(check)) => {
                let others = self
                    .epochs
                    .current()
                    .voters()
                    .len()
                    .saturating_sub(usize::from(self.rules.me.is_some()));
                let heard = check.heard.len();
                format!(
                    "it asks what it signed before its start: {heard} of {others} other voters have answered"
                )
            }
        };
        let end = reason.floor_char_boundary(limits::HEARTBEAT_TEXT_BYTES);
        reason.truncate(end);
        (kind, reason)
    }

    /// Others learn soon what has changed: the next heartbeat does not wait for its turn.
    pub(super) fn tell_state_soon(&mut self, now: Steady) {
        let soon = self
            .heartbeats
            .told_at
            .map_or(now, |told| told.after(STATE_AFTER).max(now));
        self.heartbeats.next = self.heartbeats.next.min(soon);
    }

    /// `H` over the open instances in order of subject id.
    pub(super) fn open_digest(&self) -> Sha256Hash {
        let entries: Vec<&[u8]> = self
            .open_subjects()
            .map(|(_, open)| open.digest_entry(self.epochs.current().voters()))
            .collect();
        Sha256Hash::of(&entries)
    }

    /// Answers with a heartbeat that is at most a second old and names the log as it is.
    pub(super) fn answer_status(&mut self, tick: &mut Tick, ticket: Ticket) {
        let is_current =
            self.heartbeats
                .latest
                .as_ref()
                .is_some_and(|batch| match batch.statements() {
                    Statements::Heartbeat(last) => {
                        last.log_size == self.head_to_sign().size
                            && last.open_count == self.open_count()
                    }
                    _ => false,
                });
        if !is_current || tick.steady.since(self.heartbeats.made) > FRESH {
            self.next_sequence(tick);
            self.make_heartbeat(tick.now());
        }
        let batch = self
            .heartbeats
            .latest
            .as_ref()
            .map(|batch| Box::new(batch.batch().clone()));
        tick.reply(ticket, Reply::Answer(Answer::Status(batch)));
    }
}
