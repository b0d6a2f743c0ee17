//! What differs after round 0: automatic rounds with signed proposals (SPEC §7 rule 6) and operator
//! rounds (rule 7).

use super::instance::Instance;
use super::tiebreak;
use super::{Output, Rules, Signing, Step};
use crate::id::{Choice, NodeId, Round, sha256};
use crate::limits;
use crate::manifest::TieBreak;
use crate::quorum::{VoterIndex, VoterSet};
use crate::vote::{Ballot, Phase, Proposal};

impl Rules {
    /// Whether round `round` is an automatic one.
    pub fn is_automatic(&self, round: Round) -> bool {
        self.automatic.is_some() && (1..=limits::ROUNDS).contains(&round.0)
    }
}

impl Instance {
    /// Who proposes in automatic round `round`: number (r−1) mod n of the voters in the subject's
    /// own order.
    pub fn proposer(
        &self,
        voters: &VoterSet,
        strategy: TieBreak,
        round: Round,
    ) -> Option<VoterIndex> {
        let rank = |id: &NodeId| sha256(&[b"ssid/proposer/1\0", &self.subject().0, &id.0]);
        let mut order: Vec<_> = voters
            .iter()
            .map(|(index, voter)| {
                let later = strategy == TieBreak::CoordinatorPriority && !voter.is_coordinator;
                (later, rank(&voter.key.id()), index)
            })
            .collect();
        order.sort_unstable();
        let turn = (round.0.checked_sub(1)? as usize).checked_rem(order.len())?;
        order.get(turn).map(|(_, _, index)| *index)
    }

    /// Whether `choice` may be proposed or accepted: round-0 prevotes of weight > F, or a polka
    /// this node holds in the named round before the current one. Its event must be known, because
    /// what is inadmissible is never voted for.
    fn is_eligible(&self, voters: &VoterSet, choice: Choice, proposal: Option<&Proposal>) -> bool {
        let by_polka = proposal.and_then(|p| p.valid).is_some_and(|at| {
            at < self.round_id()
                && self
                    .polkas_at(voters, at)
                    .is_some_and(|polka| polka == choice)
        });
        self.candidate(choice).is_some()
            && (self
                .prevotes(Round::ZERO)
                .is_some_and(|t| t.is_supported(voters, choice))
                || by_polka)
    }

    /// Rule 6: the proposer of an automatic round proposes its valid choice, else the tie-break
    /// winner, else nothing.
    pub(super) fn propose(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        let Some(strategy) = rules.automatic.filter(|_| rules.is_automatic(self.round())) else {
            return;
        };
        let signs = rules.signing == Signing::Now;
        let is_turn = signs
            && rules.me.is_some()
            && rules.me == self.proposer(voters, strategy, self.round());
        if !is_turn || self.current().proposal.is_some() || self.has_elapsed(Step::Propose) {
            return;
        }
        let (choice, valid) = match self.valid() {
            Some(polka) => (Some(polka.choice), Some(polka.at)),
            None => (self.tie_break_winner(voters, strategy), None),
        };
        let Some(choice) = choice else { return };
        let proposal = Proposal {
            epoch: self.epoch(),
            subject: self.subject(),
            round: self.round(),
            choice,
            valid,
        };
        self.current_mut().proposal = Some(proposal);
        out.push(Output::Propose(proposal));
    }

    fn tie_break_winner(&self, voters: &VoterSet, strategy: TieBreak) -> Option<Choice> {
        let round0 = self.prevotes(Round::ZERO)?;
        let eligible = self
            .candidates()
            .filter(|c| self.is_eligible(voters, c.choice, None));
        tiebreak::winner(strategy, voters, round0, eligible).map(|c| c.choice)
    }

    /// What to prevote in automatic round: the proposal while it is eligible and no lock forbids
    /// it, nil once the propose timeout has passed; `None` to wait.
    pub(super) fn automatic_prevote(&self, voters: &VoterSet) -> Option<Ballot> {
        let proposed = self
            .current()
            .proposal
            .filter(|p| self.is_eligible(voters, p.choice, Some(p)))
            .map(|p| p.choice);
        match (proposed, self.locked()) {
            (Some(choice), None) => Some(Some(choice)),
            (Some(choice), Some(lock)) if lock.choice == choice => Some(Some(choice)),
            _ if self.has_elapsed(Step::Propose) => Some(None),
            _ => None,
        }
    }

    /// What to prevote in an operator round: the lock, else the standing choice, else the valid
    /// one; `None`: nothing. A `federation_epoch` is never carried by `valid` alone.
    pub(super) fn operator_prevote(&self) -> Option<Choice> {
        if let Some(lock) = self.locked() {
            return Some(lock.choice);
        }
        let known = |choice: &Choice| self.candidate(*choice).is_some();
        self.standing().filter(known).or_else(|| {
            self.valid()
                .filter(|_| !self.is_epoch_change())
                .map(|p| p.choice)
        })
    }

    /// Rule 5, last part: leaves a failed round for the next if that is automatic, or if an
    /// operator's choice carries. Returns whether it did; otherwise the subject is in conflict.
    /// Others may still be in that round, and wait for a prevote of this node that never came: it
    /// gets a nil.
    pub(super) fn leave_failed_round(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        out: &mut Vec<Output>,
    ) -> bool {
        if rules.me.is_some() && rules.signing == Signing::Later {
            return false;
        }
        let next = self.round().next();
        if rules.is_automatic(next) || self.spend_standing_round() {
            if !self.has_signed(rules, Phase::Prevote) {
                self.sign(voters, rules, Phase::Prevote, None, out);
            }
            self.enter(next, rules, out);
            return true;
        }
        if !self.current().conflict_told {
            self.current_mut().conflict_told = true;
            out.push(Output::Conflict(self.round()));
        }
        false
    }

    /// Moves to a later round. Its propose timer starts at once if it is automatic. In any other
    /// people choose: whoever comes to one without having failed before, by others' votes or an
    /// operator's choice that was made already, tells of the conflict now.
    pub(super) fn enter(&mut self, round: Round, rules: Rules, out: &mut Vec<Output>) {
        let is_automatic = rules.is_automatic(round);
        if !is_automatic && !self.rounds.values().any(|state| state.conflict_told) {
            self.current_mut().conflict_told = true;
            out.push(Output::Conflict(self.round()));
        }
        self.set_round(round);
        if is_automatic {
            self.schedule(Step::Propose, out);
        }
    }
}
