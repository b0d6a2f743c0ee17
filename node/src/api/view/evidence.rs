//! `/v1/evidence`: who contradicted itself, with the document that proves it to anyone.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssid_protocol::id::{Epoch, EvidenceId};

use super::NamedNode;

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// Its name.
    pub id: EvidenceId,
    /// What about: `event`, `vote`, `log_head`, `proposal`, `close` or `certificates`.
    pub kind: String,
    /// Who; `null` for two certificates of one subject.
    pub member: Option<NamedNode>,
    /// In which epoch; `null` for events and log heads.
    pub epoch: Option<Epoch>,
    /// Since when this node has it.
    pub at: String,
    /// Who told it; `null` if it saw both halves itself.
    pub told_by: Option<NamedNode>,
    /// What was signed, in words.
    pub what: String,
    /// The `ssid-evidence/1` document; `null` in lists.
    pub document: Option<Value>,
}
