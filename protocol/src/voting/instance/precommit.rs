//! Polkas, the locks that they make and release, and the precommits that follow them (SPEC §7 rules
//! 2 and 4).

use std::collections::BTreeSet;

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
        let latest = here
            .filter(|polka| polka.at <= current && self.candidates.contains_key(&polka.choice))
            .max_by_key(|polka| polka.at);
        self.release_inherited(voters);
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

    /// An inherited lock gives way also to voters of weight above F that prevote other choices: had
    /// its own been decided before, the first honest one of them would have needed an earlier
    /// release (SPEC §4, *Earlier epochs*). Nil is no other choice.
    fn release_inherited(&mut self, voters: &VoterSet) {
        let Some(lock) = self.locked.filter(|lock| lock.at.epoch < self.epoch) else {
            return;
        };
        let others = self.votes().filter(|(_, phase, _, ballot)| {
            *phase == Phase::Prevote && ballot.is_some_and(|choice| choice != lock.choice)
        });
        let others: BTreeSet<_> = others.map(|(_, _, voter, _)| voter).collect();
        let weight: u64 = others.iter().map(|voter| voters.weight(*voter)).sum();
        if voters.exceeds_faulty(weight) {
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
