//! Members change while the federation runs: a fifth joins and votes, one is suspended, and every
//! certificate before and after verifies offline with the genesis file and the chain of epochs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use ssid_tests::{Cluster, Node, Organisation, SOON, eventually, ssid_in};

/// Emits an event at a node and waits for its certificate; its hash.
fn certify(node: &Node, version: &str) -> String {
    let emit = ["events", "emit", "--event", "release", "--version", version];
    let more = ["--commit", "3dd05d9", "--wait"];
    let certified = node.ssid_json(&[&emit[..], &more[..]].concat());
    certified["event_hash"].as_str().unwrap().to_owned()
}

fn membership(node: &Node) -> Value {
    node.ssid_json(&["membership", "list"])
}

/// A file of a cluster's directory.
fn file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.dir().join(name)
}

/// Proposes a change at node 0, and has the first `approvers` others approve it; its hash.
fn propose(cluster: &Cluster, approvers: usize, change: &[&str]) -> String {
    let first = cluster.node(0);
    let dry = first.ssid_json(&[change, &["--dry-run"]].concat());
    assert_eq!(
        membership(first)["proposals"],
        Value::Array(vec![]),
        "{dry}"
    );
    let proposed = first.ssid_json(change);
    let hash = proposed["manifest_hash"].as_str().unwrap();
    for node in &cluster.nodes()[1..=approvers] {
        eventually("a proposal reaches the others", SOON, || {
            let known = membership(node)["proposals"][0]["manifest_hash"].clone();
            if known == hash { Ok(()) } else { Err(known) }
        });
        let _ = node.ssid(&["membership", "approve", &hash[..12]]).well();
    }
    hash.to_owned()
}

/// Waits until all who run are in an epoch, and nothing more is under way.
fn all_enter<'a>(nodes: impl Iterator<Item = &'a Node>, epoch: u64) {
    for node in nodes {
        eventually("everybody is in the next epoch", SOON, || {
            let view = membership(node);
            if view["epoch"] == epoch && view["change"].is_null() {
                Ok(())
            } else {
                Err((view, node.log_tail()))
            }
        });
    }
}

/// Whether the certificate of an event, as a node has it, holds with genesis and chain, and needs
/// the chain if it is of a later epoch.
fn verify(cluster: &Cluster, node: &Node, hash: &str, chain: &Path, is_later: bool) {
    let certificate = file(cluster, "c.json");
    let path = certificate.to_str().unwrap();
    let _ = node.ssid(&["consensus", "export", hash, "-o", path]).well();
    let genesis = cluster.genesis().to_str().unwrap();
    let alone = ["certificate", "verify", path, "--genesis", genesis];
    let with = ["--epochs", chain.to_str().unwrap()];
    let _ = ssid_in(cluster.dir(), &[&alone[..], &with[..]].concat()).well();
    let code = if is_later { 5 } else { 0 };
    let _ = ssid_in(cluster.dir(), &alone).exits(code);
}

