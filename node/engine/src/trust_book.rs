//! The trust ledger in memory: scores, and when each capped change last counted (SPEC §9). It only
//! says which row is due; the engine writes rows, and [applies](TrustBook::apply) what it wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::trust::{DAY, TrustChange, TrustNote, TrustReason, TrustRules};

/// Disagreement counts once in this time per origin.
const DISAGREEMENT_PAUSE: Duration = Duration::from_hours(30 * 24);

/// Scores of all members, as this node sees them.
#[derive(Debug)]
pub(super) struct TrustBook {
    rules: TrustRules,
    scores: BTreeMap<NodeId, i32>,
    last: BTreeMap<(NodeId, TrustReason, Option<NodeId>), UnixMillis>,
}

impl TrustBook {
    pub(super) fn new(rules: TrustRules) -> Self {
        Self {
            rules,
            scores: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Takes a ledger row that is on disk, or will be with this tick. Gives the score before and
    /// after it.
    pub(super) fn apply(&mut self, change: &TrustChange) -> (i32, i32) {
        let before = self.score(&change.member);
        let after = self.rules.step(before, change.points);
        self.scores.insert(change.member, after);
        self.last
            .insert((change.member, change.reason, change.origin), change.at);
        (before, after)
    }

    /// A member's score now.
    pub(super) fn score(&self, member: &NodeId) -> i32 {
        self.scores
            .get(member)
            .copied()
            .unwrap_or(self.rules.initial)
    }

    /// The row for an observation, unless one for this origin still covers it: agreement counts
    /// once a day per origin, disagreement once in 30 days. Where the origin is not known it counts
    /// for nothing: else those without one would be one origin more.
    pub(super) fn observation(
        &self,
        member: NodeId,
        agrees: bool,
        origin: Option<NodeId>,
        reference: &str,
        now: UnixMillis,
    ) -> Option<TrustChange> {
        let origin = Some(origin?);
        let (reason, pause) = if agrees {
            (TrustReason::Agreement, DAY)
        } else {
            (TrustReason::Disagreement, DISAGREEMENT_PAUSE)
        };
        self.is_due(member, reason, origin, pause, now)
            .then(|| self.row(member, reason, origin, reference, now))
    }

    /// The row for a sync that succeeded or failed, unless one of the same kind lies less than
    /// `interval` back.
    pub(super) fn sync(
        &self,
        member: NodeId,
        succeeded: bool,
        interval: Duration,
        reference: &str,
        now: UnixMillis,
    ) -> Option<TrustChange> {
        let reason = if succeeded {
            TrustReason::SyncSucceeded
        } else {
            TrustReason::SyncFailed
        };
        self.is_due(member, reason, None, interval, now)
            .then(|| self.row(member, reason, None, reference, now))
    }

    /// The row for the days of silence that are not written yet. It is dated to when the last of
    /// them was over, so that what stands in the ledger follows from the last sign of life alone,
    /// however often this node ran meanwhile.
    pub(super) fn silence(
        &self,
        member: NodeId,
        last_sign: UnixMillis,
        now: UnixMillis,
    ) -> Option<TrustChange> {
        let until = |at| self.rules.days_inactive(last_sign, at);
        let written = self
            .last
            .get(&(member, TrustReason::Inactive, None))
            .map_or(0, |at| until(*at));
        let (all, days) = (
            until(now),
            until(now).checked_sub(written).filter(|days| *days > 0)?,
        );
        let reference = format!(
            "{days} of {all} days beyond {} of silence",
            self.rules.inactive_after.as_secs() / 86_400
        );
        let over = Duration::from_secs(all.saturating_mul(DAY.as_secs()));
        let at = last_sign.after(self.rules.inactive_after).after(over);
        let row = self.row(member, TrustReason::Inactive, None, &reference, at);
        let times = i32::try_from(days).unwrap_or(i32::MAX);
        Some(TrustChange {
            points: row.points.saturating_mul(times),
            ..row
        })
    }

    /// The row for proven equivocation, once for good.
    pub(super) fn equivocation(
        &self,
        member: NodeId,
        reference: &str,
        now: UnixMillis,
    ) -> Option<TrustChange> {
        let is_first = !self.has_equivocated(member);
        is_first.then(|| self.row(member, TrustReason::Equivocation, None, reference, now))
    }

    /// Such a member earns nothing any more: only people raise its score. Nor does the key that
    /// follows its.
    fn earns_nothing(&self, member: NodeId) -> bool {
        let mut former = self.former_keys(member).into_iter();
        self.has_equivocated(member) || former.any(|key| self.has_equivocated(key))
    }

    fn has_equivocated(&self, member: NodeId) -> bool {
        self.last
            .contains_key(&(member, TrustReason::Equivocation, None))
    }

    /// When a member's score last changed for this reason, by origin.
    pub(super) fn latest(
        &self,
        member: NodeId,
        reason: TrustReason,
    ) -> impl Iterator<Item = (Option<NodeId>, UnixMillis)> + '_ {
        let all = (member, reason, None)..=(member, reason, Some(NodeId([0xff; 32])));
        let rows = self.last.range(all);
        rows.map(|((_, _, origin), at)| (*origin, *at))
    }

    /// Those of whom there are rows.
    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.scores.keys().copied()
    }

    /// The row for what an operator did.
    pub(super) fn by_hand(
        &self,
        member: NodeId,
        boost: bool,
        note: TrustNote,
        now: UnixMillis,
    ) -> TrustChange {
        let reason = if boost {
            TrustReason::ManualBoost
        } else {
            TrustReason::ManualPenalty
        };
        TrustChange {
            note: Some(note),
            ..self.row(member, reason, None, "by hand", now)
        }
    }

    fn is_due(
        &self,
        member: NodeId,
        reason: TrustReason,
        origin: Option<NodeId>,
        pause: Duration,
        now: UnixMillis,
    ) -> bool {
        let is_earned = matches!(reason, TrustReason::Agreement | TrustReason::SyncSucceeded);
        !(is_earned && self.earns_nothing(member))
            && self
                .last
                .get(&(member, reason, origin))
                .is_none_or(|last| now.since(*last) >= pause)
    }

    fn row(
        &self,
        member: NodeId,
        reason: TrustReason,
        origin: Option<NodeId>,
        reference: &str,
        at: UnixMillis,
    ) -> TrustChange {
        let points = self.rules.points(reason);
        TrustChange {
            member,
            reason,
            points,
            at,
            origin,
            reference: reference.to_owned(),
            note: None,
        }
    }
}
