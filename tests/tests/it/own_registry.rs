//! What stands in a node's own registry file decides what it votes for, whenever it was written and
//! whoever is first.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use ssid_protocol::event::Event;
use ssid_tests::{Cluster, Events, LONG, Node, SOON, Shape, eventually, never_while, with_hash};

const FILE: &str = "registry_events.log";

fn append(node: &Node, event: &Event) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(node.file(FILE))
        .unwrap();
    file.write_all((with_hash(event) + "\n").as_bytes())
        .unwrap();
}

fn with_commit(event: &Event, commit: &str) -> Event {
    Event {
        commit_hash: commit.into(),
        ..event.clone()
    }
}

/// Of three types each: three registries say one thing and the odd one another; and two say one
/// thing, two another.
fn disputed(series: &str) -> (Vec<Event>, Vec<Event>) {
    let events = Events::series(series);
    let make = |from: usize| {
        let kinds = ["audit", "blueprint_tagged", "quarterly_release"]
            .into_iter()
            .enumerate();
        kinds
            .map(|(i, kind)| Event {
                event: kind.into(),
                ..events.event(from + i)
            })
            .collect()
    };
    (make(0), make(10))
}

fn write_disputes(cluster: &Cluster, odd: usize, three_to_one: &[Event], two_to_two: &[Event]) {
    for (at, node) in cluster.nodes().iter().enumerate() {
        let commit = if at == odd { "bbbbbbb" } else { "aaaaaaa" };
        three_to_one
            .iter()
            .for_each(|event| append(node, &with_commit(event, commit)));
        let commit = if at < 2 { "aaaaaaa" } else { "bbbbbbb" };
        two_to_two
            .iter()
            .for_each(|event| append(node, &with_commit(event, commit)));
    }
}

fn record_of(node: &Node, event: &Event) -> Option<Value> {
    let is_it = |record: &Value| {
        record["event_type"] == event.event.as_str()
            && record["event_version"] == event.version.as_str()
    };
    node.history().into_iter().find(is_it)
}

