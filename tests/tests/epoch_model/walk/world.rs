//! A federation through its epochs, of any size and with weights, that changes one step at a time:
//! what walks draw from. Nothing waits for an epoch to end: some vote in one while others are in
//! the next, and come late.

use crate::confirming::{self, Closes, Condition, Model};
use crate::group::Group;
use crate::in_force::{Bound, Entry, Place};
use crate::terms::{CHOICES, Choice, Choices, NIL, NONE, bit};

/// Rounds that a run may use; the last ones are left for its end.
pub(crate) const ROUNDS: usize = 12;
/// D's close, and one minted with a former key, among those of a boundary; honest ones go by seat.
pub(crate) const OF_D: usize = 6;
pub(crate) const MINTED: usize = 7;

/// What one voter has signed in one epoch on one subject, and what it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ballots {
    pub(crate) round: usize,
    pub(crate) prevotes: [Choice; ROUNDS],
    pub(crate) precommits: [Choice; ROUNDS],
    pub(crate) lock: Option<(Place, Choice)>,
    pub(crate) inherited: Option<(Place, Choice)>,
    pub(crate) certified: Choice,
}

/// One honest voter in one epoch. Who votes in the next one is another value.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// How it entered, on each subject; `None` before.
    pub(crate) entered: Option<Vec<Bound>>,
    /// What its close lists, on each subject.
    pub(crate) closed: Option<Vec<Bound>>,
    pub(crate) on: Vec<Ballots>,
}

#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    pub(crate) group: Group,
    pub(crate) seats: Vec<Seat>,
    /// Whether the change that ends it is certified.
    pub(crate) is_decided: bool,
    /// What its voters say of the closes of the epoch before.
    pub(crate) said: Vec<confirming::Voter>,
}

/// Who sat in seat `i + 1` of an epoch sits in seat `i` of the next; the last seat is a newcomer's.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) subjects: usize,
    pub(crate) condition: Condition,
}

impl World {
    pub(crate) fn new(group: &Group, epochs: usize, subjects: usize, condition: Condition) -> Self {
        let seat = |epoch: usize| Seat {
            entered: (epoch == 0).then(|| vec![Bound::Free; subjects]),
            closed: None,
            on: vec![Ballots::default(); subjects],
        };
        let epoch = |epoch: usize| {
            let mut group = group.clone();
            // the weights move on with their voters
            let honest = group.honest.len();
            group.honest.rotate_left(epoch % honest);
            Epoch {
                group,
                seats: vec![seat(epoch); honest],
                is_decided: false,
                said: vec![confirming::Voter::default(); honest],
            }
        };
        Self {
            epochs: (0..epochs).map(epoch).collect(),
            subjects,
            condition,
        }
    }

    /// The latest epoch that has begun: the first whose change is not certified.
    pub(crate) fn latest(&self) -> usize {
        let decided = self.epochs.iter().take_while(|epoch| epoch.is_decided);
        decided.count().min(self.last())
    }

    pub(crate) fn last(&self) -> usize {
        self.epochs.len() - 1
    }

    /// The condition under which closes let the voters of `epoch` in.
    pub(crate) fn model(&self, epoch: usize) -> Model {
        Model::new(
            self.epochs[epoch].group.clone(),
            self.condition,
            Closes::Minted,
        )
    }

    pub(crate) fn has_entered(&self, epoch: usize, seat: usize) -> bool {
        self.epochs[epoch].seats[seat].entered.is_some()
    }

    /// Whether the voter has entered a later epoch, and is done with this one.
    pub(crate) fn has_left(&self, epoch: usize, seat: usize) -> bool {
        (1..=seat).any(|on| epoch + on <= self.last() && self.has_entered(epoch + on, seat - on))
    }

    pub(crate) fn votes(&self, epoch: usize, seat: usize) -> bool {
        let one = &self.epochs[epoch].seats[seat];
        one.entered.is_some() && one.closed.is_none() && !self.has_left(epoch, seat)
    }

