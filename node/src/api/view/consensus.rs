//! `/v1/consensus`: how subjects were decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{ContentDigest, Epoch, EventHash, NodeId, Round, SubjectId};
use ssid_protocol::record::ConsensusRecord;

use super::{ConflictView, iso};

/// A consensus record in the registry's own schema (SPEC §8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    /// The event asked about or certified.
    pub event_hash: EventHash,
    /// Event type of the subject.
    pub event_type: String,
    /// Version of the subject.
    pub event_version: String,
    /// When this node first heard of the subject.
    pub initiated_at: String,
    /// When this node held the certificate.
    pub completed_at: Option<String>,
    /// Voters whose observation counts in the record.
    pub participating_nodes: Vec<NodeId>,
    /// What each of them observed.
    pub node_hashes: BTreeMap<NodeId, EventHash>,
    /// The certified event.
    pub consensus_hash: Option<EventHash>,
    /// Share of the observations that agree with it, two decimals.
    pub agreement_percentage: f64,
    /// Whether there is a certificate.
    pub consensus_achieved: bool,
    /// Those whose observation does not agree.
    pub disagreeing_nodes: Vec<NodeId>,
    /// `consensus_achieved`, `consensus_failed`, `insufficient_nodes`, `tie_break:<strategy>` or `manual_review`.
    pub resolution: String,
    /// What was voted on.
    pub subject_id: SubjectId,
    /// The epoch.
    pub epoch: Epoch,
    /// The round.
    pub round: Round,
    /// How many voters the epoch has.
    pub eligible_nodes: u32,
    /// The weight that was needed.
    pub quorum: u64,
    /// `live`, `git` or `sync`.
    pub transport: String,
    /// The certified content digest.
    pub content_digest: Option<ContentDigest>,
    /// Its place in this node's log.
    pub sequence: Option<u64>,
}

impl RecordView {
    /// The view of a stored record; `sequence` is its place in the log.
    pub fn of(record: &ConsensusRecord, sequence: u64) -> Self {
        Self {
            event_hash: record.choice.event_hash,
            event_type: record.event_type.clone(),
            event_version: record.event_version.clone(),
            initiated_at: iso(record.initiated_at),
            completed_at: Some(iso(record.completed_at)),
            participating_nodes: record.node_hashes.keys().copied().collect(),
            node_hashes: record.node_hashes.iter().map(|(node, choice)| (*node, choice.event_hash)).collect(),
            consensus_hash: Some(record.choice.event_hash),
            agreement_percentage: f64::from(record.agreement_basis_points()) / 100.0,
            consensus_achieved: true,
            disagreeing_nodes: record.disagreeing_nodes.clone(),
            resolution: record.resolution.to_string(),
            subject_id: record.subject_id,
            epoch: record.epoch,
            round: record.round,
            eligible_nodes: record.eligible_nodes,
            quorum: record.quorum,
            transport: transport_name(record),
            content_digest: Some(record.choice.content_digest),
            sequence: Some(sequence),
        }
    }
}

fn transport_name(record: &ConsensusRecord) -> String {
    use ssid_protocol::record::Transport;
    match record.transport {
        Transport::Live => "live",
        Transport::Git => "git",
        Transport::Sync => "sync",
    }
    .to_owned()
}

/// `GET /v1/consensus/{hash}`: the record, and the votes while there is no certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsensusCheck {
    /// The record as far as it goes.
    pub record: RecordView,
    /// Whether the certified event is the one asked about.
    pub certified_as_asked: bool,
    /// The open instance, while there is no certificate.
    pub open: Option<ConflictView>,
}

/// One certificate that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCertificate {
    /// Its place in the log.
    pub sequence: u64,
    /// Why it does not hold.
    pub reason: String,
}

/// `GET /v1/consensus/verify`: every certificate and the log's tree, verified again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyView {
    /// Whether everything held.
    pub ok: bool,
    /// Certificates verified.
    pub certificates: u64,
    /// How many did not hold.
    pub failures: u64,
    /// The first of those.
    pub failed: Vec<FailedCertificate>,
    /// Whether the root computed again is the log's.
    pub root_matches: bool,
    /// The root computed again.
    pub root: ssid_protocol::id::MerkleHash,
    /// How long it took.
    pub milliseconds: u64,
}
