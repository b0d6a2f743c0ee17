//! Phases 5 and 6: what a sync found, in the manifest's words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use ssid_protocol::event::Event;
use ssid_protocol::id::EventHash;

use super::decide::{Comparison, Decision, Verdict};
use super::tally::{Counts, Decided};
use crate::registry::manifest::{FederationManifest, HistoryRecord, ManifestNode};

/// Where the manifest keeps what plain logs said.
const OBSERVATIONS: &str = "ssid.observations";
/// Where it keeps how many decisions stand of which its history has no record.
const BEYOND: &str = "ssid.beyond_history";

/// What the log of a node without a key said when it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// When the log was asked for, RFC 3339.
    pub at: String,
    /// Compared with the own log; none if it could not be had.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
    /// Stretches of it that could not be read.
    pub quarantined: u64,
    /// Why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the manifest says of the nodes' logs, by node id.
pub fn observations(manifest: &FederationManifest) -> BTreeMap<String, Observation> {
    manifest
        .get(OBSERVATIONS)
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

/// How one sync went.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The nodes that were asked, and what their logs say.
    pub nodes: Vec<(ManifestNode, Observation)>,
    /// This node's name in records.
    pub own_id: String,
    /// How many nodes could say something, and how many are needed.
    pub quorum: (u64, u64),
    /// What was decided; nothing where a node with a key keeps the manifest's history and counts.
    pub decided: Option<Decided>,
    /// Whether what was achieved was appended.
    pub applied: bool,
}

/// Writes a sync into the manifest: when each node was seen and what its log says, the decisions,
/// the counts. A decision that says what it said at the last sync is counted and dated once. The
/// records that are new, or say something else.
pub(super) fn write_down(
    manifest: &mut FederationManifest,
    outcome: &Outcome,
    began: &str,
    at: &str,
) -> Vec<HistoryRecord> {
    let mut seen = BTreeMap::new();
    let standing = manifest.known_nodes();
    for (node, observation) in &outcome.nodes {
        // as it stands now: somebody may have changed it since the sync began
        let mut node = standing
            .iter()
            .find(|known| known.node_id == node.node_id)
            .unwrap_or(node)
            .clone();
        // only then: a node that does not answer was not seen
        if observation.error.is_none() {
            node.last_seen = Some(at.to_owned());
        }
        manifest.put_node(&node, None);
        seen.insert(node.node_id, observation);
    }
    manifest.set(OBSERVATIONS, &json!(seen));
    let Some(decided) = &outcome.decided else {
        // nothing was decided, so no count of decisions moves
        return Vec::new();
    };
    let records = add_records(manifest, outcome, decided, (began, at));
    // decisions that no record was kept of are counted by their number, or each sync would count
    // them again
    let beyond = manifest.get(BEYOND).unwrap_or_default();
    let counted = |key: &str| beyond[key].as_u64().unwrap_or_default();
    let mut counts = manifest.statistics();
    let new = |unknown: u64, key: &str| unknown.saturating_sub(counted(key));
    counts.consensus_agreements +=
        decided.changed.achieved + new(decided.unknown.achieved, "achieved");
    counts.consensus_disagreements +=
        decided.changed.failed + new(decided.unknown.failed, "failed");
    let left = beyond_history(manifest, decided, outcome.applied);
    // not before there are any: the manifest of a small federation stays as it was
    if !beyond.is_null() || left.achieved + left.failed > 0 {
        manifest.set(
            BEYOND,
            &json!({ "achieved": left.achieved, "failed": left.failed }),
        );
    }
    let nodes = manifest.known_nodes();
    counts.total_nodes = nodes.len() as u64;
    counts.active_nodes = nodes.iter().filter(|node| node.is_active()).count() as u64;
    counts.total_syncs += 1;
    // a log that was read and had nothing in it is a success all the same
    let failed = outcome
        .nodes
        .iter()
        .filter(|(_, observation)| observation.error.is_some())
        .count() as u64;
    counts.successful_syncs += outcome.nodes.len() as u64 - failed;
    counts.failed_syncs += failed;
    if !records.is_empty() {
        counts.last_consensus_check = Some(at.to_owned());
    }
    manifest.set_statistics(&counts);
    manifest.set("federation.last_sync", &json!(at));
    records
}

