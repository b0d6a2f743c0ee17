//! Counting the votes of one round and phase (SPEC §7, *Equivocation*).
//!
//! Towards a quorum or "weight > F" for a choice a voter counts once for each choice it signed, so
//! that what convinced one honest node convinces all; everywhere else only its first vote counts.
//!
//! Everything is counted as votes come: a question costs as much as there are choices at the most,
//! whatever number of voters there is, because each vote of a thousand asks several.

use std::hash::{Hash, Hasher};

use crate::id::Choice;
use crate::quorum::{VoterIndex, VoterSet};
use crate::vote::Ballot;

/// The votes of one round and phase, in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    votes: Vec<(VoterIndex, Ballot)>,
    /// Places in `votes`: by voter, then in order of arrival.
    by_voter: Vec<(VoterIndex, u32)>,
    /// The choices voted for, each once, in order of arrival.
    counts: Vec<Count>,
    /// The voters that voted anything.
    voted: Behind,
    /// The most weight and, apart from that, the most signers that any choice has.
    most: Behind,
    /// The same by first votes.
    most_first: Behind,
}

/// What stands behind something: voters, each once.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    weight: u64,
    signers: usize,
}

impl Behind {
    fn add(&mut self, weight: u64) {
        self.weight += weight;
        self.signers += 1;
    }

    fn at_least(&mut self, other: Self) {
        self.weight = self.weight.max(other.weight);
        self.signers = self.signers.max(other.signers);
    }

    fn is_quorum(self, voters: &VoterSet) -> bool {
        voters.is_quorum(self.weight, self.signers)
    }
}

/// What stands behind one choice.
#[derive(Clone, Copy, Debug)]
struct Count {
    choice: Choice,
    /// All voters that signed it.
    all: Behind,
    /// Those of whom it is the first vote.
    first: Behind,
}

/// The votes are the state; all else follows from them.
impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        self.votes == other.votes
    }
}

impl Eq for Tally {}

impl Hash for Tally {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.votes.hash(state);
    }
}

