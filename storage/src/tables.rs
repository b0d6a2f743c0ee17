//! The schema: every table, its key and its value. Keys are big-endian, so that ranges are scans.
//!
//! All tables live in one sled tree, each under a prefix byte: one `Batch` is atomic within a tree
//! and cheap, while a transaction over twenty trees locks each of them, runs a closure that may be
//! retried, and is slower by far.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{EvidenceSlot, Signed};
use ssid_protocol::id::{
    Choice, ContentDigest, Epoch, ManifestHash, MerkleHash, NodeId, Sha256Hash, Signature,
    SubjectId,
};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::TrustChange;

use crate::codec::{self, Refusal};
use crate::database::Database;
use crate::epochs::{CloseRow, EpochRow, LockRow, ProposalRow};
use crate::error::StorageError;
use crate::keys::Key;
use crate::rows::{
    AnchorRow, BatchKey, ConflictRow, Cursor, DecisionRow, DivergenceRow, EvidenceRow, LogEntry,
    OpenSubject, OutboxKey, OutboxRow, OwnLineRow, PeerRow, RewrittenRow,
};
use crate::tally::State;

/// Who owns the database and which log it holds: one row, written first.
pub(crate) const IDENTITY: Table<(), crate::open::Identity> = Table::new(0x01, "identity");
/// What the writer counts: one row, part of every write.
pub(crate) const STATE: Table<(), State> = Table::new(STATE_PREFIX, "state");
/// Events by content digest.
pub(crate) const EVENTS: Table<ContentDigest, Event> = Table::new(0x10, "events");
/// Which choices have an event hash; there for lookups by its first digits.
pub(crate) const HASHES: Table<Choice, ()> = Table::new(0x11, "hashes");
/// Subjects being voted on. Apart from the certified ones, so that listing them costs what is open,
/// not the history.
pub(crate) const OPEN: Table<SubjectId, OpenSubject> = Table::new(0x12, "open");
/// Certified subjects and their place in the log.
pub(crate) const CERTIFIED: Table<SubjectId, u64> = Table::new(0x13, "certified");
/// Signatures of batches.
pub(crate) const BATCHES: Table<BatchKey, (Signature, u32)> = Table::new(0x14, "batches");
/// Leaf hashes of batches, [`LEAVES_PER_ROW`] a row; sled copies 16 neighbours at once, so rows
/// stay small.
pub(crate) const LEAVES: Table<(BatchKey, u8), Vec<MerkleHash>> = Table::new(0x15, "leaves");
/// The certified log.
pub(crate) const LOG: Table<u64, LogEntry> = Table::new(LOG_PREFIX, "log");
/// This node's account of each log entry.
pub(crate) const RECORDS: Table<u64, ConsensusRecord> = Table::new(0x17, "records");
/// Nodes of the log's Merkle tree (level, tile), see `tiles`.
pub(crate) const MERKLE: Table<(u8, u64), Vec<MerkleHash>> = Table::new(0x18, "merkle");
/// The trust ledger by member, then order.
pub(crate) const TRUST: Table<(NodeId, u64), TrustChange> = Table::new(0x19, "trust");
/// What is kept of peers, by node id.
pub(crate) const PEERS: Table<NodeId, PeerRow> = Table::new(0x1a, "peers");
/// How far peers' logs have been read; one row a peer.
pub(crate) const CURSORS: Table<Cursor, u64> = Table::new(0x1b, "cursors");
/// Subjects in conflict.
pub(crate) const CONFLICTS: Table<SubjectId, ConflictRow> = Table::new(0x1c, "conflicts");
/// Evidence, by whose, of what kind and of which epoch it is.
pub(crate) const EVIDENCE: Table<EvidenceSlot, EvidenceRow> = Table::new(0x1d, "evidence");
/// What must leave the node.
pub(crate) const OUTBOX: Table<OutboxKey, OutboxRow> = Table::new(0x1e, "outbox");
/// Documents anchored outside.
pub(crate) const ANCHORS: Table<Sha256Hash, AnchorRow> = Table::new(0x1f, "anchors");
/// Manifests and their certificates.
pub(crate) const EPOCHS: Table<Epoch, EpochRow> = Table::new(0x20, "epochs");
/// Histories of members' Git branches that are gone, oldest first.
pub(crate) const REWRITTEN: Table<NodeId, Vec<RewrittenRow>> = Table::new(0x21, "rewritten");
/// The own registry file's undecided subjects, each with the first line that names it; made anew
/// with every reading.
pub(crate) const OWN_LINES: Table<SubjectId, OwnLineRow> = Table::new(0x22, "own_lines");
/// Those of them that are to be announced, in order of the file.
pub(crate) const OWN_ORDER: Table<u64, SubjectId> = Table::new(0x23, "own_order");
/// Decisions that the own registry contradicts.
pub(crate) const DIVERGENCES: Table<SubjectId, DivergenceRow> = Table::new(0x24, "divergences");
/// Events offered while nothing could be signed.
pub(crate) const KEPT_OFFERS: Table<SubjectId, Event> = Table::new(0x25, "kept_offers");
/// What this node's operator decided, by subject, oldest first.
pub(crate) const DECISIONS: Table<SubjectId, Vec<DecisionRow>> = Table::new(0x26, "decisions");
/// Proposed manifests.
pub(crate) const PROPOSALS: Table<ManifestHash, ProposalRow> = Table::new(0x27, "proposals");
/// Closes that are served, by epoch and closer.
pub(crate) const CLOSES: Table<(Epoch, NodeId), CloseRow> = Table::new(0x28, "closes");
/// Locks of earlier epochs.
pub(crate) const INHERITED: Table<SubjectId, LockRow> = Table::new(0x29, "inherited");
/// The epoch that this node has entered: one row, none in epoch 0.
pub(crate) const ENTERED: Table<(), Epoch> = Table::new(0x2a, "entered");
/// Closes that this node has confirmed, by epoch and closer.
pub(crate) const CONFIRMED: Table<(Epoch, NodeId), Signed> = Table::new(0x2b, "confirmed");

