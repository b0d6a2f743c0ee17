//! Random runs under the same rules and with the same properties, for federations that are too
//! large to explore: up to seven voters, weights, two subjects, three epochs. From where each run
//! ends, the honest voters alone must be able to enter and to certify both subjects.

mod cases;
mod end;
mod world;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::confirming::Condition;
use crate::group::Group;
use crate::in_force::{Bound, Entry, Weighing};
use crate::terms::{CHOICES, NIL, bit};
use world::{MINTED, OF_D, World, restart};

/// Rounds that are drawn; [`world::ROUNDS`] leaves as many again for the end.
const DRAWN_ROUNDS: usize = 3;

/// What is done wrong in a walk, to see that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Closes are those that more than F others counted, before they entered or after.
    CountedByMoreThanF,
    /// What only an earlier epoch proves is in force if one close names it.
    OneNamesWhatIsOld,
    /// A voter that comes late keeps a certificate that was minted, if a close names its choice.
    LateKeepsWhatItHolds,
    /// Inherited locks are forgotten.
    NothingInherited,
    /// More than F of the closers are enough to enter by.
    FewCloses,
}

/// What a walk met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) steps: usize,
    pub(crate) certified: usize,
    pub(crate) entered: usize,
    pub(crate) inherited: usize,
    pub(crate) late: usize,
}

pub(crate) struct Walk {
    world: World,
    rng: StdRng,
    fault: Fault,
    pub(crate) met: Met,
}

impl Walk {
    pub(crate) fn new(group: &Group, seed: u64, fault: Fault) -> Self {
        let condition = if fault == Fault::CountedByMoreThanF {
            Condition::CountedByMoreThanF
        } else {
            Condition::Confirmed
        };
        Self {
            world: World::new(group, 3, 2, condition),
            rng: StdRng::seed_from_u64(seed),
            fault,
            met: Met::default(),
        }
    }

    /// Runs `steps` steps, then lets the honest voters end it.
    pub(crate) fn run(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            self.step();
            self.met.steps += 1;
            self.check()?;
        }
        self.note();
        self.end()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn below(&mut self, count: usize) -> usize {
        self.rng.random_range(0..count)
    }

    fn step(&mut self) {
        let epoch = self.below(self.world.latest() + 1);
        let seat = self.below(self.world.epochs[epoch].seats.len());
        match self.below(20) {
            0 if self.chance(50) && self.world.may_decide(epoch) => {
                self.world.epochs[epoch].is_decided = true;
            }
            1 if self.world.epochs[epoch].is_decided && self.world.votes(epoch, seat) => {
                let learns = self.chance(30);
                self.world.close(epoch, seat, learns);
            }
            2..=4 if epoch > 0 => self.speak(epoch, seat),
            5 if epoch > 0 => self.try_to_enter(epoch, seat),
            _ if self.world.votes(epoch, seat) => self.vote(epoch, seat),
            _ => {}
        }
    }

    fn vote(&mut self, epoch: usize, seat: usize) {
        let subject = self.below(self.world.subjects);
        let round = self.world.epochs[epoch].seats[seat].on[subject].round;
        // most prefer one choice a round, or there would be few polkas
        let choice = if self.chance(70) {
            CHOICES[(subject + epoch + round) % CHOICES.len()]
        } else {
            CHOICES[self.below(CHOICES.len())]
        };
        match self.below(12) {
            0..=4 => self.world.prevote(epoch, seat, subject, choice),
            5..=8 => self.world.precommit(epoch, seat, subject, choice, true),
            9 if self.chance(30) => self.world.precommit(epoch, seat, subject, NIL, true),
            10 if self.world.may_release(epoch, seat, subject, choice, true) => {
                self.world.epochs[epoch].seats[seat].on[subject].lock = None;
            }
            11 => {
                let on = &mut self.world.epochs[epoch].seats[seat].on[subject];
                if on.round + 1 < DRAWN_ROUNDS {
                    on.round += 1;
                } else {
                    restart(epoch, on);
                }
            }
            _ => {}
        }
    }

    /// Counts or confirms any close of the epoch before.
    fn speak(&mut self, epoch: usize, seat: usize) {
        for close in 0..8 {
            if self.exists(epoch, close) && self.chance(50) {
                self.say(epoch, seat, close, true);
            }
        }
    }

    fn exists(&self, epoch: usize, close: usize) -> bool {
        let closed = &self.world.epochs[epoch - 1];
        match close {
            OF_D => closed.is_decided && closed.group.byzantine > 0,
            MINTED => self.world.is_stolen(epoch - 1),
            _ => closed
                .seats
                .get(close)
                .is_some_and(|seat| seat.closed.is_some()),
        }
    }

    fn say(&mut self, epoch: usize, seat: usize, close: usize, helps: bool) {
        let model = self.world.model(epoch);
        let said = &self.world.epochs[epoch].said;
        let counts = model.may_count(said, seat);
        let confirms = model.may_confirm(said, close, helps);
        let own = &mut self.world.epochs[epoch].said[seat];
        own.counted |= u8::from(counts) << close;
        own.confirmed |= u8::from(confirms) << close;
    }

