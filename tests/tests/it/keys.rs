//! Keys change while the federation runs: a voting key, a network key, and that of a node whose disk
//! is gone.

use std::fs;

use serde_json::Value;
use ssid_tests::{Cluster, Node, Organisation, SOON, eventually, ssid_in};

/// Emits an event at a node and waits for its certificate.
fn certify(node: &Node, version: &str) {
    let emit = ["events", "emit", "--event", "release", "--version", version];
    let more = ["--commit", "3dd05d9", "--wait"];
    let certified = node.ssid_json(&[&emit[..], &more[..]].concat());
    assert!(certified["event_hash"].is_string(), "{certified}");
}

fn membership(node: &Node) -> Value {
    node.ssid_json(&["membership", "list"])
}

fn keys(node: &Node) -> Value {
    node.ssid_json(&["key", "show"])
}

/// The proposal is seen at these nodes, which approve it.
fn approve(nodes: &[&Node], hash: &str) -> Value {
    approve_with(nodes, hash, &[])
}

/// The same, with options.
fn approve_with(nodes: &[&Node], hash: &str, options: &[&str]) -> Value {
    let mut seen = Value::Null;
    for node in nodes {
        eventually("a proposal reaches the others", SOON, || {
            seen = membership(node)["proposals"][0].clone();
            if seen["manifest_hash"] == hash {
                Ok(())
            } else {
                Err(seen.clone())
            }
        });
        let command = ["membership", "approve", &hash[..12]];
        let _ = node.ssid(&[&command[..], options].concat()).well();
    }
    seen
}

/// A node is in the epoch, knows of nothing that follows, and signs.
fn enters(node: &Node, epoch: u64) {
    eventually("a node is in the next epoch and signs", SOON, || {
        // one that goes over to another key does not answer for a moment
        let answer = node.ssid(&["membership", "list", "--json"]);
        let view: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let signs = node
            .try_get("/readyz")
            .is_ok_and(|reply| reply.status == 200);
        if view["epoch"] == epoch && view["change"].is_null() && signs {
            Ok(())
        } else {
            Err((view, node.log_tail()))
        }
    });
}

/// All who run do.
fn in_epoch(cluster: &Cluster, epoch: u64) {
    cluster.running().for_each(|node| enters(node, epoch));
}

#[test]
fn a_running_node_goes_over_to_another_voting_key_and_to_another_network_key() {
    let cluster = Cluster::start(4);
    certify(cluster.node(3), "v1");
    let before = keys(cluster.node(3));
    let rotate = ["key", "rotate", "--reason", "yearly"];
    let dry = cluster
        .node(3)
        .ssid_json(&[&rotate[..], &["--dry-run"]].concat());
    assert_eq!(dry["proposed"]["dry_run"], true);
    assert_eq!(keys(cluster.node(3))["next_voting"], Value::Null);
    let rotated = cluster.node(3).ssid_json(&rotate);
    let hash = rotated["proposed"]["manifest_hash"].as_str().unwrap();
    let next = keys(cluster.node(3))["next_voting"]["node_id"].clone();
    assert_eq!(next, rotated["next_key"]);
    let seen = approve(&[cluster.node(0), cluster.node(1)], hash);
    let succession = &seen["replaced_keys"][0];
    assert_eq!(succession["former_node_id"], before["voting"]["node_id"]);
    assert_eq!(
        (&succession["node_id"], &succession["handed_over"]),
        (&next, &Value::Bool(true))
    );
    in_epoch(&cluster, 1);
    let after = keys(cluster.node(3));
    assert_eq!(
        (&after["voting"]["node_id"], &after["next_voting"]),
        (&next, &Value::Null)
    );
    assert_eq!(after["network"], before["network"]);
    // it votes under its new key: without one of the others nothing is decided without it
    let mut cluster = cluster;
    cluster.node_mut(0).kill();
    certify(cluster.node(3), "v2");
    certify(cluster.node(1), "v3");
    cluster.node_mut(0).start();
    // also after a restart
    cluster.node_mut(3).kill();
    cluster.node_mut(3).start();
    in_epoch(&cluster, 1);

    let rotate = ["key", "rotate", "--network", "--reason", "another server"];
    let rotated = cluster.node(2).ssid_json(&rotate);
    let hash = rotated["proposed"]["manifest_hash"].as_str().unwrap();
    let next = keys(cluster.node(2))["next_network"]["peer_id"].clone();
    assert_ne!(next, keys(cluster.node(2))["network"]["peer_id"]);
    approve(&[cluster.node(1), cluster.node(3)], hash);
    in_epoch(&cluster, 2);
    assert_eq!(keys(cluster.node(2))["network"]["peer_id"], next);
    cluster.node_mut(1).kill();
    certify(cluster.node(2), "v4");
    certify(cluster.node(0), "v5");
}

