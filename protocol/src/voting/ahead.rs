//! Who has voted in later rounds than this node is in (SPEC §7, rule 8).

use crate::id::Round;
use crate::quorum::{VoterIndex, VoterSet};
use crate::small_map::SmallMap;

/// For each voter the latest round in which a vote of it is held; only of those that voted after
/// round 0. It never goes back: what is forgotten is of rounds before the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ahead {
    latest: SmallMap<VoterIndex, Round>,
    /// The weight of the voters whose latest round that is.
    weights: SmallMap<Round, u64>,
}

impl Ahead {
    /// A vote of that round is held.
    pub(super) fn note(&mut self, voters: &VoterSet, voter: VoterIndex, round: Round) {
        let known = self.latest.get(&voter).copied().unwrap_or_default();
        if round <= known {
            return;
        }
        let weight = voters.weight(voter);
        if let Some(there) = self.weights.get_mut(&known) {
            *there -= weight;
        }
        *self.weights.or_default(round) += weight;
        self.weights.retain(|_, weight| *weight > 0);
        self.latest.insert(voter, round);
    }

    /// The latest round in which a vote of `voter` is held, if that is after round 0.
    pub(super) fn latest(&self, voter: VoterIndex) -> Option<Round> {
        self.latest.get(&voter).copied()
    }

    /// The largest round after `round` such that voters of weight > F have voted in it or after it.
    pub(super) fn to_join(&self, voters: &VoterSet, round: Round) -> Option<Round> {
        let mut sum = 0;
        for (at, weight) in self.weights.iter().rev().take_while(|(at, _)| **at > round) {
            sum += weight;
            if voters.exceeds_faulty(sum) {
                return Some(*at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::testing::federation;

    /// Rule 8 as it reads, over all votes held.
    fn by_the_rule(
        voters: &VoterSet,
        votes: &BTreeMap<Round, BTreeSet<VoterIndex>>,
        round: Round,
    ) -> Option<Round> {
        let mut seen = BTreeSet::new();
        for (at, here) in votes.iter().rev().filter(|(at, _)| **at > round) {
            seen.extend(here.iter().copied());
            if voters.exceeds_faulty(seen.iter().map(|voter| voters.weight(*voter)).sum()) {
                return Some(*at);
            }
        }
        None
    }

    proptest! {
        #[test]
        fn it_says_what_the_votes_say(steps in prop::collection::vec((0..7_u16, 0..6_u32), 0..40)) {
            let (_, _, voters, _) = federation(7);
            let (mut ahead, mut votes) = (Ahead::default(), BTreeMap::<Round, BTreeSet<VoterIndex>>::new());
            for (voter, round) in steps {
                let (voter, round) = (VoterIndex(voter), Round(round));
                ahead.note(&voters, voter, round);
                votes.entry(round).or_default().insert(voter);
                for current in (0..7).map(Round) {
                    prop_assert_eq!(ahead.to_join(&voters, current), by_the_rule(&voters, &votes, current));
                }
                let latest = votes.iter().rev().find(|(_, there)| there.contains(&voter)).map(|(at, _)| *at);
                prop_assert_eq!(ahead.latest(voter), latest.filter(|at| *at > Round::ZERO));
            }
        }
    }
}