/// The majority is certified and every record names the odd one; what stands two to two is in
/// conflict everywhere.
fn assert_voted_as_registered(
    cluster: &Cluster,
    odd: usize,
    three_to_one: &[Event],
    two_to_two: &[Event],
) {
    let odd_id = cluster.node(odd).org.node_id();
    for node in cluster.nodes() {
        for event in three_to_one {
            let majority = with_commit(event, "aaaaaaa");
            let record = eventually(
                &format!("{} names the odd one", node.org.name),
                LONG,
                || {
                    let record = record_of(node, event).unwrap_or_default();
                    let is_named = record["disagreeing_nodes"] == json!([odd_id]);
                    let has_all = record["node_hashes"]
                        .as_object()
                        .is_some_and(|hashes| hashes.len() == 4);
                    if is_named && has_all {
                        Ok(record)
                    } else {
                        Err(record)
                    }
                },
            );
            assert_eq!(
                record["consensus_hash"],
                majority.event_hash().to_string().as_str(),
                "{record}"
            );
            assert_eq!(record["agreement_percentage"], 75.0, "{record}");
            let own = with_commit(event, "bbbbbbb").event_hash().to_string();
            assert_eq!(record["node_hashes"][&odd_id], own.as_str(), "{record}");
        }
        eventually(
            &format!("{} shows what stands two to two", node.org.name),
            LONG,
            || {
                let listed = node.ssid_json(&["conflicts", "list"]);
                let versions: Vec<_> = listed["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| &one["subject"]["event_version"])
                    .collect();
                let is_shown = |event: &Event| {
                    versions
                        .iter()
                        .any(|version| **version == event.version.as_str())
                };
                if two_to_two.iter().all(is_shown) {
                    Ok(())
                } else {
                    Err(listed)
                }
            },
        );
        for event in two_to_two {
            assert!(
                record_of(node, event).is_none(),
                "certified at {}: {event:?}",
                node.org.name
            );
        }
    }
}

/// How often each trial is made: `SSID_TRIALS=20` is for whoever wants to see it more often than
/// every run of the tests has time for.
fn trials(else_this: usize) -> usize {
    let asked = std::env::var("SSID_TRIALS").ok();
    asked.map_or(else_this, |count| {
        count.parse().expect("SSID_TRIALS is a number of trials")
    })
}

#[test]
fn lines_that_stood_in_the_files_before_the_start_are_what_is_voted_for() {
    let mut cluster = Cluster::make(Shape::of(4));
    for (turn, odd) in [3, 0].into_iter().cycle().take(trials(2)).enumerate() {
        let (three_to_one, two_to_two) = disputed(&format!("before-{turn}"));
        write_disputes(&cluster, odd, &three_to_one, &two_to_two);
        // the odd one first, or last and when the others have decided
        if odd == 0 {
            cluster.node_mut(0).start_answering();
        } else {
            (0..3).for_each(|node| cluster.node_mut(node).start());
        }
        cluster.start_all();
        assert_voted_as_registered(&cluster, odd, &three_to_one, &two_to_two);
        (0..4).for_each(|node| assert!(cluster.node_mut(node).terminate().0.success()));
    }
}

#[test]
fn lines_written_while_the_nodes_run_are_what_is_voted_for_whoever_wakes_first() {
    let cluster = Cluster::start(4);
    for (turn, odd) in [3, 0, 2].into_iter().cycle().take(trials(3)).enumerate() {
        let (three_to_one, two_to_two) = disputed(&format!("running-{turn}"));
        cluster
            .nodes()
            .iter()
            .for_each(|node| node.signal(Signal::STOP));
        write_disputes(&cluster, odd, &three_to_one, &two_to_two);
        // node 3 wakes last, node 0 first
        cluster
            .nodes()
            .iter()
            .for_each(|node| node.signal(Signal::CONT));
        assert_voted_as_registered(&cluster, odd, &three_to_one, &two_to_two);
    }
}

#[test]
fn a_contradicting_line_that_comes_after_the_decision_is_a_divergence_everywhere_it_should_show() {
    let mut cluster = Cluster::start(4);
    let event = Events::series("later").event(0);
    append(cluster.node(0), &event);
    cluster.wait_certified(1, SOON);
    let other = with_commit(&event, "fffffff");
    append(cluster.node(2), &other);
    let (certified, own) = (
        event.event_hash().to_string(),
        other.event_hash().to_string(),
    );
    eventually("node-2 says that it diverges", SOON, || {
        let listed = cluster.node(2).ssid_json(&["conflicts", "list"])["divergences"].clone();
        let is_it = listed[0]["own_hash"] == own.as_str()
            && listed[0]["certified_hash"] == certified.as_str();
        if is_it { Ok(()) } else { Err(listed) }
    });
    let assert_shown = |cluster: &Cluster| {
        let node = cluster.node(2);
        let text = node.ssid(&["conflicts", "list"]).well().stdout;
        assert!(
            text.contains("Divergences") && text.contains(&own[..8]) && text.contains("correction"),
            "{text}"
        );
        assert_eq!(node.status()["statistics"]["divergences"], 1);
        assert!(
            node.ssid(&["status"])
                .well()
                .stdout
                .contains("contradicts 1 decision")
        );
        assert_eq!(node.metric("ssid_divergences", ""), 1);
        let found = eventually("the record says what was found later", SOON, || {
            let record = record_of(node, &event).unwrap();
            if record["found_later"].is_null() {
                Err(record)
            } else {
                Ok(record["found_later"].clone())
            }
        });
        assert_eq!(found["event_hash"], own.as_str());
        assert!(
            node.ssid(&["consensus", "check", &certified])
                .well()
                .stdout
                .contains("found later")
        );
        let odd_id = node.org.node_id();
        eventually("the others' quorum names it", LONG, || {
            let health = cluster.node(0).ssid_json(&["quorum"]);
            let voters = health["voter_list"].as_array().unwrap().clone();
            let odd = voters
                .into_iter()
                .find(|voter| voter["node_id"] == odd_id.as_str())
                .unwrap();
            let why = odd["why"].as_str().unwrap_or_default();
            let is_named = odd["health"] == "disagrees" && why.contains("contradicts 1 decision");
            if is_named { Ok(()) } else { Err(health) }
        });
    };
    assert_shown(&cluster);
    // read again from its beginning at a restart it is told once, and stays
    cluster.node_mut(2).kill();
    cluster.node_mut(2).start_answering();
    cluster.wait_ready();
    assert_shown(&cluster);
    let told = cluster
        .node(2)
        .log()
        .matches("the registry file contradicts a decision")
        .count();
    assert_eq!(told, 1);
}

#[test]
fn a_registry_that_cannot_be_read_endorses_nothing_and_says_so() {
    let cluster = Cluster::start(4);
    let node = cluster.node(3);
    fs::create_dir(node.file(FILE)).unwrap();
    eventually("it says why it does not sign", SOON, || {
        let voting = node.status()["voting"].clone();
        if voting["can_sign"] == "no_registry" {
            Ok(())
        } else {
            Err(voting)
        }
    });
    let ready = eventually("it is not ready", SOON, || {
        let ready = node.get("/readyz");
        if ready.status == 503 {
            Ok(ready)
        } else {
            Err(ready)
        }
    });
    assert!(ready.body.contains("not a regular file"), "{ready:?}");
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        "v1",
        "--commit",
        "0123abc",
    ];
    let _ = node
        .ssid(&emit)
        .exits(1)
        .says(&["registry file", "not a regular file"]);
    eventually("the others know", LONG, || {
        let health = cluster.node(0).ssid_json(&["quorum"]);
        let is_known = health["voter_list"]
            .to_string()
            .contains("no-registry: its registry file cannot be read");
        if is_known { Ok(()) } else { Err(health) }
    });
    // the others decide, and it follows what they decided
    append(cluster.node(0), &Events::series("unread").event(0));
    cluster.wait_certified(1, SOON);
    let record = record_of(node, &Events::series("unread").event(0)).unwrap();
    assert!(
        record["silent_nodes"]
            .to_string()
            .contains(&node.org.node_id()),
        "{record}"
    );
    fs::remove_dir(node.file(FILE)).unwrap();
    eventually("it signs again", SOON, || {
        let voting = node.status()["voting"].clone();
        if voting["can_sign"] == "yes" {
            Ok(())
        } else {
            Err(voting)
        }
    });
}

