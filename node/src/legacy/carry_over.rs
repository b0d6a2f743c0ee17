//! Taking over what the old scripts recorded: written down once, in the manifest's own place, so
//! that a second time doubles nothing and what this node counts is added to it.

use crate::registry::manifest::{CarriedOver, FederationManifest, ManifestStatistics};

/// What there is to carry over; none if there is nothing, that was done, or a node with a key keeps
/// the manifest. What was synced by plain logs is a part of it.
pub fn in_numbers(manifest: &FederationManifest, at: &str) -> Option<CarriedOver> {
    // carried over once; and a manifest that a node with a key keeps is its own projection
    if manifest.carried_over().is_some() || manifest.get("ssid.federation_id").is_some() {
        return None;
    }
    let nodes: Vec<_> = manifest
        .known_nodes()
        .into_iter()
        .filter(|node| !node.has_key())
        .collect();
    let history = manifest
        .history()
        .into_iter()
        .flatten()
        // those that a node wrote have a subject: they are in its own log
        .filter(|record| record.subject_id.is_none())
        .count();
    let statistics = manifest.statistics();
    // an empty manifest is not carried over: the statistics of a new federation begin at 0
    if nodes.is_empty() && history == 0 && statistics == ManifestStatistics::default() {
        return None;
    }
    Some(CarriedOver {
        at: at.to_owned(),
        nodes: nodes.len() as u64,
        consensus_records: history as u64,
        trust_scores: nodes
            .iter()
            .filter_map(|node| Some((node.node_id.clone(), node.trust_score?)))
            .collect(),
        statistics,
    })
}

/// Writes down what is carried over, unless that was done before or there is nothing; whether it
/// did.
pub fn carry_over(manifest: &mut FederationManifest, at: &str) -> bool {
    let carried = in_numbers(manifest, at);
    if let Some(carried) = &carried {
        manifest.set_carried_over(carried);
    }
    carried.is_some()
}
