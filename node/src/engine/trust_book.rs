//! The trust ledger in memory: scores, and when each capped change last counted (SPEC §9).

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::trust::{self, TrustChange, TrustReason};

const DAY: Duration = Duration::from_hours(24);

/// Scores of all members, as this node sees them.
#[derive(Debug, Default)]
pub(super) struct TrustBook {
    scores: BTreeMap<NodeId, i32>,
    last: BTreeMap<(NodeId, TrustReason, Option<NodeId>), UnixMillis>,
}

impl TrustBook {
    /// Takes a ledger row that is on disk, or will be with this tick.
    pub(super) fn apply(&mut self, change: &TrustChange) {
        let score = self.score(&change.member);
        self.scores.insert(change.member, trust::step(score, change.reason.points()));
        self.last.insert((change.member, change.reason, change.origin), change.at);
    }

    /// A member's score now.
    pub(super) fn score(&self, member: &NodeId) -> i32 {
        self.scores.get(member).copied().unwrap_or(trust::INITIAL_SCORE)
    }

    /// The row for an observation, unless one for this origin still covers it: agreement counts once a day per origin,
    /// disagreement once in 30 days.
    pub(super) fn observation(
        &mut self,
        member: NodeId,
        agrees: bool,
        origin: Option<NodeId>,
        reference: &str,
        now: UnixMillis,
    ) -> Option<TrustChange> {
        let (reason, pause) =
            if agrees { (TrustReason::Agreement, DAY) } else { (TrustReason::Disagreement, 30 * DAY) };
        if self.last.get(&(member, reason, origin)).is_some_and(|last| now.since(*last) < pause) {
            return None;
        }
        let change = TrustChange { member, reason, at: now, origin, reference: reference.to_owned() };
        self.apply(&change);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_are_capped_per_origin() {
        let (member, origin, other) = (NodeId([1; 32]), Some(NodeId([2; 32])), Some(NodeId([3; 32])));
        let mut book = TrustBook::default();
        let at = |hours: u64| UnixMillis(hours * 3_600_000);
        assert!(book.observation(member, true, origin, "s", at(100)).is_some());
        assert!(book.observation(member, true, origin, "s", at(123)).is_none());
        assert!(book.observation(member, true, other, "s", at(123)).is_some());
        assert!(book.observation(member, true, origin, "s", at(124)).is_some());
        assert_eq!(book.score(&member), 56);
        assert!(book.observation(member, false, origin, "s", at(124)).is_some());
        assert!(book.observation(member, false, origin, "s", at(124 + 29 * 24)).is_none());
        assert_eq!(book.score(&member), 51);
    }
}