/// A card's member.
fn member_of(organisation: &Organisation) -> Value {
    let card = fs::read_to_string(organisation.data.join("card.json")).unwrap();
    let mut member: Value = serde_json::from_str(&card).unwrap();
    member.as_object_mut().unwrap().remove("signature");
    member
}

#[test]
fn a_node_whose_disk_is_gone_comes_back_under_a_new_key_which_its_trust_passes_on_to() {
    let mut cluster = Cluster::start(4);
    certify(cluster.node(3), "v1");
    let boost = ["trust", "boost", "node-3", "--reason", "audited"];
    let _ = cluster.node(0).ssid(&boost).well();
    let score = |cluster: &Cluster, id: &Value| {
        let id = id.as_str().unwrap();
        cluster.node(0).ssid_json(&["trust", "explain", id])
    };
    let former = keys(cluster.node(3))["voting"]["node_id"].clone();
    let before = score(&cluster, &former)["trust_score"].as_i64().unwrap();
    assert!(before >= 60, "{before}");
    let lost = cluster.node(3).data().to_owned();
    cluster.node_mut(3).kill();
    fs::remove_dir_all(lost).unwrap();

    let again = Organisation::init(cluster.dir(), "again");
    let member = member_of(&again);
    let path = cluster.dir().join("next.json");
    let path = path.to_str().unwrap();
    let _ = cluster
        .node(0)
        .ssid(&["membership", "draft", "-o", path])
        .well();
    let mut manifest: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    manifest["reason"] = "its disk is gone".into();
    manifest["succeeds"] = serde_json::json!([{ "member": member["node_id"], "former": former }]);
    let place = manifest["members"].as_array().unwrap().iter();
    let place = place.into_iter().position(|it| it["node_id"] == former);
    manifest["members"][place.unwrap()] = member.clone();
    fs::write(path, manifest.to_string()).unwrap();
    let proposed = cluster
        .node(0)
        .ssid_json(&["membership", "propose", "--from", path]);
    let hash = proposed["manifest_hash"].as_str().unwrap();
    // the new key as its organisation says it; it runs once it is a member
    let new = member["node_id"].as_str().unwrap();
    let options = ["--confirm", &new[..8], "--not-ready"];
    let seen = approve_with(&[cluster.node(0), cluster.node(1)], hash, &options);
    assert_eq!(seen["replaced_keys"][0]["handed_over"], false);
    let shown = cluster.node(1).ssid(&["membership", "show", &hash[..12]]);
    let words: Vec<_> = shown.stdout.split_whitespace().collect();
    assert!(words.join(" ").contains("did NOT sign"), "{words:?}");
    let _ = approve_with(&[cluster.node(2)], hash, &options);
    in_epoch(&cluster, 1);

    let (genesis, chain) = (
        cluster.genesis().to_owned(),
        cluster.dir().join("epochs.jsonl"),
    );
    let chain = chain.to_str().unwrap();
    let _ = cluster
        .node(0)
        .ssid(&["epochs", "export", "-o", chain])
        .well();
    let data = again.data.to_str().unwrap();
    let join = [
        "federation",
        "join",
        genesis.to_str().unwrap(),
        "--data",
        data,
    ];
    let _ = ssid_in(&again.data, &[&join[..], &["--epochs", chain]].concat()).well();
    let mut node = Node::of(again);
    node.start_answering();
    enters(&node, 1);
    // with one of the others gone nothing is decided without it
    cluster.node_mut(2).kill();
    certify(&node, "v2");
    certify(cluster.node(0), "v3");
    eventually("it holds what was decided before, too", SOON, || {
        let held = node.certified_set();
        if held == cluster.node(0).certified_set() {
            Ok(())
        } else {
            Err(held)
        }
    });
    let explained = score(&cluster, &member["node_id"]);
    let changes = explained["changes"].as_array().unwrap();
    let passed_on = changes
        .iter()
        .find(|change| change["reason"] == "succession");
    assert!(
        passed_on.unwrap()["points"].as_i64().unwrap() >= 10,
        "{explained}"
    );
    assert!(
        explained["trust_score"].as_i64().unwrap() >= before,
        "{explained}"
    );
}

