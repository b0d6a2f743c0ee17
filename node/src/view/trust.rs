//! `/v1/trust`: this node's ledger of points, each with its cause.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::NodeId;

/// A member's score, and for a single member how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustView {
    /// Member whose score it is.
    pub node_id: NodeId,
    /// What its operators call it.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
    /// The score, 0 to 100 unless the node is configured otherwise.
    pub trust_score: i32,
    /// `high`, `medium`, `low` or `very_low`.
    pub trust_label: String,
    /// Whether it is flagged for review: its score is below 50.
    pub needs_review: bool,
    /// What its band changes here, in words; empty if nothing.
    pub effects: Vec<String>,
    /// Every change in order; empty in lists.
    pub changes: Vec<TrustChangeView>,
    /// How points are counted on this node, and how often; empty in lists.
    pub rules: Vec<TrustRuleView>,
}

/// How one reason is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRuleView {
    /// Which, as one word.
    pub reason: String,
    /// How much each time.
    pub points: i32,
    /// How often it counts, in words.
    pub limit: String,
}

/// One change of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustChangeView {
    /// When, by this node's clock.
    pub at: String,
    /// Why, as one word.
    pub reason: String,
    /// By how many points the score changed.
    pub points: i32,
    /// The score after it.
    pub trust_score: i32,
    /// Who originated the event it is about, if it is about one.
    pub origin: Option<NodeId>,
    /// What it is about.
    pub reference: String,
    /// The same in words, where it is an event's subject that this node has certified.
    pub about: Option<String>,
    /// Who did it and why, if a person did.
    pub note: Option<TrustNoteView>,
}

/// Who changed a score by hand, and what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustNoteView {
    /// The name they gave, and the operating system's user.
    pub by: String,
    /// Their reason, in their own words.
    pub words: String,
}

/// `POST /v1/trust/{id}`: an operator changes a member's score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRequest {
    /// `boost`, +10, or `penalize`, −20.
    pub change: String,
    /// Why: 1 to 500 characters.
    pub reason: String,
    /// Who, where that is not who asks: at most 100 characters.
    pub by: Option<String>,
}
