//! Every JSON document the local API speaks, shared by the server and its clients. Hashes and keys
//! are lower-case hex, times ISO 8601 in UTC; a key that has no value is `null`, never left out, so
//! that a script can rely on it.

mod anchor;
mod conflict;
mod consensus;
mod divergence;
mod event;
mod evidence;
mod fields;
mod log;
mod node;
mod observation;
mod problem;
mod status;
mod trust;

pub use anchor::{AnchorFailure, AnchorProgress, AnchorSession, AnchorView, AnchorsView};
pub use conflict::{CandidateVotes, ConflictView, DecisionView, ReviewView};
pub(crate) use consensus::by_event;
pub use consensus::{
    ConsensusCheck, FailedCertificate, FoundLaterView, RecordView, VerifyProgress, VerifyView,
};
pub use divergence::DivergenceView;
pub use event::{
    AppliedView, EmitView, EventDraft, EventState, EventView, FieldDifference, ImportView, LineNote,
};
pub use evidence::EvidenceView;
pub use log::{ConsistencyView, LogHeadView, ProofView, SIGNED_HEAD_FORMAT, SignedHeadView};
pub use node::{NodeView, ObservedNodeView};
pub use observation::{OBSERVATION_FORMAT, Observation, REWRITTEN_HISTORY};
pub use problem::Problem;
pub use status::{
    FederationStatus, MembersStatus, NamedNode, OutboxStatus, ReadyView, Statistics, StatusView,
    TransportStatus, VotingStatus,
};
pub use trust::{TrustChangeView, TrustNoteView, TrustRequest, TrustRuleView, TrustView};

pub use crate::engine::Operated;
pub use crate::git::{MemberSync, OwnBranch, RewrittenHistory, SyncOutcome, SyncState};

use serde::{Deserialize, Serialize};
use ssid_protocol::id::UnixMillis;

/// A page of a long list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as the cursor for the next page; `null` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is short enough to be given whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// `YYYY-MM-DDThh:mm:ss[.fff]Z`; the end of time if it lies beyond what a calendar holds.
pub fn iso(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

/// Times as [`iso`] writes them, for `#[serde(with)]`.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use ssid_protocol::id::UnixMillis;

    /// Writes a time as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::iso(*at))
    }

    /// Reads it back.
    ///
    /// # Errors
    /// If the text is no time, or one before 1970.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        u64::try_from(at.as_millisecond())
            .map(UnixMillis)
            .map_err(de::Error::custom)
    }
}

/// This machine's clock.
pub fn now() -> UnixMillis {
    UnixMillis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_is_its_only_page() {
        let page = serde_json::to_value(Page::whole(vec![1, 2])).unwrap();
        assert_eq!(page, serde_json::json!({ "items": [1, 2], "next": null }));
    }

    #[test]
    fn times_are_iso_8601_in_utc() {
        assert_eq!(iso(UnixMillis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(
            iso(UnixMillis(1_760_212_800_120)),
            "2025-10-11T20:00:00.12Z"
        );
        assert!(iso(UnixMillis(u64::MAX)).starts_with("9999-"));
    }
}
