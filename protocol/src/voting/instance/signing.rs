//! Signing: once each vote of a round, and counted at once.

use super::Instance;
use crate::quorum::VoterSet;
use crate::vote::{Ballot, Phase, Vote};
use crate::voting::tally::Added;
use crate::voting::{Output, Rules, Signing};

impl Instance {
    pub(in crate::voting) fn has_signed(&self, rules: Rules, phase: Phase) -> bool {
        rules.me.is_none_or(|me| {
            self.tally(self.round, phase)
                .is_some_and(|t| t.first(me).is_some())
        })
    }

    /// Signs a vote of the current round: counted at once, never a second one. Returns whether it
    /// was signed.
    pub(in crate::voting) fn sign(
        &mut self,
        voters: &VoterSet,
        rules: Rules,
        phase: Phase,
        ballot: Ballot,
        out: &mut Vec<Output>,
    ) -> bool {
        self.sign_vote(voters, rules, phase, ballot, false, out)
    }

    pub(super) fn sign_vote(
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
}
