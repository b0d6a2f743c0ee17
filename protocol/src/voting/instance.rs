//! One voting instance: its state, and rules 1–5 and 8 of SPEC §7.

use std::collections::BTreeSet;

use super::ahead::Ahead;
use super::tally::{Added, Tally};
use super::tiebreak;
use super::{Input, Output, Polka, Rules, Signing, Step, Timer};
use crate::event::Event;
use crate::id::{Choice, Epoch, Round, SubjectId};
use crate::limits;
use crate::quorum::{VoterIndex, VoterSet};
use crate::small_map::SmallMap;
use crate::vote::{Ballot, Phase, Proposal, RoundId, Vote};

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
    pub(super) earlier: Vec<Polka>,
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
        let mut instance = Self {
            epoch,
            subject,
            epoch_change,
            round: Round::ZERO,
            locked: None,
            valid: None,
            earlier: Vec::new(),
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
        let mut instance = Self::new(epoch, subject, epoch_change);
        instance.locked = history.inherited;
        instance.valid = history.inherited;
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

    fn take(&mut self, voters: &VoterSet, rules: Rules, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Candidate(candidate) => {
                if self.has_room_for(voters, &candidate) {
                    self.add_candidate(candidate);
                }
            }
            Input::Remembered(candidate) => self.add_candidate(candidate),
            Input::Endorse(choice) => {
                if let Some(candidate) = self.candidates.get_mut(&choice) {
                    candidate.endorsed = true;
                }
            }
            Input::Refuse => self.restraint = Restraint::Refused,
            Input::Vote {
                voter,
                round,
                phase,
                ballot,
            } => self.add_vote(voters, voter, round, phase, ballot, out),
            Input::Proposal { voter, proposal } => {
                let strategy = rules
                    .automatic
                    .filter(|_| rules.is_automatic(proposal.round));
                if strategy.and_then(|s| self.proposer(voters, s, proposal.round)) == Some(voter) {
                    self.rounds
                        .or_default(proposal.round)
                        .proposal
                        .get_or_insert(proposal);
                    self.want(proposal.choice, out);
                }
            }
            Input::EarlierPolka(polka) => {
                if polka.at.epoch < self.epoch && !self.earlier.contains(&polka) {
                    self.earlier.push(polka);
                    self.want(polka.choice, out);
                }
            }
            Input::Timeout(timer) => {
                self.rounds
                    .or_default(timer.round)
                    .elapsed
                    .insert(timer.step);
            }
            Input::Choose(choice) => {
                self.standing = Some(choice);
                self.standing_rounds = limits::ROUNDS;
                // whatever room there is: a person named it
                if !self.candidates.contains_key(&choice) {
                    self.wanted.insert(choice);
                    out.push(Output::Want(choice));
                }
            }
            Input::MaySign => {}
            Input::Certified { round, choice } => self.decide(round, choice, out),
        }
    }

    fn add_candidate(&mut self, candidate: Candidate) {
        if let Some(known) = self.candidates.get_mut(&candidate.choice) {
            known.own |= candidate.own;
            known.endorsed |= candidate.endorsed;
            known.prompt |= candidate.prompt;
            known.announced_by = known.announced_by.or(candidate.announced_by);
            return;
        }
        self.wanted.remove(&candidate.choice);
        self.candidates.insert(candidate.choice, candidate);
    }

    /// Whether a candidate would be taken (SPEC §12): 64 a subject, one an origin; the own event,
    /// what the operator chose and what prevotes of weight > F name always.
    pub fn has_room_for(&self, voters: &VoterSet, candidate: &Candidate) -> bool {
        let choice = candidate.choice;
        let from_same_origin = candidate.announced_by.is_some()
            && self
                .candidates()
                .any(|c| c.announced_by == candidate.announced_by);
        candidate.own
            || self.standing == Some(choice)
            || self.candidates.contains_key(&choice)
            || self.candidates.len() < limits::CANDIDATES
                && (!from_same_origin || self.epoch_change)
            || self
                .rounds
                .values()
                .any(|round| round.prevotes.is_supported(voters, choice))
    }

    fn add_vote(
        &mut self,
        voters: &VoterSet,
        voter: VoterIndex,
        round: Round,
        phase: Phase,
        ballot: Ballot,
        out: &mut Vec<Output>,
    ) {
        if round > self.round.next() && !self.keep_latest_only(voters, voter, round) {
            return;
        }
        let added = self.tally_mut(round, phase).add(voters, voter, ballot);
        if added != Added::Dropped {
            self.ahead.note(voters, voter, round);
        }
        match added {
            Added::Known | Added::Dropped => return,
            Added::First => {}
            Added::Conflicting { first } => {
                out.push(Output::Equivocation {
                    voter,
                    round,
                    phase,
                    first,
                    second: ballot,
                });
            }
        }
        if let Some(choice) = ballot {
            self.want(choice, out);
        }
    }

    /// Of rounds beyond the next, only each voter's latest is kept (SPEC §12). Returns whether
    /// `round` is that.
    fn keep_latest_only(&mut self, voters: &VoterSet, voter: VoterIndex, round: Round) -> bool {
        if self
            .ahead
            .latest(voter)
            .is_some_and(|latest| latest > round)
        {
            return false;
        }
        let beyond = self.round.next();
        for (at, state) in self.rounds.iter_mut().filter(|(at, _)| **at > beyond) {
            if *at < round {
                state.prevotes.forget(voters, voter);
                state.precommits.forget(voters, voter);
            }
        }
        self.rounds
            .retain(|at, state| *at <= beyond || *at == round || !state.is_empty());
        true
    }

    fn want(&mut self, choice: Choice, out: &mut Vec<Output>) {
        if !self.candidates.contains_key(&choice)
            && self.wanted.len() < limits::CANDIDATES
            && self.wanted.insert(choice)
        {
            out.push(Output::Want(choice));
        }
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
            if let Some(later) = self.ahead.to_join(voters, self.round) {
                self.enter(later, rules, out);
                continue;
            }
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

    /// Rule 2, first half: the latest polka not later than the current round becomes `valid`, and
    /// releases an older lock on another choice.
    fn note_polkas(&mut self, voters: &VoterSet) {
        let current = self.round_id();
        let here = self
            .rounds
            .iter()
            .filter(|(round, _)| **round <= self.round)
            .filter_map(|(round, state)| {
                let at = RoundId {
                    epoch: self.epoch,
                    round: *round,
                };
                state
                    .prevotes
                    .quorum_choice(voters)
                    .map(|choice| Polka { at, choice })
            });
        let latest = here
            .chain(self.earlier.iter().copied())
            .filter(|polka| polka.at <= current && self.candidates.contains_key(&polka.choice))
            .max_by_key(|polka| polka.at);
        let Some(polka) = latest else { return };
        if self.valid.is_none_or(|valid| polka.at > valid.at) {
            self.valid = Some(polka);
        }
        if self
            .locked
            .is_some_and(|lock| lock.choice != polka.choice && lock.at < polka.at)
        {
            self.locked = None;
        }
    }

    /// The prevote of the current round (rules 1, 6 and 7). Returns whether it was signed.
    fn prevote(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) -> bool {
        if self.has_signed(rules, Phase::Prevote) {
            return false;
        }
        if self.round == Round::ZERO {
            let prevote = self.first_prevote(voters, rules, out);
            return prevote.is_some_and(|(ballot, observed)| {
                self.sign_vote(voters, rules, Phase::Prevote, ballot, observed, out)
            });
        }
        let ballot = if rules.is_automatic(self.round) {
            self.automatic_prevote(voters)
        } else {
            self.operator_prevote().map(Some)
        };
        ballot.is_some_and(|ballot| self.sign(voters, rules, Phase::Prevote, ballot, out))
    }

    /// Rule 1: the lock; else of the own event and the candidates that record the same, the
    /// earliest; else what the node endorses; nil if a person refused; `None` to wait. The flag
    /// says whether it is an observation: the own registry has it.
    fn first_prevote(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        out: &mut Vec<Output>,
    ) -> Option<(Ballot, bool)> {
        // one of this very round is followed, and binds what comes after it: what was observed is
        // said all the same
        let followed = self.locked.filter(|lock| lock.at == self.round_id());
        if let Some(lock) = self.locked.filter(|_| followed.is_none()) {
            return Some((Some(lock.choice), false));
        }
        if self.restraint == Restraint::Held {
            return None;
        }
        let allowed = |c: &&Candidate| !self.epoch_change || c.endorsed;
        if let Some(own) = self.candidates().filter(allowed).find(|c| c.own) {
            let same = self
                .candidates()
                .filter(allowed)
                .filter(|c| c.own || c.event.is_same_record_as(&own.event));
            return same
                .min_by(|a, b| tiebreak::earliest(a, b))
                .map(|c| (Some(c.choice), true));
        }
        if let Some(lock) = followed {
            return Some((Some(lock.choice), false));
        }
        if self.restraint == Restraint::Refused {
            return Some((None, false));
        }
        let endorsed: Vec<_> = self
            .candidates()
            .filter(|c| c.endorsed && c.announced_by.is_some())
            .collect();
        let preferred = self.prefer(voters, rules, &endorsed);
        let is_split = preferred.is_none() && !endorsed.is_empty();
        if is_split && !self.review_told {
            self.review_told = true;
            out.push(Output::Review);
        }
        preferred.map(|choice| (Some(choice), false))
    }

    /// Rule 1, of several that would do: the earliest if they agree, else the tie-break winner
    /// where rounds are automatic, else none.
    pub(super) fn prefer(
        &self,
        voters: &VoterSet,
        rules: Rules,
        candidates: &[&Candidate],
    ) -> Option<Choice> {
        let all_agree = candidates
            .iter()
            .all(|a| candidates.iter().all(|b| a.event.agrees_with(&b.event)));
        let candidates = candidates.iter().copied();
        if all_agree {
            return candidates
                .min_by(|a, b| tiebreak::earliest(a, b))
                .map(|c| c.choice);
        }
        let round0 = &self.rounds.get(&Round::ZERO)?.prevotes;
        tiebreak::winner(rules.automatic?, voters, round0, candidates).map(|c| c.choice)
    }

    /// Rule 2, second half, and rule 4; and a round that failed before this node precommitted in it
    /// gets its nil, or others who saw less of that round could wait in it for a vote that never
    /// comes.
    fn precommit(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        if self.has_signed(rules, Phase::Precommit) {
            return;
        }
        let prevotes = &self.current().prevotes;
        let polka = prevotes
            .quorum_choice(voters)
            .filter(|choice| self.candidates.contains_key(choice));
        if let Some(choice) = polka {
            if self.sign(voters, rules, Phase::Precommit, Some(choice), out) {
                self.locked = Some(Polka {
                    at: self.round_id(),
                    choice,
                });
            }
        } else if prevotes.quorum_choice(voters).is_none() && prevotes.is_hopeless(voters)
            || self.has_elapsed(Step::Prevote)
            || self.has_failed(voters)
        {
            self.sign(voters, rules, Phase::Precommit, None, out);
        }
    }

    fn start_timers(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        if rules.is_automatic(self.round) {
            self.schedule(Step::Propose, out); // started on entering; anew after a restart
        }
        if self.current().prevotes.has_quorum_of_anything(voters) {
            self.schedule(Step::Prevote, out);
        }
        if self.current().precommits.has_quorum_of_anything(voters) {
            self.schedule(Step::Precommit, out);
        }
    }

    /// Starts a timer of the current round, once.
    pub(super) fn schedule(&mut self, step: Step, out: &mut Vec<Output>) {
        let round = self.round;
        if self.current_mut().scheduled.insert(step) {
            out.push(Output::Schedule(Timer { round, step }));
        }
    }

    /// Rule 5: whether the current round can certify nothing any more.
    pub(super) fn has_failed(&self, voters: &VoterSet) -> bool {
        self.has_elapsed(Step::Precommit) || self.current().precommits.is_hopeless(voters)
    }

    /// Whether the current round's timer of this step has run out.
    pub(super) fn has_elapsed(&self, step: Step) -> bool {
        self.current().elapsed.contains(&step)
    }

    pub(super) fn has_signed(&self, rules: Rules, phase: Phase) -> bool {
        rules.me.is_none_or(|me| {
            self.tally(self.round, phase)
                .is_some_and(|t| t.first(me).is_some())
        })
    }

    /// Signs a vote of the current round: counted at once, never a second one. Returns whether it
    /// was signed.
    pub(super) fn sign(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        phase: Phase,
        ballot: Ballot,
        out: &mut Vec<Output>,
    ) -> bool {
        self.sign_vote(voters, rules, phase, ballot, false, out)
    }

    fn sign_vote(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        phase: Phase,
        ballot: Ballot,
        observed: bool,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(me) = rules.me.filter(|_| rules.signing == Signing::Now) else {
            return false;
        };
        let round = self.round;
        if self.tally_mut(round, phase).add(voters, me, ballot) != Added::First {
            return false;
        }
        out.push(Output::Sign(Vote {
            epoch: self.epoch,
            subject: self.subject,
            round,
            phase,
            ballot,
            observed,
        }));
        true
    }

    /// Takes one of the rounds that a standing choice carries through; whether there was one left.
    pub(super) fn spend_standing_round(&mut self) -> bool {
        let carries = self.standing.is_some() && self.standing_rounds > 0;
        self.standing_rounds -= u32::from(carries);
        carries
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
