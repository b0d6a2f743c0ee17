//! What stands in the tables: one type per kind of row. Keys and tables are in `tables`.

use serde::{Deserialize, Serialize};
use ssid_protocol::batch::{BatchProof, Kind, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::evidence::Evidence;
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{
    Choice, Epoch, LogId, MerkleHash, NodeId, Round, Sha256Hash, Signature, UnixMillis,
};
use ssid_protocol::subject::Subject;

use crate::journal::NoteKind;

/// The name of a stored batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchKey {
    /// Who signed it.
    pub signer: NodeId,
    /// What its statements are.
    pub kind: Kind,
    /// The signed root.
    pub root: MerkleHash,
}

/// One statement of a stored batch. The kind follows from where the reference stands: *events* for
/// a candidate's announcement, *votes* for a precommit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchRef {
    /// Who signed it.
    pub signer: NodeId,
    /// The batch's signed root.
    pub root: MerkleHash,
    /// The statement's place in the batch, from 0.
    pub index: u32,
}

/// Where the proof of a statement is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofRef {
    /// In a batch that is stored whole, once for all its statements.
    Batch(BatchRef),
    /// Here: it came alone, in a certificate or an answer from a peer, and its batch is not known.
    Alone(BatchProof),
}

impl ProofRef {
    /// Returns the node that signed the batch.
    pub fn signer(&self) -> NodeId {
        match self {
            Self::Batch(batch) => batch.signer,
            Self::Alone(proof) => proof.signer,
        }
    }
}

/// A batch to be stored: its signature and leaf hashes, from which the proof of each statement
/// follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatchRow {
    /// The name of the batch: its signer and root.
    pub key: BatchKey,
    /// The signature over its root.
    pub signature: Signature,
    /// Its leaf hashes in order, 1 to 4096.
    pub leaves: Vec<MerkleHash>,
}

impl From<&VerifiedBatch> for StoredBatchRow {
    fn from(batch: &VerifiedBatch) -> Self {
        let key = BatchKey {
            signer: batch.signer(),
            kind: batch.statements().kind(),
            root: batch.root(),
        };
        Self {
            key,
            signature: batch.batch().signature,
            leaves: batch.leaves().to_vec(),
        }
    }
}

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectState {
    /// Being voted on.
    Open(OpenSubject),
    /// Certified, with its place in the log.
    Certified {
        /// Its place in this node's log.
        sequence: u64,
    },
}

/// A subject being voted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSubject {
    /// What is voted on.
    pub subject: Subject,
    /// When this node first heard of it.
    pub first_seen: UnixMillis,
    /// The choices known, each with the proof that its origin announced it, if there is one.
    pub candidates: Vec<(Choice, Option<ProofRef>)>,
    /// Those of the candidates that were announced within minutes of their own timestamp.
    pub prompt: Vec<Choice>,
}

/// An entry of the certified log: a certificate by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// What was voted on.
    pub subject: Subject,
    /// The epoch whose voters signed.
    pub epoch: Epoch,
    /// The round in which it was decided.
    pub round: Round,
    /// The certified choice; its event is stored under its digest.
    pub choice: Choice,
    /// The quorum's precommits, statements of batches of votes.
    pub precommits: Vec<ProofRef>,
}

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Multiaddresses at which it was reached or that it named.
    pub addresses: Vec<String>,
    /// Since when this node knows it as a member, by its clock; 0 in rows of those that are none.
    pub known_since: UnixMillis,
    /// The last sign of life, by this node's clock.
    pub last_seen: UnixMillis,
    /// The sequence of its latest heartbeat; a heartbeat not greater is ignored (SPEC §10).
    pub last_sequence: u64,
    /// Its latest heartbeat.
    pub last_heartbeat: Option<Heartbeat>,
}

/// Names how far this node has read one incarnation of a peer's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The peer whose log it is a place in.
    pub peer: NodeId,
    /// The incarnation of its log.
    pub log_id: LogId,
}

/// A subject in conflict (SPEC §7 rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Since when, by this node's clock.
    pub since: UnixMillis,
    /// The round that failed.
    pub round: Round,
}

/// A line of the own registry file whose subject is undecided: the first that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLineRow {
    /// What it says.
    pub event: Event,
    /// Its place among the lines that are to be announced; `None` if it is not to be, or is no
    /// more.
    pub order: Option<u64>,
}

/// A decision that the own registry contradicts, found when it could no longer be voted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergenceRow {
    /// The decision's place in the log.
    pub sequence: u64,
    /// What was certified.
    pub certified: Choice,
    /// What the registry file has.
    pub own: Event,
    /// When it was found, by this node's clock.
    pub found_at: UnixMillis,
}

/// A piece of evidence, under what it suffices for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// The evidence, verified.
    pub evidence: Evidence,
    /// Since when this node has it, by its clock.
    pub at: UnixMillis,
    /// Who told; `None` if this node saw both halves itself.
    pub from: Option<NodeId>,
}

/// What this node's operator decided about a subject, who that was, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRow {
    /// When, by this node's clock.
    pub at: UnixMillis,
    /// What kind of decision.
    pub kind: NoteKind,
    /// The candidate that it is about.
    pub choice: Choice,
    /// The name they gave, and the operating system's user.
    pub by: String,
    /// Their reason; empty if they gave none.
    pub reason: String,
}

/// A history of a member's Git branch that is gone: seen by this node, signed by nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrittenRow {
    /// When it was seen, by this node's clock.
    pub seen_at: UnixMillis,
    /// Where the branch is. No secrets.
    pub remote: String,
    /// The commit that had been read last, in hex.
    pub was: String,
    /// The commit that was there instead, in hex.
    pub now: String,
}

/// The name of a row in the outbox. Never used again, also after the row is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey {
    /// What kind of delivery.
    pub kind: u8,
    /// In order of writing, over all kinds.
    pub counter: u64,
}

/// Something that must leave the node at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// What kind of delivery; the caller's numbering.
    pub kind: u8,
    /// What to deliver; the caller's encoding.
    pub payload: Vec<u8>,
}

/// A document anchored outside the federation, by the SHA-256 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorRow {
    /// The document's name or path.
    pub name: String,
    /// Its content identifier.
    pub cid: String,
    /// When it was anchored, by this node's clock.
    pub at: UnixMillis,
    /// Services that hold it.
    pub services: Vec<String>,
}

/// The key of [`AnchorRow`].
pub type AnchorKey = Sha256Hash;
