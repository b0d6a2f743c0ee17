//! `/v1/evidence`: who contradicted itself, with the document that proves it to anyone; and what
//! this node saw of members' Git branches, which nobody can prove.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssid_protocol::id::{Epoch, EvidenceId};

use super::NamedNode;

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// SHA-256 over its content: the same at every node.
    pub evidence_id: EvidenceId,
    /// What about: `event`, `vote`, `log_head`, `proposal`, `close` or `certificates`; or
    /// `rewritten_history`.
    pub kind: String,
    /// Whether the document proves it to anyone; not so of a `rewritten_history`, which this node
    /// saw and nobody signed.
    pub proven: bool,
    /// Who; `null` for two certificates of one subject.
    pub member: Option<NamedNode>,
    /// In which epoch; `null` for events, log heads and rewritten histories.
    pub epoch: Option<Epoch>,
    /// Since when this node has it.
    pub at: String,
    /// Who told it; `null` if it saw both halves itself.
    pub told_by: Option<NamedNode>,
    /// What was signed, or seen, in words.
    pub what: String,
    /// The `ssid-evidence/1` document, of a rewritten history `ssid-observation/1`; `null` in
    /// lists.
    pub document: Option<Value>,
}
