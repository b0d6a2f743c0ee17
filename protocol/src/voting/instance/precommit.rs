//! Polkas, the locks that they make and release, and the precommits that follow them (SPEC §7 rules
//! 2 and 4).

use super::Instance;
use crate::quorum::VoterSet;
use crate::vote::{Phase, RoundId};
use crate::voting::{Output, Polka, Rules, Step};

impl Instance {
    /// Rule 2, first half: the latest polka not later than the current round becomes `valid`, and
    /// releases an older lock on another choice.
    pub(super) fn note_polkas(&mut self, voters: &VoterSet) {
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
        // polkas of earlier epochs bind as those of this one do
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

    /// Rule 2, second half, and rule 4; and a round that failed before this node precommitted in it
    /// gets its nil, or others who saw less of that round could wait in it for a vote that never
    /// comes.
    pub(super) fn precommit(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        if self.has_signed(rules, Phase::Precommit) {
            return;
        }
        let prevotes = &self.current().prevotes;
        let polka = prevotes
            .quorum_choice(voters)
            // what cannot be read is not locked on
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
}