    /// Enters by closes of a quorum, or enters again after its database was lost.
    fn try_to_enter(&mut self, epoch: usize, seat: usize) {
        let again = self.world.has_entered(epoch, seat);
        let done = self.world.has_left(epoch, seat)
            || self.world.epochs[epoch].seats[seat].closed.is_some();
        if done || again && !self.chance(10) {
            return;
        }
        let mut closes = self.trusted(epoch, seat, true);
        if self.chance(70) {
            closes.retain(|close| *close == OF_D || *close == MINTED || self.rng.random_bool(0.6));
        }
        if let Some(way) = self.way(epoch, &closes, true) {
            let way = self.with_held(epoch, seat, &closes, way);
            self.world.enter(epoch, seat, way);
        }
    }

    /// R9: what the voter holds certified counts if its own close, among those by which it enters,
    /// lists it as certified.
    fn with_held(
        &mut self,
        epoch: usize,
        seat: usize,
        closes: &[usize],
        mut way: Vec<Bound>,
    ) -> Vec<Bound> {
        let former = seat + 1;
        if former == self.world.epochs[epoch].seats.len() {
            return way;
        }
        let own = self.world.epochs[epoch - 1].seats[former].closed.clone();
        for (subject, listed) in own.iter().flatten().enumerate() {
            if closes.contains(&former) && matches!(listed, Bound::Certified(_)) {
                way[subject] = *listed;
            }
        }
        let is_late = self.world.is_stolen(epoch - 1);
        if self.fault == Fault::LateKeepsWhatItHolds && is_late && self.chance(50) {
            for (subject, bound) in way.iter_mut().enumerate() {
                let honest = closes.iter().filter(|close| **close < OF_D);
                let named = honest
                    .filter_map(|seat| self.world.entry(epoch - 1, *seat, subject))
                    .map(|entry| entry.choice);
                if let Some(choice) = named.max() {
                    *bound = Bound::Certified(choice);
                }
            }
        }
        way
    }

    /// The closes by which the condition lets a voter enter.
    fn trusted(&self, epoch: usize, seat: usize, helps: bool) -> Vec<usize> {
        let model = self.world.model(epoch);
        let said = &self.world.epochs[epoch].said;
        (0..8)
            .filter(|close| self.exists(epoch, *close))
            .filter(|close| model.may_enter_by(said, seat, *close, helps))
            .collect()
    }

    /// How a voter is bound by these closes, if they are a quorum's. `lies`: D says in its own what
    /// it likes, as far as it can prove it. A minted one says nothing.
    fn way(&mut self, epoch: usize, closes: &[usize], lies: bool) -> Option<Vec<Bound>> {
        let closed = &self.world.epochs[epoch - 1];
        let group = closed.group.clone();
        let mut weight = group.weight(|seat| closes.contains(&seat));
        if closes.contains(&OF_D) {
            weight += group.byzantine;
        }
        if closes.contains(&MINTED) {
            // by the keys of those whose own closes are not among them
            weight += group.weight(|seat| !closes.contains(&seat));
        }
        let needed = if self.fault == Fault::FewCloses {
            group.faults + 1
        } else {
            group.quorum
        };
        if weight < needed {
            return None;
        }
        let weighing = Weighing {
            closed: (epoch - 1) as u8,
            faults: group.faults,
            one_is_enough: self.fault == Fault::OneNamesWhatIsOld,
        };
        let mut way = Vec::new();
        for subject in 0..self.world.subjects {
            let honest = closes.iter().filter(|close| **close < OF_D);
            let mut entries: Vec<Entry> = honest
                .filter_map(|seat| self.world.entry(epoch - 1, *seat, subject))
                .collect();
            if lies && closes.contains(&OF_D) {
                entries.extend(self.claim(epoch - 1, subject));
            }
            way.push(match self.fault {
                Fault::NothingInherited => Bound::Free,
                _ => weighing.bound(&entries),
            });
        }
        Some(way)
    }

    /// Something that D can prove of a subject when `epoch` is closed, or nothing. By keys of the
    /// epochs before it proves whatever it likes.
    fn claim(&mut self, epoch: usize, subject: usize) -> Option<Entry> {
        let choice = CHOICES[self.below(CHOICES.len())];
        let round = self.below(DRAWN_ROUNDS);
        let of = self.below(epoch + 1);
        let is_certified = self.chance(50);
        let proven = if of < epoch {
            true
        } else if is_certified {
            self.world.certified(epoch, subject, true) & bit(choice) != 0
        } else {
            self.world.has_polka(epoch, subject, round, choice, true)
        };
        (proven && self.chance(70)).then(|| Entry {
            weight: self.world.epochs[epoch].group.byzantine,
            choice,
            place: (of as u8, round as u8),
            is_certified,
        })
    }
}
