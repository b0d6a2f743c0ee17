//! R6: when a voter may sign its close, and what that lists.

use super::Epoch;
use crate::rules::Fault;
use crate::terms::{CHOICES, Choice, HONEST, Lock, NONE, Stage, State, bit};

impl<const K: usize> Epoch<'_, K> {
    /// R6: who holds the change's certificate. That takes two honest voters that entered.
    pub(super) fn may_close(&self, state: &State<K>, seat: usize) -> bool {
        if self.number + 1 == self.rules.epochs() {
            return false;
        }
        let is_decided = if let Some(change) = self.rules.change {
            self.certified(state, change) != 0
        } else {
            let entered = (0..HONEST)
                .filter(|voter| self.start.entered(*voter))
                .count();
            entered >= 2 || self.rules.has(Fault::AbsentDecidesTheChange)
        };
        let may = match state[seat].stage {
            Stage::Active => true,
            Stage::Absent => self.rules.absent_close(),
            Stage::Closed => false,
        };
        is_decided && may
    }

    /// R6: the close lists what the voter holds certified, and its other locks.
    pub(super) fn close(&self, state: &State<K>, seat: usize, out: &mut Vec<State<K>>) {
        let mut closed = vec![*state];
        closed[0][seat].stage = Stage::Closed;
        for subject in 0..K {
            closed = closed
                .iter()
                .flat_map(|partly| self.listings(state, partly, seat, subject))
                .collect();
        }
        out.extend(closed);
    }

    /// What the close can say of one subject.
    fn listings(
        &self,
        before: &State<K>,
        partly: &State<K>,
        seat: usize,
        subject: usize,
    ) -> Vec<State<K>> {
        let on = &before[seat].on[subject];
        let mut all = Vec::new();
        let mut list = |certified: Choice, lock: Option<Lock>, last: Option<(usize, Choice)>| {
            let mut after = *partly;
            let left_out = self.rules.has(Fault::CertifiedLeftOut);
            let on = &mut after[seat].on[subject];
            on.certified = if left_out { NONE } else { certified };
            on.inherited = lock;
            if let Some((round, choice)) = last {
                on.precommits[round] = choice;
            }
            // of no consequence any more, unless it goes on voting
            let goes_on = [Fault::VotesAfterClose, Fault::VotesOnWhatItsCloseLacks];
            if certified != NONE || !goes_on.contains(&self.rules.fault) {
                (on.round, on.lock) = (0, None);
            }
            all.push(after);
        };
        if on.certified != NONE {
            list(on.certified, None, None);
            return all;
        }
        let loses = self.rules.has(Fault::CloseLosesLock) && seat == 1
            || self.rules.has(Fault::InheritedNotPassedOn) && on.lock == on.inherited;
        list(NONE, on.lock.filter(|_| !loses), None);
        if self.rules.has(Fault::CloseBeforeLastVote) && before[seat].stage == Stage::Active {
            let round = usize::from(on.round);
            for choice in CHOICES {
                if on.precommits[round] == NONE && self.has_polka(before, subject, round, choice) {
                    list(NONE, on.lock, Some((round, choice)));
                }
            }
        }
        let known = self.certified(before, subject) | self.start.certified[subject];
        for choice in CHOICES {
            if known & bit(choice) != 0 {
                list(choice, None, None);
            }
        }
        all
    }
}
