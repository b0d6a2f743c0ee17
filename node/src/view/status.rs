//! `GET /v1/status` and `/readyz`: the federation status block as data.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Epoch, FederationId, NodeId};
use ssid_protocol::member::Member;

use super::LogHeadView;

/// A member by id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedNode {
    /// Its voting key.
    pub node_id: NodeId,
    /// What its operators call it.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
}

impl NamedNode {
    /// A member, as a manifest names it.
    pub(crate) fn of(member: &Member) -> Self {
        Self {
            node_id: member.node_id,
            node_name: member.node_name.clone(),
            organization: member.organization.clone(),
        }
    }
}

/// This node's view of itself and its federation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// This node: id, name and software.
    pub node: NamedNode,
    /// Its role in the manifest: `coordinator`, `participant` or `observer`; `none` if it is no
    /// member.
    pub role: String,
    /// Program and version.
    pub software: String,
    /// Since when it runs.
    pub started_at: String,
    /// The federation, its epoch and who is in reach.
    pub federation: FederationStatus,
    /// How it is connected.
    pub transport: TransportStatus,
    /// Whether it can decide now.
    pub voting: VotingStatus,
    /// Whom this node has reason not to rely on.
    pub members: MembersStatus,
    /// Its certified log.
    pub log: LogHeadView,
    /// What has yet to leave this node.
    pub outbox: OutboxStatus,
    /// Counts of subjects, events and members.
    pub statistics: Statistics,
}

/// What waits because whoever it is for is busy, away or refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// Rows that wait to be anchored; 100 stands for that or more.
    pub anchors: u64,
    /// Notifications that wait or were given up; 100 as above.
    pub notifications: u64,
    /// Certified events that `advanced.webhook_on_consensus` has not been told of.
    pub certified_untold: u64,
}

/// The manifest in force, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FederationStatus {
    /// The configuration's `federation.enabled`.
    pub enabled: bool,
    /// The configuration's `federation.mode`.
    pub mode: String,
    /// The federation's name.
    #[serde(rename = "federation_name")]
    pub name: String,
    /// Id of the federation.
    pub federation_id: FederationId,
    /// The epoch this node acts in.
    pub epoch: Epoch,
    /// The threshold in percent, as the manifest says it.
    pub threshold_percent: f64,
    /// The weight that decides.
    pub quorum: u64,
    /// The weight of all voters together.
    pub total_weight: u64,
    /// The weight that may fail or lie.
    pub tolerated_weight: u64,
    /// How many voters there are.
    pub voters: u64,
}

/// How the node is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStatus {
    /// `live`, or `git` while the live network is down.
    pub kind: String,
    /// Members connected now, this node not counted.
    pub connected_peers: u64,
    /// Members there are, this node not counted.
    pub peers: u64,
    /// Multiaddresses it listens on.
    pub listening: Vec<String>,
    /// The configuration's `sync_settings.interval_minutes`.
    pub sync_interval_minutes: u64,
    /// When a sync last ended well.
    pub last_sync: Option<String>,
    /// Histories of members' Git branches that were rewritten; `GET /v1/evidence` lists them.
    pub rewritten_histories: u64,
    /// Why the own Git branch was not published at the last attempt, if it is to be published at
    /// all.
    #[serde(default)]
    pub own_branch_error: Option<String>,
}

/// Whether the node can decide now, and if not, what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotingStatus {
    /// Whether the voters that can sign, as far as known, are a quorum: whether anything can be
    /// decided.
    pub has_quorum: bool,
    /// Voters that sign votes, as their heartbeats say, this node included if it does.
    pub able_voters: Vec<NamedNode>,
    /// Whether this node signs votes: `yes`, `starting`, `abstaining`, `read_only` or
    /// `no_registry`.
    pub can_sign: String,
    /// Why it does not; empty if it does.
    pub can_sign_reason: String,
    /// Why its registry file is not known as it is, if it is not.
    pub registry: Option<String>,
    /// Voters connected, this node included if it is one.
    pub connected_voters: Vec<NamedNode>,
    /// Voters not connected.
    pub missing_voters: Vec<NamedNode>,
    /// In words, what keeps it from deciding; empty if nothing does.
    pub waiting_for: Vec<String>,
    /// Why it signs nothing, if it does not.
    pub abstaining: Option<String>,
    /// What ends that.
    pub abstaining_ends: Option<String>,
    /// After a start, until a quorum has told this node what it signed before: the voters that
    /// have. It signs nothing until then.
    pub starting: Option<Vec<NamedNode>>,
    /// Why it is read-only, if it is.
    pub read_only: Option<String>,
    /// Subjects that wait for this node's own operator.
    pub awaiting_review: u64,
    /// By how many seconds this machine's clock is behind (negative: ahead of) the connected
    /// members', in the median of their latest heartbeats; `null` while none is recent. Past 300
    /// either way own events are refused.
    #[serde(default)]
    pub clock_offset_seconds: Option<i64>,
}

/// Members that people should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersStatus {
    /// Pieces of evidence of equivocation, and of two certificates of one subject.
    pub evidence: u64,
    /// Whether the node's own key is proven to have equivocated.
    pub own_equivocation: bool,
    /// Members whose score is below 50, flagged for review.
    pub flagged: Vec<NamedNode>,
}

/// Counts, in the registry's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Members of the epoch, observers and suspended ones included.
    pub total_nodes: u64,
    /// Members with status `active`.
    pub active_nodes: u64,
    /// Syncs with members since the start.
    pub total_syncs: u64,
    /// Those that ended well.
    pub successful_syncs: u64,
    /// Those that did not.
    pub failed_syncs: u64,
    /// Records in which all observations agreed.
    pub consensus_agreements: u64,
    /// Records in which somebody disagreed.
    pub consensus_disagreements: u64,
    /// Subjects being voted on, those in conflict among them.
    pub open: u64,
    /// Subjects that wait for people.
    pub conflicts: u64,
    /// Decisions that this node's own registry contradicts: `GET /v1/divergences`.
    pub divergences: u64,
    /// Events offered while this node could not sign: kept, and sent once it can.
    pub kept_offers: u64,
    /// Subjects certified so far: the log's size.
    pub certified: u64,
}

/// `GET /readyz`: 200 if ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyView {
    /// Whether this node serves and signs; with `?federation=true` also whether anything can be
    /// decided.
    pub ready: bool,
    /// If not, why not.
    pub reasons: Vec<String>,
}
