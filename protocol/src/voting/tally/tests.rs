//! The tally against one that counts anew for each question.

use proptest::prelude::*;

use super::*;
use crate::id::{ContentDigest, EventHash};
use crate::testing::manifest;

/// The votes of one round and phase, and nothing else.
#[derive(Clone, Debug, Default)]
struct Reference {
    votes: Vec<(VoterIndex, Ballot)>,
}

impl Reference {
    /// Adds a vote. A voter's second, conflicting vote is kept; further ones only if they bring
    /// their choice above F.
    fn add(&mut self, voters: &VoterSet, voter: VoterIndex, ballot: Ballot) -> Added {
        let Some(first) = self.first(voter) else {
            self.votes.push((voter, ballot));
            return Added::First;
        };
        if self.has(voter, ballot) {
            return Added::Known;
        }
        let held = self.votes.iter().filter(|(v, _)| *v == voter).count();
        let weighty =
            |c: Choice| voters.exceeds_faulty(self.count(voters, c).0 + voters.weight(voter));
        if held >= 2 && !ballot.is_some_and(weighty) {
            return Added::Dropped;
        }
        self.votes.push((voter, ballot));
        Added::Conflicting { first }
    }

    /// Drops a voter's votes: a later round's replaced them (SPEC §12).
    fn forget(&mut self, voter: VoterIndex) {
        self.votes.retain(|(v, _)| *v != voter);
    }

    /// A voter's first vote.
    fn first(&self, voter: VoterIndex) -> Option<Ballot> {
        self.votes
            .iter()
            .find(|(v, _)| *v == voter)
            .map(|(_, ballot)| *ballot)
    }

    fn has(&self, voter: VoterIndex, ballot: Ballot) -> bool {
        self.votes.contains(&(voter, ballot))
    }

    /// Weight and number of the voters that signed `choice`, each once.
    fn count(&self, voters: &VoterSet, choice: Choice) -> (u64, usize) {
        self.votes
            .iter()
            .filter(|(_, ballot)| *ballot == Some(choice))
            .fold((0, 0), |(weight, signers), (voter, _)| {
                (weight + voters.weight(*voter), signers + 1)
            })
    }

    /// The choices voted for, each once, in order of arrival.
    fn choices(&self) -> Vec<Choice> {
        let mut seen = Vec::new();
        for choice in self.votes.iter().filter_map(|(_, ballot)| *ballot) {
            if !seen.contains(&choice) {
                seen.push(choice);
            }
        }
        seen
    }

    /// The choice that a quorum signed; at most one while the faulty hold at most F.
    fn quorum_choice(&self, voters: &VoterSet) -> Option<Choice> {
        // the cheap test first: most tallies are short of a quorum
        if !voters.is_quorum(self.voted_weight(voters), self.votes.len()) {
            return None;
        }
        self.choices().into_iter().find(|&choice| {
            let (weight, signers) = self.count(voters, choice);
            voters.is_quorum(weight, signers)
        })
    }

    /// Whether voters of weight above F signed `choice`: an honest one among them.
    fn is_supported(&self, voters: &VoterSet, choice: Choice) -> bool {
        voters.exceeds_faulty(self.count(voters, choice).0)
    }

    /// Weight behind `choice`, each voter once.
    fn weight_of(&self, voters: &VoterSet, choice: Choice) -> u64 {
        self.count(voters, choice).0
    }

    /// The first votes, one a voter.
    fn firsts(&self) -> impl Iterator<Item = (VoterIndex, Ballot)> {
        self.votes
            .iter()
            .enumerate()
            .filter_map(|(i, &(voter, ballot))| {
                let is_first = !self.votes[..i].iter().any(|(v, _)| *v == voter);
                is_first.then_some((voter, ballot))
            })
    }

    /// Weight of the voters that voted anything.
    fn voted_weight(&self, voters: &VoterSet) -> u64 {
        self.firsts().map(|(voter, _)| voters.weight(voter)).sum()
    }

    /// Whether a quorum has voted, for whatever.
    fn has_quorum_of_anything(&self, voters: &VoterSet) -> bool {
        voters.is_quorum(self.voted_weight(voters), self.firsts().count())
    }