#[test]
fn a_rotation_is_given_up_and_its_key_erased_once_nothing_names_it() {
    let cluster = Cluster::start(2);
    let node = cluster.node(0);
    let cancel = ["key", "rotate", "--cancel", "--reason", "not now"];
    let _ = node
        .ssid(&cancel)
        .exits(2)
        .says(&["no rotation is under way"]);
    let rotated = node.ssid_json(&["key", "rotate", "--reason", "yearly"]);
    let hash = rotated["proposed"]["manifest_hash"].clone();
    // what may be decided without this node's doing must find its key there
    let given_up = node.ssid_json(&cancel);
    let named = &given_up["proposals"][0]["manifest_hash"];
    assert_eq!((named, &given_up["erased"]), (&hash, &Value::Bool(false)));
    assert!(node.file("voting.next.key").exists());
    // another change ends the epoch
    let path = cluster.dir().join("next.json");
    let path = path.to_str().unwrap();
    let _ = node.ssid(&["membership", "draft", "-o", path]).well();
    let other = cluster
        .node(1)
        .ssid_json(&["membership", "propose", "--from", path]);
    let other = other["manifest_hash"].as_str().unwrap();
    node.approve(other);
    in_epoch(&cluster, 1);
    assert_eq!(node.ssid_json(&cancel)["erased"], true);
    assert!(!node.file("voting.next.key").exists());
}

/// It is away when the others enter the epoch, and comes back as who it was before that.
#[test]
fn a_node_that_is_killed_while_its_keys_are_replaced_comes_back_with_the_new_ones() {
    let mut cluster = Cluster::start(4);
    let rotations: [(usize, &[&str], [&str; 3]); 2] = [
        (3, &[], ["next_voting", "voting", "node_id"]),
        (2, &["--network"], ["next_network", "network", "peer_id"]),
    ];
    for (epoch, (place, more, [next, now, id])) in (1..).zip(rotations) {
        let rotate = ["key", "rotate", "--reason", "yearly"];
        let node = cluster.node(place);
        let rotated = node.ssid_json(&[&rotate[..], more].concat());
        let wanted = keys(node)[next][id].clone();
        let hash = rotated["proposed"]["manifest_hash"].as_str().unwrap();
        approve(&[cluster.node(0), cluster.node(1)], hash);
        cluster.node_mut(place).kill();
        in_epoch(&cluster, epoch);
        certify(cluster.node(0), &format!("v{epoch}"));
        cluster.node_mut(place).start();
        in_epoch(&cluster, epoch);
        let after = keys(cluster.node(place));
        assert_eq!(
            (&after[now][id], &after[next]),
            (&wanted, &Value::Null),
            "epoch {epoch}"
        );
        cluster.node_mut(0).kill();
        certify(cluster.node(place), &format!("v{epoch}.1"));
        cluster.node_mut(0).start();
        in_epoch(&cluster, epoch);
    }
}
