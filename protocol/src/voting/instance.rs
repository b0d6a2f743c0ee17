//! One voting instance: its state, and rules 3 and 8 of SPEC §7. Rule 1 is in `prevote`, 2 and 4 in
//! `precommit`, 5 in `timers`.

use std::collections::BTreeSet;

use super::ahead::Ahead;
use super::tally::Tally;
use super::{Input, Output, Polka, Rules, Step};
use crate::event::Event;
use crate::id::{Choice, Epoch, Round, SubjectId};
use crate::quorum::{VoterIndex, VoterSet};
use crate::small_map::SmallMap;
use crate::vote::{Ballot, Phase, Proposal, RoundId};

mod inputs;
mod precommit;
mod prevote;
mod signing;
mod timers;

/// An admissible event for the subject and what this node knows about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Its event hash and content digest, which votes name.
    pub choice: Choice,
    /// The event with all eight fields.
    pub event: Event,
    /// The voter of this epoch that announced it, if the proof of that is held.
    pub announced_by: Option<VoterIndex>,
    /// Whether it was announced within 5 minutes of its own timestamp.
    pub prompt: bool,
    /// Whether it stands in the node's own registry.
    pub own: bool,
    /// Whether the node's policy or operator stands behind it; counts only if the announcement's
    /// proof is held.
    pub endorsed: bool,
}

/// What a node has signed in an instance before a restart, from its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnHistory {
    /// Own votes, in order of signing.
    pub votes: Vec<(Round, Phase, Ballot)>,
    /// Own proposals, in order of signing.
    pub proposals: Vec<Proposal>,
    /// The lock inherited from earlier epochs.
    pub inherited: Option<Polka>,
}

/// What stands in the way of a round-0 prevote for what a node endorses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Restraint {
    /// Nothing stands in the way.
    None,
    /// The caller does not know yet what the own registry has: the prevote waits.
    Held,
    /// A person refused, or nobody answered in time: the prevote is nil.
    Refused,
}

/// What is known of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RoundState {
    pub(super) prevotes: Tally,
    pub(super) precommits: Tally,
    pub(super) proposal: Option<Proposal>,
    scheduled: BTreeSet<Step>,
    elapsed: BTreeSet<Step>,
    pub(super) conflict_told: bool,
}

/// Voting on one subject in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    pub(super) epoch: Epoch,
    pub(super) subject: SubjectId,
    pub(super) epoch_change: bool,
    pub(super) round: Round,
    pub(super) locked: Option<Polka>,
    pub(super) valid: Option<Polka>,
    /// What this node was bound to when it entered the epoch.
    inherited: Option<Polka>,
    pub(super) candidates: SmallMap<Choice, Candidate>,
    pub(super) wanted: BTreeSet<Choice>,
    pub(super) rounds: SmallMap<Round, RoundState>,
    ahead: Ahead,
    pub(super) restraint: Restraint,
    pub(super) review_told: bool,
    pub(super) standing: Option<Choice>,
    pub(super) standing_rounds: u32,
    pub(super) decided: Option<(Round, Choice)>,
}

impl Instance {
    /// An instance in which this node has signed nothing and inherited no lock.
    pub fn new(epoch: Epoch, subject: SubjectId, epoch_change: bool) -> Self {
        Self::inheriting(epoch, subject, epoch_change, None)
    }

    /// An instance in which this node has signed nothing, and starts with the lock that it
    /// inherits from an earlier epoch, if it does (SPEC §4, *Change of members*).
    pub fn inheriting(
        epoch: Epoch,
        subject: SubjectId,
        epoch_change: bool,
        inherited: Option<Polka>,
    ) -> Self {
        let mut instance = Self {
            epoch,
            subject,
            epoch_change,
            round: Round::ZERO,
            locked: inherited,
            valid: inherited,
            inherited,
            candidates: SmallMap::default(),
            wanted: BTreeSet::new(),
            rounds: SmallMap::default(),
            ahead: Ahead::default(),
            restraint: Restraint::None,
            review_told: false,
            standing: None,
            standing_rounds: 0,
            decided: None,
        };
        instance.set_round(Round::ZERO);
        instance
    }

