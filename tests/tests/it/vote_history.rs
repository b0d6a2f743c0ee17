//! A key without its whole vote history, however it was lost: it signs nothing a second time, says
//! why and what ends that.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ssid_protocol::batch::Statements;
use ssid_protocol::event::Event;
use ssid_protocol::id::Choice;
use ssid_storage::{Journal, JournalRecord};
use ssid_tests::{Cluster, Events, LONG, Node, SOON, Shape, eventually, with_hash};

/// Events offered while the node loses its history.
const LOAD: usize = 400;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Four nodes that vote for promotions only as their own registries say, and for everything else as
/// it is announced.
fn four() -> Cluster {
    let mut cluster = Cluster::make(Shape::of(4));
    for node in cluster.nodes() {
        let path = node.file("federation_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["endorsement"]["by_event"] = json!({ "policy_promoted": "observed" });
        fs::write(&path, config.to_string()).unwrap();
    }
    cluster.start_all();
    cluster
}

fn offer(node: &Node, event: &Event) {
    let reply = node
        .address()
        .post("/v1/events", &serde_json::to_vec(event).unwrap())
        .unwrap();
    assert!(matches!(reply.status, 200 | 202), "{reply:?}");
}

/// What the node's journal says it has signed about subjects; nothing if there is no journal.
fn signed(node: &Node, scratch: &Path) -> Vec<String> {
    let copy = scratch.join("read.journal");
    if fs::copy(node.file("votes.journal"), &copy).is_err() {
        return Vec::new();
    }
    let id = ssid_protocol::id::NodeId(hex(&node.org.node_id()));
    let Ok((_, records, _)) = Journal::open(&copy, id, 0) else {
        return Vec::new();
    };
    let own = records.into_iter().filter_map(|record| match record {
        JournalRecord::Own(batch) => Some(batch.statements),
        _ => None,
    });
    own.filter(|s| !matches!(s, Statements::Heartbeat(_)))
        .map(|statements| format!("{statements:?}"))
        .collect()
}

fn hex(text: &str) -> [u8; 32] {
    let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// The one conflict, as `node` shows it.
fn conflict(node: &Node) -> Value {
    eventually("the conflict is shown", SOON, || {
        let list = node.ssid_json(&["conflicts", "list"]);
        list["items"]
            .as_array()
            .unwrap()
            .first()
            .cloned()
            .ok_or(list)
    })
}

/// For what `of` prevoted in round 0 of the conflict, as `node` has it.
fn prevoted(node: &Node, of: &str) -> Vec<Choice> {
    let conflict = conflict(node);
    let candidates = conflict["candidates"].as_array().unwrap();
    let its = candidates.iter().filter(|c| {
        c["prevoted_by"]
            .as_array()
            .unwrap()
            .iter()
            .any(|by| by == of)
    });
    its.map(|c| Choice {
        event_hash: serde_json::from_value(c["event_hash"].clone()).unwrap(),
        content_digest: serde_json::from_value(c["content_digest"].clone()).unwrap(),
    })
    .collect()
}

/// Loses the history of node 0 under load, by `lose`, given the data directory and how it was
/// before anything was voted on; starts it again with a registry that says something else now.
fn loses(lose: impl Fn(&Path, &Path), why: &str) {
    let mut cluster = four();
    let scratch = tempfile::tempdir().unwrap();
    let before = scratch.path().join("before");
    assert!(cluster.node_mut(0).terminate().0.success());
    copy(Path::new(cluster.node(0).data()), &before);
    cluster.start_all();

    let series = Events::series("history");
    let first = Event {
        event: "policy_promoted".into(),
        version: "v4.4.0".into(),
        ..series.event(0)
    };
    let second = Event {
        commit_hash: "fffffff".into(),
        ..first.clone()
    };
    for (node, event) in [(0, &first), (1, &first), (2, &second), (3, &second)] {
        offer(cluster.node(node), event);
    }
    let own = cluster.node(0).org.node_id();
    for node in cluster.nodes() {
        eventually("all four have prevoted", SOON, || {
            match prevoted(node, &own).as_slice() {
                [one] if *one == first.choice() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let log = scratch.path().join("load");
    fs::write(&log, series.lines(1..LOAD + 1)).unwrap();
    let _ = cluster
        .node(1)
        .ssid(&["events", "import", log.to_str().unwrap()])
        .well();
    cluster.node_mut(0).kill();
    lose(Path::new(cluster.node(0).data()), &before);
    fs::write(
        cluster.node(0).file("registry_events.log"),
        with_hash(&second) + "\n",
    )
    .unwrap();
    let kept = signed(cluster.node(0), scratch.path());

    cluster.node_mut(0).start_answering();
    let voting = eventually("it abstains", SOON, || {
        let voting = cluster.node(0).status()["voting"].clone();
        if voting["abstaining"].is_string() {
            Ok(voting)
        } else {
            Err(voting)
        }
    });
    assert!(voting["abstaining"].to_string().contains(why), "{voting}");
    assert!(
        voting["abstaining_ends"].to_string().contains("new key"),
        "{voting}"
    );
    let text = cluster.node(0).ssid(&["status"]).well().stdout;
    assert!(text.contains(why) && text.contains("new key"), "{text}");

    cluster.wait_certified(LOAD, LONG);
    for node in &cluster.nodes()[1..] {
        assert_eq!(prevoted(node, &own), [first.choice()], "{}", node.org.name);
    }
    assert!(cluster.node_mut(0).terminate().0.success());
    assert_eq!(
        signed(cluster.node(0), scratch.path()),
        kept,
        "nothing was signed after the loss"
    );
}

#[test]
fn a_node_whose_journal_was_deleted_signs_nothing_a_second_time() {
    loses(
        |data, _| fs::remove_file(data.join("votes.journal")).unwrap(),
        "votes.journal",
    );
}

#[test]
fn a_node_whose_journal_was_cut_signs_nothing_a_second_time() {
    let cut = |data: &Path, _: &Path| {
        // into its second record: what it signed first is gone, and others have it
        let journal = fs::OpenOptions::new()
            .write(true)
            .open(data.join("votes.journal"))
            .unwrap();
        journal.set_len(100).unwrap();
    };
    loses(cut, "rolled back");
}

#[test]
fn a_node_of_which_only_the_keys_are_left_signs_nothing_a_second_time() {
    let only_keys = |data: &Path, _: &Path| {
        fs::remove_dir_all(data.join("db")).unwrap();
        for name in ["votes.journal", "log.head"] {
            fs::remove_file(data.join(name)).unwrap();
        }
    };
    loses(only_keys, "votes.journal");
}

#[test]
fn a_node_brought_back_whole_from_an_old_copy_signs_nothing_a_second_time() {
    // nothing on its disk can tell: only the others can
    let bring_back = |data: &Path, before: &Path| {
        fs::remove_dir_all(data.join("db")).unwrap();
        copy(before, data);
    };
    loses(bring_back, "rolled back");
}
