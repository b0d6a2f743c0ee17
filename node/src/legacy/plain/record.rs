//! Phases 5 and 6: what a sync found, in the manifest's words.

use super::{Decision, Verdict};
use crate::registry::manifest::{FederationManifest, HistoryRecord};

/// How one sync went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Ids of the nodes whose logs were read.
    pub reached: Vec<String>,
    /// Ids of those whose were not.
    pub failed: Vec<String>,
    /// What was decided, or was not.
    pub decisions: Vec<Decision>,
    /// Whether a node with a key keeps the manifest's counts: then they are not touched.
    pub has_keys: bool,
}

/// Writes a sync into the manifest: when each node was seen, the decisions, the counts. A decision that says what it
/// said at the last sync is counted and dated once. The counts of a node with a key are its own.
pub fn write_down(manifest: &mut FederationManifest, outcome: &Outcome, began: &str, at: &str) {
    for node in manifest.known_nodes().into_iter().filter(|node| outcome.reached.contains(&node.node_id)) {
        let mut seen = node;
        seen.last_seen = Some(at.to_owned());
        manifest.put_node(&seen, None);
    }
    let before: Vec<_> = manifest.history().into_iter().flatten().filter(|r| r.signed == Some(false)).collect();
    let mut counts = manifest.statistics();
    let mut records = Vec::new();
    for decision in &outcome.decisions {
        let mut record = record(decision, began, at);
        let known = before.iter().rev().find(|known| known.event_hash == record.event_hash);
        if let Some(known) = known {
            record.initiated_at.clone_from(&known.initiated_at);
            if (HistoryRecord { completed_at: known.completed_at.clone(), ..record.clone() }) == *known {
                continue;
            }
        }
        if known.map(|known| known.consensus_achieved) != Some(record.consensus_achieved) {
            match decision.verdict {
                Verdict::Achieved => counts.consensus_agreements += 1,
                Verdict::Failed => counts.consensus_disagreements += 1,
                Verdict::Insufficient => {}
            }
        }
        records.push(record);
    }
    manifest.add_history(&records);
    if outcome.has_keys {
        return;
    }
    let nodes = manifest.known_nodes();
    counts.total_nodes = nodes.len() as u64;
    counts.active_nodes = nodes.iter().filter(|node| node.is_active()).count() as u64;
    counts.total_syncs += 1;
    counts.successful_syncs += outcome.reached.len() as u64;
    counts.failed_syncs += outcome.failed.len() as u64;
    if !records.is_empty() {
        counts.last_consensus_check = Some(at.to_owned());
    }
    manifest.set_statistics(&counts);
    manifest.set("federation.last_sync", &serde_json::json!(at));
}

fn record(decision: &Decision, began: &str, at: &str) -> HistoryRecord {
    let achieved = decision.verdict == Verdict::Achieved;
    let disagreeing = decision.disagreeing();
    let all = decision.node_hashes.len();
    let share = (all - disagreeing.len()) as f64 / all.max(1) as f64;
    HistoryRecord {
        event_hash: decision.hash.to_string(),
        event_type: decision.event.event.clone(),
        event_version: decision.event.version.clone(),
        initiated_at: began.to_owned(),
        completed_at: achieved.then(|| at.to_owned()),
        participating_nodes: decision.node_hashes.keys().cloned().collect(),
        node_hashes: decision.node_hashes.iter().map(|(node, hash)| (node.clone(), hash.to_string())).collect(),
        consensus_hash: achieved.then(|| decision.hash.to_string()),
        agreement_percentage: (share * 10_000.0).floor() / 100.0,
        consensus_achieved: achieved,
        disagreeing_nodes: disagreeing,
        resolution: decision.verdict.as_str().to_owned(),
        eligible_nodes: u32::try_from(decision.eligible).ok(),
        quorum: Some(decision.quorum),
        transport: Some("git".to_owned()),
        signed: Some(false),
        ..HistoryRecord::default()
    }
}
