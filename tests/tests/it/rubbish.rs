//! A member that sends rubbish is counted by what it sent, shut out by whom it sent it to, and
//! disturbs nobody else.

use std::time::Duration;

use ssid_tests::adversary::{Adversary, Misdeed};
use ssid_tests::{Cluster, Siege};

const PAUSE: Duration = Duration::from_millis(30);

/// That node `victim` counts the name under each label, and has shut the adversary out.
fn counted(cluster: &Cluster, victim: usize, names: &[(&str, &str)]) -> Result<(), String> {
    let node = cluster.node(victim);
    let missing = names
        .iter()
        .find(|(name, label)| node.metric(name, label) == 0);
    match missing {
        Some(missing) => Err(format!("node {victim} does not count {missing:?}")),
        None if node.metric("ssid_network_disconnected_offenders_total", "") == 0 => {
            Err(format!("node {victim} has not shut it out"))
        }
        None => Ok(()),
    }
}

/// A misdeed for each victim.
fn each(misdeeds: [Misdeed; 3]) -> impl Fn(&Adversary, u64) + Sync {
    move |mallory, portion| {
        for (victim, misdeed) in misdeeds.into_iter().enumerate() {
            misdeed.commit(mallory, victim, portion);
        }
    }
}

const REJECTS: &str = "ssid_network_rejects_total";
const SYNC: &str = "ssid_network_sync_requests_total";
const REFUSED_CONNECTIONS: &str = "ssid_network_refused_connections_total";

#[test]
fn garbage_oversize_and_bombs_are_counted_and_their_sender_is_shut_out() {
    let mut siege = Siege::begin("rubbish", |_| {});
    let misdeeds = each([Misdeed::Garbage, Misdeed::Oversize, Misdeed::Bombs]);
    siege.withstands("rubbish", 3, PAUSE, misdeeds, |cluster| {
        let garbage = ["garbage", "signature", "heartbeat_bytes"].map(|reason| (REJECTS, reason));
        counted(cluster, 0, &garbage)?;
        counted(cluster, 1, &[(SYNC, "malformed")])?;
        counted(
            cluster,
            2,
            &[(REJECTS, "garbage"), (SYNC, "malformed"), (SYNC, "refused")],
        )?;
        (0..3).try_for_each(|victim| counted(cluster, victim, &[(REFUSED_CONNECTIONS, "blocked")]))
    });
    siege.assert_only_the_work_is_certified();
}

#[test]
fn forged_answers_and_lying_heartbeats_convince_nobody() {
    let mut siege = Siege::begin("forged", |_| {});
    // what is asked is answered with certificates without a quorum, an altered event, an answer to
    // another question
    let lies = each([Misdeed::Heartbeats, Misdeed::Forgeries, Misdeed::Forgeries]);
    siege.withstands(
        "forgeries and lying heartbeats",
        3,
        PAUSE,
        lies,
        |cluster| {
            counted(cluster, 0, &[(REJECTS, "heartbeat_bytes")])?;
            (1..3).try_for_each(|victim| counted(cluster, victim, &[(SYNC, "invalid")]))
        },
    );
    siege.assert_only_the_work_is_certified();
}
