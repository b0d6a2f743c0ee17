//! A member that sends more than its share - votes, streams, connections, things said before -
//! costs the others little and keeps nobody from certifying. What an honest member never does shuts
//! it out; what one may have to do - say again what was said, send a batch of which little is new,
//! connect once more - is ignored or refused, and no offence.

use std::time::Duration;

use ssid_protocol::limits::UNKNOWN_VOTES;
use ssid_tests::Siege;
use ssid_tests::adversary::{Adversary, Misdeed};

/// Against all three.
fn all(misdeed: Misdeed) -> impl Fn(&Adversary, u64) + Sync {
    move |mallory, portion| (0..3).for_each(|victim| misdeed.commit(mallory, victim, portion))
}

/// What every node must count.
fn everywhere(
    name: &'static str,
    label: &'static str,
) -> impl Fn(&ssid_tests::Cluster) -> Result<(), String> {
    move |cluster| {
        let blind = (0..3).find(|i| cluster.node(*i).metric(name, label) == 0);
        blind.map_or(Ok(()), |i| {
            Err(format!("node {i} does not count {name} {label}"))
        })
    }
}

/// That no node has shut anybody out.
fn assert_nobody_is_shut_out(siege: &Siege) {
    assert!(siege.honest().all(|node| node.metric(SHUT_OUT, "") == 0));
}

const SHUT_OUT: &str = "ssid_network_disconnected_offenders_total";
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn replays_are_ignored_and_endless_votes_for_nothing_shut_their_sender_out() {
    let mut siege = Siege::begin("votes", |_| {});
    let replays = everywhere("ssid_network_messages_total", "ignored");
    siege.withstands("replays", 2, PAUSE, all(Misdeed::Replays), replays);
    // gossip has every honest member deliver what others have: only their rate is bounded
    assert_nobody_is_shut_out(&siege);
    let full = |cluster: &ssid_tests::Cluster| {
        let short = (0..3)
            .find(|i| cluster.node(*i).metric("ssid_waiting_votes", "") < UNKNOWN_VOTES as u64);
        short.map_or(Ok(()), |i| {
            Err(format!("node {i} holds fewer than {UNKNOWN_VOTES} votes"))
        })
    };
    siege.withstands(
        "votes for unknown subjects",
        2,
        PAUSE,
        all(Misdeed::UnknownVotes),
        full,
    );
    let unknown = everywhere(SHUT_OUT, "");
    siege.withstands(
        "more of them than are kept",
        2,
        PAUSE / 3,
        all(Misdeed::UnknownVotes),
        unknown,
    );
    assert!(
        siege
            .honest()
            .all(|node| node.metric("ssid_refused_total", "unknown_votes") > 0)
    );
    siege.assert_only_the_work_is_certified();
}

#[test]
fn floods_of_connections_cost_little() {
    let mut siege = Siege::begin("connections", |_| {});
    let limit = everywhere("ssid_network_refused_connections_total", "limit");
    // refused, and no offence: who dials is not known yet, and an honest member whose link broke
    // dials again
    siege.withstands(
        "floods of connections",
        2,
        PAUSE,
        all(Misdeed::Connections),
        limit,
    );
    siege.assert_only_the_work_is_certified();
}

#[test]
fn slow_streams_are_counted_and_shut_out_who_goes_on_with_them() {
    let mut siege = Siege::begin("slow", |_| {});
    siege.withstands(
        "slow streams",
        2,
        PAUSE,
        all(Misdeed::SlowStreams),
        |cluster| {
            everywhere("ssid_network_sync_requests_total", "failed")(cluster)?;
            everywhere(SHUT_OUT, "")(cluster)
        },
    );
    // slowness is all that was wrong with them
    assert!(
        siege
            .honest()
            .all(|node| node.metric("ssid_network_sync_requests_total", "malformed") == 0)
    );
    siege.assert_only_the_work_is_certified();
}

#[test]
fn hollow_batches_are_not_kept_whole_and_votes_of_other_epochs_are_ignored() {
    let mut siege = Siege::begin("hollow", |_| {});
    // as many as would more than double the memory of a node if each kept its batch
    let many = |cluster: &ssid_tests::Cluster| {
        let short = (0..3).find(|i| cluster.node(*i).metric("ssid_waiting_votes", "") < 150);
        short.map_or(Ok(()), |i| {
            Err(format!("node {i} has got fewer than 150 of them"))
        })
    };
    siege.withstands(
        "hollow batches",
        2,
        PAUSE,
        all(Misdeed::HollowBatches),
        many,
    );
    // not passed on, and no offence: an honest member's batch looks like it to who has heard most
    // of it already
    assert_nobody_is_shut_out(&siege);
    let other_epochs = everywhere("ssid_refused_total", "other_epochs");
    siege.withstands(
        "votes of other epochs",
        2,
        PAUSE,
        all(Misdeed::Epochs),
        other_epochs,
    );
    // nor is this one: whoever is an epoch ahead says such things
    assert_nobody_is_shut_out(&siege);
    siege.assert_only_the_work_is_certified();
}
