//! Offered more than it can carry, a node refuses at the door; what it took in is certified.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ssid_tests::{Address, Cluster, Events, LONG, Shape, eventually};

/// Events of each origin; the limit of two members is 50,000 each.
const OFFERED: usize = 10_000;
const CHUNK: usize = 3_000;

/// Offers all events at once; those accepted, by event hash, and the reasons of the refused.
fn offer(node: &Address, events: &Events, count: usize) -> (BTreeSet<String>, Vec<String>) {
    let (mut accepted, mut refused) = (BTreeSet::new(), Vec::new());
    for from in (0..count).step_by(CHUNK) {
        let body = serde_json::to_vec(&events.range(from..(from + CHUNK).min(count))).unwrap();
        let reply = node.post("/v1/events", &body).unwrap();
        if reply.status != 200 {
            refused.push(reply.body);
            continue;
        }
        for outcome in reply.json()["items"].as_array().unwrap() {
            match outcome["outcome"].as_str() {
                Some("accepted") => {
                    accepted.insert(outcome["event_hash"].as_str().unwrap().to_owned());
                }
                Some("refused") => {
                    assert_eq!(outcome["retry"], true, "a limit is no rule: {outcome}");
                    refused.push(outcome["reason"].as_str().unwrap().to_owned());
                }
                _ => panic!("{outcome}"),
            }
        }
    }
    (accepted, refused)
}

#[test]
fn far_more_than_is_carried_at_once_from_two_origins_is_certified_or_refused_by_name() {
    let cluster = Cluster::start_shaped(Shape {
        applies: false,
        ..Shape::of(2)
    });
    let started = Instant::now();
    let addresses = [0, 1].map(|i| cluster.node(i).address());
    let all = thread::scope(|scope| {
        let offers = [0, 1].map(|i| {
            let address = &addresses[i];
            scope.spawn(move || offer(address, &Events::series(&format!("origin{i}")), OFFERED))
        });
        offers.map(|offer| offer.join().unwrap())
    });
    let taken: usize = all.iter().map(|(accepted, _)| accepted.len()).sum();
    for reason in all.iter().flat_map(|(_, refused)| refused) {
        assert!(reason.contains("open_instances"), "{reason}");
    }
    println!(
        "{taken} of {} accepted after {:?}",
        2 * OFFERED,
        started.elapsed()
    );
    cluster.wait_certified(taken, Duration::from_mins(4));
    println!("certified on both after {:?}", started.elapsed());
    let certified: BTreeSet<String> = cluster
        .node(1)
        .certified_set()
        .into_iter()
        .map(|[_, hash, _]| hash)
        .collect();
    for (accepted, _) in &all {
        assert!(accepted.is_subset(&certified));
    }
    assert_eq!(
        cluster.node(0).certified_set(),
        cluster.node(1).certified_set()
    );
}

#[test]
fn past_an_origins_share_events_are_refused_with_the_limits_name_and_taken_later() {
    // alone, nothing is ever certified: the share of one of two members fills up
    let mut cluster = Cluster::make(Shape {
        applies: false,
        ..Shape::of(2)
    });
    cluster.start_all(); // a node that has just started hears the others before it signs anything
    cluster.node_mut(1).kill();
    let node = cluster.node(0).address();
    let (accepted, refused) = offer(&node, &Events::series("share"), 52_000);
    assert_eq!((accepted.len(), refused.len()), (50_000, 2_000));
    assert!(
        refused
            .iter()
            .all(|reason| reason.contains("open_instances") && reason.contains("50000")),
        "{:?}",
        refused[0]
    );
    // one alone gets a problem that says the same
    let event = serde_json::to_vec(&Events::series("share").event(51_000)).unwrap();
    let reply = node.post("/v1/events", &event).unwrap();
    let problem: Value = reply.json();
    assert!(matches!(reply.status, 429 | 503), "{reply:?}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("open_instances"),
        "{problem}"
    );
    // and what is too much for one request is refused before anything is done
    let many = serde_json::to_vec(&Events::series("many").range(0..17_000)).unwrap();
    let reply = node.post("/v1/events", &many).unwrap();
    assert_eq!(
        (reply.status, &reply.json()["limit"]),
        (413, &"emit_events".into()),
        "{reply:?}"
    );
    eventually("the node answers as ever", LONG, || {
        let status = cluster.node(0).status();
        if status["statistics"]["open"] == 50_000 {
            Ok(())
        } else {
            Err(status["statistics"].to_string())
        }
    });
}
