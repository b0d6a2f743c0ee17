//! A member that plots against all others together neither parts them nor makes them work without
//! end.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ssid_tests::adversary::{Adversary, Scheme};
use ssid_tests::{Cluster, SOON, Siege};

const PAUSE: Duration = Duration::from_millis(100);
const SHUT_OUT: &str = "ssid_network_disconnected_offenders_total";

/// A burst of so many portions at a time.
fn bursts(scheme: Scheme, count: u64) -> impl Fn(&Adversary, u64) + Sync {
    move |mallory, burst| (0..count).for_each(|i| scheme.commit(mallory, burst * count + i))
}

/// What every node must count.
fn everywhere(name: &'static str, label: &'static str) -> impl Fn(&Cluster) -> Result<(), String> {
    move |cluster| {
        let blind = (0..3).find(|i| cluster.node(*i).metric(name, label) == 0);
        blind.map_or(Ok(()), |i| {
            Err(format!("node {i} does not count {name} {label}"))
        })
    }
}

#[test]
fn who_frames_honest_members_is_shut_out_and_they_stay_together() {
    let mut siege = Siege::begin("framing", |_| {});
    siege.withstands("framing", 3, PAUSE, bursts(Scheme::Frame, 40), |cluster| {
        everywhere("ssid_network_rejects_total", "inadmissible")(cluster)?;
        everywhere(SHUT_OUT, "")(cluster)
    });
    // nothing that stood beside the bad events was taken either
    siege.assert_only_the_work_is_certified();
}

#[test]
fn heartbeats_without_end_are_ignored() {
    let mut siege = Siege::begin("beats", |_| {});
    let ignored = everywhere("ssid_network_messages_total", "ignored");
    siege.withstands("heartbeats", 2, PAUSE, bursts(Scheme::Beats, 20), &ignored);
    siege.withstands(
        "heartbeats of ever new logs",
        2,
        PAUSE,
        bursts(Scheme::Cursors, 20),
        &ignored,
    );
    siege.assert_only_the_work_is_certified();
}

#[test]
fn who_shows_a_log_without_end_is_shut_out() {
    let mut siege = Siege::begin("endless", |_| {});
    Scheme::Endless.prepare(&siege.mallory);
    siege.withstands(
        "a log without end",
        2,
        10 * PAUSE,
        bursts(Scheme::Endless, 1),
        |cluster| {
            everywhere("ssid_network_sync_requests_total", "invalid")(cluster)?;
            everywhere(SHUT_OUT, "")(cluster)
        },
    );
    siege.assert_only_the_work_is_certified();
}

#[test]
fn subjects_that_nobody_endorses_are_few_and_hold_nothing_up() {
    let mut siege = Siege::begin("unendorsed", |_| {});
    let full = everywhere("ssid_refused_total", "open_instances");
    siege.withstands(
        "events that nobody may endorse",
        2,
        PAUSE,
        bursts(Scheme::Open, 1),
        full,
    );
    siege.assert_only_the_work_is_certified();
}

/// Keeps as many silent connections open as it can, the newest of them, until told to end.
fn flood(port: u16, over: &AtomicBool) {
    let mut held: std::collections::VecDeque<TcpStream> = std::collections::VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        // refused while its node is down
        held.extend(TcpStream::connect(("127.0.0.1", port)));
        if held.len() > 200 {
            held.pop_front();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends the flood also where the test panics.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_member_comes_back_while_silent_connections_flood_all() {
    let mut cluster = Cluster::start(4);
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.org.port).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = Ended(&over);
        for port in ports {
            let over = &over;
            scope.spawn(move || flood(port, over));
        }
        // until the flood is what it will be
        let counted = |cluster: &Cluster| {
            (0..4).all(|i| {
                cluster
                    .node(i)
                    .metric("ssid_network_refused_connections_total", "handshakes")
                    > 0
            })
        };
        ssid_tests::eventually("handshakes are turned away", SOON, || {
            if counted(&cluster) {
                Ok(())
            } else {
                Err("none yet")
            }
        });
        cluster.node_mut(3).kill();
        let started = Instant::now();
        cluster.node_mut(3).start();
        cluster.wait_ready();
        println!("back with all others after {:?}", started.elapsed());
    });
}