/// What adding a vote did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Counted as the voter's first.
    First,
    /// Held already: nothing changes.
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
    /// Adds a vote. A voter's second, conflicting vote is kept; further ones only if they bring
    /// their choice above F.
    pub(super) fn add(&mut self, voters: &VoterSet, voter: VoterIndex, ballot: Ballot) -> Added {
        let Some(first) = self.first(voter) else {
            self.count_in(voters, voter, ballot);
            return Added::First;
        };
        if self.contains(voter, ballot) {
            return Added::Known;
        }
        let weighty =
            |c: Choice| voters.exceeds_faulty(self.behind(c).weight + voters.weight(voter));
        if self.places(voter).len() >= 2 && !ballot.is_some_and(weighty) {
            return Added::Dropped;
        }
        self.count_in(voters, voter, ballot);
        Added::Conflicting { first }
    }

    /// Drops a voter's votes: a later round's replaced them (SPEC §12).
    pub(super) fn forget(&mut self, voters: &VoterSet, voter: VoterIndex) {
        if self.places(voter).is_empty() {
            return;
        }
        let votes = std::mem::take(&mut self.votes);
        *self = Self::default();
        for (of, ballot) in votes.into_iter().filter(|(of, _)| *of != voter) {
            self.count_in(voters, of, ballot);
        }
    }

    /// Holds a vote that is not held, and counts it.
    fn count_in(&mut self, voters: &VoterSet, voter: VoterIndex, ballot: Ballot) {
        let weight = voters.weight(voter);
        let is_first = self.places(voter).is_empty();
        if is_first {
            self.voted.add(weight);
        }
        if let Some(choice) = ballot {
            let at = self.place_of(choice).unwrap_or_else(|| {
                self.counts.push(Count {
                    choice,
                    all: Behind::default(),
                    first: Behind::default(),
                });
                self.counts.len() - 1
            });
            let count = &mut self.counts[at];
            count.all.add(weight);
            self.most.at_least(count.all);
            if is_first {
                count.first.add(weight);
                self.most_first.at_least(count.first);
            }
        }
        let after = self.by_voter.partition_point(|(of, _)| *of <= voter);
        // a voter has few votes more than there are choices: far below u32::MAX
        self.by_voter
            .insert(after, (voter, self.votes.len() as u32));
        self.votes.push((voter, ballot));
    }

    /// A voter's places in `votes`.
    fn places(&self, voter: VoterIndex) -> &[(VoterIndex, u32)] {
        let start = self.by_voter.partition_point(|(of, _)| *of < voter);
        let rest = &self.by_voter[start..];
        &rest[..rest.iter().take_while(|(of, _)| *of == voter).count()]
    }

    fn place_of(&self, choice: Choice) -> Option<usize> {
        self.counts.iter().position(|count| count.choice == choice)
    }

    /// The voters that signed `choice`.
    fn behind(&self, choice: Choice) -> Behind {
        self.place_of(choice)
            .map(|at| self.counts[at].all)
            .unwrap_or_default()
    }

    /// Every vote held, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (VoterIndex, Ballot)> {
        self.votes.iter().copied()
    }

    /// A voter's first vote.
    pub fn first(&self, voter: VoterIndex) -> Option<Ballot> {
        self.places(voter)
            .first()
            .map(|(_, at)| self.votes[*at as usize].1)
    }

    /// Whether this voter's vote for this very ballot is held.
    pub fn contains(&self, voter: VoterIndex, ballot: Ballot) -> bool {
        self.places(voter)
            .iter()
            .any(|(_, at)| self.votes[*at as usize].1 == ballot)
    }

    /// The choices voted for, each once, in order of arrival.
    pub fn choices(&self) -> impl Iterator<Item = Choice> {
        self.counts.iter().map(|count| count.choice)
    }

    /// The choice that a quorum signed; at most one while the faulty hold at most F.
    pub fn quorum_choice(&self, voters: &VoterSet) -> Option<Choice> {
        if !self.most.is_quorum(voters) {
            return None;
        }
        self.counts
            .iter()
            .find(|count| count.all.is_quorum(voters))
            .map(|count| count.choice)
    }

    /// Whether voters of weight above F signed `choice`: an honest one among them.
    pub fn is_supported(&self, voters: &VoterSet, choice: Choice) -> bool {
        voters.exceeds_faulty(self.weight_of(choice))
    }

    /// The same, by at least two voters: where F is 0 one alone is none.
    pub fn is_supported_by_several(&self, voters: &VoterSet, choice: Choice) -> bool {
        let behind = self.behind(choice);
        voters.exceeds_faulty(behind.weight) && behind.signers > 1
    }

    /// Weight behind `choice`, each voter once.
    pub fn weight_of(&self, choice: Choice) -> u64 {
        self.behind(choice).weight
    }

    /// Whether a quorum has voted, for whatever.
    pub fn has_quorum_of_anything(&self, voters: &VoterSet) -> bool {
        self.voted.is_quorum(voters)
    }

    /// Whether, by first votes, no choice can reach a quorum any more however the others vote.
    pub fn is_hopeless(&self, voters: &VoterSet) -> bool {
        let missing_weight = voters.total() - self.voted.weight;
        let missing_signers = voters.len() - self.voted.signers;
        let reachable = |behind: Behind| {
            voters.is_quorum(
                behind.weight + missing_weight,
                behind.signers + missing_signers,
            )
        };
        if reachable(Behind::default()) {
            return false;
        }
        !(reachable(self.most_first) && self.counts.iter().any(|count| reachable(count.first)))
    }

    /// The voters that voted anything, in order of arrival.
    pub fn voters(&self) -> impl Iterator<Item = VoterIndex> {
        let is_first = |at: usize, voter| {
            self.places(voter)
                .first()
                .is_some_and(|(_, first)| *first as usize == at)
        };
        self.votes
            .iter()
            .enumerate()
            .filter(move |(at, (voter, _))| is_first(*at, *voter))
            .map(|(_, (voter, _))| *voter)
    }

    /// Whether nobody voted.
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }
}

#[cfg(test)]
mod tests;
