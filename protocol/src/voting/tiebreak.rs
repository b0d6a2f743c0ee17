//! Orders candidates: which of several a node prefers (SPEC §7 rules 1 and 6).

use std::cmp::Ordering;

use super::instance::Candidate;
use super::tally::Tally;
use crate::id::NodeId;
use crate::manifest::TieBreak;
use crate::quorum::VoterSet;

/// Earliest instant, then lowest event hash, then lowest digest. An event without an instant comes
/// last.
pub(super) fn earliest(a: &Candidate, b: &Candidate) -> Ordering {
    let key = |c: &Candidate| (c.event.instant().is_none(), c.event.instant(), c.choice);
    key(a).cmp(&key(b))
}

/// `timestamp_priority`: candidates announced within 5 minutes of their own timestamp come before
/// all others, so that back-dating does not win; then the earliest.
fn timestamp_priority(a: &Candidate, b: &Candidate) -> Ordering {
    b.prompt.cmp(&a.prompt).then_with(|| earliest(a, b))
}

/// The lowest node id of the coordinators whose first round-0 prevote is for this candidate.
fn coordinator_behind(voters: &VoterSet, round0: &Tally, candidate: &Candidate) -> Option<NodeId> {
    round0
        .voters()
        .filter(|voter| round0.first(*voter) == Some(Some(candidate.choice)))
        .filter_map(|voter| voters.get(voter))
        .filter(|voter| voter.is_coordinator)
        .map(|voter| voter.key.id())
        .min()
}

/// The candidate that `strategy` prefers. `round0` are the round-0 prevotes.
pub(super) fn winner<'a>(
    strategy: TieBreak,
    voters: &VoterSet,
    round0: &Tally,
    candidates: impl Iterator<Item = &'a Candidate>,
) -> Option<&'a Candidate> {
    candidates.min_by(|a, b| {
        let first = match strategy {
            TieBreak::TimestampPriority | TieBreak::ManualReview => Ordering::Equal,
            TieBreak::CoordinatorPriority => {
                let key =
                    |c| coordinator_behind(voters, round0, c).map_or((1, None), |id| (0, Some(id)));
                key(*a).cmp(&key(*b))
            }
            TieBreak::TrustWeighted => round0.weight_of(b.choice).cmp(&round0.weight_of(a.choice)),
        };
        first.then_with(|| timestamp_priority(a, b))
    })
}
