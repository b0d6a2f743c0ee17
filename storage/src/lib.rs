//! What an SSID node remembers, on one disk, as typed tables: the protocol's types go in and come
//! out, nobody outside handles bytes. Knows nothing of networks, clocks or tasks; every call blocks
//! until it is done.
//!
//! One data directory holds three things, in the order of how much their loss matters:
//!
//! | file | module | what it is | if it is lost |
//! |---|---|---|---|
//! | `votes.journal` | [`journal`] | everything this node signed and must not contradict (SPEC §7) | the node abstains |
//! | `log.head` | [`log_head`] | how much the database must hold at least (SPEC §11) | the database is set aside |
//! | `db/` | [`store`], [`writer`] | everything else, in sled | rebuilt from peers or Git |
//!
//! A write goes journal first ([`Journal::commit`]), then database and head ([`Writer::write`]),
//! and only then may anything be sent. Every record on disk begins with a format byte (see
//! `codec`).
//!
//! ```
//! use ssid_protocol::id::{FederationId, LogId};
//! use ssid_protocol::testing;
//! use ssid_storage::{Changes, Owner, Store};
//!
//! let dir = tempfile::tempdir()?;
//! let owner = Owner {
//!     federation: FederationId([7; 32]),
//!     node: testing::key(0).node_id(),
//! };
//! let (store, mut writer) = Store::open(dir.path(), owner, LogId([1; 32]))?;
//! assert_eq!(store.log_head().size, 0);
//!
//! let event = testing::event("blueprint_tagged", "v1");
//! let digest = event.choice().content_digest;
//! writer.write(Changes {
//!     events: vec![event.clone()],
//!     ..Changes::default()
//! })?;
//! assert_eq!(store.event(&digest)?, Some(event));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod certificates;
pub mod changes;
mod codec;
mod database;
pub mod epochs;
mod error;
mod hooks;
pub mod journal;
mod keys;
mod lock;
pub mod log_head;
mod open;
mod path_error;
mod proofs;
pub mod regular;
mod replace;
pub mod rows;
#[cfg(feature = "simulation")]
pub mod simulation;
mod staging;
pub mod store;
mod tables;
mod tally;
mod tiles;
pub mod writer;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use changes::{Certified, Changes, Written};
pub use epochs::{CloseRow, EpochRow, LockRow, ProposalRow};
pub use error::StorageError;
pub use journal::{Journal, JournalRecord, NoteKind, OperatorNote, Recovery};
pub use log_head::HeadState;
pub use open::SetAside;
pub use path_error::{PathContext, PathError};
pub use rows::{
    AnchorRow, BatchKey, BatchRef, ConflictRow, Cursor, DecisionRow, DivergenceRow, EvidenceRow,
    LogEntry, OpenSubject, OutboxKey, OutboxRow, OwnLineRow, PeerRow, ProofRef, RewrittenRow,
    StoredBatchRow, SubjectState,
};
pub use store::{LogHead, Owner, Store};
pub use writer::Writer;