#[test]
fn a_registry_file_that_was_rotated_or_replaced_is_read_again() {
    let cluster = Cluster::start(2);
    let events = Events::series("rotated");
    append(cluster.node(0), &events.event(0));
    cluster.wait_certified(1, SOON);
    let file = cluster.node(0).file(FILE);
    fs::rename(&file, cluster.node(0).file("registry_events.log.1")).unwrap();
    append(cluster.node(0), &events.event(1));
    cluster.wait_certified(2, SOON);
    // a merge: a line comes before those that were read
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        cluster.node(0).file("new"),
        with_hash(&events.event(2)) + "\n" + &text,
    )
    .unwrap();
    fs::rename(cluster.node(0).file("new"), &file).unwrap();
    cluster.wait_certified(3, SOON);
    assert!(cluster.node(0).log().contains("read from its beginning"));
    assert_eq!(cluster.node(0).status()["statistics"]["divergences"], 0);
}

/// How many undecided lines a file has: a few thousand, or what the environment says.
fn undecided_lines() -> usize {
    const LINES: &str = "SSID_UNDECIDED_LINES";
    std::env::var(LINES).map_or(6_000, |lines| {
        lines
            .parse()
            .unwrap_or_else(|_| panic!("{LINES}={lines} is no number"))
    })
}

/// The resident memory of a node's process, in MiB.
fn resident(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid().unwrap())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// By hand: `SSID_UNDECIDED_LINES=200000`.
#[test]
fn more_undecided_lines_than_may_be_open_at_once_are_read_and_announced_in_turn() {
    const MOST_RESIDENT: u64 = 512;
    let lines = undecided_lines();
    let mut cluster = Cluster::make(Shape::of(2));
    let events = Events::series("many");
    fs::write(cluster.node(0).file(FILE), events.lines(0..lines)).unwrap();
    // long before its turn to be announced comes, the last line is what the node votes for
    let last = events.event(lines - 1);
    append(cluster.node(1), &with_commit(&last, "bbbbbbb"));
    let begun = Instant::now();
    cluster.start_all();
    println!("{lines} lines, ready after {:?}", begun.elapsed());
    let within = LONG * 4 + Duration::from_millis(10) * u32::try_from(lines).unwrap();
    cluster.wait_certified(lines - 1, within);
    let most = resident(cluster.node(0));
    println!("certified after {:?}, {most} MiB resident", begun.elapsed());
    assert!(most <= MOST_RESIDENT, "{most} MiB resident");
    assert_eq!(cluster.assert_agreed(), lines - 1);
    for node in cluster.nodes() {
        let listed = node.ssid_json(&["conflicts", "list"]);
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{listed}");
        assert_eq!(items[0]["subject"]["event_version"], last.version.as_str());
    }
}

