//! What a node prevotes, and in round 0 why (SPEC §7 rule 1).

use super::{Candidate, Instance, Restraint};
use crate::id::{Choice, Round};
use crate::quorum::VoterSet;
use crate::vote::{Ballot, Phase};
use crate::voting::tiebreak;
use crate::voting::{Output, Rules};

impl Instance {
    /// The prevote of the current round (rules 1, 6 and 7). Returns whether it was signed.
    pub(super) fn prevote(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        out: &mut Vec<Output>,
    ) -> bool {
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
            // of a change of members all that is known was refused
            let is_refused = self.epoch_change && self.restraint == Restraint::Refused;
            let ballot = self.operator_prevote().map(Some);
            ballot.or(is_refused.then_some(None))
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
        // what was observed comes before anything endorsed
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
        // without its announcement an event would be credited to nobody
        let endorsed: Vec<_> = self
            .candidates()
            .filter(|c| c.endorsed && c.announced_by.is_some())
            .collect();
        let preferred = self.prefer(voters, rules, &endorsed);
        // told once: people are asked, and the prevote waits for them
        let is_split = preferred.is_none() && !endorsed.is_empty();
        if is_split && !self.review_told {
            self.review_told = true;
            out.push(Output::Review);
        }
        preferred.map(|choice| (Some(choice), false))
    }

    /// Rule 1, of several that would do: the earliest if they agree, else the tie-break winner
    /// where rounds are automatic, else none.
    pub(in crate::voting) fn prefer(
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
}
