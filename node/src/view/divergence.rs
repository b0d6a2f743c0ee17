//! `/v1/divergences`: what this node's own registry says against decisions.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{ContentDigest, EventHash, SubjectId};
use ssid_storage::DivergenceRow;

/// A decision that the own registry contradicts, found when it could no longer be voted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergenceView {
    /// What was decided.
    pub subject_id: SubjectId,
    /// Its event type.
    pub event_type: String,
    /// Version of the subject.
    pub event_version: String,
    /// The decision's place in this node's log.
    pub sequence: u64,
    /// The certified event.
    pub certified_hash: EventHash,
    /// The event in the registry file.
    pub own_hash: EventHash,
    /// All eight fields of it.
    pub own_digest: ContentDigest,
    /// The commit that the registry file names.
    pub own_commit_hash: String,
    /// When the registry file says it happened.
    pub own_timestamp: String,
    /// When this node found it.
    pub found_at: String,
}

impl DivergenceView {
    /// Of a row of the database.
    pub fn of(subject_id: SubjectId, row: &DivergenceRow) -> Self {
        let own = row.own.choice();
        Self {
            subject_id,
            event_type: row.own.event.clone(),
            event_version: row.own.version.clone(),
            sequence: row.sequence,
            certified_hash: row.certified.event_hash,
            own_hash: own.event_hash,
            own_digest: own.content_digest,
            own_commit_hash: row.own.commit_hash.clone(),
            own_timestamp: row.own.timestamp.clone(),
            found_at: row.found_at.iso(),
        }
    }
}
