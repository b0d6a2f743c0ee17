//! Where the journal's bytes go. Tests put a disk there that fails.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use crate::hooks::{Dead, Hooks, Point};

/// An open file, in append mode.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    hooks: Hooks,
    /// Bytes written and not synced.
    unsynced: usize,
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
}

/// What goes wrong.
#[cfg(test)]
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk is full after this many more bytes.
    FullAfter(usize),
    /// Syncing fails.
    Sync,
}

impl Sink {
    pub(super) fn file(file: File, hooks: Hooks) -> Self {
        Self {
            file,
            hooks,
            unsynced: 0,
            #[cfg(test)]
            fault: None,
        }
    }

    /// Appends all of `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hooks.pass(Point::JournalWrite)?;
        #[cfg(test)]
        if let Some(Fault::FullAfter(room)) = self.fault
            && bytes.len() > room
        {
            self.file.write_all(&bytes[..room])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.unsynced += bytes.len();
        self.file.write_all(bytes)
    }

    /// Returns once everything appended is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if matches!(self.fault, Some(Fault::Sync)) {
            return Err(io::Error::other("input/output error"));
        }
        let unsynced = std::mem::take(&mut self.unsynced);
        if let Err(dead) = self.hooks.pass(Point::JournalSync) {
            self.leave(dead, unsynced)?;
            return Err(dead.into());
        }
        if self.hooks.is_simulated() {
            Ok(())
        } else {
            self.file.sync_data()
        }
    }

    /// Leaves in the file what a dead machine's disk holds of the last `unsynced` bytes.
    fn leave(&mut self, dead: Dead, unsynced: usize) -> io::Result<()> {
        let mut written = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut written)?;
        let synced = written.len().saturating_sub(unsynced);
        let left = dead.leaves(&written[..synced], &written);
        self.file.set_len(synced as u64)?;
        self.file.write_all(&left[synced..])
    }
}
