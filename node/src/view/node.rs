//! `GET /v1/nodes`: the members of the federation as this node sees them.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Epoch, NodeId};

use crate::legacy::plain::Observation;

/// A member: what the manifest says of it and what this node knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its voting key.
    pub node_id: NodeId,
    /// Its libp2p identity.
    pub peer_id: String,
    /// What its operators call it.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
    /// `coordinator`, `participant` or `observer`.
    pub role: String,
    /// `active`, `inactive` or `suspended`.
    pub status: String,
    /// Its weight in this epoch.
    pub weight: u64,
    /// The manifest's addresses for it.
    pub addresses: Vec<String>,
    /// Its Git repository; empty if none.
    pub git_remote: String,
    /// Its API; empty if none.
    pub api_endpoint: String,
    /// Whether it is this node.
    pub is_self: bool,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: Option<String>,
    /// Its trust in this node's ledger, 0–100.
    pub trust_score: i32,
    /// `high`, `medium`, `low` or `very_low`.
    pub trust_label: String,
    /// Whether it is flagged for review: its score is below 50.
    pub needs_review: bool,
    /// Program and version, from its heartbeat.
    pub software: Option<String>,
    /// Its epoch, from its heartbeat.
    pub epoch: Option<Epoch>,
    /// How many subjects it holds certificates for, from its heartbeat.
    pub certified_count: Option<u64>,
    /// Size of its certified log, from its heartbeat.
    pub log_size: Option<u64>,
    /// How many subjects it has open, from its heartbeat.
    pub open_count: Option<u64>,
    /// Whether it signs votes: `yes`, `starting`, `abstaining`, `read_only` or `no_registry`, from
    /// its heartbeat.
    pub can_sign: Option<String>,
    /// Why it does not; empty if it does.
    pub can_sign_reason: Option<String>,
    /// How many decisions its own registry contradicts, found when it could no longer vote; from
    /// its heartbeat.
    pub divergences: Option<u64>,
    /// Its registry's blueprint, from its heartbeat.
    pub blueprint: Option<String>,
    /// Its registry's compliance score, from its heartbeat.
    pub compliance_score: Option<String>,
    /// How long its latest heartbeat was under way by the two clocks, in milliseconds; negative if
    /// its clock is ahead.
    pub heartbeat_delay_ms: Option<i64>,
    /// How long the latest ping took, there and back, in milliseconds; `null` unless it is connected.
    pub round_trip_ms: Option<f64>,
}

/// `GET /v1/nodes/observed`: a node without a key, whose plain registry log is read if that is
/// allowed. It has no vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedNodeView {
    /// The first 16 hex digits of the SHA-256 of its repository's address, or what the federation
    /// manifest says.
    pub node_id: String,
    /// What it is called.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
    /// Always `observed`: no manifest gives it a role.
    pub role: String,
    /// `active`, `inactive` or `suspended`.
    pub status: String,
    /// Its Git repository, without what is secret in the address.
    pub git_remote: String,
    /// When its log was last read.
    pub last_seen: Option<String>,
    /// Its trust as recorded before there were keys; counted nowhere.
    pub trust_score: Option<i64>,
    /// What its log said, compared with the own one; none if it was never asked for.
    pub observation: Option<Observation>,
    /// Whether its log is read: see `security.allow_unsigned_members`.
    pub is_read: bool,
}
