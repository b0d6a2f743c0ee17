//! Members only.

use std::fs;

use ssid_tests::{Cluster, Events, Node, Organisation, SOON, create_federation, eventually, never_while};
use std::time::Duration;

/// Brings `stranger` close to every member and checks that it stays outside, and that the members go on.
fn assert_kept_out(cluster: &Cluster, mut stranger: Node) {
    let addresses: Vec<String> =
        cluster.nodes().iter().map(|node| format!("/ip4/127.0.0.1/tcp/{}", node.org.port)).collect();
    stranger.org.configure(|config| config["network"]["bootstrap"] = addresses.into());
    stranger.start_answering();
    for member in cluster.nodes() {
        eventually(&format!("{} refuses it", member.org.name), SOON, || {
            let refused = member.metric("ssid_network_refused_connections_total", "non_member");
            if refused > 0 { Ok(()) } else { Err(stranger.log_tail()) }
        });
    }
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("members").lines(0..20)).unwrap();
    let _ = cluster.node(0).ssid(&["events", "import", log.to_str().unwrap(), "--wait"]).well();
    cluster.wait_certified(20, SOON);
    never_while("a stranger is connected, or is told anything", Duration::from_millis(500), || {
        let status = stranger.status();
        let alone = status["transport"]["connected_peers"] == 0 && status["statistics"]["certified"] == 0;
        let is_with = |node: &&Node| node.status()["transport"]["connected_peers"] != 3;
        match (alone, cluster.nodes().iter().find(is_with)) {
            (true, None) => Ok(()),
            (_, node) => Err(format!("{status} {:?}", node.map(|n| &n.org.name))),
        }
    });
    assert_eq!(cluster.assert_agreed(), 20);
    assert!(stranger.terminate().0.success());
}

#[test]
fn a_fifth_organisation_that_is_no_member_is_refused_and_disturbs_nobody() {
    let cluster = Cluster::start(4);
    let fifth = Organisation::init(cluster.dir(), "fifth");
    // the command does not let it in
    let genesis = cluster.genesis().to_str().unwrap();
    let node = Node::of(fifth.clone());
    let _ = node.ssid(&["federation", "join", genesis]).exits(2).says(&["ssid card"]);
    // so it copies the genesis file, which is no secret
    fs::copy(cluster.genesis(), fifth.data.join("genesis.json")).unwrap();
    assert_kept_out(&cluster, node);
}

#[test]
fn a_node_of_another_federation_is_refused_and_disturbs_nobody() {
    let cluster = Cluster::start(4);
    let others: Vec<_> = ["east", "west"].map(|name| Organisation::init(cluster.dir(), name)).into();
    let genesis = create_federation(cluster.dir(), "elsewhere", &others, &[]);
    others.iter().for_each(|org| org.join(&genesis));
    assert_kept_out(&cluster, Node::of(others[0].clone()));
}

#[test]
fn a_node_without_a_card_in_the_genesis_cannot_emit() {
    let cluster = Cluster::start(2);
    let outsider = Organisation::init(cluster.dir(), "outsider");
    fs::copy(cluster.genesis(), outsider.data.join("genesis.json")).unwrap();
    let mut node = Node::of(outsider);
    node.start_answering();
    assert_eq!(node.status()["role"], "none");
    let emit = ["events", "emit", "--event", "tick", "--version", "v1", "--commit", "0123abc"];
    let _ = node.ssid(&emit).exits(1).says(&["no voter", "only voters originate events"]);
}
