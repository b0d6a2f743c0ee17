//! Reading what the node remembers: a cheap handle that any thread may clone and use while the
//! writer writes.
//!
//! Rows of one call may straddle a write, except where it says otherwise: what is joined (log,
//! events, batches, Merkle tiles) only grows, and the log head is shown after it is synced.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ssid_protocol::event::Event;
use ssid_protocol::evidence::EvidenceSlot;
use ssid_protocol::heartbeat::CertifiedDigest;
use ssid_protocol::id::{
    Choice, ContentDigest, Epoch, EventHash, FederationId, LogId, MerkleHash, NodeId, Sha256Hash,
    SubjectId,
};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::TrustChange;

use crate::database::Database;
use crate::error::StorageError;
use crate::hooks::Hooks;
use crate::open::{self, SetAside};
use crate::rows::{
    AnchorRow, ConflictRow, Cursor, DecisionRow, DivergenceRow, EpochRow, EvidenceRow, LogEntry,
    OpenSubject, OutboxKey, OutboxRow, OwnLineRow, PeerRow, RewrittenRow, SubjectState,
};
use crate::tables;
use crate::writer::Writer;

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

    /// The event with this digest.
    ///
    /// # Errors
    /// If the database fails or is damaged; so for every method below.
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

    /// Trust changes of one member in the order they were written.
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
    /// use ssid_protocol::id::UnixMillis;
    /// use ssid_protocol::trust::{TrustChange, TrustReason, TrustRules};
    ///
    /// let member = testing::key(1).node_id();
    /// let change = |reason: TrustReason| TrustChange {
    ///     member,
    ///     reason,
    ///     points: reason.points(),
    ///     at: UnixMillis(1_760_000_000_000),
    ///     origin: None,
    ///     reference: String::new(),
    ///     note: None,
    /// };
    /// writer.write(Changes {
    ///     trust: vec![change(TrustReason::Agreement), change(TrustReason::SyncFailed)],
    ///     ..Changes::default()
    /// })?;
    /// let changes = store.trust_of(&member)?;
    /// assert_eq!(TrustRules::default().score(&changes), 50 + 2 - 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trust_of(&self, member: &NodeId) -> Result<Vec<TrustChange>, StorageError> {
        let rows = tables::TRUST.from(self.database(), &(*member, 0));
        let own = rows.take_while(|row| !matches!(row, Ok(((of, _), _)) if of != member));
        own.map(|row| Ok(row?.1)).collect()
    }

    /// All trust changes with their place in the ledger, member by member, each member's in the
    /// order written.
    pub fn trust(&self) -> impl Iterator<Item = Result<(u64, TrustChange), StorageError>> + '_ {
        tables::TRUST
            .all(self.database())
            .map(|row| row.map(|((_, place), change)| (place, change)))
    }

    /// Returns what is kept of a peer.
    pub fn peer(&self, node: &NodeId) -> Result<Option<PeerRow>, StorageError> {
        tables::PEERS.get(self.database(), node)
    }

    /// All peers in order of id.
    pub fn peers(&self) -> Result<Vec<(NodeId, PeerRow)>, StorageError> {
        tables::PEERS.all(self.database()).collect()
    }

    /// The next sequence number to ask for of a peer's log; 0 if nothing was read yet.
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
    /// use ssid_storage::Cursor;
    ///
    /// let cursor = Cursor {
    ///     peer: testing::key(1).node_id(),
    ///     log_id: LogId([5; 32]),
    /// };
    /// assert_eq!(store.cursor(&cursor)?, 0);
    /// writer.write(Changes {
    ///     cursors: vec![(cursor, 40)],
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.cursor(&cursor)?, 40);
    ///
    /// // a peer that began a new log is read from the start, and its old log is forgotten
    /// let anew = Cursor {
    ///     log_id: LogId([6; 32]),
    ///     ..cursor
    /// };
    /// writer.write(Changes {
    ///     cursors: vec![(anew, 3)],
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.cursors()?, [(anew, 3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cursor(&self, cursor: &Cursor) -> Result<u64, StorageError> {
        Ok(tables::CURSORS.get(self.database(), cursor)?.unwrap_or(0))
    }

    /// How far each peer's log has been read, in order of peer.
    pub fn cursors(&self) -> Result<Vec<(Cursor, u64)>, StorageError> {
        tables::CURSORS.all(self.database()).collect()
    }

    /// Subjects in conflict in order of id.
    pub fn conflicts(&self) -> Result<Vec<(SubjectId, ConflictRow)>, StorageError> {
        tables::CONFLICTS.all(self.database()).collect()
    }

    /// Outbox rows of one kind, oldest first, at most `limit`.
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
    /// use ssid_storage::OutboxRow;
    ///
    /// let row = |payload: &[u8]| OutboxRow {
    ///     kind: 1,
    ///     payload: payload.to_vec(),
    /// };
    /// let written = writer.write(Changes {
    ///     outbox: vec![row(b"first"), row(b"second"), row(b"third")],
    ///     ..Changes::default()
    /// })?;
    /// let page = store.outbox(1, 2)?;
    /// assert_eq!(page, [(written.outbox[0], row(b"first")), (written.outbox[1], row(b"second"))]);
    ///
    /// // what has left is taken out; a key is never given twice
    /// writer.write(Changes {
    ///     outbox_done: page.into_iter().map(|(key, _)| key).collect(),
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.outbox(1, 2)?, [(written.outbox[2], row(b"third"))]);
    /// assert!(store.outbox(2, 2)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outbox(
        &self,
        kind: u8,
        limit: usize,
    ) -> Result<Vec<(OutboxKey, OutboxRow)>, StorageError> {
        let rows = tables::OUTBOX.from(self.database(), &OutboxKey { kind, counter: 0 });
        rows.take_while(|row| !matches!(row, Ok((key, _)) if key.kind != kind))
            .take(limit)
            .collect()
    }

    /// All evidence, member by member.
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
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::evidence::{Evidence, Signed};
    /// use ssid_protocol::id::UnixMillis;
    /// use ssid_storage::EvidenceRow;
    ///
    /// // two heartbeats of one node that name different logs of one length
    /// let signed = |number| {
    ///     let heartbeat = Statements::Heartbeat(Box::new(testing::heartbeat(number)));
    ///     let batch = VerifiedBatch::sign(&testing::key(1), &owner.federation, heartbeat);
    ///     Signed::of(&batch.unwrap(), 0).unwrap()
    /// };
    /// let evidence = Evidence::of_statements(owner.federation, signed(1), signed(2));
    /// let slot = evidence.slot();
    /// let row = EvidenceRow {
    ///     evidence,
    ///     at: UnixMillis(1_760_000_000_000),
    ///     from: None,
    /// };
    /// writer.write(Changes {
    ///     evidence: vec![(slot, row.clone())],
    ///     ..Changes::default()
    /// })?;
    /// let found = store.evidence().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(found, [(slot, row)]);
    /// assert_eq!(slot.member, testing::key(1).node_id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evidence(
        &self,
    ) -> impl Iterator<Item = Result<(EvidenceSlot, EvidenceRow), StorageError>> + '_ {
        tables::EVIDENCE.all(self.database())
    }

    /// Histories of Git branches that are gone, by member, each member's oldest first.
    pub fn rewritten(&self) -> Result<Vec<(NodeId, Vec<RewrittenRow>)>, StorageError> {
        tables::REWRITTEN.all(self.database()).collect()
    }

    /// Histories of one member's Git branch that are gone, oldest first.
    pub fn rewritten_of(&self, member: &NodeId) -> Result<Vec<RewrittenRow>, StorageError> {
        Ok(tables::REWRITTEN
            .get(self.database(), member)?
            .unwrap_or_default())
    }

    /// The first line of the own registry file that names this subject, while it is undecided.
    pub fn own_line(&self, subject: &SubjectId) -> Result<Option<OwnLineRow>, StorageError> {
        tables::OWN_LINES.get(self.database(), subject)
    }

    /// Lines that are to be announced, in order of the file, at most `limit` from this place on.
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
    /// use ssid_protocol::id::SubjectId;
    ///
    /// writer.write(Changes {
    ///     own_order: (0..5).map(|place| (place, Some(SubjectId([place as u8; 32])))).collect(),
    ///     ..Changes::default()
    /// })?;
    /// // page by page: the next begins behind the last place of the one before
    /// let first = store.own_order(0, 3)?;
    /// let second = store.own_order(first[2].0 + 1, 3)?;
    /// assert_eq!(first.len(), 3);
    /// assert_eq!(second, [(3, SubjectId([3; 32])), (4, SubjectId([4; 32]))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn own_order(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, SubjectId)>, StorageError> {
        tables::OWN_ORDER
            .from(self.database(), &from)
            .take(limit)
            .collect()
    }

    /// What the own registry says against a decision, if that was found when it could no longer be
    /// voted for.
    pub fn divergence(&self, subject: &SubjectId) -> Result<Option<DivergenceRow>, StorageError> {
        tables::DIVERGENCES.get(self.database(), subject)
    }

    /// All divergences in order of subject id.
    pub fn divergences(
        &self,
    ) -> impl Iterator<Item = Result<(SubjectId, DivergenceRow), StorageError>> + '_ {
        tables::DIVERGENCES.all(self.database())
    }

    /// Events offered while nothing could be signed.
    pub fn kept_offers(
        &self,
    ) -> impl Iterator<Item = Result<(SubjectId, Event), StorageError>> + '_ {
        tables::KEPT_OFFERS.all(self.database())
    }

    /// What this node's operator decided about a subject, oldest first.
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
    /// use ssid_protocol::id::{SubjectId, UnixMillis};
    /// use ssid_storage::{DecisionRow, NoteKind};
    ///
    /// let subject = SubjectId([3; 32]);
    /// let row = DecisionRow {
    ///     at: UnixMillis(1_760_000_000_000),
    ///     kind: NoteKind::Endorse,
    ///     choice: testing::event("blueprint_tagged", "v1").choice(),
    ///     by: "anna".to_owned(),
    ///     reason: "checked against the tag".to_owned(),
    /// };
    /// writer.write(Changes {
    ///     decisions: vec![(subject, vec![row.clone()])],
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.decisions_of(&subject)?, [row]);
    /// assert!(store.decisions_of(&SubjectId([4; 32]))?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decisions_of(&self, subject: &SubjectId) -> Result<Vec<DecisionRow>, StorageError> {
        Ok(tables::DECISIONS
            .get(self.database(), subject)?
            .unwrap_or_default())
    }

    /// All anchored documents.
    pub fn anchors(
        &self,
    ) -> impl Iterator<Item = Result<(Sha256Hash, AnchorRow), StorageError>> + '_ {
        tables::ANCHORS.all(self.database())
    }

    /// Returns an epoch that the node entered.
    pub fn epoch(&self, epoch: Epoch) -> Result<Option<EpochRow>, StorageError> {
        tables::EPOCHS.get(self.database(), &epoch)
    }

    /// Epochs from this one on, in order.
    pub fn epochs(
        &self,
        from: Epoch,
    ) -> impl Iterator<Item = Result<(Epoch, EpochRow), StorageError>> + '_ {
        tables::EPOCHS.from(self.database(), &from)
    }

    /// Bytes that the database takes on disk.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        self.database().disk_bytes()
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
