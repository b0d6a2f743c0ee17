//! A member that sends more than its share - votes, streams, connections, things said before - costs the others little
//! and keeps nobody from certifying.

use std::time::Duration;

use ssid_protocol::limits::UNKNOWN_VOTES;
use ssid_tests::Siege;
use ssid_tests::adversary::{Adversary, Misdeed};

/// Against all three.
fn all(misdeed: Misdeed) -> impl Fn(&Adversary, u64) + Sync {
    move |mallory, portion| (0..3).for_each(|victim| misdeed.commit(mallory, victim, portion))
}

/// What every node must count.
fn everywhere(name: &'static str, label: &'static str) -> impl Fn(&ssid_tests::Cluster) -> Result<(), String> {
    move |cluster| {
        let blind = (0..3).find(|i| cluster.node(*i).metric(name, label) == 0);
        blind.map_or(Ok(()), |i| Err(format!("node {i} does not count {name} {label}")))
    }
}

#[test]
fn endless_votes_for_nothing_are_refused_by_name_and_shut_their_sender_out() {
    let mut siege = Siege::begin("votes", |_| {});
    let pause = Duration::from_millis(100);
    let epochs = everywhere("ssid_refused_total", "other_epochs");
    siege.withstands("votes of other epochs", 2, pause, all(Misdeed::Epochs), epochs);
    let replays = everywhere("ssid_network_messages_total", "ignored");
    siege.withstands("replays", 2, pause, all(Misdeed::Replays), replays);
    let full = |cluster: &ssid_tests::Cluster| {
        let short = (0..3).find(|i| cluster.node(*i).metric("ssid_waiting_votes", "") < UNKNOWN_VOTES as u64);
        short.map_or(Ok(()), |i| Err(format!("node {i} holds fewer than {UNKNOWN_VOTES} votes")))
    };
    siege.withstands("votes for unknown subjects", 2, pause, all(Misdeed::UnknownVotes), full);
    let unknown = everywhere("ssid_network_disconnected_offenders_total", "");
    siege.withstands("more of them than are kept", 2, pause / 3, all(Misdeed::UnknownVotes), unknown);
    assert!(siege.honest().all(|node| node.metric("ssid_refused_total", "unknown_votes") > 0));
    siege.assert_only_the_work_is_certified();
}

#[test]
fn slow_streams_and_floods_of_connections_cost_little() {
    let mut siege = Siege::begin("slow", |_| {});
    let limit = everywhere("ssid_network_refused_connections_total", "limit");
    siege.withstands("floods of connections", 2, Duration::from_millis(100), all(Misdeed::Connections), limit);
    let slow = everywhere("ssid_network_sync_requests_total", "malformed");
    siege.withstands("slow streams", 2, Duration::from_millis(100), all(Misdeed::SlowStreams), slow);
    siege.assert_only_the_work_is_certified();
}

#[test]
fn full_batches_of_which_one_vote_is_of_use_are_not_kept_whole() {
    let mut siege = Siege::begin("hollow", |_| {});
    // as many as would more than double the memory of a node if each kept its batch
    let many = |cluster: &ssid_tests::Cluster| {
        let short = (0..3).find(|i| cluster.node(*i).metric("ssid_waiting_votes", "") < 150);
        short.map_or(Ok(()), |i| Err(format!("node {i} has got fewer than 150 of them")))
    };
    siege.withstands("hollow batches", 2, Duration::from_millis(100), all(Misdeed::HollowBatches), many);
    siege.assert_only_the_work_is_certified();
}
