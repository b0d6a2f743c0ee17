//! Members and how they change, as the API shows them.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Epoch, ManifestHash, NodeId};

use super::NamedNode;

/// Who counts now, and what is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipView {
    /// The epoch that this node is in.
    pub epoch: Epoch,
    /// The hash of its manifest.
    pub manifest_hash: ManifestHash,
    /// How many vote.
    pub voters: u64,
    /// Each of them.
    pub voter_list: Vec<NamedNode>,
    /// The weight that decides.
    pub quorum: u64,
    /// The weight that may lie.
    pub tolerated_weight: u64,
    /// How many may be away, whoever they are.
    pub may_fail: u64,
    /// The change that is decided and not in force here yet; `null` if there is none.
    pub change: Option<ChangeView>,
    /// What is proposed.
    pub proposals: Vec<ProposalView>,
}

/// How far this node is on its way into the next epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// The epoch that ends.
    pub ending_epoch: Epoch,
    /// The hash of the manifest that comes into force.
    pub manifest_hash: ManifestHash,
    /// Whose closes this node holds, and whether it has counted them.
    pub closes: Vec<CloseView>,
}

/// One voter's close of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseView {
    /// Whose it is.
    pub node_id: NodeId,
    /// Whether all that it names is here.
    pub counted: bool,
    /// How many nodes say that a quorum of the next epoch's voters counted it.
    pub confirmed_by: u64,
}

/// A proposed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// Its hash.
    pub manifest_hash: ManifestHash,
    /// The epoch that it would begin.
    pub epoch: Epoch,
    /// When it was drawn up.
    pub created_at: String,
    /// Why, in its proposer's words.
    pub reason: String,
    /// What it changes and what follows from that, a line each.
    pub consequences: Vec<String>,
    /// When it can be approved no more.
    pub expires_at: String,
    /// Keys that take the place of others: whoever approves it confirms each whose former key did not
    /// sign that.
    pub replaced_keys: Vec<ReplacedKeyView>,
    /// Who votes for it, in the current round.
    pub approved_by: Vec<NodeId>,
    /// Who votes for nothing, or for another.
    pub refused_by: Vec<NodeId>,
    /// Who has not voted.
    pub waits_for: Vec<NodeId>,
    /// Its new voters that have not said to be ready: until they do it is not voted for, unless that
    /// is waived.
    pub not_ready: Vec<NamedNode>,
    /// Whether this node's operator has approved it.
    pub approved_here: bool,
    /// The manifest, where one proposal is asked for; `null` in lists.
    pub manifest: Option<serde_json::Value>,
}

/// A voting key that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedKeyView {
    /// The new key.
    pub node_id: NodeId,
    /// The key that is given up.
    pub former_node_id: NodeId,
    /// What the member is called.
    pub node_name: String,
    /// Whether the former key signed for it; if not, it is lost, or somebody says so.
    pub handed_over: bool,
}

/// What a proposal would do, or has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedView {
    /// The hash of the manifest.
    pub manifest_hash: ManifestHash,
    /// The epoch that it would begin.
    pub epoch: Epoch,
    /// When it can be approved no more.
    pub expires_at: String,
    /// Keys that take the place of others: whoever approves it confirms each whose former key did not
    /// sign that.
    pub replaced_keys: Vec<ReplacedKeyView>,
    /// Whether nothing was announced, because only its consequences were asked for.
    pub dry_run: bool,
    /// What it changes and what follows from that, a line each.
    pub consequences: Vec<String>,
}

/// An epoch that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochView {
    /// Its number.
    pub epoch: Epoch,
    /// The hash of its manifest.
    pub manifest_hash: ManifestHash,
    /// When that was drawn up.
    pub created_at: String,
    /// Why; empty for the first.
    pub reason: String,
    /// How many vote.
    pub voters: u64,
    /// The weight that decides.
    pub quorum: u64,
    /// What changed with it, a line each; nothing for the first.
    pub consequences: Vec<String>,
    /// Whose precommits decided it, of the epoch before; nobody for the first.
    pub decided_by: Vec<NamedNode>,
    /// Its manifest, where one epoch is asked for; `null` in lists.
    pub manifest: Option<serde_json::Value>,
}
