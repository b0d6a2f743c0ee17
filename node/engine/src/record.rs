//! What the engine writes: the journal of what it signed, and one batch of the database a tick.
//! Nothing else here writes either.

use std::collections::HashSet;

use ssid_protocol::batch::{BatchId, VerifiedBatch};
use ssid_protocol::id::{Epoch, SubjectId};
use ssid_storage::{
    Changes, Journal, JournalRecord, StorageError, Store, StoredBatchRow, Writer, Written,
};

use super::open::Held;
use super::settings::STORED_BATCHES;

/// The write side of what a node remembers.
#[derive(Debug)]
pub(super) struct Record {
    writer: Writer,
    journal: Journal,
    /// Batches that stand in the journal.
    journaled: HashSet<BatchId>,
    /// How long the journal was when it was last rewritten.
    compacted_bytes: u64,
    /// Batches that are stored, of the recent ones.
    stored: HashSet<BatchId>,
}

impl Record {
    pub(super) fn new(writer: Writer, journal: Journal) -> Self {
        Self {
            writer,
            compacted_bytes: journal.bytes(),
            journal,
            journaled: HashSet::new(),
            stored: HashSet::new(),
        }
    }

    /// The journal is written anew: from here on it is told again what stands in it.
    pub(super) fn forget_journaled(&mut self) {
        self.journaled.clear();
    }

    /// What keeps another's prevote beside the own vote that it justifies; nothing if its batch is
    /// in the journal.
    pub(super) fn support(
        &mut self,
        prevote: &Held,
        epoch: Epoch,
        subject: SubjectId,
    ) -> Option<JournalRecord> {
        let batch = prevote.proof.batch();
        if batch.is_some_and(|batch| self.is_journaled(batch)) {
            return None;
        }
        match prevote.proof.full_batch() {
            Some(batch) => {
                self.note_journaled(batch);
                Some(JournalRecord::Support(batch.batch().clone()))
            }
            None => Some(JournalRecord::SupportAlone(Box::new(
                prevote.signed(epoch, subject)?,
            ))),
        }
    }

    /// Whether a batch stands in the journal.
    pub(super) fn is_journaled(&self, batch: &VerifiedBatch) -> bool {
        self.journaled.contains(&batch.id())
    }

    /// A batch is in the journal, or will be with this tick. Returns whether that is new.
    pub(super) fn note_journaled(&mut self, batch: &VerifiedBatch) -> bool {
        self.journaled.insert(batch.id())
    }

    /// Stores a batch that rows refer to, once: one batch serves hundreds of certificates.
    pub(super) fn store_batch(&mut self, changes: &mut Changes, batch: &VerifiedBatch) {
        if self.stored.len() >= STORED_BATCHES {
            self.stored.clear(); // storing one again costs a lookup, nothing more
        }
        if self.stored.insert(batch.id()) {
            changes.batches.push(StoredBatchRow::from(batch));
        }
    }

    /// Appends to the journal, on disk when it returns; the journal's sequence then.
    pub(super) fn sign(&mut self, records: &[JournalRecord]) -> Result<u64, StorageError> {
        self.journal.append(records)?;
        self.journal.commit()?;
        Ok(self.journal.sequence())
    }

    /// Writes one batch of the database, on disk when it returns.
    pub(super) fn write(&mut self, changes: Changes) -> Result<Written, StorageError> {
        self.writer.write(changes)
    }

    /// The database learns what the journal holds before anything is signed or offered again: with
    /// less it could take damage of what was sent for a torn write of what was not.
    pub(super) fn note_journal(&mut self, store: &Store) -> Result<(), StorageError> {
        let sequence = self.journal.sequence();
        if store.journal_sequence() < sequence {
            self.writer.write(Changes {
                journal_sequence: Some(sequence),
                ..Changes::default()
            })?;
        }
        Ok(())
    }

    /// Whether the journal is more than twice as long as when it was last rewritten, and `slack`
    /// bytes more.
    pub(super) fn is_long(&self, slack: u64) -> bool {
        self.journal.bytes() > 2 * self.compacted_bytes + slack
    }

    /// Puts another journal in place of this one; how many bytes that has.
    pub(super) fn rewrite(&mut self, kept: Vec<JournalRecord>) -> Result<u64, StorageError> {
        self.journal.rewrite(kept)?;
        self.compacted_bytes = self.journal.bytes();
        Ok(self.compacted_bytes)
    }

    /// How long the journal is.
    #[cfg(test)]
    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// How many records this life and earlier ones wrote to the journal.
    #[cfg(test)]
    pub(super) fn journal_sequence(&self) -> u64 {
        self.journal.sequence()
    }

    /// As if the journal had been empty when it was last rewritten.
    #[cfg(test)]
    pub(super) fn forget_compaction(&mut self) {
        self.compacted_bytes = 0;
    }
}
