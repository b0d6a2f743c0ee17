#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use ssid_protocol::testing;

use super::*;
use crate::registry::fixtures::{event, one_line, pretty, stray_quote};
use crate::registry::manifest::{FederationManifest, ManifestNode, legacy_id};
use crate::registry::paths::RegistryPaths;

const NORTH: &str = "https://git.example/north.git";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A repository of before: two nodes, an odd one, a decision, counts, a log, files of events.
fn repository(root: &Path) -> RegistryPaths {
    let paths = RegistryPaths::in_repository(root);
    let id = legacy_id(NORTH);
    let manifest = format!(
        r#"{{
  "nodes": [
    {{"node_id": "{id}", "node_name": "North", "git_remote": "{NORTH}", "trust_score": 85}},
    {{"node_id": "{id}", "node_name": "North again", "git_remote": "{NORTH}"}},
    {{"node_id": "own", "node_name": "Self", "git_remote": "https://git.example/own.git"}},
    {{"node_name": "nobody"}}
  ],
  "consensus_history": [{{"event_hash": "11", "consensus_achieved": true}}, {{"note": "?"}}],
  "statistics": {{"total_syncs": 120, "consensus_agreements": 95}}
}}
"#
    );
    write(&paths.federation_manifest, &manifest);
    write(
        &paths.federation_config,
        r#"{"local_node": {"node_name": "Own", "git_remote": "https://git.example/own.git"}}"#,
    );
    let log = [
        pretty(&event(1)),
        stray_quote(&event(2)),
        one_line(&event(3)),
    ]
    .join("\n");
    write(
        &paths.registry_log,
        &format!("Registry events initialized.\n{log}\n"),
    );
    write(&paths.event_files.join("seal.json"), &pretty(&event(9)));
    write(&paths.event_files.join("known.json"), &pretty(&event(1)));
    write(&paths.event_files.join("score.json"), "{\"score\": 100}");
    paths
}

#[test]
fn a_repository_is_surveyed_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let paths = repository(dir.path());
    let before = fs::read(&paths.federation_manifest).unwrap();
    let survey = Survey::of(dir.path(), None, "t1").unwrap();
    let actions: Vec<_> = survey
        .nodes
        .iter()
        .map(|node| (node.action, node.why.as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            (Action::ObservationsOnly, ""),
            (Action::Skipped, "its id stands in the manifest twice"),
            (Action::Skipped, "it is this repository itself"),
            (Action::Skipped, "it has no node_id"),
        ]
    );
    let carries = survey.carries.unwrap();
    assert_eq!(
        (carries.consensus_records, carries.statistics.total_syncs),
        (1, 120)
    );
    assert_eq!(carries.trust_scores.get(&legacy_id(NORTH)), Some(&85));
    assert_eq!(survey.unreadable_records, ["it has no event_hash"]);
    let log = survey.log.unwrap();
    assert_eq!(
        (
            log.events,
            log.with_hash,
            log.prose,
            log.quarantined,
            log.is_cut_off
        ),
        (2, 1, 1, 1, false)
    );
    assert_eq!(
        survey.apart,
        [("seal.json".to_owned(), event(9).event_hash().to_string())]
    );
    assert_eq!(
        (survey.local_node.as_str(), survey.has_telemetry_config),
        ("Own", false)
    );
    assert_eq!(survey.disagreements, Vec::<String>::new());
    assert_eq!(fs::read(&paths.federation_manifest).unwrap(), before);
    assert!(matches!(
        Survey::of(&dir.path().join("07_governance_legal"), None, "t"),
        Err(SurveyError::NoRegistry(_))
    ));
}

#[test]
fn a_member_with_a_key_is_recognised_by_its_repository() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let (mut federation, ..) = testing::federation(4);
    federation.members[1].git_remote = NORTH.to_owned();
    let survey = Survey::of(dir.path(), Some(&federation), "t1").unwrap();
    assert_eq!(survey.nodes[0].action, Action::Member);
    assert!(
        survey.nodes[0]
            .why
            .contains(&federation.members[1].node_name)
    );
}

#[test]
fn it_is_carried_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let paths = repository(dir.path());
    let carry = |at: &str| {
        let update = FederationManifest::update(&paths.federation_manifest, at, |manifest| {
            carry_over(manifest, at);
        });
        update.unwrap()
    };
    assert!(carry("t1"));
    let after = fs::read(&paths.federation_manifest).unwrap();
    assert!(!carry("t2"), "a second time finds it done");
    assert_eq!(fs::read(&paths.federation_manifest).unwrap(), after);
    let survey = Survey::of(dir.path(), None, "t3").unwrap();
    assert!(survey.carries.is_none());
    let carried = survey.carried.unwrap();
    assert_eq!(
        (carried.at.as_str(), carried.statistics.consensus_agreements),
        ("t1", 95)
    );
    let manifest = FederationManifest::read(&paths.federation_manifest)
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            manifest.nodes().len(),
            manifest.history().len(),
            manifest.statistics().total_syncs
        ),
        (4, 2, 120)
    );
    let mut empty = FederationManifest::empty("t");
    assert!(
        !carry_over(&mut empty, "t") && empty.get("ssid").is_none(),
        "nothing to carry over leaves no trace"
    );
    empty.put_node(&ManifestNode::new(NORTH, "North", "Org", "t"), None);
    assert!(carry_over(&mut empty, "t"));
}

#[test]
fn what_the_scripts_read_elsewhere_is_named_where_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let paths = repository(dir.path());
    let federation =
        r#"{"federation": {"enabled": true, "mode": "participant", "consensus_threshold": 0.75}}"#;
    write(&paths.federation_manifest, federation);
    write(
        &paths.federation_config,
        r#"{"federation": {"enabled": false}, "consensus_settings": {"threshold": 0.75}}"#,
    );
    let survey = Survey::of(dir.path(), None, "t1").unwrap();
    let [enabled] = &survey.disagreements[..] else {
        panic!("{:?}", survey.disagreements)
    };
    assert!(
        enabled.contains("federation.enabled true") && enabled.contains("federation.enabled false"),
        "{enabled}"
    );
}

#[test]
fn a_sync_before_is_no_reason_against_carrying_over_and_a_node_with_a_key_is() {
    let dir = tempfile::tempdir().unwrap();
    let paths = repository(dir.path());
    let mut manifest = FederationManifest::read(&paths.federation_manifest)
        .unwrap()
        .unwrap();
    manifest.set("ssid.observations", &serde_json::json!({}));
    assert!(in_numbers(&manifest, "t").is_some());
    manifest.set("ssid.federation_id", &serde_json::json!("1f0c"));
    assert!(
        in_numbers(&manifest, "t").is_none(),
        "what it counts is its own"
    );
}
