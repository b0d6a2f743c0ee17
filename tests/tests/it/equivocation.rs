//! A member that says different things to different members changes nothing about what is certified.

use std::time::Duration;

use ssid_tests::Siege;
use ssid_tests::adversary::Misdeed;

#[test]
fn who_votes_announces_and_proposes_twice_divides_nobody() {
    let mut siege = Siege::begin("twice", |_| {});
    siege.withstands(
        "equivocation",
        4,
        Duration::from_millis(250),
        |mallory, portion| (0..3).for_each(|victim| Misdeed::Equivocate.commit(mallory, victim, portion)),
        |cluster| {
            let unaware = (0..3).find(|i| !cluster.node(*i).log().contains("equivocation"));
            unaware.map_or(Ok(()), |i| Err(format!("node {i} has not noticed")))
        },
    );
    // its own events are certified in one form or are in conflict; nobody holds another one than the others
    let least = siege.done();
    ssid_tests::eventually("all hold the same", ssid_tests::SOON, || {
        let sets: Vec<_> = siege.honest().map(ssid_tests::Node::certified_set).collect();
        if sets.iter().all(|set| *set == sets[0]) {
            Ok(())
        } else {
            Err(sets.iter().map(|s| s.len()).collect::<Vec<_>>())
        }
    });
    assert!(siege.assert_agreed() >= least);
    // to be seen through is no reason to be shut out: its votes may still be needed
    assert!(siege.honest().all(|node| node.metric("ssid_network_disconnected_offenders_total", "") == 0));
}
