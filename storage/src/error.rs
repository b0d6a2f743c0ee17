//! The one error of this crate: what happened, to which path, and what to do next.

use std::path::{Path, PathBuf};

use ssid_protocol::id::{ContentDigest, FederationId, NodeId, SubjectId};

use crate::path_error::PathError;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Another process has the data open.
    #[error("'{0}' is in use by another process; stop that node or choose another data directory")]
    InUse(PathBuf),
    /// The data is of another federation.
    #[error(
        "'{path}' belongs to federation {found}, not to {expected}; choose the data directory of this federation"
    )]
    OtherFederation {
        /// The data directory or file.
        path: PathBuf,
        /// Whose it is.
        found: FederationId,
        /// Whose it should be.
        expected: FederationId,
    },
    /// The data is of another node.
    #[error(
        "'{path}' belongs to node {found}, not to {expected}; choose the data directory that goes with this key"
    )]
    OtherNode {
        /// The data directory or file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Whose it should be.
        expected: NodeId,
    },
    /// Written by a later version of this program.
    #[error(
        "{place} has format {found}, this version of ssid knows up to {known}: newer schema; use the newer version"
    )]
    NewerFormat {
        /// Table or file.
        place: String,
        /// The format that stands there.
        found: u32,
        /// The latest known here.
        known: u32,
    },
    /// There is a journal where one was to be created.
    #[error("'{0}' exists already; a node's vote history is never overwritten")]
    JournalExists(PathBuf),
    /// A key without its vote history.
    #[error(
        "'{0}' is missing: without its complete vote history this node must abstain; restore the file, or start under \
         a new key"
    )]
    JournalMissing(PathBuf),
    /// The vote history is damaged other than at its end.
    #[error(
        "'{path}' is damaged at byte {offset} ({reason}): without its complete vote history this node must abstain; \
         restore the file, or start under a new key"
    )]
    JournalDamaged {
        /// The journal's file.
        path: PathBuf,
        /// Where, in bytes from the start.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A write or sync of the journal failed before; what is on disk is uncertain.
    #[error(
        "an earlier write to '{0}' failed, nothing may be signed any more; restart the node once the disk works"
    )]
    JournalPoisoned(PathBuf),
    /// A record that does not fit.
    #[error("a record of {size} bytes for {place} exceeds document_bytes = {limit}")]
    RecordTooLarge {
        /// Table or file.
        place: &'static str,
        /// The record's size in bytes.
        size: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The database does not hold what it must.
    #[error(
        "the database '{path}' is damaged: {reason}; it has to be set aside and rebuilt from peers or Git"
    )]
    Damaged {
        /// The database's directory.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The database failed at run time: disk full, input/output error.
    #[error(
        "the database '{path}' failed: {reason}; check the disk's space and health, then restart the node"
    )]
    Database {
        /// The database's directory.
        path: PathBuf,
        /// The database's own words.
        reason: String,
    },
    /// A write of the database failed before; what is on disk is uncertain.
    #[error(
        "an earlier write to the database '{0}' failed, nothing more is written; restart the node"
    )]
    Poisoned(PathBuf),
    /// Certifying, or opening again, what is certified.
    #[error("subject {subject} is certified already, as log entry {sequence}; nothing was written")]
    AlreadyCertified {
        /// The subject that is certified.
        subject: SubjectId,
        /// Its place in the log.
        sequence: u64,
    },
    /// A row refers to an event that is neither stored nor written with it.
    #[error("event {0} is referred to and not stored; nothing was written")]
    EventMissing(ContentDigest),
    /// A row refers to a batch, or an index in one, that is neither stored nor written with it.
    #[error("batch {root} of {signer} has no statement {index} in storage; nothing was written")]
    BatchMissing {
        /// The node that signed the batch.
        signer: NodeId,
        /// The batch's root.
        root: ssid_protocol::id::MerkleHash,
        /// The statement's index in the batch, from 0.
        index: u32,
    },
    /// A consensus record for a log entry that does not exist.
    #[error("log entry {0} does not exist; nothing was written")]
    NoLogEntry(u64),
}

impl StorageError {
    /// Whether the node can no longer promise that what it signs or acknowledges is on disk: it
    /// must stop voting. The others refuse one call, or the start.
    ///
    /// ```
    /// use ssid_storage::StorageError;
    ///
    /// assert!(StorageError::Poisoned("db".into()).is_fatal());
    /// assert!(!StorageError::NoLogEntry(7).is_fatal());
    /// ```
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Io(_)
                | Self::JournalPoisoned(_)
                | Self::Damaged { .. }
                | Self::Database { .. }
                | Self::Poisoned(_)
        )
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
