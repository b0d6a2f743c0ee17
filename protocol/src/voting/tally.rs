//! Counting the votes of one round and phase (SPEC §7, *Equivocation*).
//!
//! Towards a quorum or "weight > F" for a choice a voter counts once for each choice it signed, so that what convinced
//! one honest node convinces all; everywhere else only its first vote counts.

use crate::id::Choice;
use crate::quorum::{VoterIndex, VoterSet};
use crate::vote::Ballot;

/// The votes of one round and phase, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    votes: Vec<(VoterIndex, Ballot)>,
}

/// What adding a vote did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Counted as the voter's first.
    First,
    /// Held already.
    Known,
    /// The voter had voted otherwise; kept beside its first vote.
    Conflicting {
        /// The first vote.
        first: Ballot,
    },
    /// A third vote of an equivocator that proves nothing new: dropped.
    Dropped,
}

impl Tally {
    /// Adds a vote. A voter's second, conflicting vote is kept; further ones only if they bring their choice above F.
    pub(super) fn add(&mut self, voters: &VoterSet, voter: VoterIndex, ballot: Ballot) -> Added {
        let Some(first) = self.first(voter) else {
            self.votes.push((voter, ballot));
            return Added::First;
        };
        if self.has(voter, ballot) {
            return Added::Known;
        }
        let held = self.votes.iter().filter(|(v, _)| *v == voter).count();
        let weighty = |c: Choice| voters.exceeds_faulty(self.count(voters, c).0 + voters.weight(voter));
        if held >= 2 && !ballot.is_some_and(weighty) {
            return Added::Dropped;
        }
        self.votes.push((voter, ballot));
        Added::Conflicting { first }
    }

    /// Drops a voter's votes: a later round's replaced them (SPEC §12).
    pub(super) fn forget(&mut self, voter: VoterIndex) {
        self.votes.retain(|(v, _)| *v != voter);
    }

    /// Every vote held, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (VoterIndex, Ballot)> {
        self.votes.iter().copied()
    }

    /// A voter's first vote.
    pub fn first(&self, voter: VoterIndex) -> Option<Ballot> {
        self.votes.iter().find(|(v, _)| *v == voter).map(|(_, ballot)| *ballot)
    }

    fn has(&self, voter: VoterIndex, ballot: Ballot) -> bool {
        self.votes.contains(&(voter, ballot))
    }

    /// Whether this voter's vote for this very ballot is held.
    pub fn contains(&self, voter: VoterIndex, ballot: Ballot) -> bool {
        self.has(voter, ballot)
    }

    /// Weight and number of the voters that signed `choice`, each once.
    fn count(&self, voters: &VoterSet, choice: Choice) -> (u64, usize) {
        self.votes
            .iter()
            .filter(|(_, ballot)| *ballot == Some(choice))
            .fold((0, 0), |(weight, signers), (voter, _)| (weight + voters.weight(*voter), signers + 1))
    }

    /// The choices voted for, each once, in order of arrival.
    pub fn choices(&self) -> Vec<Choice> {
        let mut seen = Vec::new();
        for choice in self.votes.iter().filter_map(|(_, ballot)| *ballot) {
            if !seen.contains(&choice) {
                seen.push(choice);
            }
        }
        seen
    }

    /// The choice that a quorum signed; at most one while the faulty hold at most F.
    pub fn quorum_choice(&self, voters: &VoterSet) -> Option<Choice> {
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
    pub fn is_supported(&self, voters: &VoterSet, choice: Choice) -> bool {
        voters.exceeds_faulty(self.count(voters, choice).0)
    }

    /// Weight behind `choice`, each voter once.
    pub fn weight_of(&self, voters: &VoterSet, choice: Choice) -> u64 {
        self.count(voters, choice).0
    }

    /// The first votes, one a voter.
    fn firsts(&self) -> impl Iterator<Item = (VoterIndex, Ballot)> {
        self.votes.iter().enumerate().filter_map(|(i, &(voter, ballot))| {
            let is_first = !self.votes[..i].iter().any(|(v, _)| *v == voter);
            is_first.then_some((voter, ballot))
        })
    }

    /// Weight of the voters that voted anything.
    fn voted_weight(&self, voters: &VoterSet) -> u64 {
        self.firsts().map(|(voter, _)| voters.weight(voter)).sum()
    }

    /// Whether a quorum has voted, for whatever.
    pub fn has_quorum_of_anything(&self, voters: &VoterSet) -> bool {
        voters.is_quorum(self.voted_weight(voters), self.firsts().count())
    }

    /// Whether, by first votes, no choice can reach a quorum any more however the others vote.
    pub fn is_hopeless(&self, voters: &VoterSet) -> bool {
        let missing_weight = voters.total() - self.voted_weight(voters);
        let missing_signers = voters.len() - self.firsts().count();
        let reachable =
            |weight: u64, signers: usize| voters.is_quorum(weight + missing_weight, signers + missing_signers);
        if reachable(0, 0) {
            return false;
        }
        !self.choices().into_iter().any(|choice| {
            let (weight, signers) = self
                .firsts()
                .filter(|(_, ballot)| *ballot == Some(choice))
                .fold((0, 0), |(w, s), (voter, _)| (w + voters.weight(voter), s + 1));
            reachable(weight, signers)
        })
    }

    /// The voters that voted anything.
    pub fn voters(&self) -> impl Iterator<Item = VoterIndex> {
        self.firsts().map(|(voter, _)| voter)
    }
}
