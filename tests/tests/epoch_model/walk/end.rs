//! What must hold in every state of a walk, and how the honest voters end it by themselves.

use super::world::{MINTED, OF_D, ROUNDS, World};
use super::{DRAWN_ROUNDS, Walk};
use crate::confirming;
use crate::in_force::Bound;
use crate::terms::{CHOICES, Choice, NONE, bit};

impl Walk {
    /// One choice a subject, over all epochs; whoever entered a later epoch is bound to it.
    pub(super) fn check(&self) -> Result<(), String> {
        for subject in 0..self.world.subjects {
            let mut all = 0;
            for epoch in 0..self.world.epochs.len() {
                let certified = self.world.certified(epoch, subject, true);
                all |= certified;
                for choice in CHOICES {
                    if certified & bit(choice) != 0 {
                        self.check_bound(epoch, subject, choice)?;
                    }
                }
            }
            if all == bit(CHOICES[0]) | bit(CHOICES[1]) {
                return Err(format!("both choices of subject {subject} are certified"));
            }
        }
        Ok(())
    }

    fn check_bound(&self, epoch: usize, subject: usize, choice: Choice) -> Result<(), String> {
        for later in epoch + 1..self.world.epochs.len() {
            for (seat, one) in self.world.epochs[later].seats.iter().enumerate() {
                let Some(way) = &one.entered else { continue };
                let bound = way[subject];
                if bound != Bound::Certified(choice)
                    && !matches!(bound, Bound::Locked(_, locked) if locked == choice)
                {
                    return Err(format!(
                        "seat {seat} entered epoch {later} with {bound:?} for subject {subject}, \
                         of which epoch {epoch} certified {choice}"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self) {
        let World {
            epochs, subjects, ..
        } = &self.world;
        for (number, epoch) in epochs.iter().enumerate() {
            for subject in 0..*subjects {
                self.met.certified +=
                    usize::from(self.world.certified(number, subject, true) != NONE);
            }
            let entered = epoch.seats.iter().filter_map(|seat| seat.entered.as_ref());
            for way in entered.filter(|_| number > 0) {
                self.met.entered += 1;
                let locked = |bound: &&Bound| matches!(bound, Bound::Locked(..));
                self.met.inherited += way.iter().filter(locked).count();
            }
            let outside = epoch.seats.iter().filter(|seat| seat.entered.is_none());
            if number > 0 && self.world.is_stolen(number - 1) {
                self.met.late += outside.count();
            }
        }
    }

    /// From here on D is silent and everything arrives: all enter the latest epoch and certify.
    pub(super) fn end(&mut self) -> Result<(), String> {
        let top = self.world.latest();
        for epoch in 1..=top {
            self.all_enter(epoch)?;
        }
        for subject in 0..self.world.subjects {
            self.all_certify(top, subject)?;
        }
        self.check()
    }

    fn all_enter(&mut self, epoch: usize) -> Result<(), String> {
        let seats = self.world.epochs[epoch].seats.len();
        for seat in 0..seats {
            if self.world.votes(epoch - 1, seat) {
                self.world.close(epoch - 1, seat, false);
            }
        }
        let of_d = |said: &confirming::Voter| (said.counted | said.confirmed) >> OF_D & 1 == 1;
        let of_d = self.world.epochs[epoch].said.iter().any(of_d);
        for _ in 0..3 {
            for seat in 0..seats {
                for close in (0..MINTED).filter(|close| *close != OF_D || of_d) {
                    if self.exists(epoch, close) {
                        self.say(epoch, seat, close, false);
                    }
                }
            }
        }
        for seat in 0..seats {
            if self.world.has_entered(epoch, seat) || self.world.has_left(epoch, seat) {
                continue;
            }
            let mut closes = self.trusted(epoch, seat, false);
            closes.retain(|close| *close != MINTED);
            let Some(way) = self.way(epoch, &closes, false) else {
                return Err(format!(
                    "seat {seat} cannot enter epoch {epoch} by {closes:?}"
                ));
            };
            self.world.enter(epoch, seat, way);
        }
        Ok(())
    }

    /// Whether operators can bring the honest voters to certify one of the choices.
    fn all_certify(&mut self, epoch: usize, subject: usize) -> Result<(), String> {
        let before = self.world.clone();
        for choice in CHOICES {
            if self.certifies(epoch, subject, choice) {
                return Ok(());
            }
            self.world = before.clone();
        }
        let seats = self.world.epochs[epoch].seats.iter();
        let stand: Vec<_> = seats.map(|seat| seat.on[subject]).collect();
        Err(format!(
            "nobody can certify subject {subject} in epoch {epoch}: {stand:?}"
        ))
    }

    /// All prevote for `choice` where they may, in one round after the other.
    fn certifies(&mut self, epoch: usize, subject: usize, choice: Choice) -> bool {
        let seats = 0..self.world.epochs[epoch].seats.len();
        for round in DRAWN_ROUNDS..ROUNDS {
            for seat in seats.clone() {
                if self.world.may_release(epoch, seat, subject, choice, false) {
                    self.world.epochs[epoch].seats[seat].on[subject].lock = None;
                }
                let on = &mut self.world.epochs[epoch].seats[seat].on[subject];
                on.round = round;
                let held = [on.certified, on.lock.map_or(NONE, |lock| lock.1)];
                let prevoted = held
                    .into_iter()
                    .find(|held| *held != NONE)
                    .unwrap_or(choice);
                self.world.prevote(epoch, seat, subject, prevoted);
            }
            for seat in seats.clone() {
                self.world.precommit(epoch, seat, subject, choice, false);
            }
            if self.world.certified(epoch, subject, false) != NONE {
                return true;
            }
        }
        false
    }
}
