//! What one node saw and nobody signed: kept and listed beside evidence, and no proof (SPEC §14).

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{EvidenceId, FederationId, NodeId, Sha256Hash};
use ssid_protocol::json::Json;

/// The `format` of every observation.
pub const OBSERVATION_FORMAT: &str = "ssid-observation/1";
/// The kind of the only one that there is.
pub const REWRITTEN_HISTORY: &str = "rewritten_history";

/// A Git branch whose commits or lines are not those that were read. Commits are unsigned, and a
/// server may answer each asker something else, so that it proves nothing to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// [`OBSERVATION_FORMAT`], by which readers know the document.
    pub format: String,
    /// In which federation.
    pub federation_id: FederationId,
    /// What was seen: always [`REWRITTEN_HISTORY`].
    pub kind: String,
    /// Who saw it.
    pub observer: NodeId,
    /// Whose branch it is.
    pub member: NodeId,
    /// Where it is. No secrets.
    pub remote: String,
    /// The commit that had been read last.
    pub was: String,
    /// The commit that was there instead.
    pub now: String,
    /// When that was seen, by the observer's clock.
    pub seen_at: String,
}

impl Observation {
    /// Its name, so that it can be shown by it as evidence is.
    pub fn id(&self) -> EvidenceId {
        let texts = [
            ("format", &self.format),
            ("federation_id", &self.federation_id.to_string()),
            ("kind", &self.kind),
            ("observer", &self.observer.to_string()),
            ("member", &self.member.to_string()),
            ("remote", &self.remote),
            ("was", &self.was),
            ("now", &self.now),
            ("seen_at", &self.seen_at),
        ];
        let json = Json::object(texts.map(|(key, text)| (key, Json::Text(text.clone()))));
        EvidenceId(Sha256Hash::of(&[b"ssid/observation/1\0", json.to_jcs().as_bytes()]).0)
    }

    /// What was seen, in words.
    pub fn what(&self) -> String {
        format!(
            "the Git branch at {} had commit {}, which is gone; there was {} instead",
            self.remote, self.was, self.now
        )
    }
}
