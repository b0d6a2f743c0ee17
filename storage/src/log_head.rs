//! `log.head`: how much the database must hold at least (SPEC §11), outside the database, so that a
//! database that lost rows cannot hide it.
//!
//! Two slots, each in a page of its own. A write goes over the one that does not hold the latest
//! state, so that a torn write leaves the other; a slot found torn is mended before anything else
//! is written. Both are there from the start: the file is made as a whole and takes its place by a
//! rename, so no crash leaves half of it, and a full disk cannot refuse a write.
//!
//! ```text
//! 0          4           5            13         21        53                   61          93          97
//! +----------+-----------+------------+----------+---------+--------------------+-----------+-----------+
//! | magic 4  | format u8 | writes u64 | size u64 | root 32 | journal_sequence   | log_id 32 | crc32 u32 |
//! | "SSLH"   |           |            |          |         | u64                |           | of 0..93  |
//! +----------+-----------+------------+----------+---------+--------------------+-----------+-----------+
//! slot 0 at byte 0, slot 1 at byte 4096, zeros between and behind
//! ```
//!
//! Integers are big-endian; `writes` decides which slot is the later one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ssid_protocol::id::{LogId, MerkleHash};

use crate::codec::FORMAT;
use crate::error::StorageError;
use crate::hooks::{Hooks, Point};
use crate::lock::lock_current;
use crate::path_error::PathContext as _;
use crate::regular;
use crate::replace::{Points, take_place, write_beside};

const MAGIC: [u8; 4] = *b"SSLH";
const SLOT_BYTES: usize = 97;
const SLOT_DISTANCE: usize = 4096;
const FILE_BYTES: usize = 2 * SLOT_DISTANCE;

/// Where making the file may be cut short.
const CREATION: Points = Points {
    write: Point::HeadCreate,
    replace: Point::HeadReplace,
    sync: Point::HeadReplaceSync,
};

/// What `log.head` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadState {
    /// How many writes the database has taken.
    pub writes: u64,
    /// Number of entries in the certified log.
    pub size: u64,
    /// Root over them.
    pub root: MerkleHash,
    /// The journal's sequence when it was last written down.
    pub journal_sequence: u64,
    /// The log's incarnation.
    pub log_id: LogId,
}

impl HeadState {
    fn to_slot(self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..4].copy_from_slice(&MAGIC);
        slot[4] = FORMAT;
        slot[5..13].copy_from_slice(&self.writes.to_be_bytes());
        slot[13..21].copy_from_slice(&self.size.to_be_bytes());
        slot[21..53].copy_from_slice(&self.root.0);
        slot[53..61].copy_from_slice(&self.journal_sequence.to_be_bytes());
        slot[61..93].copy_from_slice(&self.log_id.0);
        let checksum = crc32fast::hash(&slot[..93]);
        slot[93..].copy_from_slice(&checksum.to_be_bytes());
        slot
    }

    fn of_slot(slot: &[u8; SLOT_BYTES]) -> Slot {
        if slot[..4] != MAGIC || crc32fast::hash(&slot[..93]).to_be_bytes() != slot[93..] {
            return Slot::Torn;
        }
        if slot[4] != FORMAT {
            return Slot::OtherFormat(slot[4]);
        }
        Slot::Valid(Self {
            writes: u64::from_be_bytes(part(slot, 5)),
            size: u64::from_be_bytes(part(slot, 13)),
            root: MerkleHash(part(slot, 21)),
            journal_sequence: u64::from_be_bytes(part(slot, 53)),
            log_id: LogId(part(slot, 61)),
        })
    }
}

enum Slot {
    Valid(HeadState),
    OtherFormat(u8),
    Torn,
}

/// `N` bytes of a slot; every use lies within it.
fn part<const N: usize>(slot: &[u8; SLOT_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&slot[at..at + N]);
    bytes
}

/// What was found in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// The later of the valid slots.
    State(HeadState),
    /// No slot is valid.
    Damaged,
}

