//! Where the journal's bytes go. Tests put a disk there that fails.

use std::fs::File;
use std::io::{self, Write};

/// An open file, in append mode.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
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
    pub(super) fn file(file: File) -> Self {
        Self {
            file,
            #[cfg(test)]
            fault: None,
        }
    }

    /// Appends all of `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if let Some(Fault::FullAfter(room)) = self.fault
            && bytes.len() > room
        {
            self.file.write_all(&bytes[..room])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(bytes)
    }

    /// Returns once everything appended is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if matches!(self.fault, Some(Fault::Sync)) {
            return Err(io::Error::other("input/output error"));
        }
        self.file.sync_data()
    }
}
