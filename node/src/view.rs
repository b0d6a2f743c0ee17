//! The JSON forms in which a node shows what it knows, shared by the API, its clients, the manifest
//! writer and reports. Hashes and keys are lower-case hex, times ISO 8601 in UTC; a key that has no
//! value is `null`, never left out, so that a script can rely on it.

mod anchor;
mod conflict;
mod consensus;
mod divergence;
mod event;
mod evidence;
mod fields;
mod log;
mod membership;
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
pub use membership::{
    ChangeView, CloseView, EpochView, MembershipView, ProposalView, ProposedView, ReplacedKeyView,
};
pub use node::{NodeView, ObservedNodeView};
pub use observation::{OBSERVATION_FORMAT, Observation, REWRITTEN_HISTORY};
pub use problem::Problem;
pub use status::{
    FederationStatus, MembersStatus, NamedNode, OutboxStatus, ReadyView, Statistics, StatusView,
    TransportStatus, VotingStatus,
};
pub use trust::{TrustChangeView, TrustNoteView, TrustRequest, TrustRuleView, TrustView};

pub use crate::git::{MemberSync, OwnBranch, RewrittenHistory, SyncOutcome, SyncState};
pub use ssid_engine::Operated;

use serde::{Deserialize, Serialize};

/// A page of a long list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The page's items, in the order that the route names.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_is_its_only_page() {
        let page = serde_json::to_value(Page::whole(vec![1, 2])).unwrap();
        assert_eq!(page, serde_json::json!({ "items": [1, 2], "next": null }));
    }
}
