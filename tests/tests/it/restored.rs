//! A node that was restored from last night's copy: it abstains, names the command, and takes part
//! again after it, in the next epoch.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use ssid_tests::{Cluster, Node, SOON, eventually};

/// Emits an event at a node and waits for its certificate.
fn certify(node: &Node, version: &str) {
    let emit = ["events", "emit", "--event", "release", "--version", version];
    let more = ["--commit", "3dd05d9", "--wait"];
    let certified = node.ssid_json(&[&emit[..], &more[..]].concat());
    assert!(certified["event_hash"].is_string(), "{certified}");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn voting(node: &Node) -> Value {
    node.status()["voting"].clone()
}

/// A change of nothing but the epoch, which two others approve.
fn next_epoch(cluster: &Cluster) {
    let path = cluster.dir().join("next.json");
    let path = path.to_str().unwrap();
    let first = cluster.node(0);
    let _ = first.ssid(&["membership", "draft", "-o", path]).well();
    let proposed = first.ssid_json(&["membership", "propose", "--from", path]);
    let hash = proposed["manifest_hash"].as_str().unwrap();
    for node in &cluster.nodes()[1..3] {
        node.approve(hash);
    }
}

#[test]
fn a_node_from_an_older_copy_abstains_and_takes_part_again_after_its_operators_word() {
    let mut cluster = Cluster::start(4);
    certify(cluster.node(3), "v1");
    assert!(cluster.node_mut(3).terminate().0.success());
    let data = cluster.node(3).org.data.clone();
    let night = cluster.dir().join("last-night");
    copy(&data, &night);
    cluster.node_mut(3).start_answering();
    certify(cluster.node(3), "v2");
    cluster.node_mut(3).kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&night, &data);

    cluster.node_mut(3).start_answering();
    let said = eventually("it abstains", SOON, || {
        let voting = voting(cluster.node(3));
        if voting["abstaining"].is_string() {
            Ok(voting)
        } else {
            Err(voting)
        }
    });
    let command = "restore --old-copy-is-gone";
    assert!(
        said["abstaining_ends"].to_string().contains(command),
        "{said}"
    );
    let restore = ["restore", "--old-copy-is-gone"];
    let _ = cluster
        .node(3)
        .ssid(&restore)
        .exits(2)
        .says(&["stop it first"]);
    assert!(cluster.node_mut(3).terminate().0.success());
    let _ = cluster.node(0).ssid(&restore).exits(2);
    let _ = cluster.node(3).ssid(&restore).well();

    cluster.node_mut(3).start_answering();
    eventually(
        "enough others have said that they have not closed the epoch",
        SOON,
        || {
            let voting = voting(cluster.node(3));
            let is_known = voting["abstaining"].to_string().contains("from epoch 1 on");
            if is_known {
                Ok(())
            } else {
                Err((voting, cluster.node(3).log_tail()))
            }
        },
    );
    let _ = cluster.node(3).ssid(&restore).exits(2);
    next_epoch(&cluster);
    eventually("it signs in the next epoch", SOON, || {
        let voting = voting(cluster.node(3));
        let signs = voting["abstaining"].is_null() && voting["can_sign"] == "yes";
        if signs {
            Ok(())
        } else {
            Err((voting, cluster.node(3).log_tail()))
        }
    });
    // with one of the others gone nothing is decided without it
    cluster.node_mut(0).kill();
    certify(cluster.node(3), "v3");
    certify(cluster.node(1), "v4");
    for node in &cluster.nodes()[1..] {
        let evidence = node.ssid_json(&["evidence", "list"]);
        assert_eq!(evidence["items"], Value::Array(vec![]), "{evidence}");
    }
    cluster.node_mut(3).kill();
    cluster.node_mut(3).start_answering();
    certify(cluster.node(3), "v5");
}
