//! Members only.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use ssid_tests::{
    Cluster, Events, Node, Organisation, SOON, create_federation, eventually, never_while,
};

/// Brings `stranger` close to every member and checks that so many refuse it, that it stays
/// outside, and that the members go on.
fn assert_kept_out(cluster: &Cluster, mut stranger: Node, refusing: usize) {
    let addresses: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|node| format!("/ip4/127.0.0.1/tcp/{}", node.org.port))
        .collect();
    stranger
        .org
        .configure(|config| config["network"]["bootstrap"] = addresses.into());
    stranger.start_answering();
    let refusals = || {
        cluster
            .nodes()
            .iter()
            .filter(|m| m.metric("ssid_network_refused_connections_total", "non_member") > 0)
    };
    eventually(
        &format!("{refusing} members count what they refused"),
        SOON,
        || {
            if refusals().count() >= refusing {
                Ok(())
            } else {
                Err(stranger.log_tail())
            }
        },
    );
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("members").lines(0..20)).unwrap();
    let _ = cluster
        .node(0)
        .ssid(&["events", "import", log.to_str().unwrap(), "--wait"])
        .well();
    cluster.wait_certified(20, SOON);
    never_while(
        "a stranger is connected, or is told anything",
        Duration::from_millis(500),
        || {
            let status = stranger.status();
            let alone = status["transport"]["connected_peers"] == 0
                && status["statistics"]["certified"] == 0;
            let is_with = |node: &&Node| node.status()["transport"]["connected_peers"] != 3;
            match (alone, cluster.nodes().iter().find(is_with)) {
                (true, None) => Ok(()),
                (_, node) => Err(format!("{status} {:?}", node.map(|n| &n.org.name))),
            }
        },
    );
    assert_eq!(cluster.assert_agreed(), 20);
    assert!(stranger.terminate().0.success());
}

#[test]
fn a_fifth_organisation_that_is_no_member_is_refused_and_disturbs_nobody() {
    let cluster = Cluster::start(4);
    let fifth = Organisation::init(cluster.dir(), "fifth");
    // no command lets it in
    let node = Node::of(fifth.clone());
    let _ = node
        .ssid(&["federation", "join", cluster.genesis().to_str().unwrap()])
        .exits(2)
        .says(&["ssid card"]);
    // a copy of the genesis file, which is no secret, does not make it a member
    fs::copy(cluster.genesis(), fifth.data.join("genesis.json")).unwrap();
    let started = node.ssid_run();
    assert!(matches!(started.code, Some(1 | 2)), "{started:#?}");
    let _ = started.says(&["not a member", "member card"]);
    // a forged genesis file, in which it stands in a member's place, convinces its own program only
    let forger = Organisation::init(cluster.dir(), "forger");
    let own = fs::read_to_string(forger.data.join("card.json")).unwrap();
    let own: Value = serde_json::from_str(&own).unwrap();
    let mut genesis: Value =
        serde_json::from_str(&fs::read_to_string(cluster.genesis()).unwrap()).unwrap();
    for key in ["node_id", "peer_id"] {
        genesis["members"][3][key] = own[key].clone();
    }
    fs::write(forger.data.join("genesis.json"), genesis.to_string()).unwrap();
    // it takes the three for members of its own, and only they end the connection
    assert_kept_out(&cluster, Node::of(forger), 3);
}

#[test]
fn a_node_of_another_federation_is_refused_and_disturbs_nobody() {
    let cluster = Cluster::start(4);
    let others: Vec<_> = ["east", "west"]
        .map(|name| Organisation::init(cluster.dir(), name))
        .into();
    let genesis = create_federation(cluster.dir(), "elsewhere", &others, &[]);
    others.iter().for_each(|org| org.join(&genesis));
    // both sides refuse, and whoever is later finds the connection gone: not every member gets to
    // count
    assert_kept_out(&cluster, Node::of(others[0].clone()), 1);
}

#[test]
fn how_far_away_a_connected_member_is_can_be_seen() {
    let mut cluster = Cluster::start(2);
    let shown = |cluster: &Cluster| cluster.node(0).ssid_json(&["nodes", "show", "node-1"]);
    let milliseconds = eventually("node-1 was pinged", SOON, || {
        let node = shown(&cluster);
        node["round_trip_ms"].as_f64().ok_or(node)
    });
    assert!(milliseconds > 0.0, "{milliseconds}");
    let text = cluster
        .node(0)
        .ssid(&["nodes", "show", "node-1"])
        .well()
        .stdout;
    assert!(text.contains(" ms away"), "{text}");

    // who is gone is nowhere near
    assert!(cluster.node_mut(1).terminate().0.success());
    eventually("node-1 is gone", SOON, || {
        let node = shown(&cluster);
        if node["round_trip_ms"].is_null() && node["connected"] == false {
            Ok(())
        } else {
            Err(node)
        }
    });
}