    /// Whether keys of `epoch` may be anybody's: voters of a quorum have entered the next one.
    pub(crate) fn is_stolen(&self, epoch: usize) -> bool {
        self.epochs.get(epoch + 1).is_some_and(|next| {
            let entered = next.group.weight(|seat| next.seats[seat].entered.is_some());
            entered + next.group.byzantine >= next.group.quorum
        })
    }

    /// The change may be certified once voters of a quorum, D among them, have entered (R4).
    pub(crate) fn may_decide(&self, epoch: usize) -> bool {
        let Epoch { group, seats, .. } = &self.epochs[epoch];
        let entered = group.weight(|seat| seats[seat].entered.is_some());
        epoch < self.last() && entered + group.byzantine >= group.quorum
    }

    fn weight_of(
        &self,
        epoch: usize,
        subject: usize,
        signed: impl Fn(&Ballots) -> bool,
        helps: bool,
    ) -> u64 {
        let Epoch { group, seats, .. } = &self.epochs[epoch];
        let lies = if helps { group.byzantine } else { 0 };
        lies + group.weight(|seat| signed(&seats[seat].on[subject]))
    }

    pub(crate) fn has_polka(
        &self,
        epoch: usize,
        subject: usize,
        round: usize,
        choice: Choice,
        helps: bool,
    ) -> bool {
        let voted = |on: &Ballots| on.prevotes[round] == choice;
        self.weight_of(epoch, subject, voted, helps) >= self.epochs[epoch].group.quorum
    }

    pub(crate) fn certified(&self, epoch: usize, subject: usize, helps: bool) -> Choices {
        let mut certified = 0;
        for round in 0..ROUNDS {
            for choice in CHOICES {
                let voted = |on: &Ballots| on.precommits[round] == choice;
                let weight = self.weight_of(epoch, subject, voted, helps);
                if weight >= self.epochs[epoch].group.quorum {
                    certified |= bit(choice);
                }
            }
        }
        certified
    }

    /// Rules 1 and 2: a prevote once a round, for the choice that the voter is held to, if any.
    pub(crate) fn prevote(&mut self, epoch: usize, seat: usize, subject: usize, choice: Choice) {
        let on = &mut self.epochs[epoch].seats[seat].on[subject];
        let held = [on.certified, on.lock.map_or(NONE, |lock| lock.1)];
        let is_free = held.into_iter().all(|held| held == NONE || held == choice);
        if is_free && on.prevotes[on.round] == NONE {
            on.prevotes[on.round] = choice;
        }
    }

    /// A precommit once a round, of a polka's choice, which locks, or of nil.
    pub(crate) fn precommit(
        &mut self,
        epoch: usize,
        seat: usize,
        subject: usize,
        choice: Choice,
        helps: bool,
    ) {
        let round = self.epochs[epoch].seats[seat].on[subject].round;
        let is_polka = choice == NIL || self.has_polka(epoch, subject, round, choice, helps);
        let on = &mut self.epochs[epoch].seats[seat].on[subject];
        let contradicts = choice != NIL && on.certified != NONE && on.certified != choice;
        if !is_polka || contradicts || on.precommits[round] != NONE {
            return;
        }
        on.precommits[round] = choice;
        if choice != NIL && on.certified == NONE {
            on.lock = Some(((epoch as u8, round as u8), choice));
        }
    }

