//! A member without a key beside members who have one: seen if that is allowed, and never counted.

use std::fs;

use serde_json::Value;
use ssid_tests::git::git;
use ssid_tests::{Cluster, Events, Node, SOON, Shape, eventually};

fn observed(node: &Node) -> Value {
    let nodes = node.ssid_json(&["nodes", "list"]);
    let found = nodes["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["role"] == "observed")
        .cloned();
    found.unwrap_or_default()
}

#[test]
fn a_member_without_a_key_is_read_once_that_is_allowed_and_counts_for_nothing() {
    let mut cluster = Cluster::make(Shape::of(2));
    let events = Events::series("plain");
    let oslo = cluster.dir().join("oslo");
    fs::create_dir(&oslo).unwrap();
    fs::write(oslo.join("registry_events.log"), events.lines(0..3)).unwrap();
    git(&oslo, &["init", "--quiet"]);
    git(&oslo, &["add", "."]);
    git(&oslo, &["commit", "--quiet", "-m", "log"]);
    for node in cluster.nodes() {
        fs::write(node.file("registry_events.log"), events.lines(0..2)).unwrap();
        node.org.configure(|config| {
            config["security"]["allowed_git_protocols"] = serde_json::json!(["file"]);
        });
    }
    let remote = format!("file://{}", oslo.display());
    let add = [
        "nodes",
        "observe",
        "--git-remote",
        &remote,
        "--node-name",
        "Oslo",
        "--organization",
        "Eksempel",
    ];
    let said = cluster.node(0).ssid(&add).well().stdout;
    assert!(
        said.contains("once security.allow_unsigned_members is true"),
        "{said}"
    );
    cluster.start_all();
    cluster.wait_certified(2, SOON);
    let first = cluster.node(0);
    assert_eq!(
        first.ssid_json(&["sync", "--force"])["plain"]["skipped"],
        "not_allowed"
    );
    let seen = observed(first);
    assert_eq!(
        (&seen["node_name"], &seen["is_read"], &seen["observation"]),
        (&"Oslo".into(), &false.into(), &Value::Null)
    );

    let first = cluster.node_mut(0);
    first.terminate();
    first
        .org
        .configure(|config| config["security"]["allow_unsigned_members"] = true.into());
    first.start_answering();
    let first = cluster.node(0);
    // by itself at the start, as every interval
    eventually("Oslo's log is read", SOON, || {
        let seen = observed(first);
        let found = &seen["observation"];
        let is_read = (found["same"].as_u64(), found["new"].as_u64()) == (Some(2), Some(1));
        if is_read && seen["last_seen"].is_string() {
            Ok(())
        } else {
            Err(seen)
        }
    });
    fs::write(oslo.join("registry_events.log"), events.lines(0..4)).unwrap();
    git(&oslo, &["commit", "--quiet", "-am", "one more"]);
    let plain = &first.ssid_json(&["sync", "--force"])["plain"];
    assert_eq!(
        (
            &plain["observed_only"],
            &plain["nodes"][0]["comparison"]["new"]
        ),
        (&true.into(), &2.into())
    );
    assert_eq!(observed(first)["observation"]["new"], 2);
    let said = first.ssid(&["nodes", "list"]).well().stdout;
    assert!(
        said.contains("Without a key") && said.contains("DIVERGENT"),
        "{said}"
    );

    assert_eq!(
        first.ssid_json(&["nodes", "show", "Oslo"])["role"],
        "observed"
    );
    let _ = first.ssid(&["nodes", "show", "Osl0"]).exits(1);

    // what only Oslo says is nowhere but there
    assert_eq!((first.certified_count(), first.history().len()), (2, 2));
    let log = fs::read_to_string(first.file("registry_events.log")).unwrap();
    assert_eq!(log, events.lines(0..2), "nothing of it is appended");
    let manifest: Value =
        serde_json::from_slice(&fs::read(first.file("federation_manifest.json")).unwrap()).unwrap();
    let history = manifest["consensus_history"].as_array().unwrap();
    assert!(
        history.len() == 2 && history.iter().all(|record| record["signed"].is_null()),
        "{manifest}"
    );
    assert_eq!(
        first.ssid_json(&["trust", "list"])["items"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "it has no trust that counts"
    );
    let _ = first
        .ssid(&["nodes", "unobserve", "node-1"])
        .exits(1)
        .says(&["no observed node", "ssid nodes list"]);
    let said = first.ssid(&["nodes", "unobserve", "Oslo"]).well().stdout;
    assert!(said.contains("Oslo is observed no more"), "{said}");
    let left = first.ssid_json(&["nodes", "list"]);
    assert_eq!(left["items"].as_array().map(Vec::len), Some(2), "{left}");
}
