//! A disk for simulations (feature `simulation`): it dies at a chosen [`Point`] of a write and
//! keeps of what was not synced the part, or the pages, that it is told to. Journal and log head
//! are files all the same; the database's rows can be in memory, because sled's start and syncs
//! cost more than all the rest of a simulated life.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::IVec;
use ssid_protocol::id::{LogId, NodeId};

use crate::error::StorageError;
pub use crate::hooks::Point;
use crate::hooks::{Dead, Hooks, chance, leaves_pages};
use crate::journal::{Journal, JournalRecord, Recovery};
use crate::open;
use crate::store::{Owner, Store};
use crate::writer::Writer;

impl Point {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::JournalWrite,
        Self::JournalSync,
        Self::RowsWrite,
        Self::RowsSync,
        Self::HeadWrite,
        Self::HeadSync,
        Self::HeadCreate,
        Self::HeadReplace,
        Self::HeadReplaceSync,
        Self::CompactionWrite,
        Self::CompactionReplace,
        Self::CompactionSync,
    ];
}

/// The rows of a database in memory, by key.
pub(crate) type Rows = BTreeMap<IVec, IVec>;

/// When a machine dies, and what it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Where in a write.
    pub point: Point,
    /// How often that point is passed before.
    pub after: u32,
    /// How much of what was written and not synced is on disk all the same, of 1000.
    pub survives: u16,
    /// `None`: that is the beginning of it, as when a process is killed in a write. Else it is each
    /// page of 4 KiB with that chance, drawn by this number: power went, and a disk writes in any
    /// order.
    pub pages: Option<u64>,
}

/// A copy of a disk, for faults that no honest disk has.
#[derive(Clone, Debug)]
pub struct Snapshot {
    rows: Option<Rows>,
    files: [Vec<u8>; 2],
}

impl Snapshot {
    /// The journal's bytes.
    pub fn journal(&self) -> &[u8] {
        &self.files[0]
    }
}

/// The files of a snapshot, in its order.
const SNAPSHOT_FILES: [&str; 2] = ["votes.journal", open::HEAD];

/// One machine's disk, which outlives the lives of its node. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `None`: the rows are in sled.
    rows: Option<Arc<Mutex<Rows>>>,
    armed: Option<Death>,
    died_at: Option<Point>,
    /// `log.head` as it was when it was last synced, if it was written since.
    synced_head: Option<Vec<u8>>,
}

impl Disk {
    /// With its rows in memory.
    pub fn in_memory() -> Self {
        Self::new(Some(Arc::default()))
    }

    /// With its rows in sled.
    pub fn in_files() -> Self {
        Self::new(None)
    }

    fn new(rows: Option<Arc<Mutex<Rows>>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            rows,
            armed: None,
            died_at: None,
            synced_head: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine will die so.
    pub fn arm(&self, death: Death) {
        self.state().armed = Some(death);
    }

    /// Where it died, if it did: nothing can be written any more.
    pub fn died_at(&self) -> Option<Point> {
        self.state().died_at
    }

    /// The machine is started again. With `power_lost` each page of the log head that was written
    /// and never synced may be as it was, drawn by that number.
    ///
    /// # Errors
    /// If the head in `dir` cannot be read or written.
    pub fn revive(&self, dir: &Path, power_lost: Option<u64>) -> std::io::Result<()> {
        let mut state = self.state();
        (state.armed, state.died_at) = (None, None);
        let (Some(synced), Some(seed)) = (state.synced_head.take(), power_lost) else {
            return Ok(());
        };
        let path = dir.join(open::HEAD);
        let written = std::fs::read(&path)?;
        std::fs::write(
            path,
            leaves_pages(&synced, &written, |page| chance(seed, page, 500)),
        )
    }

    /// What is on the disk of the data directory `dir` now. Of rows in sled there is no copy; a
    /// file that cannot be read is empty.
    pub fn snapshot(&self, dir: &Path) -> Snapshot {
        let rows = self
            .rows()
            .map(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let files = SNAPSHOT_FILES.map(|name| std::fs::read(dir.join(name)).unwrap_or_default());
        Snapshot { rows, files }
    }

    /// Puts it back: a machine that lost what it was told is on disk.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn restore(&self, dir: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
        if let (Some(rows), Some(old)) = (self.rows(), &snapshot.rows) {
            rows.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(old);
        }
        let files = SNAPSHOT_FILES.iter().zip(&snapshot.files);
        files
            .into_iter()
            .try_for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes))
    }

    pub(crate) fn pass(&self, point: Point) -> Result<(), Dead> {
        let mut state = self.state();
        if state.died_at.is_some() {
            return Err(Dead {
                survives: 0,
                pages: None,
            });
        }
        match &mut state.armed {
            Some(death) if death.point == point && death.after == 0 => {
                let dead = Dead {
                    survives: death.survives,
                    pages: death.pages,
                };
                state.died_at = Some(point);
                Err(dead)
            }
            Some(death) if death.point == point => {
                death.after -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn rows(&self) -> Option<Arc<Mutex<Rows>>> {
        self.state().rows.clone()
    }

    /// The head is about to be written, and was this before.
    pub(crate) fn head_changes(&self, before: impl FnOnce() -> Vec<u8>) {
        self.state().synced_head.get_or_insert_with(before);
    }

    pub(crate) fn head_synced(&self) {
        self.state().synced_head = None;
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            disk: Some(self.clone()),
        }
    }

    /// As [`Store::open`], on this disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_store(
        &self,
        dir: &Path,
        owner: Owner,
        new_log: LogId,
    ) -> Result<(Store, Writer), StorageError> {
        open::open(dir, owner, new_log, &self.hooks())
    }

    /// As [`Journal::open`], on this disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_journal(
        &self,
        path: &Path,
        node: NodeId,
        known: u64,
    ) -> Result<(Journal, Vec<JournalRecord>, Recovery), StorageError> {
        Journal::open_on(path, node, known, self.hooks())
    }
}
