#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;

const REMOTE: &str = "https://git.example/second.git";

async fn facts() -> Facts {
    let (_dir, state) = crate::api::testing_state().await;
    let mut facts = Facts::of(&state.known).unwrap();
    facts.nodes[1].git_remote = REMOTE.to_owned();
    facts.history = vec![HistoryRecord {
        event_hash: "11".into(),
        subject_id: Some("22".into()),
        completed_at: Some("2026-01-02T00:00:00Z".into()),
        ..HistoryRecord::default()
    }];
    facts.status.statistics.consensus_agreements = 4;
    facts.status.statistics.total_syncs = 9;
    facts
}

fn counts(total_syncs: u64, consensus_agreements: u64) -> ManifestStatistics {
    ManifestStatistics {
        total_syncs,
        consensus_agreements,
        ..ManifestStatistics::default()
    }
}

/// A manifest of before: the second member without its key, another node, counts.
fn of_before() -> FederationManifest {
    let mut manifest = FederationManifest::empty("t0");
    let second = ManifestNode {
        trust_score: Some(85),
        ..ManifestNode::new(REMOTE, "Old name", "Org", "t0")
    };
    manifest.put_node(&second, None);
    manifest.put_node(
        &ManifestNode::new("https://git.example/other.git", "Other", "Org", "t0"),
        None,
    );
    manifest.set_statistics(&counts(120, 95));
    manifest.set("our_own", &json!("kept"));
    manifest
}

#[tokio::test]
async fn the_manifest_says_what_the_node_says() {
    let facts = facts().await;
    let mut manifest = of_before();
    let before = manifest.statistics();
    facts.put(&mut manifest, &before, "t1");
    let nodes = manifest.known_nodes();
    assert_eq!(
        nodes.len(),
        4,
        "three other members, the second in its old place, and one without a key"
    );
    assert_eq!(nodes[0].node_id, facts.nodes[1].node_id.to_string());
    assert_eq!(
        (nodes[0].added_at.as_deref(), nodes[0].trust_score),
        (Some("t0"), Some(50))
    );
    assert!(!nodes[1].has_key());
    let carried = manifest.carried_over().unwrap();
    assert_eq!(
        carried.trust_scores.get(&legacy_id(REMOTE)),
        Some(&85),
        "as recorded, and beside the ledger's"
    );
    let statistics = manifest.statistics();
    assert_eq!((statistics.total_nodes, statistics.active_nodes), (5, 5));
    assert_eq!(
        (statistics.total_syncs, statistics.consensus_agreements),
        (129, 99)
    );
    assert_eq!(
        statistics.last_consensus_check.as_deref(),
        Some("2026-01-02T00:00:00Z")
    );
    assert_eq!(
        manifest.text("local_node.node_id"),
        facts.status.node.node_id.to_string()
    );
    assert_eq!(manifest.text("our_own"), "kept");
    assert_eq!(manifest.history().len(), 1);
}

#[tokio::test]
async fn what_says_the_same_is_not_written() {
    let facts = facts().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("federation_manifest.json");
    let put = |facts: &Facts, at: &str| {
        FederationManifest::update(&path, at, |manifest| facts.put(manifest, &counts(0, 0), at))
            .unwrap()
    };
    assert!(put(&facts, "t1"));
    let text = std::fs::read(&path).unwrap();
    assert!(!put(&facts, "t2"));
    assert_eq!(std::fs::read(&path).unwrap(), text);
    let mut later = facts.clone();
    later.nodes[1].last_seen = Some("2026-01-03T00:00:00Z".into());
    later.status.transport.last_sync = Some("2026-01-03T00:00:00Z".into());
    assert_eq!(
        later.without_times(),
        facts.without_times(),
        "times alone are no reason to write"
    );
    later.nodes[1].trust_score = 52;
    assert_ne!(later.without_times(), facts.without_times());
    assert!(put(&later, "t3"));
}

#[test]
fn nothing_is_put_into_a_repository_without_a_registry() {
    let dir = tempfile::tempdir().unwrap();
    let paths = RegistryPaths::in_repository(dir.path());
    assert!(Target::choose(&paths, 60).is_none());
    std::fs::create_dir_all(paths.registry_log.parent().unwrap()).unwrap();
    let target = Target::choose(&paths, 60).unwrap();
    assert_eq!(
        (target.path, target.quiet),
        (paths.federation_manifest, Duration::from_hours(1))
    );
    assert!(Target::choose(&RegistryPaths::in_data_directory(Path::new("/data")), 1).is_some());
}
