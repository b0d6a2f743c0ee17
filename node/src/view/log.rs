//! `/v1/log`: this node's certified log as a Merkle tree, with its proofs (RFC 9162).

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{
    ContentDigest, EventHash, FederationId, LogId, MerkleHash, NodeId, Signature, SubjectId,
};

/// The answer to `GET /v1/log/head`: the log's size and root now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHeadView {
    /// The name of this incarnation of the log.
    pub log_id: LogId,
    /// How many events it has.
    pub size: u64,
    /// RFC 6962 root over the entries.
    pub root: MerkleHash,
}

/// `GET /v1/log/signed-head`: the log's head as its node last signed it in a heartbeat (SPEC §10),
/// for third parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeadView {
    /// [`SIGNED_HEAD_FORMAT`], by which readers know the document.
    pub format: String,
    /// In which federation.
    pub federation_id: FederationId,
    /// Who signed it.
    pub node_id: NodeId,
    /// The heartbeat as it was signed; `log_id`, `log_size` and `log_root` are the head.
    pub heartbeat: serde_json::Value,
    /// Over the batch that is this one heartbeat.
    pub signature: Signature,
}

/// The `format` of every signed head.
pub const SIGNED_HEAD_FORMAT: &str = "ssid-log-head/1";

/// `GET /v1/log/proof?hash=`: an event is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// Hash of the certified event.
    pub event_hash: EventHash,
    /// Its content digest: the leaf is `event_hash ‖ content_digest`.
    pub content_digest: ContentDigest,
    /// What was voted on.
    pub subject_id: SubjectId,
    /// Its place in the log, from 0.
    pub sequence: u64,
    /// The log it is proven in.
    #[serde(flatten)]
    pub head: LogHeadView,
    /// The inclusion path.
    pub path: Vec<MerkleHash>,
}

/// `GET /v1/log/consistency?from=`: the log extends its own first `from` events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyView {
    /// The earlier size.
    pub from: u64,
    /// The root it had then.
    pub from_root: MerkleHash,
    /// The log now.
    #[serde(flatten)]
    pub head: LogHeadView,
    /// The consistency path.
    pub path: Vec<MerkleHash>,
}
