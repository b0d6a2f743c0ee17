//! One decision of the federation manifest's history (SPEC §8), in the registry's schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{EventHash, NodeId};

use crate::view::RecordView;

/// A decision as the manifest has it: the registry's twelve keys, then those that only newer
/// records have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryRecord {
    /// The event asked about or decided.
    pub event_hash: String,
    /// The event's type, as in the registry.
    pub event_type: String,
    /// The event's version, as in the registry.
    pub event_version: String,
    /// When the question came up.
    pub initiated_at: String,
    /// When it was answered.
    pub completed_at: Option<String>,
    /// Who said anything.
    pub participating_nodes: Vec<String>,
    /// What each of them said of its own registry.
    pub node_hashes: BTreeMap<String, String>,
    /// Who has nothing of its own and stood behind another's event, and which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endorsing_nodes: BTreeMap<String, String>,
    /// Who said nothing in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_nodes: Vec<String>,
    /// The event that the majority has; null or empty if there is none.
    pub consensus_hash: Option<String>,
    /// Share of those who said anything that said this, in percent with two decimals.
    pub agreement_percentage: f64,
    /// Whether it was decided.
    pub consensus_achieved: bool,
    /// Who said something else.
    pub disagreeing_nodes: Vec<String>,
    /// How it was decided, or why it was not.
    pub resolution: String,
    /// What was voted on, where it was voted on with keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
    /// In which epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// In which round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// How many could have taken part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eligible_nodes: Option<u32>,
    /// The weight that was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u64>,
    /// Which transport it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// False if no signature stands behind it: what plain logs said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
}

/// What tells two decisions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// There is one decision of a subject.
    Subject(String),
    /// Without subjects there is one of an event at a time.
    Event(String, String),
}

impl HistoryRecord {
    /// Reads one element of `consensus_history`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if record.event_hash.is_empty() {
            Err("it has no event_hash".to_owned())
        } else {
            Ok(record)
        }
    }

    pub(super) fn key(&self) -> Key {
        match &self.subject_id {
            Some(subject) => Key::Subject(subject.clone()),
            None => Key::Event(self.event_hash.clone(), self.initiated_at.clone()),
        }
    }
}

fn in_text(events: &BTreeMap<NodeId, EventHash>) -> BTreeMap<String, String> {
    events
        .iter()
        .map(|(node, hash)| (node.to_string(), hash.to_string()))
        .collect()
}

impl From<&RecordView> for HistoryRecord {
    fn from(view: &RecordView) -> Self {
        Self {
            event_hash: view.event_hash.to_string(),
            event_type: view.event_type.clone(),
            event_version: view.event_version.clone(),
            initiated_at: view.initiated_at.clone(),
            completed_at: view.completed_at.clone(),
            participating_nodes: view
                .participating_nodes
                .iter()
                .map(ToString::to_string)
                .collect(),
            node_hashes: in_text(&view.node_hashes),
            endorsing_nodes: in_text(&view.endorsing_nodes),
            silent_nodes: view.silent_nodes.iter().map(ToString::to_string).collect(),
            consensus_hash: view.consensus_hash.map(|hash| hash.to_string()),
            agreement_percentage: view.agreement_percentage,
            consensus_achieved: view.consensus_achieved,
            disagreeing_nodes: view
                .disagreeing_nodes
                .iter()
                .map(ToString::to_string)
                .collect(),
            resolution: view.resolution.clone(),
            subject_id: Some(view.subject_id.to_string()),
            epoch: Some(view.epoch.0),
            round: Some(view.round.0),
            eligible_nodes: Some(view.eligible_nodes),
            quorum: Some(view.quorum),
            transport: Some(view.transport.clone()),
            signed: None,
        }
    }
}
