//! `/v1/consensus`: how subjects were decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Choice, ContentDigest, Epoch, EventHash, NodeId, Round, SubjectId};
use ssid_protocol::record::ConsensusRecord;

use super::ConflictView;

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
    /// Voters that observed or endorsed an event.
    pub participating_nodes: Vec<NodeId>,
    /// Those whose own registry has an event for the subject, with that event.
    pub node_hashes: BTreeMap<NodeId, EventHash>,
    /// Those whose own registry has none and who stood behind another member's event, with that
    /// event.
    pub endorsing_nodes: BTreeMap<NodeId, EventHash>,
    /// The other voters: nothing of theirs came in time, or they refused.
    pub silent_nodes: Vec<NodeId>,
    /// The certified event.
    pub consensus_hash: Option<EventHash>,
    /// Share of `node_hashes` that agrees with it, two decimals.
    pub agreement_percentage: f64,
    /// Whether there is a certificate.
    pub consensus_achieved: bool,
    /// Those of `node_hashes` that do not agree.
    pub disagreeing_nodes: Vec<NodeId>,
    /// What this node's own registry says against the decision, found when it could no longer be
    /// voted for.
    pub found_later: Option<FoundLaterView>,
    /// `consensus_achieved`, `consensus_failed`, `insufficient_nodes`, `tie_break:<strategy>` or
    /// `manual_review`.
    pub resolution: String,
    /// What was voted on.
    pub subject_id: SubjectId,
    /// Epoch whose voters signed the certificate.
    pub epoch: Epoch,
    /// Round in which the quorum came together, from 0.
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
            initiated_at: record.initiated_at.iso(),
            completed_at: Some(record.completed_at.iso()),
            participating_nodes: record
                .node_hashes
                .keys()
                .chain(record.endorsing_nodes.keys())
                .copied()
                .collect(),
            node_hashes: by_event(&record.node_hashes),
            endorsing_nodes: by_event(&record.endorsing_nodes),
            silent_nodes: record.silent_nodes.clone(),
            consensus_hash: Some(record.choice.event_hash),
            agreement_percentage: f64::from(record.agreement_basis_points()) / 100.0,
            consensus_achieved: true,
            disagreeing_nodes: record.disagreeing_nodes.clone(),
            found_later: record.found_later.map(|found| FoundLaterView {
                event_hash: found.choice.event_hash,
                content_digest: found.choice.content_digest,
                found_at: found.at.iso(),
            }),
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

/// Who voted for which event.
pub(crate) fn by_event(votes: &BTreeMap<NodeId, Choice>) -> BTreeMap<NodeId, EventHash> {
    votes
        .iter()
        .map(|(node, choice)| (*node, choice.event_hash))
        .collect()
}

impl RecordView {
    /// Who observed the certified event and who did not, in words: "3 of 4 observed it, 1 differs".
    pub fn in_words(&self) -> String {
        let differ = self.disagreeing_nodes.len();
        let mut words = format!(
            "{} of {} observed it",
            self.node_hashes.len() - differ,
            self.eligible_nodes
        );
        let mut add = |count: usize, one: &str, many: &str| {
            if count > 0 {
                // writing to a String does not fail
                let _ = write!(words, ", {count} {}", if count == 1 { one } else { many });
            }
        };
        add(differ, "differs", "differ");
        add(self.endorsing_nodes.len(), "endorsed", "endorsed");
        add(self.silent_nodes.len(), "silent", "silent");
        words
    }
}

/// An event of the own registry that contradicts a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLaterView {
    /// The event in the registry.
    pub event_hash: EventHash,
    /// All eight fields of it.
    pub content_digest: ContentDigest,
    /// When this node found it.
    pub found_at: String,
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

/// `GET /v1/consensus/verify/progress`: how far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyProgress {
    /// Whether one is under way.
    pub is_running: bool,
    /// Certificates looked at.
    pub verified: u64,
    /// Certificates in all.
    pub total: u64,
}

/// `GET /v1/consensus/verify`: every certificate and the log's tree, verified again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyView {
    /// Whether everything held.
    pub ok: bool,
    /// How many certificates were verified.
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
