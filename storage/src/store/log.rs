//! Reading subjects, and what was certified of them: events, the log and its records.

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, ContentDigest, EventHash, SubjectId};
use ssid_protocol::record::ConsensusRecord;

use super::Store;
use crate::error::StorageError;
use crate::rows::{ConflictRow, LogEntry, OpenSubject, SubjectState};
use crate::tables;

impl Store {
    /// The event with this digest.
    ///
    /// # Errors
    /// If the database fails or is damaged; so for every method that reads rows.
    pub fn event(&self, digest: &ContentDigest) -> Result<Option<Event>, StorageError> {
        tables::EVENTS.get(self.database(), digest)
    }

    /// Choices whose event hash begins with these hex digits (either case), in order, at most
    /// `limit`. None if it is no hex or longer than a hash.
    ///
    /// ```
    /// # use ssid_protocol::id::{FederationId, LogId};
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Changes, Owner, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let owner = Owner {
    /// #     federation: FederationId([7; 32]),
    /// #     node: testing::key(0).node_id(),
    /// # };
    /// # let (store, mut writer) = Store::open(dir.path(), owner, LogId([1; 32]))?;
    /// let events = ["v1", "v2", "v3"].map(|version| testing::event("blueprint_tagged", version));
    /// writer.write(Changes {
    ///     events: events.to_vec(),
    ///     ..Changes::default()
    /// })?;
    /// let choice = events[0].choice();
    /// let prefix = &choice.event_hash.to_string()[..16];
    /// assert_eq!(store.choices_by_hash_prefix(prefix, 10)?, [choice]);
    /// assert_eq!(store.choices_by_hash_prefix("", 2)?.len(), 2);
    /// assert!(store.choices_by_hash_prefix("no hex", 10)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn choices_by_hash_prefix(
        &self,
        hex: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        let Some((lowest, hex)) = lowest_hash(hex) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for row in tables::HASHES.from(self.database(), &lowest) {
            let (choice, ()) = row?;
            if found.len() == limit || !choice.event_hash.to_string().starts_with(&hex) {
                break;
            }
            found.push(choice);
        }
        Ok(found)
    }

    /// What is known of a subject.
    pub fn subject(&self, id: &SubjectId) -> Result<Option<SubjectState>, StorageError> {
        if let Some(sequence) = tables::CERTIFIED.get(self.database(), id)? {
            return Ok(Some(SubjectState::Certified { sequence }));
        }
        Ok(tables::OPEN
            .get(self.database(), id)?
            .map(SubjectState::Open))
    }

    /// All open subjects in order of id.
    pub fn open_subjects(
        &self,
    ) -> impl Iterator<Item = Result<(SubjectId, OpenSubject), StorageError>> + '_ {
        tables::OPEN.all(self.database())
    }

    /// An entry of the certified log; `None` past [`Self::log_head`].
    pub fn log_entry(&self, sequence: u64) -> Result<Option<LogEntry>, StorageError> {
        if sequence >= self.certified_count() {
            return Ok(None);
        }
        tables::LOG.get(self.database(), &sequence)
    }

    /// The consensus record of a log entry.
    pub fn record(&self, sequence: u64) -> Result<Option<ConsensusRecord>, StorageError> {
        tables::RECORDS.get(self.database(), &sequence)
    }

    /// The latest consensus records, newest first, at most `limit`, only those before `before` if
    /// it is given.
    pub fn records_latest(
        &self,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<(u64, ConsensusRecord)>, StorageError> {
        let end = before.unwrap_or(u64::MAX).min(self.certified_count());
        tables::RECORDS
            .before(self.database(), &end)
            .take(limit)
            .collect()
    }

    /// Subjects in conflict in order of id.
    pub fn conflicts(&self) -> Result<Vec<(SubjectId, ConflictRow)>, StorageError> {
        tables::CONFLICTS.all(self.database()).collect()
    }
}

/// The lowest choice whose event hash begins with these digits, and the digits in lower case.
fn lowest_hash(hex: &str) -> Option<(Choice, String)> {
    if hex.len() > 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let hex = hex.to_ascii_lowercase();
    let event_hash: EventHash = format!("{hex:0<64}").parse().ok()?;
    Some((
        Choice {
            event_hash,
            content_digest: ContentDigest([0; 32]),
        },
        hex,
    ))
}
