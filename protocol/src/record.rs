//! Consensus records: one node's own account of how a subject was decided (SPEC §8). Certificates are the shared
//! truth; records say who observed what, in the registry's own schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Choice, Epoch, NodeId, Round, SubjectId, UnixMillis};
use crate::manifest::TieBreak;

/// Which road the decision came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Votes over the live network.
    Live,
    /// Votes through Git.
    Git,
    /// A certificate fetched from a peer's log.
    Sync,
}

/// How the subject ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Certified in round 0.
    Achieved,
    /// In conflict.
    Failed,
    /// A quorum has not voted.
    InsufficientNodes,
    /// Certified in an automatic round.
    TieBreak(TieBreak),
    /// Certified in an operator round.
    ManualReview,
}

impl std::fmt::Display for Resolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Achieved => f.write_str("consensus_achieved"),
            Self::Failed => f.write_str("consensus_failed"),
            Self::InsufficientNodes => f.write_str("insufficient_nodes"),
            Self::TieBreak(strategy) => write!(f, "tie_break:{}", strategy.as_str()),
            Self::ManualReview => f.write_str("manual_review"),
        }
    }
}

/// One node's record of one subject's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusRecord {
    /// What was voted on.
    pub subject_id: SubjectId,
    /// The certified choice.
    pub choice: Choice,
    /// Event type of the subject.
    pub event_type: String,
    /// Version of the subject.
    pub event_version: String,
    /// When this node first heard of the subject.
    pub initiated_at: UnixMillis,
    /// When this node held the certificate.
    pub completed_at: UnixMillis,
    /// The epoch of the certificate.
    pub epoch: Epoch,
    /// The round of the certificate.
    pub round: Round,
    /// How many voters the epoch has.
    pub eligible_nodes: u32,
    /// The weight that was needed.
    pub quorum: u64,
    /// Voters whose round-0 prevote was an observation, with what they observed.
    pub node_hashes: BTreeMap<NodeId, Choice>,
    /// Those of them whose observation does not agree with the certified event.
    pub disagreeing_nodes: Vec<NodeId>,
    /// How it was resolved.
    pub resolution: Resolution,
    /// How it came.
    pub transport: Transport,
}

impl ConsensusRecord {
    /// Share of the observations that agree with the consensus event, in hundredths of a percent; 0 if there are none.
    pub fn agreement_basis_points(&self) -> u32 {
        let all = self.node_hashes.len() as u64;
        let agreeing = all - (self.disagreeing_nodes.len() as u64).min(all);
        (agreeing * 10_000).checked_div(all).map_or(0, |share| u32::try_from(share).unwrap_or(10_000))
    }

    /// Counts an observation that arrived after the decision (SPEC §8: within 60 s). `observed` is the event it
    /// names, if known; one that is not known cannot agree unless it is the certified choice itself.
    ///
    /// Returns whether the record changed: a voter's first observation stands.
    pub fn observe(&mut self, node: NodeId, choice: Choice, observed: Option<&Event>, certified: &Event) -> bool {
        if self.node_hashes.contains_key(&node) {
            return false;
        }
        self.node_hashes.insert(node, choice);
        let agrees = choice == self.choice || observed.is_some_and(|event| event.agrees_with(certified));
        if !agrees {
            self.disagreeing_nodes.push(node);
            self.disagreeing_nodes.sort_unstable();
        }
        true
    }
}
