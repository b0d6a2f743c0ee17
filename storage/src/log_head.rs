//! `log.head`: how much the database must hold at least (SPEC §11), outside the database, so that a database that
//! lost rows cannot hide it.
//!
//! Two slots, written in turn, each in a page of its own: a write that is torn leaves the other slot. The file has its
//! full length from the start, so a full disk cannot refuse it.
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
//! Integers are big-endian; `writes` decides which slot is the later one, and which is written next.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ssid_protocol::id::{LogId, MerkleHash};

use crate::codec::FORMAT;
use crate::error::StorageError;
use crate::hooks::{Hooks, Point};
use crate::lock::lock;

const MAGIC: [u8; 4] = *b"SSLH";
const SLOT_BYTES: usize = 97;
const SLOT_DISTANCE: usize = 4096;
const FILE_BYTES: usize = 2 * SLOT_DISTANCE;

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
}

impl HeadFile {
    /// Opens and locks the file; creates an empty one if there is none.
    pub(crate) fn open(path: &Path, hooks: &Hooks) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(StorageError::io("open", path))?;
        lock(path, &file)?;
        Ok(Self { path: path.to_owned(), file, hooks: hooks.clone() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says.
    ///
    /// # Errors
    /// If it cannot be read, or is of a later version.
    pub(crate) fn read(&mut self) -> Result<Found, StorageError> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0)).map_err(StorageError::io("read", &self.path))?;
        // nobody but us makes this file longer; a longer one is not read whole
        let read = (&self.file).take(FILE_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(StorageError::io("read", &self.path))?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        let mut latest: Option<HeadState> = None;
        for start in [0, SLOT_DISTANCE] {
            let Some(slot) = bytes.get(start..).and_then(<[u8]>::first_chunk) else { continue };
            match HeadState::of_slot(slot) {
                Slot::Valid(state) if latest.is_none_or(|other| state.writes >= other.writes) => latest = Some(state),
                Slot::OtherFormat(found) if found > FORMAT => {
                    let place = format!("'{}'", self.path.display());
                    return Err(StorageError::NewerFormat { place, found: found.into(), known: FORMAT.into() });
                }
                Slot::Valid(_) | Slot::OtherFormat(_) | Slot::Torn => {}
            }
        }
        Ok(latest.map_or(Found::Damaged, Found::State))
    }

    /// Starts the file anew with `state` alone, synced.
    pub(crate) fn reset(&mut self, state: HeadState) -> Result<(), StorageError> {
        let mut bytes = vec![0; FILE_BYTES];
        let start = slot_start(state.writes);
        bytes[start..start + SLOT_BYTES].copy_from_slice(&state.to_slot());
        self.put(0, &bytes)?;
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))
    }

    /// Writes `state`, whose `writes` is one more than the last one's, over the older slot.
    pub(crate) fn write(&mut self, state: HeadState, sync: bool) -> Result<(), StorageError> {
        let (start, slot) = (slot_start(state.writes), state.to_slot());
        if let Err(dead) = self.hooks.pass(Point::HeadWrite) {
            return Err(StorageError::io("write", &self.path)(dead.error()));
        }
        self.note_unsynced();
        if let Err(dead) = self.hooks.pass(Point::HeadSync) {
            self.put(start, &slot[..dead.of(slot.len())])?;
            return Err(StorageError::io("sync", &self.path)(dead.error()));
        }
        self.put(start, &slot)?;
        if sync { self.sync() } else { Ok(()) }
    }

    #[cfg(not(feature = "simulation"))]
    #[expect(clippy::unused_self, reason = "the shape of the simulated one")]
    fn note_unsynced(&self) {}

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
        self.file.sync_data().map_err(StorageError::io("sync", &self.path))
    }

    fn put(&mut self, start: usize, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.seek(SeekFrom::Start(start as u64)).map_err(StorageError::io("write", &self.path))?;
        self.file.write_all(bytes).map_err(StorageError::io("write", &self.path))
    }
}

/// Where the slot for a state with this count of writes is.
fn slot_start(writes: u64) -> usize {
    if writes.is_multiple_of(2) { 0 } else { SLOT_DISTANCE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(writes: u64) -> HeadState {
        let root = MerkleHash([writes as u8; 32]);
        HeadState { writes, size: writes * 3, root, journal_sequence: 7, log_id: LogId([9; 32]) }
    }

    #[test]
    fn the_latest_is_read_and_a_torn_slot_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.head");
        let mut head = HeadFile::open(&path, &Hooks::default()).unwrap();
        assert_eq!(head.read().unwrap(), Found::Nothing);
        head.reset(state(0)).unwrap();
        for writes in 1..6 {
            head.write(state(writes), writes % 2 == 0).unwrap();
            assert_eq!(head.read().unwrap(), Found::State(state(writes)));
        }
        drop(head);
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), FILE_BYTES);
        for byte in 0..SLOT_BYTES {
            let mut bytes = good.clone();
            bytes[SLOT_DISTANCE + byte] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                HeadFile::open(&path, &Hooks::default()).unwrap().read().unwrap(),
                Found::State(state(4)),
                "byte {byte}"
            );
        }
        for length in [1, 96, 97, 4096, 4192] {
            std::fs::write(&path, &good[..length]).unwrap();
            let found = HeadFile::open(&path, &Hooks::default()).unwrap().read().unwrap();
            assert_eq!(found, if length < 97 { Found::Damaged } else { Found::State(state(4)) }, "length {length}");
        }
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
        assert!(matches!(head.read(), Err(StorageError::NewerFormat { found: 2, .. })));
        assert!(matches!(HeadFile::open(&path, &Hooks::default()), Err(StorageError::InUse(_))));
    }
}
