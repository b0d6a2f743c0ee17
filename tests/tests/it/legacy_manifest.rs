//! The federation manifest in the registry's schema: what the node says stands in it, what people
//! wrote stays, and what was counted before is counted once.

use std::fs;

use serde_json::{Value, json};
use ssid_tests::{Cluster, Events, Node, SOON, Shape, eventually};

const FILE: &str = "federation_manifest.json";

fn manifest(node: &Node) -> Value {
    let text = fs::read_to_string(node.file(FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn wait_counted(node: &Node, agreements: u64, records: usize) {
    eventually(
        &format!("{} records in the manifest of {}", records, node.org.name),
        SOON,
        || {
            let manifest = manifest(node);
            let counted = manifest["statistics"]["consensus_agreements"].as_u64();
            let recorded = manifest["consensus_history"].as_array().map_or(0, Vec::len);
            if (counted, recorded) == (Some(agreements), records) {
                Ok(())
            } else {
                Err((counted, recorded))
            }
        },
    );
}

#[test]
fn a_manifest_of_before_goes_on_with_what_the_node_decides() {
    let mut cluster = Cluster::make(Shape::of(4));
    let before = json!({
        "our_own": {"ticket": "GOV-7"},
        "nodes": [{"node_id": "0011223344556677", "node_name": "Partner", "trust_score": 85,
            "git_remote": "https://git.example/partner.git", "status": "active"}],
        "consensus_history": [{"event_hash": "ab", "initiated_at": "2025-10-11T20:30:00Z", "consensus_achieved": true}],
        "statistics": {"total_nodes": 1, "total_syncs": 120, "consensus_agreements": 95},
    });
    fs::write(cluster.node(0).file(FILE), format!("{before:#}\n")).unwrap();
    let events = Events::series("manifest");
    for node in cluster.nodes() {
        fs::write(node.file("registry_events.log"), events.lines(0..3)).unwrap();
    }
    cluster.start_all();
    cluster.wait_certified(3, SOON);
    wait_counted(cluster.node(0), 98, 4);
    wait_counted(cluster.node(1), 3, 3);

    let first = cluster.node_mut(0);
    let said = first.ssid_json(&["compat", "federation-sync-manager", "--check-status"]);
    assert_eq!(
        said["statistics"]["consensus_agreements"], 3,
        "a running node is asked itself"
    );
    let says = |args: &[&str], words: &[&str]| {
        let said = first
            .ssid(&[&["compat", "consensus-validator"], args].concat())
            .well()
            .stdout;
        words
            .iter()
            .for_each(|word| assert!(said.contains(word), "{word:?} is not in {said}"));
    };
    says(
        &["--analyze-trust"],
        &[
            "Node: Partner",
            "85/100 (HIGH), as recorded",
            "Node: node-3",
        ],
    );
    says(
        &["--show-history"],
        &["Event Hash: ab...", "Agreement: 100.0%"],
    );
    says(&["--verify"], &["Valid: 3", "Certificates: 3 valid"]);

    // a restart counts nothing twice, and what says the same is not written again
    first.terminate();
    let stopped = manifest(first);
    first.start_answering();
    wait_counted(first, 98, 4);
    let now = manifest(first);
    assert_eq!(
        now["nodes"].as_array().unwrap().len(),
        4,
        "three members and the partner without a key"
    );
    assert_eq!(now["our_own"], before["our_own"]);
    assert_eq!(now["ssid"]["carried_over"], stopped["ssid"]["carried_over"]);
    assert!(now["statistics"]["total_syncs"].as_u64().unwrap() >= 120);
}
