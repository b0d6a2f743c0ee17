//! Without a quorum nothing is decided, nothing is lost, and everybody is told whom the node waits
//! for.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use ssid_tests::{Cluster, Events, SOON, eventually, never_while};

#[test]
fn with_two_of_four_down_nothing_is_certified_and_status_names_them_and_one_back_is_enough() {
    let mut cluster = Cluster::start(4);
    cluster.node_mut(2).kill();
    assert!(cluster.node_mut(3).terminate().0.success());

    let waiting = eventually("node-0 says what it waits for", SOON, || {
        let voting = cluster.node(0).ssid_json(&["status"])["voting"].clone();
        let missing = voting["missing_voters"].as_array().unwrap().len();
        if missing == 2 {
            Ok(voting)
        } else {
            Err(voting)
        }
    });
    assert_eq!(waiting["has_quorum"], false, "{waiting}");
    let reason = waiting["waiting_for"][0].as_str().unwrap();
    for word in ["quorum", "2 of 4", "3 of 4", "node-2", "node-3"] {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
    let text = cluster.node(0).ssid(&["status"]).well().stdout;
    assert!(
        text.contains("Waiting for a quorum") && text.contains("node-2") && text.contains("node-3"),
        "{text}"
    );
    let health = cluster
        .node(0)
        .ssid(&["--json", "quorum"])
        .exits(4)
        .says(&["no quorum", "weight 2 can sign, 3 decides"])
        .json();
    assert_eq!(
        healths(&health),
        ["agrees", "agrees", "missing", "missing"],
        "{health}"
    );
    assert_eq!(
        (&health["has_quorum"], &health["may_fail"]),
        (&false.into(), &0.into()),
        "{health}"
    );
    let ready = cluster.node(0).get("/readyz?federation=true");
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (503, &false.into()),
        "{ready:?}"
    );
    assert!(ready.body.contains("node-3"), "{ready:?}");

    // what is offered meanwhile is taken and kept
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("quorum").lines(0..30)).unwrap();
    let said = cluster.node(0).ssid(&[
        "--json",
        "events",
        "import",
        log.to_str().unwrap(),
        "--wait",
        "--timeout",
        "1",
    ]);
    let said = said.exits(4).says(&["not decided in time"]).json();
    assert_eq!(
        (&said["accepted"], &said["still_open"]),
        (&30.into(), &30.into()),
        "{said}"
    );
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        "v1",
        "--commit",
        "0123abc",
        "--wait",
        "--timeout",
        "1",
    ];
    let _ = cluster
        .node(1)
        .ssid(&emit)
        .exits(4)
        .says(&["not certified in time", "kept"]);
    never_while(
        "something is certified by two of four",
        Duration::from_secs(2),
        || {
            let certified: Vec<u64> = cluster
                .running()
                .map(ssid_tests::Node::certified_count)
                .collect();
            if certified == [0, 0] {
                Ok(())
            } else {
                Err(format!("{certified:?}"))
            }
        },
    );

    cluster.node_mut(2).start();
    cluster.wait_certified(31, SOON);
    // its heartbeat says a moment later that it can sign again
    eventually("three of four are ready", SOON, || {
        let ready = cluster.node(0).get("/readyz?federation=true");
        if ready.status == 200 {
            Ok(())
        } else {
            Err(ready.body)
        }
    });
    cluster.node_mut(3).start();
    cluster.wait_certified(31, SOON);
    assert_eq!(cluster.assert_agreed(), 31);
    eventually("all four are there, and one more may fail", SOON, || {
        let health = cluster.node(0).ssid_json(&["quorum"]);
        let is_well = healths(&health) == ["agrees"; 4] && health["may_fail"] == 1;
        if is_well { Ok(()) } else { Err(health) }
    });
}

/// What `ssid quorum` says of node 0, 1, …
fn healths(quorum: &Value) -> Vec<&str> {
    let mut voters: Vec<_> = quorum["voter_list"].as_array().unwrap().iter().collect();
    voters.sort_by_key(|voter| voter["node_name"].as_str());
    voters
        .iter()
        .map(|voter| voter["health"].as_str().unwrap())
        .collect()
}
