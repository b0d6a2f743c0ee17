//! The journal of a key that follows another: begun in the former one's place, in one step, so that
//! a crash leaves either whole.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use ssid_protocol::id::{Epoch, NodeId};

use super::frame::{self, HEADER_BYTES};
use super::{Journal, JournalRecord};
use crate::codec;
use crate::error::StorageError;
use crate::path_error::PathContext as _;
use crate::regular;

/// Bytes in which the header and the first record, which says whose votes these are, fit.
const HEAD_BYTES: u64 = 256;

impl Journal {
    /// Whose votes stand in the journal at `path`; `None` if there is none, or its beginning does
    /// not check: [`Journal::open`] says why.
    ///
    /// # Errors
    /// If the operating system refuses.
    ///
    /// ```
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::Journal;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("votes.journal");
    /// assert_eq!(Journal::owner(&path)?, None);
    /// let node = testing::key(0).node_id();
    /// drop(Journal::create(&path, node)?);
    /// assert_eq!(Journal::owner(&path)?, Some(node));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn owner(path: &Path) -> Result<Option<NodeId>, StorageError> {
        let file = match regular::open(OpenOptions::new().read(true), path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.context("open", path)?,
        };
        let mut beginning = Vec::new();
        file.take(HEAD_BYTES)
            .read_to_end(&mut beginning)
            .context("read", path)?;
        let first = frame::payload(&beginning, HEADER_BYTES);
        let record = first.and_then(|(payload, _)| codec::decode(payload).ok());
        Ok(match record {
            Some(JournalRecord::Created { node }) => Some(node),
            _ => None,
        })
    }

    /// Ends this journal and begins that of `node`, which follows its key in `epoch`: on disk, and
    /// in its place, when this returns. `records` are what holds for the new key, too. `known` is
    /// the sequence that the database holds; the new journal's goes on from it.
    ///
    /// # Errors
    /// If a write fails: one of the two journals is there whole. This one is of no more use either
    /// way.
    ///
    /// ```
    /// # use ssid_protocol::id::Epoch;
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Journal, JournalRecord};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("votes.journal");
    /// let [former, node] = [0, 1].map(|place| testing::key(place).node_id());
    /// let journal = Journal::create(&path, former)?;
    /// journal.succeed(node, Epoch(3), 7, Vec::new())?;
    ///
    /// let (journal, records, _) = Journal::open(&path, node, 7)?;
    /// let epoch = Epoch(3);
    /// assert_eq!(records[1..], [JournalRecord::Succeeds { former, epoch }]);
    /// assert!(journal.sequence() >= 7, "not taken for one that was rolled back");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn succeed(
        mut self,
        node: NodeId,
        epoch: Epoch,
        known: u64,
        records: Vec<JournalRecord>,
    ) -> Result<(), StorageError> {
        let former = std::mem::replace(&mut self.node, node);
        self.sequence = self.sequence.max(known);
        let mut all = vec![JournalRecord::Succeeds { former, epoch }];
        all.extend(records);
        self.rewrite(all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::fixtures::node;
    use crate::replace::beside;

    #[test]
    fn the_former_key_has_no_journal_any_more_and_what_a_crash_left_beside_it_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.journal");
        let (former, next) = (node(0), node(1));
        drop(Journal::create(&path, former).unwrap());
        // it died while the new journal was written beside the old one
        std::fs::write(beside(&path), "torn").unwrap();
        assert_eq!(Journal::owner(&path).unwrap(), Some(former));
        let (journal, _, _) = Journal::open(&path, former, 1).unwrap();
        journal.succeed(next, Epoch(1), 5, Vec::new()).unwrap();
        assert_eq!(Journal::owner(&path).unwrap(), Some(next));
        let refused = Journal::open(&path, former, 5).unwrap_err();
        assert!(
            matches!(refused, StorageError::OtherNode { .. }),
            "{refused}"
        );
        let (journal, records, _) = Journal::open(&path, next, 5).unwrap();
        assert_eq!((records.len(), journal.sequence()), (2, 5));
        std::fs::write(&path, "no journal").unwrap();
        assert_eq!(Journal::owner(&path).unwrap(), None);
    }
}
