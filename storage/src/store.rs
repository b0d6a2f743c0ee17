//! Reading what the node remembers: a cheap handle that any thread may clone and use while the
//! writer writes.
//!
//! Rows of one call may straddle a write, except where it says otherwise: what is joined (log,
//! events, batches, Merkle tiles) only grows, and the log head is shown after it is synced.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ssid_protocol::heartbeat::CertifiedDigest;
use ssid_protocol::id::{FederationId, LogId, MerkleHash, NodeId};

use crate::database::Database;
use crate::error::StorageError;
use crate::hooks::Hooks;
use crate::open::{self, SetAside};
use crate::writer::Writer;

mod log;
mod members;
mod own;

/// Whose data it is. Data of another owner is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The federation whose data it is.
    pub federation: FederationId,
    /// The node whose data it is.
    pub node: NodeId,
}

/// The certified log as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// This incarnation of the log.
    pub log_id: LogId,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over `event_hash ‖ content_digest` of the entries.
    pub root: MerkleHash,
}

/// What the writer shows to readers once it is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) head: LogHead,
    pub(crate) digest: CertifiedDigest,
    pub(crate) journal_sequence: u64,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    owner: Owner,
    shown: RwLock<Shown>,
}

/// A handle for reading; clones share one database.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Opens, or creates, `db` and `log.head` in `dir`, and checks every row of it. `new_log` is 32
    /// random bytes, the name of the log if it is created now.
    ///
    /// # Errors
    /// If another process has it open; it is of another federation or node, or of a newer version;
    /// [`StorageError::Damaged`] if rows are missing or changed; or if the operating system
    /// refuses.
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
    /// use ssid_storage::StorageError;
    ///
    /// let (store, writer) = Store::open(dir.path(), owner, LogId([1; 32]))?;
    /// drop((store, writer));
    ///
    /// // the log keeps the name of its first opening
    /// let (store, writer) = Store::open(dir.path(), owner, LogId([2; 32]))?;
    /// assert_eq!(store.log_head().log_id, LogId([1; 32]));
    /// drop((store, writer));
    ///
    /// let other = Owner {
    ///     federation: FederationId([8; 32]),
    ///     ..owner
    /// };
    /// let refused = Store::open(dir.path(), other, LogId([1; 32])).unwrap_err();
    /// assert!(matches!(refused, StorageError::OtherFederation { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: &Path, owner: Owner, new_log: LogId) -> Result<(Self, Writer), StorageError> {
        open::open(dir, owner, new_log, &Hooks::default())
    }

    /// As [`Self::open`], but a damaged database is moved to `db.damaged-<n>` and an empty one
    /// started, with a new log, to be filled from peers or Git.
    ///
    /// # Errors
    /// As [`Self::open`], without `Damaged`.
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
    /// drop(Store::open(dir.path(), owner, LogId([1; 32]))?);
    /// std::fs::remove_file(dir.path().join("log.head"))?;
    ///
    /// let (store, _writer, aside) = Store::open_or_set_aside(dir.path(), owner, LogId([2; 32]))?;
    /// let aside = aside.expect("without its head a database proves nothing");
    /// assert_eq!(aside.moved_to, dir.path().join("db.damaged-1"));
    /// assert_eq!(aside.reason, "log.head beside it is missing");
    /// assert_eq!(store.log_head().log_id, LogId([2; 32]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_or_set_aside(
        dir: &Path,
        owner: Owner,
        new_log: LogId,
    ) -> Result<(Self, Writer, Option<SetAside>), StorageError> {
        open::open_or_set_aside(dir, owner, new_log)
    }

    pub(crate) fn new(database: Database, owner: Owner, shown: Shown) -> Self {
        Self(Arc::new(Inner {
            database,
            owner,
            shown: RwLock::new(shown),
        }))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn show(&self, shown: Shown) {
        *self.0.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    fn shown(&self) -> Shown {
        *self.0.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose data it is.
    pub fn owner(&self) -> Owner {
        self.0.owner
    }

    /// The certified log as last written.
    pub fn log_head(&self) -> LogHead {
        self.shown().head
    }

    /// How many subjects are certified: the log's size.
    pub fn certified_count(&self) -> u64 {
        self.shown().head.size
    }

    /// Digest of the certified set (SPEC §10).
    pub fn certified_digest(&self) -> CertifiedDigest {
        self.shown().digest
    }

    /// The last [`Changes::journal_sequence`](crate::Changes::journal_sequence), 0 if there was
    /// none. It survives a set-aside. A journal whose sequence is less has lost records: the node
    /// must abstain.
    pub fn journal_sequence(&self) -> u64 {
        self.shown().journal_sequence
    }

    /// Bytes that the database takes on disk.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        self.database().disk_bytes()
    }
}
