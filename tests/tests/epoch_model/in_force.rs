//! R8, last sentences: what the entries of counted closes on one subject bind a voter to. One
//! function for the exhaustive model and for the walks, whatever the weights.

use crate::terms::Choice;

/// (epoch, round).
pub(crate) type Place = (u8, u8);

/// What one counted close says of a subject, as it was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of the voter whose close it is.
    pub(crate) weight: u64,
    pub(crate) choice: Choice,
    /// Of the certificate or polka that proves it.
    pub(crate) place: Place,
    /// Whether it stands in the certified set, not among the locks.
    pub(crate) is_certified: bool,
}

/// How a voter stands on a subject when it enters an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Bound {
    #[default]
    Free,
    /// Locked on a choice, at this place.
    Locked(Place, Choice),
    Certified(Choice),
}

/// Which of the locks in force is inherited, and what it takes to be in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighing {
    /// The epoch that the closes end.
    pub(crate) closed: u8,
    /// What that epoch's voters may lie by: an entry that only an earlier epoch proves takes more.
    pub(crate) faults: u64,
    /// Whether one close is enough for such an entry (a fault once keys are stolen).
    pub(crate) one_is_enough: bool,
}

impl Weighing {
    /// An entry of the epoch that was closed is in force. One that only an earlier epoch proves is
    /// in force if more than F name its choice, in either set, and as certified only if more than F
    /// list it so; else it is a lock, at the place of its proof. Of locks the latest is inherited.
    pub(crate) fn bound(&self, entries: &[Entry]) -> Bound {
        self.bound_by(entries, |place| place)
    }

    /// The same with locks in the order of `key`, which is their place.
    pub(crate) fn bound_by<T: Ord>(&self, entries: &[Entry], key: impl Fn(Place) -> T) -> Bound {
        let certified = entries
            .iter()
            .find(|entry| entry.is_certified && self.is_in_force(entry, entries, true));
        if let Some(entry) = certified {
            return Bound::Certified(entry.choice);
        }
        entries
            .iter()
            .filter(|entry| self.is_in_force(entry, entries, false))
            .max_by_key(|entry| (key(entry.place), entry.choice))
            .map_or(Bound::Free, |entry| {
                Bound::Locked(entry.place, entry.choice)
            })
    }

    fn is_in_force(&self, entry: &Entry, entries: &[Entry], as_certified: bool) -> bool {
        if entry.place.0 >= self.closed || self.one_is_enough {
            return true;
        }
        let names = entries
            .iter()
            .filter(|other| other.choice == entry.choice && (other.is_certified || !as_certified));
        names.map(|other| other.weight).sum::<u64>() > self.faults
    }
}