/// Leaf hashes in one row of [`LEAVES`]; 32 rows hold a batch of 4096.
pub(crate) const LEAVES_PER_ROW: usize = 128;
/// Prefix of [`LOG`].
pub(crate) const LOG_PREFIX: u8 = 0x16;
/// Prefix of [`STATE`], the one row that the tallies leave out.
pub(crate) const STATE_PREFIX: u8 = 0x02;

/// Name of the table with this prefix byte.
pub(crate) fn name_of(prefix: u8) -> &'static str {
    const NAMES: [&str; 28] = [
        "events",
        "hashes",
        "open",
        "certified",
        "batches",
        "leaves",
        "log",
        "records",
        "merkle",
        "trust",
        "peers",
        "cursors",
        "conflicts",
        "evidence",
        "outbox",
        "anchors",
        "epochs",
        "rewritten",
        "own_lines",
        "own_order",
        "divergences",
        "kept_offers",
        "decisions",
        "proposals",
        "closes",
        "inherited",
        "entered",
        "confirmed",
    ];
    match prefix {
        0x01 => "identity",
        0x02 => "state",
        0x10.. => NAMES
            .get(usize::from(prefix - 0x10))
            .copied()
            .unwrap_or("unknown"),
        _ => "unknown",
    }
}

/// One table: what its keys and values are.
pub(crate) struct Table<K, V> {
    prefix: u8,
    name: &'static str,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    const fn new(prefix: u8, name: &'static str) -> Self {
        Self {
            prefix,
            name,
            types: PhantomData,
        }
    }

    /// The bytes under which a row stands.
    pub(crate) fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = vec![self.prefix];
        key.write(&mut bytes);
        bytes
    }

    /// The bytes of a row.
    pub(crate) fn value(&self, value: &V) -> Result<Vec<u8>, StorageError> {
        codec::encode(self.name, value)
    }

    /// The row under `key`.
    pub(crate) fn get(&self, database: &Database, key: &K) -> Result<Option<V>, StorageError> {
        let Some(bytes) = database.get(&self.key(key))? else {
            return Ok(None);
        };
        self.decode(database, &bytes).map(Some)
    }

    /// Whether there is a row under `key`.
    pub(crate) fn has(&self, database: &Database, key: &K) -> Result<bool, StorageError> {
        Ok(database.get(&self.key(key))?.is_some())
    }

    /// All rows in order of key.
    pub(crate) fn all<'a>(
        &'a self,
        database: &'a Database,
    ) -> impl Iterator<Item = Result<(K, V), StorageError>> + 'a {
        self.rows(database, vec![self.prefix], vec![self.prefix + 1])
    }

    /// The rows from `key` on, in order of key.
    pub(crate) fn from<'a>(
        &'a self,
        database: &'a Database,
        key: &K,
    ) -> impl Iterator<Item = Result<(K, V), StorageError>> + use<'a, K, V> {
        self.rows(database, self.key(key), vec![self.prefix + 1])
    }

    /// The rows before `key`, last first.
    pub(crate) fn before<'a>(
        &'a self,
        database: &'a Database,
        key: &K,
    ) -> impl Iterator<Item = Result<(K, V), StorageError>> + use<'a, K, V> {
        let rows = database.range(vec![self.prefix], self.key(key)).reversed();
        rows.map(move |row| self.parse(database, &row?))
    }

    fn rows<'a>(
        &'a self,
        database: &'a Database,
        from: Vec<u8>,
        to: Vec<u8>,
    ) -> impl Iterator<Item = Result<(K, V), StorageError>> + use<'a, K, V> {
        database
            .range(from, to)
            .map(move |row| self.parse(database, &row?))
    }

    fn parse(
        &self,
        database: &Database,
        (key, value): &(sled::IVec, sled::IVec),
    ) -> Result<(K, V), StorageError> {
        let key = key.get(1..).and_then(K::parse).ok_or_else(|| {
            StorageError::damaged(
                database.path(),
                format!("table `{}` has an impossible key", self.name),
            )
        })?;
        Ok((key, self.decode(database, value)?))
    }

    fn decode(&self, database: &Database, bytes: &[u8]) -> Result<V, StorageError> {
        codec::decode(bytes).map_err(|refusal| match refusal {
            Refusal::Newer(found) => StorageError::NewerFormat {
                place: format!("table `{}` in '{}'", self.name, database.path().display()),
                found: found.into(),
                known: codec::FORMAT.into(),
            },
            Refusal::Malformed(why) => StorageError::damaged(
                database.path(),
                format!("a row of table `{}` is unreadable: {why}", self.name),
            ),
        })
    }
}
