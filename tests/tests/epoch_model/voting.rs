//! What one honest voter can do next within an epoch: vote, be released, restart, close (SPEC §7;
//! R4, R6, R9). Every voter may do anything that its rules allow at any time, or nothing.

mod closing;

use crate::rules::{Fault, Keys, Rules};
use crate::start::{Bound, Start};
use crate::terms::{
    CHOICES, Choice, Choices, HONEST, Lock, MORE_THAN_F, NIL, NONE, ROUNDS, Stage, Standing, State,
    bit, other,
};

/// Honest votes that complete a quorum of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byzantine {
    /// D votes for anything: two honest votes are enough.
    Helps,
    /// D is silent: it takes all three.
    IsSilent,
}

impl Byzantine {
    fn needed(self) -> usize {
        match self {
            Self::Helps => 2,
            Self::IsSilent => HONEST,
        }
    }

    /// Honest votes that, with D's, are more than F.
    fn more_than_f(self) -> usize {
        match self {
            Self::Helps => MORE_THAN_F - 1,
            Self::IsSilent => MORE_THAN_F,
        }
    }
}

/// The epoch that is explored, and how its voters entered it.
pub(crate) struct Epoch<'a, const K: usize> {
    pub(crate) number: usize,
    pub(crate) start: &'a Start<K>,
    pub(crate) rules: &'a Rules,
    pub(crate) byzantine: Byzantine,
}

