//! How an epoch can end: what is left of it for the next one.

use std::collections::BTreeSet;

use crate::rules::Rules;
use crate::start::{Begin, Bound, Start, Way, held};
use crate::terms::{CHOICES, Choices, HONEST, Lock, Locks, NONE, Stage, State};
use crate::voting::Epoch;

/// What matters of a state for the epoch that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Boundary<const K: usize> {
    pub(super) closes: [Option<Way<K>>; HONEST],
    /// What those that have not closed hold.
    pub(super) held: [Way<K>; HONEST],
    pub(super) polkas: [Locks; K],
    /// Certified in the epoch that ends.
    pub(super) now: [Choices; K],
    /// Certified in the epochs before it.
    pub(super) before: [Choices; K],
}

impl<const K: usize> Boundary<K> {
    pub(crate) fn of(epoch: &Epoch<'_, K>, state: &State<K>) -> Self {
        let closes = state.map(|voter| {
            (voter.stage == Stage::Closed).then(|| {
                voter.on.map(|on| match on.inherited {
                    _ if on.certified != NONE => Bound::Certified(on.certified),
                    Some(lock) => Bound::Locked(lock.place(), lock.choice),
                    None => Bound::Free,
                })
            })
        });
        let mut boundary = Self {
            closes,
            held: state.map(|voter| voter.on.map(|on| held(&on))),
            polkas: epoch.start.polkas,
            now: [0; K],
            before: epoch.start.certified,
        };
        for (seat, close) in closes.iter().enumerate() {
            if let Some(listed) = close {
                boundary.held[seat] = *listed;
            }
        }
        for subject in 0..K {
            boundary.now[subject] = epoch.certified(state, subject);
            for round in 0..epoch.rounds() {
                for choice in CHOICES {
                    if epoch.has_polka(state, subject, round, choice) {
                        boundary.polkas[subject].add(Lock::new(epoch.number, round, choice));
                    }
                }
            }
        }
        boundary.without_change(epoch.rules)
    }

    /// The change of members is a subject of its own in each epoch: nothing of it passes on.
    fn without_change(mut self, rules: &Rules) -> Self {
        if let Some(change) = rules.change {
            for way in self.closes.iter_mut().flatten().chain(&mut self.held) {
                way[change] = Bound::Free;
            }
            self.polkas[change] = Locks::default();
            (self.now[change], self.before[change]) = (0, 0);
        }
        self
    }

    /// The seats that have closed, as a set of bits.
    pub(crate) fn closers(&self) -> u8 {
        (0..HONEST)
            .filter(|seat| self.closes[*seat].is_some())
            .fold(0, |set, seat| set | 1 << seat)
    }

    /// The start of the next epoch in which voters enter so.
    pub(crate) fn start(&self, voters: [Begin<K>; HONEST]) -> Start<K> {
        Start {
            voters,
            ways: BTreeSet::new(),
            polkas: self.polkas,
            certified: std::array::from_fn(|k| self.now[k] | self.before[k]),
        }
    }
}

impl Boundary<2> {
    /// The boundary of two subjects of which each came to this one by itself.
    pub(crate) fn joined(first: &Boundary<1>, second: &Boundary<1>) -> Self {
        let seat = |seat: usize| Some([first.closes[seat]?[0], second.closes[seat]?[0]]);
        Self {
            closes: std::array::from_fn(seat),
            held: std::array::from_fn(|seat| [first.held[seat][0], second.held[seat][0]]),
            polkas: [first.polkas[0], second.polkas[0]],
            now: [first.now[0], second.now[0]],
            before: [first.before[0], second.before[0]],
        }
    }
}