    /// Whether, by first votes, no choice can reach a quorum any more however the others vote.
    fn is_hopeless(&self, voters: &VoterSet) -> bool {
        let missing_weight = voters.total() - self.voted_weight(voters);
        let missing_signers = voters.len() - self.firsts().count();
        let reachable = |weight: u64, signers: usize| {
            voters.is_quorum(weight + missing_weight, signers + missing_signers)
        };
        if reachable(0, 0) {
            return false;
        }
        !self.choices().into_iter().any(|choice| {
            let (weight, signers) = self
                .firsts()
                .filter(|(_, ballot)| *ballot == Some(choice))
                .fold((0, 0), |(w, s), (voter, _)| {
                    (w + voters.weight(voter), s + 1)
                });
            reachable(weight, signers)
        })
    }

    /// The voters that voted anything.
    fn voters(&self) -> impl Iterator<Item = VoterIndex> {
        self.firsts().map(|(voter, _)| voter)
    }
}

fn ballot(number: u8) -> Ballot {
    let choice = Choice {
        event_hash: EventHash([number; 32]),
        content_digest: ContentDigest([number; 32]),
    };
    Some(choice).filter(|_| number > 0)
}

#[derive(Clone, Debug)]
enum Step {
    Add(u16, u8),
    Forget(u16),
}

fn steps() -> impl Strategy<Value = (Vec<u64>, u32, Vec<Step>)> {
    (4..12_usize).prop_flat_map(|voters| {
        // mostly for one thing, so that quorums come about
        let number = prop_oneof![4 => Just(1_u8), 2 => 0..3_u8, 1 => 0..8_u8];
        let of = 0..voters as u16;
        let add = (of.clone(), number).prop_map(|(voter, number)| Step::Add(voter, number));
        let step = prop_oneof![9 => add, 1 => of.prop_map(Step::Forget)];
        let weights = prop_oneof![
            Just(vec![1; voters]),
            prop::collection::vec(20..40_u64, voters)
        ];
        (weights, 2..4_u32, prop::collection::vec(step, 0..60))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_answers_as_one_that_counts_anew((weights, least, steps) in steps()) {
        let mut manifest = manifest(weights.len());
        manifest.vote_weighting = crate::manifest::Weighting::Trust;
        manifest.min_participating_nodes = least;
        manifest.members.iter_mut().zip(&weights).for_each(|(member, weight)| member.weight = *weight);
        let voters = VoterSet::of(&manifest).unwrap();
        let (mut tally, mut reference) = (Tally::default(), Reference::default());
        for step in steps {
            match step {
                Step::Add(voter, number) => {
                    let (voter, ballot) = (VoterIndex(voter), ballot(number));
                    prop_assert_eq!(
                        tally.add(&voters, voter, ballot),
                        reference.add(&voters, voter, ballot)
                    );
                }
                Step::Forget(voter) => {
                    tally.forget(&voters, VoterIndex(voter));
                    reference.forget(VoterIndex(voter));
                }
            }
            prop_assert_eq!(tally.iter().collect::<Vec<_>>(), reference.votes.clone());
            prop_assert_eq!(tally.voters().collect::<Vec<_>>(), reference.voters().collect::<Vec<_>>());
            prop_assert_eq!(tally.choices().collect::<Vec<_>>(), reference.choices());
            prop_assert_eq!(tally.quorum_choice(&voters), reference.quorum_choice(&voters));
            prop_assert_eq!(tally.has_quorum_of_anything(&voters), reference.has_quorum_of_anything(&voters));
            prop_assert_eq!(tally.is_hopeless(&voters), reference.is_hopeless(&voters));
            for voter in (0..voters.len() as u16).map(VoterIndex) {
                prop_assert_eq!(tally.first(voter), reference.first(voter));
                let contains = |number| tally.contains(voter, ballot(number)) == reference.has(voter, ballot(number));
                prop_assert!((0..8).all(contains));
            }
            for choice in (1..8).filter_map(ballot) {
                prop_assert_eq!(tally.weight_of(choice), reference.weight_of(&voters, choice));
                prop_assert_eq!(tally.is_supported(&voters, choice), reference.is_supported(&voters, choice));
            }
            // the same votes are the same tally, however they came to be there
            let mut anew = Tally::default();
            reference.votes.iter().for_each(|(voter, ballot)| anew.count_in(&voters, *voter, *ballot));
            prop_assert_eq!(&anew, &tally);
        }
    }
}