#[test]
fn a_fifth_joins_and_one_is_suspended_and_certificates_of_every_epoch_verify_offline() {
    let mut cluster = Cluster::start(4);
    let before = certify(cluster.node(1), "v1");

    let oslo = Organisation::init(cluster.dir(), "oslo");
    let card = oslo.data.join("card.json");
    let add = ["membership", "propose", "add", card.to_str().unwrap()];
    let add = [&add[..], &["--reason", "oslo joins"]].concat();
    let hash = propose(&cluster, 2, &add);

    // approved by three, and nobody counts on what is not there
    let waits = membership(cluster.node(1))["proposals"][0].clone();
    assert_eq!(waits["approved_by"], Value::Array(vec![]), "{waits}");
    assert_eq!(waits["not_ready"][0]["node_name"], "oslo");
    assert_eq!(waits["approved_here"], true);
    let show = cluster.node(1).ssid(&["membership", "show", &hash[..12]]);
    let shown = show.well().stdout;
    assert!(shown.contains("it waits for oslo to be ready"), "{shown}");
    assert_eq!(membership(cluster.node(0))["epoch"], 0);

    // it joins by the invite, and votes once it has said that it is ready
    let invite = cluster.node(0).file("oslo.invite.json");
    let (invite, data) = (invite.to_str().unwrap(), oslo.data.to_str().unwrap());
    let join = ["federation", "join", invite, "--data", data, "--yes"];
    let _ = ssid_in(&oslo.data, &join).well();
    let mut fifth = Node::of(oslo);
    fifth.start_answering();
    all_enter(cluster.running().chain([&fifth]), 1);
    eventually("the fifth signs", SOON, || {
        let ready = fifth.get("/readyz");
        if ready.status == 200 {
            Ok(())
        } else {
            Err((ready, fifth.log_tail()))
        }
    });
    assert_eq!(membership(&fifth)["voters"], 5);
    let joined = certify(&fifth, "v2");

    // one is suspended: it goes on verifying, and votes no more
    let reason = ["--reason", "node-3 is rebuilt"];
    let suspend = [&["nodes", "suspend", "node-3"][..], &reason].concat();
    let _ = propose(&cluster, 3, &suspend);
    all_enter(cluster.running().chain([&fifth]), 2);
    let after = certify(cluster.node(0), "v3");
    assert_eq!(membership(cluster.node(3))["epoch"], 2);
    cluster.node_mut(3).kill();
    cluster.node_mut(1).kill();
    cluster.node_mut(1).start();
    let last = certify(&fifth, "v4");

    let chain = file(&cluster, "epochs.jsonl");
    let export = ["epochs", "export", "-o", chain.to_str().unwrap()];
    let _ = cluster.node(0).ssid(&export).well();
    for (hash, is_later) in [(before, false), (joined, true), (after, true), (last, true)] {
        verify(&cluster, &fifth, &hash, &chain, is_later);
    }
    let epochs = cluster.node(1).ssid_json(&["epochs", "list"]);
    let reasons = epochs["items"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons
        .map(|epoch| epoch["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["", "oslo joins", "node-3 is rebuilt"]);
}

/// What a voter of a federation of four, whose node 3 lost its key, sees of the change that replaces
/// it, in words.
fn check_words_of_a_lost_key(first: &Node, replace: &[&str]) {
    let dry = first
        .ssid(&[replace, &["--dry-run"]].concat())
        .well()
        .stdout;
    for words in [
        "did NOT",
        "again counts as a voter from the first moment",
        "all of node-0, node-1, node-2 have to be there",
        "To undo this, 3 of 4 voters have to approve",
        "Nothing is changed by this",
    ] {
        let text = dry.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_lost_key_is_replaced_once_its_organisation_has_said_the_new_one() {
    let mut cluster = Cluster::start(4);
    let old = cluster.node(3).org.node_id();
    cluster.node_mut(3).kill();
    let again = Organisation::init(cluster.dir(), "again");
    let (key, card) = (again.node_id(), again.data.join("card.json"));
    let card = card.to_str().unwrap();
    let replace = ["membership", "propose", "replace", "node-3", card, "--lost"];
    let replace = [&replace[..], &["--reason", "its disk burnt"]].concat();
    let first = cluster.node(0);
    check_words_of_a_lost_key(first, &replace);
    let proposed = first.ssid_json(&replace);
    let hash = &proposed["manifest_hash"].as_str().unwrap()[..12];
    for node in cluster.running() {
        eventually("the proposal reaches the others", SOON, || {
            let known = membership(node)["proposals"][0]["replaced_keys"][0]["node_id"].clone();
            if known == key { Ok(()) } else { Err(known) }
        });
        let waits = node.ssid_json(&["todo"]).to_string();
        let is_asked = waits.contains(&format!("approve {hash} --confirm DIGITS"));
        assert_eq!(is_asked, node.org.name != first.org.name, "{waits}");
        let approve = ["membership", "approve", hash];
        let says = ["the old key did not sign", "--confirm DIGITS"];
        let _ = node.ssid(&approve).exits(1).says(&says);
        let wrong = [&approve[..], &["--confirm", &old[..8]]].concat();
        let _ = node.ssid(&wrong).exits(1).says(&says);
        // it is not there yet, and the others are a quorum without it
        let right = [&approve[..], &["--confirm", &key[..8], "--not-ready"]].concat();
        let _ = node.ssid(&right).well();
    }
    for node in cluster.running() {
        eventually("the change is in force", SOON, || {
            let view = membership(node);
            if view["epoch"] == 1 && view["change"].is_null() {
                Ok(())
            } else {
                Err((view, node.log_tail()))
            }
        });
    }
    let shown = cluster.node(1).ssid_json(&["federation", "show"]);
    assert_eq!(
        (&shown["epoch"], &shown["members"][3]["node_id"]),
        (&1.into(), &key.into())
    );
    let epoch = cluster.node(2).ssid(&["epochs", "show", "1"]).well().stdout;
    for words in [
        "its disk burnt",
        "takes the place of",
        "Decided by the votes of",
    ] {
        assert!(epoch.contains(words), "{words}: {epoch}");
    }
    check_refusals(&cluster);
    let _ = certify(cluster.node(1), "v1");
}

/// After the key of node 3 was replaced: it never returns, and no change leaves the federation
/// without a coordinator.
fn check_refusals(cluster: &Cluster) {
    let first = cluster.node(0);
    let card = cluster.node(3).file("card.json");
    let reason = ["--reason", "r"];
    let add = ["nodes", "add", card.to_str().unwrap()];
    let _ = first
        .ssid(&[&add[..], &reason].concat())
        .exits(2)
        .says(&["such a key never returns"]);
    let remove = ["nodes", "remove", "node-0"];
    let _ = first
        .ssid(&[&remove[..], &reason].concat())
        .exits(2)
        .says(&["node-0 is the only coordinator", "membership propose role"]);
    // an edited manifest is another way to the same
    let draft = file(cluster, "next.json");
    let path = draft.to_str().unwrap();
    let _ = first.ssid(&["membership", "draft", "-o", path]).well();
    let mut manifest: Value = serde_json::from_slice(&fs::read(&draft).unwrap()).unwrap();
    manifest["threshold_bp"] = 7_000.into();
    fs::write(&draft, manifest.to_string()).unwrap();
    let from = ["membership", "propose", "--from", path, "--dry-run"];
    let words = first.ssid_json(&from)["consequences"].to_string();
    assert!(words.contains("6600 becomes 7000"), "{words}");
    assert_eq!(membership(first)["proposals"], Value::Array(vec![]));
}
