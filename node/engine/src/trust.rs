//! What this node's trust in the members rests on and what it changes here (SPEC §9): every row of
//! the ledger is written by [`Engine::record_trust`]. Whoever is VERY LOW is asked last; under
//! `trusted` it is not endorsed (`review`). The suspension that a coordinator's node drafts for it
//! belongs here too, once epochs change.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::trust::{ENDORSEMENT_FLOOR, TrustChange, TrustLabel, TrustReason};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::node_event::NodeEvent;
use super::request::{Adjusted, Adjustment};
use super::shown::ReviewReason;

/// A failed sync counts so long after it failed: by then it shows whether this node itself had lost
/// the others.
const FAILURE_COUNTS_AFTER: Duration = Duration::from_mins(1);
/// Silence is looked at only once a quorum has been connected for so long: whoever is alive has
/// connected too.
const SILENCE_GRACE: Duration = Duration::from_mins(5);
/// And then this often; it is counted in days.
const SILENCE_EVERY: Duration = Duration::from_hours(1);

/// What is due when.
#[derive(Debug, Default)]
pub(super) struct TrustClock {
    /// Failed syncs that are still to be counted, and when.
    failures: BTreeMap<NodeId, Steady>,
    /// When silence is looked at next; `None` without a quorum.
    silence_at: Option<Steady>,
}

impl TrustClock {
    pub(super) fn next(&self) -> Option<Steady> {
        self.failures.values().copied().chain(self.silence_at).min()
    }
}

impl Engine {
    /// Writes a row of the ledger, and alerts when it takes a member below what is configured.
    pub(super) fn record_trust(&mut self, tick: &mut Tick, change: impl Into<Option<TrustChange>>) {
        let Some(change) = change.into() else { return };
        // how often these count is measured by the wall clock, and a wrong one must not take more
        // than it may
        let is_counted_by_time = matches!(
            change.reason,
            TrustReason::Disagreement | TrustReason::SyncFailed
        );
        if is_counted_by_time && self.clock_is_off(tick.now()) {
            return;
        }
        let (before, after) = self.trust.apply(&change);
        let floor = self.settings.trust_alert_below;
        if before >= floor && after < floor {
            let (name, reason) = (self.name_of(&change.member), change.reason.as_str());
            let label = TrustLabel::of(after).as_str();
            tracing::warn!(
                member = name,
                score = after,
                label,
                reason,
                "trust fell; see: ssid trust explain {name}"
            );
            tick.effects.events.push(NodeEvent::LowTrust {
                member: change.member,
                score: after,
            });
        }
        tick.changes.trust.push(change);
    }

    /// An operator's boost or penalty.
    pub(super) fn adjust(&mut self, tick: &mut Tick, adjustment: Adjustment) -> Adjusted {
        let Adjustment {
            member,
            boost,
            note,
        } = adjustment;
        let change = self.trust.by_hand(member, boost, note, tick.now);
        self.record_trust(tick, change.clone());
        self.endorse_again(tick, ReviewReason::LowTrust);
        Adjusted {
            change,
            score: self.trust.score(&member),
        }
    }

    /// A conversation with a member has ended, or an answer of it was none.
    pub(super) fn note_sync(&mut self, tick: &mut Tick, member: NodeId, succeeded: bool) {
        if succeeded {
            let row = self.trust.sync(
                member,
                true,
                self.settings.sync_interval,
                "catch-up",
                tick.now,
            );
            self.record_trust(tick, row);
        } else {
            self.trust_clock
                .failures
                .entry(member)
                .or_insert_with(|| tick.steady.after(FAILURE_COUNTS_AFTER));
        }
    }

    /// Counts what time has made due: failed syncs and days of silence, both only while a quorum is
    /// connected, because being cut off oneself says nothing about others.
    pub(super) fn count_time(&mut self, tick: &mut Tick) {
        let (now, has_quorum) = (tick.steady, self.has_quorum());
        let due: Vec<_> = self
            .trust_clock
            .failures
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(n, _)| *n)
            .collect();
        for member in due {
            self.trust_clock.failures.remove(&member);
            if has_quorum {
                let reference = "no answer, or one that does not verify";
                let row = self.trust.sync(
                    member,
                    false,
                    self.settings.sync_interval,
                    reference,
                    tick.now,
                );
                self.record_trust(tick, row);
            }
        }
        match self.trust_clock.silence_at {
            _ if !has_quorum => self.trust_clock.silence_at = None,
            // days are counted by the wall clock, which was set, or this machine slept: who is
            // silent shows anew
            Some(_) if tick.clock_was_set => {
                self.trust_clock.silence_at = Some(now.after(SILENCE_GRACE));
            }
            None => self.trust_clock.silence_at = Some(now.after(SILENCE_GRACE)),
            Some(at) if at <= now => {
                self.trust_clock.silence_at = Some(now.after(SILENCE_EVERY));
                self.count_silence(tick);
            }
            Some(_) => {}
        }
    }

    fn count_silence(&mut self, tick: &mut Tick) {
        if self.clock_is_off(tick.now()) {
            return; // the days it counts were none
        }
        let silent: Vec<_> = self
            .epochs
            .current()
            .keys()
            .keys()
            .filter(|node| **node != self.me)
            .copied()
            .collect();
        for member in silent {
            let Some(state) = self.peers.states.get(&member) else {
                continue;
            };
            let last_sign = state.row.last_seen.max(state.row.known_since);
            if !self.peers.connected.contains(&member) {
                let row = self.trust.silence(member, last_sign, tick.now);
                self.record_trust(tick, row);
            }
        }
    }

    /// Members that this node has never heard of are silent from now on, not since the beginning of
    /// time.
    pub(super) fn note_known(&mut self, tick: &mut Tick) {
        let members: Vec<_> = self
            .epochs
            .current()
            .keys()
            .keys()
            .filter(|node| **node != self.me)
            .copied()
            .collect();
        for member in members {
            let state = self.peers.states.entry(member).or_default();
            if state.row.known_since == UnixMillis(0) {
                state.row.known_since = tick.now;
                tick.changes.peers.push((member, state.row.clone()));
            }
        }
    }

    /// Whether a member is asked only when nobody else can be.
    pub(super) fn is_asked_last(&self, node: &NodeId) -> bool {
        self.trust.score(node) < ENDORSEMENT_FLOOR
    }

    /// Nodes in the order in which they are asked: the most trusted first.
    pub(super) fn by_trust(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort_by_key(|node| (Reverse(self.trust.score(node)), *node));
        nodes
    }
}
