//! The registry's own log file: other tools append to it, the federation certifies, the others'
//! files follow.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use ssid_protocol::event::Event;
use ssid_tests::{
    Cluster, Events, LONG, Node, SOON, Shape, eventually, pretty, wild_log, with_hash,
};

const FILE: &str = "registry_events.log";

fn append(path: &Path, text: &str) {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn file(node: &Node) -> PathBuf {
    node.file(FILE)
}

/// How often an event stands in a node's file, as an object of one line with its hash.
fn lines_of(node: &Node, event: &Event) -> usize {
    let text = fs::read_to_string(file(node)).unwrap_or_default();
    let is_it = |line: &&str| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|v| v["event_hash"] == event.event_hash().to_string().as_str())
    };
    text.lines().filter(is_it).count()
}

fn wait_in_file(node: &Node, events: &[Event]) {
    eventually(
        &format!("{} has {} lines more", node.org.name, events.len()),
        LONG,
        || {
            let missing = events
                .iter()
                .filter(|event| lines_of(node, event) == 0)
                .count();
            if missing == 0 { Ok(()) } else { Err(missing) }
        },
    );
}

#[test]
fn lines_that_other_tools_append_are_certified_and_appended_everywhere_once() {
    let mut cluster = Cluster::make(Shape::of(4));
    let events = Events::series("file");
    // each node's file has a beginning of its own; the last one ends without a newline
    let old: Vec<Vec<u8>> = (0..4)
        .map(|i| {
            let mut text = format!("Registry events initialized at node {i}.\r\n").into_bytes();
            text.extend(wild_log(&events.range(0..6)));
            text.extend(format!("a note of node {i}{}", if i == 3 { "" } else { "\n" }).bytes());
            text
        })
        .collect();
    for (node, text) in cluster.nodes().iter().zip(&old) {
        fs::write(file(node), text).unwrap();
    }
    cluster.start_all();
    cluster.wait_certified(6, SOON);

    // while they run: an old tool writes at one node, a new one at another, a slow one in two parts
    let [a, b, c] = [6, 7, 8].map(|i| events.event(i));
    append(&file(cluster.node(0)), &(pretty(&a) + "\n"));
    append(&file(cluster.node(1)), &(with_hash(&b) + "\r\n"));
    // the slow tool begins when the node has nothing left to append: what a node appends in the
    // middle of somebody's half line breaks that line
    wait_in_file(cluster.node(2), &[a.clone(), b.clone()]);
    let slow = with_hash(&c) + "\n";
    append(&file(cluster.node(2)), &slow[..40]);
    cluster.wait_certified(8, SOON);
    append(&file(cluster.node(2)), &slow[40..]);
    cluster.wait_certified(9, SOON);
    let new = [a, b, c];
    for (i, node) in cluster.nodes().iter().enumerate() {
        let others: Vec<Event> = (0..3)
            .filter(|own| *own != i)
            .map(|own| new[own].clone())
            .collect();
        wait_in_file(node, &others);
    }
    let bytes: Vec<Vec<u8>> = cluster
        .nodes()
        .iter()
        .map(|node| fs::read(file(node)).unwrap())
        .collect();
    for (now, before) in bytes.iter().zip(&old) {
        assert!(
            now.starts_with(before),
            "what stood there is unchanged, byte for byte"
        );
    }
    let last = String::from_utf8_lossy(&bytes[3]).into_owned();
    assert!(
        last.contains("a note of node 3\n{"),
        "the missing newline was completed: {last}"
    );

    // a restart writes nothing again, nor does a second application
    for i in 0..4 {
        assert!(cluster.node_mut(i).terminate().0.success());
    }
    cluster.start_all();
    for node in cluster.nodes() {
        let applied = node.ssid_json(&["events", "apply"]);
        assert_eq!(applied["applied"], 0, "{applied}");
    }
    let again = events.event(9);
    append(&file(cluster.node(0)), &(with_hash(&again) + "\n"));
    for node in &cluster.nodes()[1..] {
        wait_in_file(node, std::slice::from_ref(&again));
    }
    for (node, before) in cluster.nodes().iter().zip(&bytes) {
        let now = fs::read(file(node)).unwrap();
        assert!(now.starts_with(before));
        let added = String::from_utf8_lossy(&now[before.len()..]).into_owned();
        assert_eq!(
            added,
            with_hash_as_appended(node, &again),
            "nothing but the new event was appended"
        );
    }
    assert_eq!(cluster.assert_agreed(), 10);
}

/// The line of an event in this node's file, end included.
fn with_hash_as_appended(node: &Node, event: &Event) -> String {
    let text = fs::read_to_string(file(node)).unwrap();
    let hash = event.event_hash().to_string();
    text.split_inclusive('\n')
        .filter(|line| line.contains(&hash))
        .collect()
}

#[test]
fn a_file_edited_by_hand_is_reported_and_never_overwritten() {
    let cluster = Cluster::start(4);
    let events = Events::series("drift");
    let path = file(cluster.node(0));
    append(&path, &events.lines(0..3));
    cluster.wait_certified(3, SOON);
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replacen("v4.4", "v9.9", 1);
    fs::write(&path, &edited).unwrap();
    eventually("the node reports the drift", SOON, || {
        let log = cluster.node(0).log_tail();
        if log.contains("read from its beginning") && log.contains("line 1") {
            Ok(())
        } else {
            Err(log)
        }
    });
    let more = cluster.dir().join("more");
    fs::write(&more, events.lines(3..4)).unwrap();
    let _ = cluster
        .node(1)
        .ssid(&["events", "import", more.to_str().unwrap(), "--wait"])
        .well();
    cluster.wait_certified(4, SOON);
    wait_in_file(cluster.node(2), &events.range(3..4));
    assert!(fs::read_to_string(&path).unwrap().starts_with(&edited));
}
