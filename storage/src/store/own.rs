//! Reading what is this node's own: its registry file's lines, what it was offered, what its
//! operator decided, and what is to leave it.

use ssid_protocol::event::Event;
use ssid_protocol::id::{Sha256Hash, SubjectId};

use super::Store;
use crate::error::StorageError;
use crate::rows::{AnchorRow, DecisionRow, DivergenceRow, OutboxKey, OutboxRow, OwnLineRow};
use crate::tables;

impl Store {
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
}