/// Adds the latest decisions to the history; those that say something that is not there yet.
fn add_records(
    manifest: &mut FederationManifest,
    outcome: &Outcome,
    decided: &Decided,
    (began, at): (&str, &str),
) -> Vec<HistoryRecord> {
    // records with a signature are of votes, and none of this
    let before: Vec<_> = manifest
        .history()
        .into_iter()
        .flatten()
        .filter(|r| r.signed == Some(false))
        .collect();
    let mut records = Vec::new();
    for (event, decision) in &decided.latest {
        let mut record = record(outcome, event, decision, began, at);
        // the latest of them: it may have been decided otherwise before
        if let Some(known) = before
            .iter()
            .rev()
            .find(|known| known.event_hash == record.event_hash)
        {
            // since when it is asked about, not since when it fares like this
            record.initiated_at.clone_from(&known.initiated_at);
            // what only differs in the time of this sync is no news
            if (HistoryRecord {
                completed_at: known.completed_at.clone(),
                ..record.clone()
            }) == *known
            {
                continue;
            }
        }
        records.push(record);
    }
    manifest.add_history(&records);
    records
}

/// The decisions that stand and that the history has no record of: counted now, and not again at
/// the next sync.
fn beyond_history(manifest: &FederationManifest, decided: &Decided, applied: bool) -> Counts {
    let recorded: Vec<EventHash> = manifest
        .history()
        .into_iter()
        .flatten()
        .filter(|record| record.signed == Some(false))
        .filter_map(|record| record.event_hash.parse().ok())
        .collect();
    let mut inside = Counts::default();
    decided
        .met
        .iter()
        .filter(|(hash, _)| recorded.contains(hash))
        .for_each(|(_, verdict)| inside.add(*verdict));
    // what was appended is in the own log from now on, and not asked about again
    let achieved = if applied {
        0
    } else {
        decided.all.achieved.saturating_sub(inside.achieved)
    };
    Counts {
        achieved,
        failed: decided.all.failed.saturating_sub(inside.failed),
        ..Counts::default()
    }
}

fn record(
    outcome: &Outcome,
    event: &Event,
    decision: &Decision,
    began: &str,
    at: &str,
) -> HistoryRecord {
    // 0 is the own log, which has no entry among the nodes
    let name = |observer: u16| match usize::from(observer).checked_sub(1) {
        None => outcome.own_id.clone(),
        Some(place) => outcome
            .nodes
            .get(place)
            .map(|(node, _)| node.node_id.clone())
            .unwrap_or_default(),
    };
    let observed: BTreeMap<_, _> = decision
        .observed
        .iter()
        .map(|(observer, hash)| (name(*observer), hash))
        .collect();
    let disagrees = |(_, hash): &(&String, &&EventHash)| **hash != &decision.hash;
    let disagreeing: Vec<_> = observed
        .iter()
        .filter(disagrees)
        .map(|(node, _)| node.clone())
        .collect();
    let achieved = decision.verdict == Verdict::Achieved;
    // as in a consensus record (SPEC §8): of those who observed, who agrees
    let share = (observed.len() - disagreeing.len()) as f64 / observed.len().max(1) as f64;
    HistoryRecord {
        event_hash: decision.hash.to_string(),
        event_type: event.event.clone(),
        event_version: event.version.clone(),
        initiated_at: began.to_owned(),
        completed_at: achieved.then(|| at.to_owned()),
        participating_nodes: observed.keys().cloned().collect(),
        node_hashes: observed
            .iter()
            .map(|(node, hash)| (node.clone(), hash.to_string()))
            .collect(),
        consensus_hash: achieved.then(|| decision.hash.to_string()),
        agreement_percentage: (share * 10_000.0).floor() / 100.0,
        consensus_achieved: achieved,
        disagreeing_nodes: disagreeing,
        resolution: decision.verdict.as_str().to_owned(),
        eligible_nodes: u32::try_from(outcome.quorum.0).ok(),
        quorum: Some(outcome.quorum.1),
        transport: Some("git".to_owned()),
        signed: Some(false),
        ..HistoryRecord::default()
    }
}
