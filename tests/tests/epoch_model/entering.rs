//! From one epoch into the next (R8): which closes there are, and how each voter of the next epoch
//! can enter by a quorum of them, D's among them.

mod boundary;

use std::collections::{BTreeSet, HashSet};

pub(crate) use boundary::Boundary;

use crate::in_force::{Entry, Weighing};
use crate::rules::{Fault, Keys, Rules};
use crate::start::{Begin, Bound, Start, Way};
use crate::terms::{CHOICES, HONEST, Lock, MORE_THAN_F, bit};

/// Entering the epoch after `closed`.
pub(crate) struct Entering<'a, const K: usize> {
    pub(crate) closed: usize,
    pub(crate) boundary: &'a Boundary<K>,
    pub(crate) rules: &'a Rules,
    /// [`Fault::LateKeepsWhatItHolds`], of the voter that enters.
    keeps_what_it_holds: bool,
}

impl<'a, const K: usize> Entering<'a, K> {
    pub(crate) fn new(closed: usize, boundary: &'a Boundary<K>, rules: &'a Rules) -> Self {
        Self {
            closed,
            boundary,
            rules,
            keeps_what_it_holds: false,
        }
    }

    /// All ways in which the next epoch can start: each honest voter by any way, or not at all.
    pub(crate) fn starts(&self) -> Vec<Start<K>> {
        let ways = self.ways();
        if ways.is_empty() {
            return Vec::new();
        }
        let options: [Vec<Begin<K>>; HONEST] =
            std::array::from_fn(|seat| self.options(seat, &ways));
        let again = if self.rules.enters_again {
            ways
        } else {
            BTreeSet::new()
        };
        let start = |voters| Start {
            ways: again.clone(),
            ..self.boundary.start(voters)
        };
        let mut starts = Vec::new();
        for voters in combinations(&options) {
            starts.push(start(voters));
        }
        for seat in 0..HONEST {
            // two honest voters and D are a quorum: keys of the closed epoch may be stolen now
            let mut options = options.clone().map(|mut all| {
                all.retain(|one| matches!(one, Begin::Entered(_)));
                all
            });
            options[seat] = self.late(seat).into_iter().map(Begin::Entered).collect();
            starts.extend(combinations(&options).into_iter().map(start));
        }
        starts
    }

    /// How a voter enters, beside its other ways, when it comes after a quorum of others.
    fn late(&self, seat: usize) -> BTreeSet<Way<K>> {
        match self.rules.fault {
            Fault::LateEntersByMinted => self.ways_by_minted(),
            // the newcomer was in no epoch before, and holds nothing
            Fault::LateKeepsWhatItHolds if seat + 1 < HONEST => Self {
                keeps_what_it_holds: true,
                ..*self
            }
            .ways(),
            _ => BTreeSet::new(),
        }
    }

    /// One seat's: voters B, C of A, B, C stay, a new one comes.
    fn options(&self, seat: usize, ways: &BTreeSet<Way<K>>) -> Vec<Begin<K>> {
        let former = (seat + 1 < HONEST).then_some(seat + 1);
        let held = former.map_or([Bound::Free; K], |seat| self.boundary.held[seat]);
        // a true certificate may be kept, even one that no close lists: more than the rule allows
        let entered = |way: &Way<K>| {
            Begin::Entered(std::array::from_fn(|k| match held[k] {
                Bound::Certified(choice) => Bound::Certified(choice),
                _ => way[k],
            }))
        };
        let mut options: Vec<_> = ways.iter().map(entered).collect();
        // or it counts for nothing, as when it was not in a close in time
        options.extend(ways.iter().map(|way| Begin::Entered(*way)));
        let is_last = self.closed + 2 == self.rules.epochs();
        let closes_later = !is_last && self.rules.absent_close();
        let keeps = |bound: Bound| if closes_later { bound } else { Bound::Free };
        options.push(Begin::Absent(held.map(keeps)));
        if former.is_none() && self.rules.has(Fault::NewcomerEntersFree) {
            options.push(Begin::Entered([Bound::Free; K]));
        }
        options.sort_unstable();
        options.dedup();
        options
    }

    /// All ways to enter: any quorum of closes, with anything that D can prove in its own.
    pub(crate) fn ways(&self) -> BTreeSet<Way<K>> {
        self.ways_by(&self.boundary.closes)
    }

    /// The ways by closes of which one is not its voter's, but says nothing.
    fn ways_by_minted(&self) -> BTreeSet<Way<K>> {
        let mut ways = BTreeSet::new();
        for seat in 0..HONEST {
            let mut closes = self.boundary.closes;
            closes[seat] = Some([Bound::Free; K]);
            ways.extend(self.ways_by(&closes));
        }
        ways
    }

