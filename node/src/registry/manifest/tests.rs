#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::wild;

/// A manifest of the registry's form: two nodes, one decision, keys of people's own in several
/// places.
const TEXT: &str = r#"{
  "blueprint_version": "v4.4",
  "last_updated": "2025-01-01T00:00:00Z",
  "our_own": { "ticket": "GOV-7", "list": [1,2] },
  "federation": {
    "enabled": true,
    "last_sync": null
  },
  "nodes": [
    {
      "node_id": "aaaaaaaaaaaaaaaa",
      "node_name": "North",
      "organization": "Org N",
      "git_remote": "https://git.example/north.git",
      "trust_score": 85.0,
      "compliance_score": 100,
      "phone": "by the door"
    },
    { "node_id": "bbbbbbbbbbbbbbbb", "node_name": "South", "status": "inactive", "trust_score": "60" },
    { "node_name": "nobody" }
  ],
  "consensus_history": [
    {"event_hash": "11", "initiated_at": "t1", "consensus_achieved": true, "agreement_percentage": 66.67, "note": "x"}
  ],
  "statistics": {
    "total_syncs": 12.0,
    "failed_syncs": "many"
  }
}
"#;

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("federation_manifest.json");
    fs::write(&path, TEXT).unwrap();
    (dir, path)
}

fn record(hash: &str, at: &str) -> HistoryRecord {
    HistoryRecord {
        event_hash: hash.to_owned(),
        initiated_at: at.to_owned(),
        ..HistoryRecord::default()
    }
}

#[test]
fn what_people_and_scripts_wrote_is_read() {
    let (_dir, path) = file();
    let manifest = FederationManifest::read(&path).unwrap().unwrap();
    let nodes = manifest.nodes();
    let north = nodes[0].as_ref().unwrap();
    assert_eq!(
        (north.trust_score, north.is_active(), north.has_key()),
        (Some(85), true, false)
    );
    let south = nodes[1].as_ref().unwrap();
    assert_eq!((south.trust_score, south.is_active()), (Some(60), false));
    assert_eq!(nodes[2].as_ref().unwrap_err(), "it has no node_id");
    assert_eq!(manifest.known_nodes().len(), 2);
    let statistics = manifest.statistics();
    assert_eq!((statistics.total_syncs, statistics.failed_syncs), (12, 0));
    assert!((manifest.history()[0].as_ref().unwrap().agreement_percentage - 66.67).abs() < 1e-9);
}

#[test]
fn nothing_changed_is_not_a_byte_written() {
    let (_dir, path) = file();
    let written = FederationManifest::update(&path, "2026-01-01T00:00:00Z", |manifest| {
        for node in manifest.known_nodes() {
            manifest.put_node(&node, None);
        }
        let history: Vec<_> = manifest.history().into_iter().flatten().collect();
        manifest.add_history(&history);
        manifest.set("federation.enabled", &json!(true));
    });
    // keys that the second node did not have are written once
    assert!(written.unwrap());
    let after = fs::read_to_string(&path).unwrap();
    let again = FederationManifest::update(&path, "2027-01-01T00:00:00Z", |manifest| {
        for node in manifest.known_nodes() {
            manifest.put_node(&node, None);
        }
    });
    assert!(!again.unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
    assert!(after.contains("\"trust_score\": 85.0") && after.contains("2026-01-01T00:00:00Z"));
}

#[test]
fn one_node_changes_and_the_rest_stays() {
    let (_dir, path) = file();
    FederationManifest::update(&path, "now", |manifest| {
        let mut north = manifest.known_nodes().remove(0);
        north.node_id = "c".repeat(64);
        north.trust_score = Some(52);
        manifest.put_node(&north, Some("aaaaaaaaaaaaaaaa"));
        manifest.put_node(
            &ManifestNode::new("https://git.example/west.git", "West", "Org W", "now"),
            None,
        );
        assert!(
            manifest.remove_node("bbbbbbbbbbbbbbbb") && !manifest.remove_node("bbbbbbbbbbbbbbbb")
        );
        manifest.set_statistics(&ManifestStatistics {
            total_nodes: 2,
            ..manifest.statistics()
        });
    })
    .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let manifest = FederationManifest::read(&path).unwrap().unwrap();
    let nodes = manifest.known_nodes();
    assert_eq!(
        nodes
            .iter()
            .map(|n| n.node_name.as_str())
            .collect::<Vec<_>>(),
        ["North", "West"]
    );
    assert!(nodes[0].has_key() && nodes[1].node_id == legacy_id("https://git.example/west.git"));
    for kept in [
        "\"phone\": \"by the door\"",
        "\"our_own\": { \"ticket\": \"GOV-7\", \"list\": [1,2] }",
        "nobody",
        "\"note\": \"x\"",
    ] {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
    assert!(
        text.contains("      \"status\": \"active\""),
        "new keys are indented as their neighbours: {text}"
    );
}

#[test]
fn the_latest_hundred_decisions_stay_and_none_stands_twice() {
    let (_dir, path) = file();
    let many: Vec<_> = (0..120)
        .map(|n| record(&format!("{n:02x}"), "t2"))
        .collect();
    for _ in 0..2 {
        FederationManifest::update(&path, "now", |manifest| manifest.add_history(&many[..50]))
            .unwrap();
    }
    let count = |path: &std::path::Path| {
        FederationManifest::read(path)
            .unwrap()
            .unwrap()
            .history()
            .len()
    };
    assert_eq!(count(&path), 51);
    FederationManifest::update(&path, "now", |manifest| manifest.add_history(&many)).unwrap();
    let history = FederationManifest::read(&path).unwrap().unwrap().history();
    assert_eq!(history.len(), HISTORY_RECORDS);
    assert_eq!(history.last().unwrap().as_ref().unwrap().event_hash, "77");
    let late = HistoryRecord {
        agreement_percentage: 50.0,
        ..many[119].clone()
    };
    FederationManifest::update(&path, "now", |manifest| {
        manifest.add_history(std::slice::from_ref(&late));
    })
    .unwrap();
    let history = FederationManifest::read(&path).unwrap().unwrap().history();
    assert_eq!(
        (history.len(), history.last().unwrap().as_ref()),
        (HISTORY_RECORDS, Ok(&late))
    );
}

#[test]
fn what_is_no_manifest_is_named_and_left_alone() {
    let (dir, path) = file();
    for (text, word) in [
        ("[]", "invalid type"),
        ("{\"nodes\": {}}", "`nodes` must be a list"),
        ("{", "EOF"),
    ] {
        fs::write(&path, text).unwrap();
        let refused = FederationManifest::update(&path, "now", |_| ())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(word) && refused.contains("mend the file"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let missing = dir.path().join("deep/er/manifest.json");
    assert!(FederationManifest::read(&missing).unwrap().is_none());
    assert!(
        FederationManifest::update(&missing, "now", |manifest| manifest
            .add_history(&[record("1", "2")]))
        .unwrap()
    );
    assert_eq!(
        FederationManifest::read(&missing)
            .unwrap()
            .unwrap()
            .history()
            .len(),
        1
    );
}

proptest! {
    #[test]
    fn any_manifest_file_is_refused_or_read_within_the_limits(text in wild::text(&[TEXT, "{}"])) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("federation_manifest.json");
        fs::write(&path, &text).unwrap();
        match FederationManifest::read(&path) {
            Ok(Some(manifest)) => prop_assert!(manifest.known_nodes().len() <= limits::MEMBERS),
            Ok(None) => return Err(TestCaseError::fail("it is there")),
            Err(error) => prop_assert!(matches!(error, ManifestFileError::Syntax { .. }), "{error}"),
        }
    }
}