/// The open file, locked against other processes.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    file: File,
    hooks: Hooks,
    /// The slot that does not hold the latest state.
    next: usize,
}

impl HeadFile {
    /// Opens and locks the file; creates an empty one if there is none.
    pub(crate) fn open(path: &Path, hooks: &Hooks) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = regular::open(&mut options, path).context("open", path)?;
        lock_current(path, &file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hooks: hooks.clone(),
            next: 0,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says. A slot that is torn holds the latest state too after this, synced.
    ///
    /// # Errors
    /// If it cannot be read or mended, or is of a later version.
    pub(crate) fn read(&mut self) -> Result<Found, StorageError> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(0))
            .context("read", &self.path)?;
        // nobody but us makes this file longer; a longer one is not read whole
        let read = (&self.file).take(FILE_BYTES as u64).read_to_end(&mut bytes);
        read.context("read", &self.path)?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        // the later of two valid slots; the other is the one to be written next
        let slots = [self.slot(&bytes, 0)?, self.slot(&bytes, 1)?];
        let (latest, next, is_whole) = match slots {
            [None, None] => return Ok(Found::Damaged),
            [Some(first), Some(second)] if second.writes >= first.writes => (second, 0, true),
            [Some(first), Some(_)] => (first, 1, true),
            [None, Some(second)] => (second, 0, false),
            [Some(first), None] => (first, 1, false),
        };
        self.next = next;
        // mended at once: the next write goes over this slot and leaves no other if it is torn
        if !is_whole {
            self.write_slot(next, latest, true)?;
        }
        Ok(Found::State(latest))
    }

    /// The state in a slot; `None` if it is torn.
    fn slot(&self, bytes: &[u8], slot: usize) -> Result<Option<HeadState>, StorageError> {
        let bytes = bytes
            .get(slot * SLOT_DISTANCE..)
            .and_then(<[u8]>::first_chunk);
        match bytes.map(HeadState::of_slot) {
            Some(Slot::Valid(state)) => Ok(Some(state)),
            Some(Slot::OtherFormat(found)) if found > FORMAT => {
                let place = format!("'{}'", self.path.display());
                Err(StorageError::NewerFormat {
                    place,
                    found: found.into(),
                    known: FORMAT.into(),
                })
            }
            Some(Slot::OtherFormat(_) | Slot::Torn) | None => Ok(None),
        }
    }

    /// Starts the file anew with `state` in both slots, on disk when this returns. A crash leaves
    /// it as it was.
    pub(crate) fn reset(&mut self, state: HeadState) -> Result<(), StorageError> {
        let mut bytes = vec![0; FILE_BYTES];
        for start in [0, SLOT_DISTANCE] {
            bytes[start..start + SLOT_BYTES].copy_from_slice(&state.to_slot());
        }
        let mut options = OpenOptions::new();
        let file = write_beside(
            &self.path,
            &bytes,
            options.read(true).write(true),
            &self.hooks,
            CREATION,
        )?;
        take_place(&self.path, &self.hooks, CREATION)?;
        self.file = file;
        self.next = 0;
        self.note_synced();
        Ok(())
    }

    /// Writes `state`, later than the last one, over the slot that does not hold that.
    pub(crate) fn write(&mut self, state: HeadState, sync: bool) -> Result<(), StorageError> {
        self.write_slot(self.next, state, sync)?;
        self.next = 1 - self.next;
        Ok(())
    }

    fn write_slot(
        &mut self,
        slot: usize,
        state: HeadState,
        sync: bool,
    ) -> Result<(), StorageError> {
        // slots are far apart: a torn write of one leaves the other whole
        let start = slot * SLOT_DISTANCE;
        let bytes = state.to_slot();
        let begun = self.hooks.pass(Point::HeadWrite);
        begun.context("write", &self.path)?;
        // before the first byte: from here on the disk may hold either state
        self.note_unsynced();
        let synced = self.hooks.pass(Point::HeadSync);
        if let Err(dead) = synced {
            // simulated: the machine dies with the slot half written
            let mut old = vec![0; SLOT_BYTES];
            self.file
                .seek(SeekFrom::Start(start as u64))
                .context("read", &self.path)?;
            // of a file that was cut there are zeros
            let read = (&self.file).take(SLOT_BYTES as u64).read(&mut old);
            read.context("read", &self.path)?;
            self.put(start, &dead.leaves(&old, &bytes))?;
            return Ok(synced.context("sync", &self.path)?);
        }
        self.put(start, &bytes)?;
        if sync { self.sync() } else { Ok(()) }
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "the shape of the simulated one")]
    fn note_unsynced(&self) {}

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "the shape of the simulated one")]
    fn note_synced(&self) {}

    #[cfg(feature = "simulation")]
    fn note_synced(&self) {
        if let Some(disk) = &self.hooks.disk {
            disk.head_synced();
        }
    }

    /// A simulated machine may die before what is about to be written is synced.
    #[cfg(feature = "simulation")]
    fn note_unsynced(&self) {
        if let Some(disk) = &self.hooks.disk {
            disk.head_changes(|| std::fs::read(&self.path).unwrap_or_default());
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        #[cfg(feature = "simulation")]
        if let Some(disk) = &self.hooks.disk {
            disk.head_synced();
            return Ok(());
        }
        Ok(self.file.sync_data().context("sync", &self.path)?)
    }

    fn put(&mut self, start: usize, bytes: &[u8]) -> Result<(), StorageError> {
        self.file
            .seek(SeekFrom::Start(start as u64))
            .context("write", &self.path)?;
        Ok(self.file.write_all(bytes).context("write", &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(writes: u64) -> HeadState {
        let root = MerkleHash([writes as u8; 32]);
        HeadState {
            writes,
            size: writes * 3,
            root,
            journal_sequence: 7,
            log_id: LogId([9; 32]),
        }
    }

    fn open(path: &Path) -> HeadFile {
        HeadFile::open(path, &Hooks::default()).unwrap()
    }

    #[test]
    fn the_latest_is_read_and_a_torn_slot_falls_back_and_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.head");
        let mut head = open(&path);
        assert_eq!(head.read().unwrap(), Found::Nothing);
        head.reset(state(0)).unwrap();
        for writes in 1..6 {
            head.write(state(writes), writes % 2 == 0).unwrap();
            assert_eq!(head.read().unwrap(), Found::State(state(writes)));
        }
        let latest = 1 - head.next;
        drop(head);
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), FILE_BYTES);
        for byte in 0..SLOT_BYTES {
            let mut bytes = good.clone();
            bytes[latest * SLOT_DISTANCE + byte] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                open(&path).read().unwrap(),
                Found::State(state(4)),
                "byte {byte}"
            );
            let mended = std::fs::read(&path).unwrap();
            assert_eq!(
                mended[..SLOT_BYTES],
                mended[SLOT_DISTANCE..][..SLOT_BYTES],
                "byte {byte}"
            );
        }
        for length in [1, 96, 97, 4096, 4192] {
            std::fs::write(&path, &good[..length]).unwrap();
            let found = open(&path).read().unwrap();
            let first = Found::State(state(if latest == 0 { 5 } else { 4 }));
            assert_eq!(
                found,
                if length < 97 { Found::Damaged } else { first },
                "length {length}"
            );
        }
    }

    /// Whatever the database's count of writes is after a crash, and however many writes are torn
    /// one after the other: each tears the slot that does not hold what is known.
    #[test]
    fn one_torn_write_after_the_other_leaves_the_latest_state() {
        for jump in [1, 2, 3] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log.head");
            open(&path).reset(state(0)).unwrap();
            let mut known = 0;
            for torn in 1..8 {
                let mut head = open(&path);
                assert_eq!(
                    head.read().unwrap(),
                    Found::State(state(known)),
                    "jump {jump}, torn {torn}"
                );
                // a crash between database and head leaves the database ahead
                known += jump;
                head.write(state(known), true).unwrap();
                let before = std::fs::read(&path).unwrap();
                head.write(state(known + jump), false).unwrap();
                drop(head);
                let mut bytes = std::fs::read(&path).unwrap();
                let changed = (0..FILE_BYTES)
                    .find(|at| bytes[*at] != before[*at])
                    .unwrap();
                bytes[changed + torn..changed + SLOT_BYTES - changed % SLOT_DISTANCE].fill(0xee);
                std::fs::write(&path, &bytes).unwrap();
            }
        }
    }

    #[test]
    fn a_replaced_file_is_locked_and_what_a_crash_left_beside_it_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.head");
        std::fs::write(dir.path().join("log.head.new"), vec![7; 3 * FILE_BYTES]).unwrap();
        let mut head = open(&path);
        head.reset(state(3)).unwrap();
        assert!(matches!(
            HeadFile::open(&path, &Hooks::default()),
            Err(StorageError::InUse(_))
        ));
        assert_eq!(head.read().unwrap(), Found::State(state(3)));
        head.reset(state(4)).unwrap();
        drop(head);
        assert_eq!(open(&path).read().unwrap(), Found::State(state(4)));
        assert_eq!(std::fs::read(&path).unwrap().len(), FILE_BYTES);
        assert!(!dir.path().join("log.head.new").exists());
    }

    #[test]
    fn a_newer_format_and_a_second_opener_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.head");
        let mut head = HeadFile::open(&path, &Hooks::default()).unwrap();
        let mut slot = state(0).to_slot();
        slot[4] = FORMAT + 1;
        let checksum = crc32fast::hash(&slot[..93]);
        slot[93..].copy_from_slice(&checksum.to_be_bytes());
        head.put(0, &slot).unwrap();
        assert!(matches!(
            head.read(),
            Err(StorageError::NewerFormat { found: 2, .. })
        ));
        assert!(matches!(
            HeadFile::open(&path, &Hooks::default()),
            Err(StorageError::InUse(_))
        ));
    }

    /// Whatever instant of making it anew a machine dies at, and whatever survives, one of the two
    /// states is there.
    #[cfg(feature = "simulation")]
    #[test]
    fn a_death_while_it_is_made_leaves_the_old_or_the_new() {
        use crate::simulation::{Death, Disk};
        for old in [None, Some(state(8))] {
            for point in [
                Point::HeadCreate,
                Point::HeadReplace,
                Point::HeadReplaceSync,
            ] {
                for (survives, pages) in [
                    (0, None),
                    (300, None),
                    (999, None),
                    (500, Some(1)),
                    (500, Some(2)),
                ] {
                    let dir = tempfile::tempdir().unwrap();
                    let path = dir.path().join("log.head");
                    old.into_iter()
                        .for_each(|old| open(&path).reset(old).unwrap());
                    let disk = Disk::in_memory();
                    disk.arm(Death {
                        point,
                        after: 0,
                        survives,
                        pages,
                    });
                    let hooks = Hooks {
                        disk: Some(disk.clone()),
                    };
                    HeadFile::open(&path, &hooks)
                        .unwrap()
                        .reset(state(9))
                        .unwrap_err();
                    assert_eq!(disk.died_at(), Some(point));
                    disk.revive(dir.path(), None).unwrap();
                    let mut head = open(&path);
                    let found = head.read().unwrap();
                    let before = old.map_or(Found::Nothing, Found::State);
                    assert!(
                        [before, Found::State(state(9))].contains(&found),
                        "{point:?}: {found:?}"
                    );
                    head.reset(state(10)).unwrap();
                    assert_eq!(head.read().unwrap(), Found::State(state(10)));
                }
            }
        }
    }
}
