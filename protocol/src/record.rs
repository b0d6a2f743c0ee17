//! Consensus records: one node's own account of how a subject was decided (SPEC §8). Certificates
//! are the shared truth; records say who observed what, in the registry's own schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Choice, Epoch, NodeId, Round, SubjectId, UnixMillis};
use crate::manifest::TieBreak;

/// Which transport the decision came by.
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
    /// No event was certified: people have to choose.
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
    /// Voters whose own registry has an event for the subject, as their round-0 prevote says, with
    /// that event.
    pub node_hashes: BTreeMap<NodeId, Choice>,
    /// Voters whose own registry has none and whose round-0 prevote stood behind another member's
    /// event.
    pub endorsing_nodes: BTreeMap<NodeId, Choice>,
    /// The epoch's other voters: no round-0 prevote of theirs came in time, or it was nil. In order
    /// of node id.
    pub silent_nodes: Vec<NodeId>,
    /// Those who observed what does not agree with the certified event. In order of node id.
    pub disagreeing_nodes: Vec<NodeId>,
    /// An event of this node's own registry that contradicts the certified one and was found after
    /// this node had voted otherwise, or after the decision.
    pub found_later: Option<FoundLater>,
    /// How it was resolved.
    pub resolution: Resolution,
    /// How it came.
    pub transport: Transport,
}

/// What a node's registry says against a decision, found when it could no longer be voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLater {
    /// The event that stands in the registry.
    pub choice: Choice,
    /// When it was found.
    pub at: UnixMillis,
}

/// A voter's round-0 prevote for an event, as far as a record tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPrevote {
    /// The voter that signed it.
    pub node: NodeId,
    /// For which event.
    pub choice: Choice,
    /// Whether it is an observation: the voter's own registry has the event.
    pub observed: bool,
}

impl ConsensusRecord {
    /// Share of the observations that agree with the consensus event, in hundredths of a percent; 0
    /// if there are none.
    pub fn agreement_basis_points(&self) -> u32 {
        let all = self.node_hashes.len() as u64;
        let agreeing = all - (self.disagreeing_nodes.len() as u64).min(all);
        (agreeing * 10_000)
            .checked_div(all)
            .map_or(0, |share| u32::try_from(share).unwrap_or(10_000))
    }

    /// Counts a round-0 prevote, also one that arrived after the decision (SPEC §8: within 60 s).
    /// `event` is the event it names, if known; one that is not known cannot agree unless it is the
    /// certified choice itself.
    ///
    /// Returns whether the prevote agrees with the certified event, and `None` if the record did
    /// not change: a voter's first prevote stands.
    pub fn count(
        &mut self,
        prevote: FirstPrevote,
        event: Option<&Event>,
        certified: &Event,
    ) -> Option<bool> {
        let FirstPrevote {
            node,
            choice,
            observed,
        } = prevote;
        if self.node_hashes.contains_key(&node) || self.endorsing_nodes.contains_key(&node) {
            return None;
        }
        self.silent_nodes.retain(|silent| *silent != node);
        let agrees =
            choice == self.choice || event.is_some_and(|event| event.agrees_with(certified));
        if !observed {
            self.endorsing_nodes.insert(node, choice);
            return Some(agrees);
        }
        self.node_hashes.insert(node, choice);
        if !agrees {
            self.disagreeing_nodes.push(node);
            self.disagreeing_nodes.sort_unstable();
        }
        Some(agrees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{event, key};

    fn record(certified: &Event) -> ConsensusRecord {
        ConsensusRecord {
            subject_id: SubjectId([1; 32]),
            choice: certified.choice(),
            event_type: certified.event.clone(),
            event_version: certified.version.clone(),
            initiated_at: UnixMillis(0),
            completed_at: UnixMillis(0),
            epoch: Epoch::ZERO,
            round: Round::ZERO,
            eligible_nodes: 4,
            quorum: 3,
            node_hashes: BTreeMap::new(),
            endorsing_nodes: BTreeMap::new(),
            silent_nodes: (0..4).map(|i| key(i).node_id()).collect(),
            disagreeing_nodes: Vec::new(),
            found_later: None,
            resolution: Resolution::Achieved,
            transport: Transport::Live,
        }
    }

    #[test]
    fn each_voter_stands_in_one_list_and_only_observations_are_shared_out() {
        let certified = event("blueprint_tagged", "v1");
        let other = Event {
            commit_hash: "fffffff".into(),
            ..certified.clone()
        };
        let mut record = record(&certified);
        let [observer, dissenter, endorser, silent] = [0, 1, 2, 3].map(|i| key(i).node_id());
        let prevote = |node, event: &Event, observed| FirstPrevote {
            node,
            choice: event.choice(),
            observed,
        };
        let mut count =
            |prevote: FirstPrevote, event: &Event| record.count(prevote, Some(event), &certified);
        assert_eq!(
            count(prevote(observer, &certified, true), &certified),
            Some(true)
        );
        assert_eq!(count(prevote(dissenter, &other, true), &other), Some(false));
        assert_eq!(
            count(prevote(endorser, &certified, false), &certified),
            Some(true)
        );
        // the first stands
        assert_eq!(count(prevote(endorser, &certified, true), &certified), None);
        assert_eq!(count(prevote(observer, &other, true), &other), None);
        assert_eq!(record.node_hashes.len(), 2);
        assert_eq!(
            record.endorsing_nodes.keys().collect::<Vec<_>>(),
            [&endorser]
        );
        assert_eq!(
            (record.silent_nodes, record.disagreeing_nodes),
            (vec![silent], vec![dissenter])
        );
    }

    #[test]
    fn an_endorsement_of_another_event_is_no_disagreement() {
        let certified = event("blueprint_tagged", "v1");
        let other = Event {
            commit_hash: "fffffff".into(),
            ..certified.clone()
        };
        let mut record = record(&certified);
        let endorsed = FirstPrevote {
            node: key(1).node_id(),
            choice: other.choice(),
            observed: false,
        };
        assert_eq!(
            record.count(endorsed, Some(&other), &certified),
            Some(false)
        );
        assert!(record.disagreeing_nodes.is_empty());
        assert_eq!(
            record.agreement_basis_points(),
            0,
            "nobody observed anything"
        );
    }
}
