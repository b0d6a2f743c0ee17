//! Taking what arrives: what of it counts, and what there is room for (SPEC §12).

use super::{Candidate, Instance, Restraint};
use crate::id::{Choice, Round};
use crate::limits;
use crate::quorum::{VoterIndex, VoterSet};
use crate::vote::{Ballot, Phase};
use crate::voting::tally::Added;
use crate::voting::{Input, Output, Rules};

impl Instance {
    pub(super) fn take(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        input: Input,
        out: &mut Vec<Output>,
    ) {
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
                // of anybody but the round's proposer it is nothing, and the first one counts
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
            Input::Withdraw => self.withdraw(voters, rules, out),
            Input::MaySign => {}
            Input::Certified { round, choice } => self.decide(round, choice, out),
        }
    }

    /// What was prevoted stays said; a nil precommit, which is safe at any time, keeps it from
    /// deciding this round with this node's help.
    fn withdraw(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        self.standing = None;
        self.standing_rounds = 0;
        for candidate in self.candidates.values_mut() {
            candidate.endorsed = false;
        }
        let own = rules
            .me
            .and_then(|me| self.tally(self.round, Phase::Prevote)?.first(me));
        // a polka that is here already was precommitted when it came
        if matches!(own, Some(Some(_))) {
            self.sign(voters, rules, Phase::Precommit, None, out);
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
        // what was refused was another one
        if self.epoch_change && self.restraint == Restraint::Refused {
            self.restraint = Restraint::None;
        }
        self.wanted.remove(&candidate.choice);
        self.candidates.insert(candidate.choice, candidate);
    }

    /// Whether a candidate may be forgotten: no vote names it, no operator chose it, and no lock is
    /// on it.
    pub fn may_forget(&self, choice: Choice) -> bool {
        let is_held = [self.locked, self.valid]
            .iter()
            .flatten()
            .any(|polka| polka.choice == choice);
        !is_held && self.standing != Some(choice) && !self.is_named(choice)
    }

    /// Forgets a candidate, if that may be done.
    pub fn forget(&mut self, choice: Choice) {
        if self.may_forget(choice) {
            self.candidates.retain(|known, _| *known != choice);
        }
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
        // anybody may vote in any round: what is kept of later ones is bounded
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
        // what is voted for must be known before it can be followed
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
}