/// In a federation in which nobody may lie the announcer's vote waives no limit: people take over
/// an old log.
#[test]
fn an_old_log_is_taken_over_by_people_who_have_seen_the_list() {
    let cluster = Cluster::start(3);
    let events = Events::series("old");
    for i in 0..3 {
        append(
            cluster.node(0),
            &Event {
                timestamp: "2019-05-01T00:00:00Z".into(),
                ..events.event(i)
            },
        );
    }
    let node = cluster.node(1);
    eventually("they wait for people", SOON, || {
        let waiting = node.status()["voting"]["awaiting_review"].clone();
        if waiting == 3 { Ok(()) } else { Err(waiting) }
    });
    let many = ["events", "endorse", "--untimely", "--from", "node-0"];
    let listed = node
        .ssid(&many)
        .exits(1)
        .says(&["nothing was endorsed", "--yes"])
        .stdout;
    assert!(
        (0..3).all(|i| listed.contains(&format!("old-{i}"))),
        "{listed}"
    );
    let none = node
        .ssid(&[&many[..], &["--until", "2019-01-01", "--yes"]].concat())
        .well()
        .stdout;
    assert!(none.contains("no event of node-0 waits"), "{none}");
    assert_eq!(cluster.node(0).certified_count(), 0);
    let done = node
        .ssid(&[&many[..], &["--until", "2020-01-01", "--yes"]].concat())
        .well()
        .stdout;
    assert!(done.contains("3 events endorsed"), "{done}");
    cluster.wait_certified(3, SOON);
}

#[test]
fn two_voters_that_cannot_sign_are_no_quorum_whoever_is_connected() {
    let mut cluster = Cluster::start(4);
    append(cluster.node(1), &Events::series("able").event(0));
    cluster.wait_certified(1, SOON);
    // one lost its vote history, another one stops
    cluster.node_mut(0).kill();
    fs::remove_file(cluster.node(0).file("votes.journal")).unwrap();
    cluster.node_mut(0).start_answering();
    cluster.wait_ready();
    assert_eq!(cluster.node(1).get("/readyz?federation=true").status, 200);
    cluster.node_mut(3).kill();
    let observer = cluster.node(1);
    eventually("it is known that nothing can be decided", LONG, || {
        let ready = observer.get("/readyz?federation=true");
        let is_said = ready.status == 503
            && ready.body.contains("node-0 (abstaining)")
            && ready.body.contains("node-3");
        if is_said { Ok(()) } else { Err(ready) }
    });
    assert_eq!(
        observer.get("/readyz").status,
        200,
        "this node itself serves and signs"
    );
    assert_eq!(observer.metric("ssid_has_quorum", ""), 0);
    let health = observer
        .ssid(&["--json", "quorum"])
        .exits(4)
        .says(&["no quorum", "weight 2 can sign, 3 decides"])
        .json();
    let of = |name: &str| {
        let voters = health["voter_list"].as_array().unwrap();
        voters
            .iter()
            .find(|voter| voter["node_name"] == name)
            .unwrap()["health"]
            .clone()
    };
    assert_eq!(
        [of("node-0"), of("node-3")],
        [json!("unable"), json!("missing")],
        "{health}"
    );
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        "stuck",
        "--commit",
        "0123abc",
        "--wait",
        "--timeout",
        "1",
    ];
    let _ = observer.ssid(&emit).exits(4).says(&[
        "not certified in time",
        "node-0 (abstaining)",
        "node-3",
    ]);
    never_while(
        "something is certified by two",
        Duration::from_secs(1),
        || {
            if observer.certified_count() == 1 {
                Ok(())
            } else {
                Err("certified".to_owned())
            }
        },
    );
}
