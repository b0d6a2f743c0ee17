//! What one write changes: all of it, or nothing.

use ssid_protocol::event::Event;
use ssid_protocol::evidence::{EvidenceSlot, Signed};
use ssid_protocol::id::{Epoch, ManifestHash, NodeId, Sha256Hash, SubjectId};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::TrustChange;

use crate::epochs::{CloseRow, EpochRow, LockRow, ProposalRow};
use crate::rows::{
    AnchorRow, ConflictRow, Cursor, DecisionRow, DivergenceRow, EvidenceRow, LogEntry, OpenSubject,
    OutboxKey, OutboxRow, OwnLineRow, PeerRow, RewrittenRow, StoredBatchRow,
};
use crate::store::LogHead;

/// A subject that becomes certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certificate by reference. Its event and batches are stored already or are in the same
    /// [`Changes`].
    pub entry: LogEntry,
    /// This node's account of it.
    pub record: ConsensusRecord,
}

/// One atomic write. A row that is there already with the same content costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Events to remember, found by digest and by event hash.
    pub events: Vec<Event>,
    /// Batches that the rows below, or later ones, refer to.
    pub batches: Vec<StoredBatchRow>,
    /// Subjects being voted on, new or changed.
    pub open_subjects: Vec<OpenSubject>,
    /// Open subjects dropped at a limit, and their conflicts.
    pub dropped_subjects: Vec<SubjectId>,
    /// Subjects certified, appended to the log in this order; they are no longer open nor in
    /// conflict.
    pub certified: Vec<Certified>,
    /// Consensus records replaced, by log entry: observations that came late.
    pub records: Vec<(u64, ConsensusRecord)>,
    /// Rows appended to the trust ledger.
    pub trust: Vec<TrustChange>,
    /// Peers, new or changed.
    pub peers: Vec<(NodeId, PeerRow)>,
    /// How far peers' logs have been read: the next sequence number to ask for.
    pub cursors: Vec<(Cursor, u64)>,
    /// Subjects that came into conflict; those that are certified, also by this write, are left
    /// out.
    pub conflicts: Vec<(SubjectId, ConflictRow)>,
    /// Subjects no longer in conflict though not certified: they are not open any more.
    pub conflicts_ended: Vec<SubjectId>,
    /// Evidence of equivocation, by what it suffices for.
    pub evidence: Vec<(EvidenceSlot, EvidenceRow)>,
    /// All that is kept of members' Git histories that are gone, oldest first, in place of what
    /// was.
    pub rewritten: Vec<(NodeId, Vec<RewrittenRow>)>,
    /// Whether the own registry file is read anew: its lines are forgotten before those below are
    /// put.
    pub own_lines_forgotten: bool,
    /// Lines of the own registry file, by subject; `None` removes one.
    pub own_lines: Vec<(SubjectId, Option<OwnLineRow>)>,
    /// Subjects to be announced, by their place; `None` removes one.
    pub own_order: Vec<(u64, Option<SubjectId>)>,
    /// Decisions that the own registry contradicts.
    pub divergences: Vec<(SubjectId, DivergenceRow)>,
    /// Events offered while nothing could be signed; `None` removes one.
    pub kept_offers: Vec<(SubjectId, Option<Event>)>,
    /// All that is kept of the operator's decisions about a subject, oldest first, in place of what
    /// was.
    pub decisions: Vec<(SubjectId, Vec<DecisionRow>)>,
    /// Things that must leave the node.
    pub outbox: Vec<OutboxRow>,
    /// Things that have left.
    pub outbox_done: Vec<OutboxKey>,
    /// Documents anchored, by SHA-256.
    pub anchors: Vec<(Sha256Hash, AnchorRow)>,
    /// Epochs that are known from now on.
    pub epochs: Vec<(Epoch, EpochRow)>,
    /// The epoch that is entered.
    pub entered: Option<Epoch>,
    /// Proposed manifests; `None` removes one.
    pub proposals: Vec<(ManifestHash, Option<ProposalRow>)>,
    /// Closes to serve, by epoch and closer; `None` removes one.
    pub closes: Vec<((Epoch, NodeId), Option<CloseRow>)>,
    /// Closes that this node confirms, by epoch and closer; `None` removes one.
    pub confirmed: Vec<((Epoch, NodeId), Option<Signed>)>,
    /// Locks of earlier epochs, by subject; `None` removes one.
    pub inherited: Vec<(SubjectId, Option<LockRow>)>,
    /// The voting key that the database belongs to from now on, in place of one that it follows: it
    /// opens for that key only.
    pub owner: Option<NodeId>,
    /// [`Journal::sequence`](crate::Journal::sequence) as of now. A journal that is shorter later
    /// was rolled back.
    pub journal_sequence: Option<u64>,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Log sequence number of the first of [`Changes::certified`]; the log's size if there were
    /// none.
    pub first_sequence: u64,
    /// Keys of [`Changes::outbox`], in order.
    pub outbox: Vec<OutboxKey>,
    /// The log now.
    pub head: LogHead,
}
