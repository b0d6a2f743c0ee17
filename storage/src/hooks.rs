//! Where a simulation steps between a write and the disk. Built without the feature `simulation` there is nothing here:
//! every point is passed.

use std::io;

/// The instants of a write at which a machine may die, in the order of one tick's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "simulation"), expect(unreachable_pub, reason = "simulations name them"))]
pub enum Point {
    /// The journal's records are not written yet.
    JournalWrite,
    /// They are written and not synced: any part of their end may be lost.
    JournalSync,
    /// The database has not taken the rows yet.
    RowsWrite,
    /// It has, and has not synced: all of them may be lost, or none.
    RowsSync,
    /// `log.head` is not written yet.
    HeadWrite,
    /// It is written and not synced: the slot may be the new one, the old one or torn.
    HeadSync,
    /// Compaction writes the new journal beside the old: it may be torn.
    CompactionWrite,
    /// It is written, and has not taken the old one's place.
    CompactionReplace,
    /// It has, and the directory is not synced: either may be the journal.
    CompactionSync,
}

/// The machine died.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead {
    /// How much of what was written and not synced is on disk all the same, of 1000.
    pub(crate) survives: u16,
}

impl Dead {
    /// That share of `whole`.
    pub(crate) fn of(self, whole: usize) -> usize {
        whole * usize::from(self.survives.min(1000)) / 1000
    }

    /// The same for what is there as a whole or not at all.
    pub(crate) fn keeps(self) -> bool {
        self.survives >= 500
    }

    pub(crate) fn error(self) -> io::Error {
        io::Error::other(format!("the simulated machine died, and {} of 1000 survive", self.survives))
    }
}

/// What a simulation, if there is one, does at each [`Point`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    #[cfg(feature = "simulation")]
    pub(crate) disk: Option<crate::simulation::Disk>,
}

#[cfg(feature = "simulation")]
impl Hooks {
    pub(crate) fn pass(&self, point: Point) -> Result<(), Dead> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.pass(point))
    }

    /// Whether what survives is the simulation's to decide, so that syncing proves nothing.
    pub(crate) fn is_simulated(&self) -> bool {
        self.disk.is_some()
    }
}

#[cfg(not(feature = "simulation"))]
#[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape of the simulated one")]
impl Hooks {
    pub(crate) fn pass(&self, _: Point) -> Result<(), Dead> {
        Ok(())
    }

    pub(crate) fn is_simulated(&self) -> bool {
        false
    }
}
