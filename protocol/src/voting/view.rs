//! What others may see of an instance (SPEC §7 State): no function here changes anything.

use super::instance::{Candidate, Instance, RoundState};
use super::tally::Tally;
use super::{Polka, Rules};
use crate::id::{Choice, Epoch, Round, SubjectId};
use crate::quorum::{VoterIndex, VoterSet};
use crate::vote::{Ballot, Phase, Proposal, RoundId};

impl Instance {
    /// Returns the epoch in which the subject is voted on.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What is voted on.
    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    /// Whether the subject is a `federation_epoch`.
    pub fn is_epoch_change(&self) -> bool {
        self.epoch_change
    }

    /// The current round.
    pub fn round(&self) -> Round {
        self.round
    }

    /// The current round with its epoch.
    pub fn round_id(&self) -> RoundId {
        RoundId {
            epoch: self.epoch,
            round: self.round,
        }
    }

    /// What this node is locked on.
    pub fn locked(&self) -> Option<Polka> {
        self.locked
    }

    /// The latest polka seen.
    pub fn valid(&self) -> Option<Polka> {
        self.valid
    }

    /// Whether it began with a lock of an earlier epoch.
    pub fn is_inherited(&self) -> bool {
        self.inherited().is_some()
    }

    /// The operator's standing choice.
    pub fn standing(&self) -> Option<Choice> {
        self.standing
    }

    /// The decision, once there is one.
    pub fn decided(&self) -> Option<(Round, Choice)> {
        self.decided
    }

    /// The known candidates in order of choice.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.values()
    }

    /// A known candidate.
    pub fn candidate(&self, choice: Choice) -> Option<&Candidate> {
        self.candidates.get(&choice)
    }

    /// Choices that votes name and whose events are not known.
    pub fn wanted(&self) -> impl Iterator<Item = Choice> {
        self.wanted.iter().copied()
    }

    /// The votes of one round and phase.
    pub fn tally(&self, round: Round, phase: Phase) -> Option<&Tally> {
        let state = self.rounds.get(&round)?;
        Some(match phase {
            Phase::Prevote => &state.prevotes,
            Phase::Precommit => &state.precommits,
        })
    }

    /// The proposal of a round, if one counts.
    pub fn proposal(&self, round: Round) -> Option<&Proposal> {
        self.rounds.get(&round)?.proposal.as_ref()
    }

    pub(super) fn prevotes(&self, round: Round) -> Option<&Tally> {
        self.tally(round, Phase::Prevote)
    }

    /// The choice of the polka held at `at`: of an earlier epoch that is the inherited one alone.
    pub(super) fn polkas_at(&self, voters: &VoterSet, at: RoundId) -> Option<Choice> {
        if at.epoch == self.epoch {
            return self.prevotes(at.round)?.quorum_choice(voters);
        }
        self.inherited()
            .filter(|inherited| inherited.at == at)
            .map(|inherited| inherited.choice)
    }

    /// Every vote held, in order of round and phase.
    pub fn votes(&self) -> impl Iterator<Item = (Round, Phase, VoterIndex, Ballot)> {
        self.rounds.iter().flat_map(|(&round, state)| {
            let prevotes = state
                .prevotes
                .iter()
                .map(move |(voter, ballot)| (round, Phase::Prevote, voter, ballot));
            prevotes.chain(
                state
                    .precommits
                    .iter()
                    .map(move |(voter, ballot)| (round, Phase::Precommit, voter, ballot)),
            )
        })
    }

    /// Whether a vote that is held names `choice`.
    pub fn is_named(&self, choice: Choice) -> bool {
        let names = |tally: &Tally| tally.choices().any(|named| named == choice);
        self.rounds
            .values()
            .any(|round| names(&round.prevotes) || names(&round.precommits))
    }

    /// Whether voters of weight > F, an honest one among them, voted for `choice` in one round and
    /// phase.
    pub fn is_backed(&self, voters: &VoterSet, choice: Choice) -> bool {
        let backs = |tally: &Tally| tally.is_supported(voters, choice);
        self.rounds
            .values()
            .any(|round| backs(&round.prevotes) || backs(&round.precommits))
    }

    /// Whether `voter`, this node itself, has any part in it that must not be forgotten: a vote, a
    /// lock, an own event or a round that was entered.
    pub fn has_part_of(&self, voter: VoterIndex) -> bool {
        let voted = |state: &RoundState| {
            state.prevotes.first(voter).is_some() || state.precommits.first(voter).is_some()
        };
        self.round > Round::ZERO
            || self.locked.is_some()
            || self.standing.is_some()
            || self.candidates().any(|c| c.own)
            || self.rounds.values().any(voted)
    }

    /// Whether the current round failed and the next is an operator's.
    pub fn in_conflict(&self) -> bool {
        self.decided.is_none() && self.current().conflict_told
    }

    /// Of known candidates that this node would endorse the one it would prevote in round 0 (rule
    /// 1); none if they do not agree and no strategy chooses. Whoever endorses several endorses
    /// this one: the first endorsed is voted for.
    pub fn preferred(&self, voters: &VoterSet, rules: Rules, choices: &[Choice]) -> Option<Choice> {
        let candidates: Vec<_> = choices
            .iter()
            .filter_map(|choice| self.candidate(*choice))
            .collect();
        self.prefer(voters, rules, &candidates)
    }

    /// Whether people were asked to choose among candidates that do not agree, and this node has
    /// not prevoted since.
    pub fn awaits_review(&self) -> bool {
        self.review_told && self.round == Round::ZERO && self.decided.is_none()
    }

    /// Whether an operator may choose now (rule 7): not while round 0 or an automatic round has not
    /// failed.
    pub fn may_choose(&self, voters: &VoterSet, rules: Rules) -> bool {
        let unattended = self.round == Round::ZERO || rules.is_automatic(self.round);
        self.decided.is_none() && (!unattended || self.has_failed(voters))
    }
}