impl<const K: usize> Epoch<'_, K> {
    pub(crate) fn rounds(&self) -> usize {
        self.rules.rounds[self.number]
    }

    pub(crate) fn has_polka(
        &self,
        state: &State<K>,
        subject: usize,
        round: usize,
        choice: Choice,
    ) -> bool {
        let votes = state
            .iter()
            .filter(|voter| voter.on[subject].prevotes[round] == choice);
        votes.count() >= self.byzantine.needed()
    }

    /// What is certified in this epoch.
    pub(crate) fn certified(&self, state: &State<K>, subject: usize) -> Choices {
        let mut certified = 0;
        for round in 0..self.rounds() {
            for choice in CHOICES {
                let votes = state
                    .iter()
                    .filter(|voter| voter.on[subject].precommits[round] == choice);
                if votes.count() >= self.byzantine.needed() {
                    certified |= bit(choice);
                }
            }
        }
        certified
    }

    fn choices(&self, subject: usize) -> impl Iterator<Item = Choice> + use<K> {
        let single = self.rules.change == Some(subject) || self.rules.choices == 1;
        CHOICES.into_iter().take(if single { 1 } else { 2 })
    }

    /// All states that one step of one voter leads to.
    pub(crate) fn next(&self, state: &State<K>, out: &mut Vec<State<K>>) {
        for seat in 0..HONEST {
            for subject in 0..K {
                if self.may_vote(state, seat, subject) {
                    self.prevote(state, seat, subject, out);
                    self.precommit(state, seat, subject, out);
                    self.release(state, seat, subject, out);
                    self.later_round(state, seat, subject, out);
                }
                if self.rules.has(Fault::StolenCertificatesCertify) {
                    believe_stolen_certificate(state, seat, subject, out);
                }
            }
            if state[seat].stage == Stage::Active {
                self.restart(state, seat, out);
            }
            if self.rules.enters_again && state[seat].stage == Stage::Active {
                self.enter_again(state, seat, out);
            }
            if self.may_close(state, seat) {
                self.close(state, seat, out);
            }
        }
    }

    /// R6: a sealed voter signs nothing more of its epoch; R4: who has not entered votes on
    /// nothing, the change included.
    fn may_vote(&self, state: &State<K>, seat: usize, subject: usize) -> bool {
        let voter = &state[seat];
        let on = &voter.on[subject];
        let entered = self.start.entered(seat);
        match voter.stage {
            Stage::Active => on.certified == NONE || self.rules.certified_vote(),
            Stage::Absent => {
                self.rules.has(Fault::AbsentDecidesTheChange) && self.rules.change == Some(subject)
            }
            Stage::Closed => {
                let unnamed = on.inherited.is_none() && on.certified == NONE;
                entered
                    && (self.rules.has(Fault::VotesAfterClose) && on.certified == NONE
                        || self.rules.has(Fault::VotesOnWhatItsCloseLacks) && unnamed)
            }
        }
    }

    /// A prevote once a round; for the lock's choice only, if there is one. Who holds the subject
    /// certified votes as if locked on that choice (R9).
    fn prevote(&self, state: &State<K>, seat: usize, subject: usize, out: &mut Vec<State<K>>) {
        let on = &state[seat].on[subject];
        let round = usize::from(on.round);
        if on.prevotes[round] != NONE {
            return;
        }
        let ungated = self.rules.has(Fault::Round0Ungated) && round == 0;
        for choice in self.choices(subject) {
            let held = [on.certified, on.lock.map_or(NONE, |lock| lock.choice)];
            let is_held_to_another = held.into_iter().any(|held| held != NONE && held != choice);
            if ungated && on.certified == NONE || !is_held_to_another {
                push(state, seat, subject, out, |on| on.prevotes[round] = choice);
            }
        }
    }

    /// A precommit once a round: of a polka's choice, which locks, or of nil at any time.
    fn precommit(&self, state: &State<K>, seat: usize, subject: usize, out: &mut Vec<State<K>>) {
        let on = &state[seat].on[subject];
        let round = usize::from(on.round);
        if on.precommits[round] != NONE {
            return;
        }
        for choice in self.choices(subject) {
            let allowed = on.certified == NONE || on.certified == choice;
            if allowed && self.has_polka(state, subject, round, choice) {
                push(state, seat, subject, out, |on| {
                    on.precommits[round] = choice;
                    if on.certified == NONE {
                        on.lock = Some(Lock::new(self.number, round, choice));
                    }
                });
            }
        }
        push(state, seat, subject, out, |on| on.precommits[round] = NIL);
    }

    /// A lock is released by a later polka for another choice; an inherited one also once more
    /// than F prevote others (R9).
    fn release(&self, state: &State<K>, seat: usize, subject: usize, out: &mut Vec<State<K>>) {
        let Some(lock) = state[seat].on[subject].lock else {
            return;
        };
        let another = other(lock.choice);
        let by_polka = (0..=usize::from(state[seat].on[subject].round)).any(|round| {
            Lock::new(self.number, round, another).place() > lock.place()
                && self.has_polka(state, subject, round, another)
        });
        if by_polka
            || self.is_released_by_earlier(subject, lock)
            || self.is_released_by_prevotes(state, seat, subject, lock)
        {
            push(state, seat, subject, out, |on| on.lock = None);
        }
    }

    /// While keys are kept, a polka of an earlier epoch releases like any other.
    fn is_released_by_earlier(&self, subject: usize, lock: Lock) -> bool {
        let stolen = self.rules.has(Fault::StolenPolkasRelease);
        let counts = stolen
            || self.rules.keys == Keys::Kept && !self.rules.has(Fault::EarlierPolkaReleasesNothing);
        counts
            && Lock::all_before(self.number).any(|polka| {
                let exists = stolen || self.start.polkas[subject].has(polka);
                exists && polka.choice != lock.choice && polka.place() > lock.place()
            })
    }

    fn is_released_by_prevotes(
        &self,
        state: &State<K>,
        seat: usize,
        subject: usize,
        lock: Lock,
    ) -> bool {
        if self.rules.keys == Keys::Kept
            || self.rules.has(Fault::NobodyReleased)
            || !lock.is_before(self.number)
        {
            return false;
        }
        let another = other(lock.choice);
        let others = (0..HONEST)
            .filter(|voter| *voter != seat)
            .filter(|voter| state[*voter].on[subject].prevotes.contains(&another));
        let needed = if self.rules.has(Fault::OneReleases) {
            self.byzantine.more_than_f() - 1
        } else {
            self.byzantine.more_than_f()
        };
        others.count() >= needed
    }

    fn later_round(&self, state: &State<K>, seat: usize, subject: usize, out: &mut Vec<State<K>>) {
        for round in usize::from(state[seat].on[subject].round) + 1..self.rounds() {
            push(state, seat, subject, out, |on| on.round = round as u8);
        }
    }

    /// The journal brings back votes, and with them round and lock; a release is forgotten.
    fn restart(&self, state: &State<K>, seat: usize, out: &mut Vec<State<K>>) {
        let mut after = *state;
        for on in &mut after[seat].on {
            on.round = if self.rules.has(Fault::RestartInRound0) {
                0
            } else {
                highest_round(on)
            };
            let own = if self.rules.has(Fault::RestartForgetsPrecommit) {
                None
            } else {
                self.own_lock(on)
            };
            let inherited = if self.rules.has(Fault::RestartForgetsInherited) {
                None
            } else {
                on.inherited
            };
            on.lock = own.or(inherited);
        }
        if after != *state {
            out.push(after);
        }
    }

    /// The lock that its own precommits in this epoch gave it.
    fn own_lock(&self, on: &Standing) -> Option<Lock> {
        if on.certified != NONE {
            return None;
        }
        (0..ROUNDS)
            .rev()
            .find(|round| CHOICES.contains(&on.precommits[*round]))
            .map(|round| Lock::new(self.number, round, on.precommits[round]))
    }

    /// R8: a voter that lost its database enters again before it signs, by other closes if it
    /// must; its journal has its votes.
    fn enter_again(&self, state: &State<K>, seat: usize, out: &mut Vec<State<K>>) {
        for way in &self.start.ways {
            let mut after = *state;
            for (on, bound) in after[seat].on.iter_mut().zip(way) {
                on.round = highest_round(on);
                (on.certified, on.inherited) = match *bound {
                    Bound::Certified(choice) => (choice, None),
                    Bound::Locked((epoch, round), choice) => (
                        NONE,
                        Some(Lock {
                            epoch,
                            round,
                            choice,
                        }),
                    ),
                    Bound::Free => (NONE, None),
                };
                on.lock = self.own_lock(on).or(on.inherited);
            }
            if after != *state {
                out.push(after);
            }
        }
    }
}

/// What a certificate by stolen keys, for a choice that the voter inherited a lock on, would do.
fn believe_stolen_certificate<const K: usize>(
    state: &State<K>,
    seat: usize,
    subject: usize,
    out: &mut Vec<State<K>>,
) {
    let voter = &state[seat];
    if let (Stage::Active, Some(lock)) = (voter.stage, voter.on[subject].inherited) {
        push(state, seat, subject, out, |on| on.certified = lock.choice);
    }
}

/// The highest round that it signed in.
fn highest_round(on: &Standing) -> u8 {
    let signed = |round: &usize| on.prevotes[*round] != NONE || on.precommits[*round] != NONE;
    (0..ROUNDS).rev().find(signed).unwrap_or(0) as u8
}

/// The state after `change` of one voter's standing, if it is another one.
fn push<const K: usize>(
    state: &State<K>,
    seat: usize,
    subject: usize,
    out: &mut Vec<State<K>>,
    change: impl FnOnce(&mut Standing),
) {
    let mut after = *state;
    change(&mut after[seat].on[subject]);
    if after != *state {
        out.push(after);
    }
}