    fn ways_by(&self, closes: &[Option<Way<K>>; HONEST]) -> BTreeSet<Way<K>> {
        let needed = if self.rules.has(Fault::FewCloses) {
            2
        } else {
            3
        };
        let mut ways = BTreeSet::new();
        for set in 1..1_u8 << HONEST {
            let signers: Vec<_> = (0..HONEST).filter(|seat| set >> seat & 1 == 1).collect();
            let listed: Option<Vec<Way<K>>> = signers.iter().map(|seat| closes[*seat]).collect();
            let Some(listed) = listed else { continue };
            if listed.len() >= needed {
                ways.extend(self.ways_with(&listed, &[None; K].map(|none| vec![none])));
            }
            if listed.len() + 1 >= needed {
                let claims = std::array::from_fn(|subject| self.claims(subject));
                ways.extend(self.ways_with(&listed, &claims));
            }
        }
        if self.rules.has(Fault::CertifiedUnproven) && !ways.is_empty() {
            ways.extend(CHOICES.map(|choice| [Bound::Certified(choice); K]));
        }
        ways
    }

    /// What D's close can say of a subject and prove, or `None`.
    fn claims(&self, subject: usize) -> Vec<Option<Entry>> {
        let stolen = self.rules.old_keys_are_stolen();
        let entry = |lock: Lock, is_certified| {
            Some(Entry {
                weight: 1,
                choice: lock.choice,
                place: lock.place(),
                is_certified,
            })
        };
        let mut claims = vec![None];
        let unproven = self.rules.has(Fault::LockWithoutPolka);
        for lock in Lock::all_before(self.closed + 1) {
            let is_proven = self.boundary.polkas[subject].has(lock)
                || stolen && lock.is_before(self.closed)
                || unproven;
            if is_proven {
                claims.push(entry(lock, false));
            }
        }
        for choice in CHOICES {
            if self.boundary.now[subject] & bit(choice) != 0 {
                claims.push(entry(Lock::new(self.closed, 0, choice), true));
            }
            let is_proven = stolen || self.boundary.before[subject] & bit(choice) != 0;
            if self.closed > 0 && is_proven {
                claims.push(entry(Lock::new(self.closed - 1, 1, choice), true));
            }
        }
        claims
    }

    /// The ways by these honest closes and one claim of D on each subject.
    fn ways_with(&self, listed: &[Way<K>], claims: &[Vec<Option<Entry>>; K]) -> Vec<Way<K>> {
        let mut ways = vec![[Bound::Free; K]];
        for subject in 0..K {
            let bounds = self.bounds(subject, listed, &claims[subject]);
            ways = ways
                .into_iter()
                .flat_map(|way| {
                    bounds.iter().map(move |bound| {
                        let mut way = way;
                        way[subject] = *bound;
                        way
                    })
                })
                .collect();
        }
        ways
    }

    fn bounds(
        &self,
        subject: usize,
        listed: &[Way<K>],
        claims: &[Option<Entry>],
    ) -> BTreeSet<Bound> {
        let mut bounds = BTreeSet::new();
        // a certified entry may be proved by this epoch's certificate, or by an earlier one's
        for by_now in [true, false] {
            let honest: Vec<_> = listed
                .iter()
                .filter_map(|way| self.entry(subject, way[subject], by_now))
                .collect();
            for claim in claims {
                let entries: Vec<_> = honest.iter().chain(claim).copied().collect();
                bounds.insert(self.bound(&entries));
                if self.keeps_what_it_holds {
                    let named = entries.iter().map(|entry| entry.choice);
                    bounds.extend(named.map(Bound::Certified));
                }
            }
        }
        bounds
    }

    fn entry(&self, subject: usize, bound: Bound, by_now: bool) -> Option<Entry> {
        let (choice, place, is_certified) = match bound {
            Bound::Free => return None,
            Bound::Locked(place, choice) => (choice, place, false),
            Bound::Certified(choice) => {
                let is_now = self.boundary.now[subject] & bit(choice) != 0;
                let is_before = self.boundary.before[subject] & bit(choice) != 0;
                let epoch = if is_now && (by_now || !is_before) {
                    self.closed
                } else {
                    0
                };
                (choice, (epoch as u8, 0), true)
            }
        };
        Some(Entry {
            weight: 1,
            choice,
            place,
            is_certified,
        })
    }

    fn bound(&self, entries: &[Entry]) -> Bound {
        let kept = self.rules.keys == Keys::Kept;
        let weighing = Weighing {
            closed: self.closed as u8,
            faults: MORE_THAN_F as u64 - 1,
            one_is_enough: kept || self.rules.has(Fault::OneNamesWhatIsOld),
        };
        match self.rules.fault {
            Fault::NothingInherited => Bound::Free,
            Fault::EarliestInherited => weighing.bound_by(entries, std::cmp::Reverse),
            Fault::ComparedByRoundOnly => weighing.bound_by(entries, |place| place.1),
            _ => weighing.bound(entries),
        }
    }
}

/// Each voter by each of its options.
fn combinations<const K: usize>(options: &[Vec<Begin<K>>; HONEST]) -> Vec<[Begin<K>; HONEST]> {
    let mut all = Vec::new();
    for first in &options[0] {
        for second in &options[1] {
            all.extend(options[2].iter().map(|third| [*first, *second, *third]));
        }
    }
    all
}

/// All starts of the epoch after `closed`.
pub(crate) fn starts_after<const K: usize>(
    closed: usize,
    boundaries: &HashSet<Boundary<K>>,
    rules: &Rules,
) -> BTreeSet<Start<K>> {
    boundaries
        .iter()
        .flat_map(|boundary| Entering::new(closed, boundary, rules).starts())
        .collect()
}