    /// A later polka for another choice releases a lock; an inherited one also prevotes of more
    /// than F for other choices (R9). Whether the lock may be released for `choice`.
    pub(crate) fn may_release(
        &self,
        epoch: usize,
        seat: usize,
        subject: usize,
        choice: Choice,
        helps: bool,
    ) -> bool {
        let on = &self.epochs[epoch].seats[seat].on[subject];
        let Some((place, locked)) = on.lock else {
            return false;
        };
        let by_polka = (0..=on.round).any(|round| {
            (epoch as u8, round as u8) > place
                && (self.has_polka(epoch, subject, round, choice, helps)
                    || self.is_locked_at(epoch, subject, round, choice))
        });
        let is_inherited = usize::from(place.0) < epoch;
        let others = |on: &Ballots| on.prevotes.contains(&choice);
        let own = if others(on) {
            self.epochs[epoch].group.honest[seat]
        } else {
            0
        };
        let weight = self.weight_of(epoch, subject, others, helps) - own;
        let by_prevotes = is_inherited && weight > self.epochs[epoch].group.faults;
        locked != choice && (by_polka || by_prevotes)
    }

    /// Whether an honest voter was locked by this polka: it keeps it, with D's votes, and shows it.
    fn is_locked_at(&self, epoch: usize, subject: usize, round: usize, choice: Choice) -> bool {
        let seats = &self.epochs[epoch].seats;
        seats
            .iter()
            .any(|seat| seat.on[subject].precommits[round] == choice)
    }

    /// R6: the close lists what the voter holds certified, and its other locks. `learns`: it also
    /// holds what is certified in this epoch.
    pub(crate) fn close(&mut self, epoch: usize, seat: usize, learns: bool) {
        let listed = (0..self.subjects).map(|subject| {
            let on = &self.epochs[epoch].seats[seat].on[subject];
            let known = self.certified(epoch, subject, true);
            let learnt = CHOICES.into_iter().find(|choice| known & bit(*choice) != 0);
            match (on.certified, learnt.filter(|_| learns), on.lock) {
                (NONE, Some(choice), _) => Bound::Certified(choice),
                (NONE, None, Some((place, choice))) => Bound::Locked(place, choice),
                (NONE, None, None) => Bound::Free,
                (certified, ..) => Bound::Certified(certified),
            }
        });
        let listed = listed.collect();
        self.epochs[epoch].seats[seat].closed = Some(listed);
    }

    /// The entry of an honest close on a subject. What its epoch does not prove, an earlier does.
    pub(crate) fn entry(&self, epoch: usize, seat: usize, subject: usize) -> Option<Entry> {
        let closed = self.epochs[epoch].seats[seat].closed.as_ref()?;
        let (choice, place, is_certified) = match closed[subject] {
            Bound::Free => return None,
            Bound::Locked(place, choice) => (choice, place, false),
            Bound::Certified(choice) => {
                let now = self.certified(epoch, subject, true) & bit(choice) != 0;
                (choice, (if now { epoch as u8 } else { 0 }, 0), true)
            }
        };
        Some(Entry {
            weight: self.epochs[epoch].group.honest[seat],
            choice,
            place,
            is_certified,
        })
    }

    /// Enters, or enters again; votes that were signed in the epoch stay.
    pub(crate) fn enter(&mut self, epoch: usize, seat: usize, way: Vec<Bound>) {
        let one = &mut self.epochs[epoch].seats[seat];
        for (on, bound) in one.on.iter_mut().zip(&way) {
            (on.certified, on.inherited) = match *bound {
                Bound::Free => (NONE, None),
                Bound::Locked(place, choice) => (NONE, Some((place, choice))),
                Bound::Certified(choice) => (choice, None),
            };
            restart(epoch, on);
        }
        one.entered = Some(way);
        self.epochs[epoch].said[seat].stage = confirming::Stage::Entered;
    }
}

/// The journal brings back votes, round and lock; a release is forgotten.
pub(crate) fn restart(epoch: usize, on: &mut Ballots) {
    let signed = |round: &usize| on.prevotes[*round] != NONE || on.precommits[*round] != NONE;
    on.round = (0..ROUNDS).rev().find(signed).unwrap_or(0);
    let own = (0..ROUNDS)
        .rev()
        .find(|round| CHOICES.contains(&on.precommits[*round]))
        .filter(|_| on.certified == NONE)
        .map(|round| ((epoch as u8, round as u8), on.precommits[round]));
    on.lock = own.or(on.inherited);
}
