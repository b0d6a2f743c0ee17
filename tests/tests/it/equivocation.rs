//! A member that says different things to different members changes nothing about what is
//! certified.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use ssid_tests::adversary::Misdeed;
use ssid_tests::{Cluster, Node, Siege};

/// What the liar does twice.
const KINDS: [&str; 3] = ["event", "proposal", "vote"];

/// The fourth member: the adversary has its keys.
fn liar(cluster: &Cluster) -> String {
    cluster.node(3).org.node_id()
}

/// Of what kinds `node` has evidence; all of it is about `member`.
fn proven_kinds(node: &Node, member: &str) -> Vec<String> {
    let list = node.ssid_json(&["evidence", "list"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut kinds: Vec<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| text(&piece["kind"]))
        .collect();
    for piece in list["items"].as_array().unwrap() {
        assert_eq!(
            piece["member"]["node_id"], member,
            "{}: {piece}",
            node.org.name
        );
    }
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// That its trust is 0 at `node`, for equivocation.
fn assert_trust_is_lost(node: &Node, member: &str) {
    let explained = node.ssid_json(&["trust", "explain", member]);
    assert_eq!(
        (&explained["trust_score"], &explained["trust_label"]),
        (&0.into(), &"very_low".into()),
        "{explained}"
    );
    let changes = explained["changes"].as_array().unwrap();
    let because = changes
        .iter()
        .find(|change| change["points"] == -100)
        .unwrap_or_else(|| panic!("{explained}"));
    assert!(
        because["reason"].as_str().unwrap().contains("equivocation"),
        "{because}"
    );
    let list = node.ssid_json(&["evidence", "list"]);
    let ids: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| &piece["evidence_id"])
        .collect();
    assert!(
        ids.contains(&&because["reference"]),
        "{because} is about none of {ids:?}"
    );
}

#[test]
fn who_votes_announces_and_proposes_twice_divides_nobody() {
    // proposals count where rounds are automatic
    let mut siege = Siege::begin("twice", |shape| shape.auto_resolve = true);
    siege.withstands(
        "equivocation",
        4,
        Duration::from_millis(250),
        |mallory, portion| {
            (0..3).for_each(|victim| Misdeed::Equivocate.commit(mallory, victim, portion));
        },
        |cluster| {
            (0..3).try_for_each(|i| {
                let kinds = proven_kinds(cluster.node(i), &liar(cluster));
                if kinds == KINDS {
                    Ok(())
                } else {
                    Err(format!("node {i} has proven only {kinds:?}"))
                }
            })
        },
    );
    // its own events are certified in one form or are in conflict; nobody holds another one than
    // the others
    let least = siege.done();
    ssid_tests::eventually("all hold the same", ssid_tests::SOON, || {
        let sets: Vec<_> = siege.honest().map(Node::certified_set).collect();
        if sets.iter().all(|set| *set == sets[0]) {
            Ok(())
        } else {
            Err(sets.iter().map(BTreeSet::len).collect::<Vec<_>>())
        }
    });
    assert!(siege.assert_agreed() >= least);
    let member = siege.mallory.member().node_id().to_string();
    siege
        .honest()
        .for_each(|node| assert_trust_is_lost(node, &member));
    assert!(
        siege
            .honest()
            .all(|node| node.metric("ssid_evidence", "") == KINDS.len() as u64)
    );
    // to be seen through is no reason to be shut out: its votes may still be needed
    assert!(
        siege
            .honest()
            .all(|node| node.metric("ssid_network_disconnected_offenders_total", "") == 0)
    );
}
