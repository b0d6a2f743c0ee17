//! Reading what is known of members: trust, peers and their logs, evidence, Git branches.

use ssid_protocol::evidence::EvidenceSlot;
use ssid_protocol::id::NodeId;
use ssid_protocol::trust::TrustChange;

use super::Store;
use crate::error::StorageError;
use crate::rows::{Cursor, EvidenceRow, PeerRow, RewrittenRow};
use crate::tables;

impl Store {
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
}