    /// An instance after a restart (SPEC §7 State): the highest round in which anything was signed,
    /// and locked on the latest non-nil precommit of this epoch, else on the inherited lock.
    pub fn resume(
        epoch: Epoch,
        subject: SubjectId,
        epoch_change: bool,
        history: &OwnHistory,
        voters: &VoterSet,
        me: VoterIndex,
    ) -> Self {
        let mut instance = Self::inheriting(epoch, subject, epoch_change, history.inherited);
        // counted as if just signed: what was said is not said again, or otherwise
        for &(round, phase, ballot) in &history.votes {
            instance.set_round(instance.round.max(round));
            instance.tally_mut(round, phase).add(voters, me, ballot);
            let latest = instance
                .locked
                .is_none_or(|lock| lock.at < RoundId { epoch, round });
            if let (Phase::Precommit, Some(choice), true) = (phase, ballot, latest) {
                instance.locked = Some(Polka {
                    at: RoundId { epoch, round },
                    choice,
                });
                instance.valid = instance.locked;
            }
        }
        // a second proposal in a round would be evidence against this node
        for proposal in &history.proposals {
            instance.set_round(instance.round.max(proposal.round));
            instance.rounds.or_default(proposal.round).proposal = Some(*proposal);
        }
        instance
    }

    /// Makes the round-0 prevote wait, or not any more: [`Input::MaySign`] then says it. Polkas are
    /// followed meanwhile.
    pub fn hold_prevote(&mut self, holds: bool) {
        self.restraint = match self.restraint {
            Restraint::Refused => Restraint::Refused,
            _ if holds => Restraint::Held,
            _ => Restraint::None,
        };
    }

    /// No candidate counts as the own registry's any more, because that is read again. What was
    /// signed stays.
    pub fn disown(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.own = false;
        }
    }

    /// Takes one input and says what is to be done. Nothing comes after a decision.
    pub fn process(&mut self, voters: &VoterSet, rules: Rules, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.decided.is_none() {
            self.take(voters, rules, input, &mut out);
            self.advance(voters, rules, &mut out);
        }
        out
    }

    /// Applies the rules until none has anything more to do.
    fn advance(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        loop {
            if let Some((round, choice)) = self.certified(voters) {
                self.decide(round, choice, out);
            }
            if self.decided.is_some() {
                return;
            }
            self.note_polkas(voters);
            // before anything is signed here: others wait in the later round
            if let Some(later) = self.ahead.to_join(voters, self.round) {
                self.enter(later, rules, out);
                continue;
            }
            // the proposal first, because the own prevote follows it
            self.propose(voters, rules, out);
            if self.prevote(voters, rules, out) {
                // it may have completed a polka
                self.note_polkas(voters);
            }
            self.precommit(voters, rules, out);
            self.start_timers(voters, rules, out);
            if !(self.has_failed(voters) && self.leave_failed_round(voters, rules, out)) {
                // own votes may have completed something
                if self.certified(voters).is_none() {
                    return;
                }
            }
        }
    }

    /// Rule 3: a quorum of precommits for one choice in one round, its event known.
    fn certified(&self, voters: &VoterSet) -> Option<(Round, Choice)> {
        self.rounds.iter().find_map(|(round, state)| {
            let choice = state.precommits.quorum_choice(voters)?;
            self.candidates
                .contains_key(&choice)
                .then_some((*round, choice))
        })
    }

    fn decide(&mut self, round: Round, choice: Choice, out: &mut Vec<Output>) {
        if self.decided.is_none() {
            self.decided = Some((round, choice));
            out.push(Output::Decided { round, choice });
        }
    }

    /// Takes one of the rounds that a standing choice carries through; whether there was one left.
    pub(super) fn spend_standing_round(&mut self) -> bool {
        let carries = self.standing.is_some() && self.standing_rounds > 0;
        self.standing_rounds -= u32::from(carries);
        carries
    }

    /// The lock that this instance began with.
    pub(super) fn inherited(&self) -> Option<Polka> {
        self.inherited
    }

    pub(super) fn set_round(&mut self, round: Round) {
        self.round = self.round.max(round);
        self.rounds.or_default(self.round);
    }

    #[expect(
        clippy::expect_used,
        reason = "set_round makes the state of every round it enters; none is removed"
    )]
    pub(super) fn current(&self) -> &RoundState {
        self.rounds
            .get(&self.round)
            .expect("the current round has a state")
    }

    pub(super) fn current_mut(&mut self) -> &mut RoundState {
        self.rounds.or_default(self.round)
    }

    fn tally_mut(&mut self, round: Round, phase: Phase) -> &mut Tally {
        let state = self.rounds.or_default(round);
        match phase {
            Phase::Prevote => &mut state.prevotes,
            Phase::Precommit => &mut state.precommits,
        }
    }
}

impl RoundState {
    fn is_empty(&self) -> bool {
        self.proposal.is_none() && self.prevotes.is_empty() && self.precommits.is_empty()
    }
}
