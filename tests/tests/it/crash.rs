//! SIGKILL at any instant: nothing acknowledged is lost, everything is caught up.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use ssid_tests::{Cluster, Events, LONG, SOON, Signal, eventually};

use crate::load::{StopOnDrop, offer_until, wait_equal, wait_holds};

#[test]
fn a_node_killed_under_load_catches_up_to_the_same_certified_set() {
    let mut cluster = Cluster::start(4);
    let events = Events::series("kill");
    let log = cluster.dir().join("log");
    fs::write(&log, events.lines(0..300)).unwrap();
    let args = ["events", "import", log.to_str().unwrap()];
    let imported = cluster.node(0).ssid_json(&args);
    assert_eq!(imported["accepted"], 300, "{imported}");
    eventually("the load is under way", SOON, || {
        match cluster.node(3).certified_count() {
            0 => Err(0),
            n => Ok(n),
        }
    });
    cluster.node_mut(3).kill();
    fs::write(&log, events.lines(300..400)).unwrap();
    let _ = cluster
        .node(1)
        .ssid(&[&args[..], &["--wait"]].concat())
        .well();
    cluster.wait_certified(400, LONG);
    cluster.node_mut(3).start();
    cluster.wait_certified(400, LONG);
    assert_eq!(cluster.assert_agreed(), 400);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_node_that_acknowledged_is_killed_at_once() {
    let mut cluster = Cluster::start(4);
    let events = Events::series("ack");
    let log = cluster.dir().join("log");
    fs::write(&log, events.lines(0..150)).unwrap();
    let imported = cluster
        .node(0)
        .ssid_json(&["events", "import", log.to_str().unwrap()]);
    cluster.node_mut(0).kill();
    assert_eq!(imported["accepted"], 150, "{imported}");
    cluster.node_mut(0).start();
    cluster.wait_certified(150, LONG);
    assert_eq!(cluster.assert_agreed(), 150);
}

#[test]
fn a_node_killed_five_times_at_random_instants_loses_nothing_and_never_contradicts_itself() {
    let mut cluster = Cluster::start(4);
    let (own, other) = (Events::series("own"), Events::series("other"));
    let (victim, bystander) = (cluster.node(0).address(), cluster.node(1).address());
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| offer_until(&victim, &own, &stop, &acknowledged));
        scope.spawn(|| offer_until(&bystander, &other, &stop, &acknowledged));
        for round in 0..5 {
            let had = acknowledged.lock().unwrap().len();
            eventually("both nodes take events", SOON, || {
                let has = acknowledged.lock().unwrap().len();
                if has >= had + 20 { Ok(()) } else { Err(has) }
            });
            // an instant that differs from run to run: somewhere in the next 150 ms
            let instant = Duration::from_millis(
                u64::from(std::process::id()).wrapping_mul(2_654_435_761 + round) % 150,
            );
            thread::sleep(instant);
            cluster.node_mut(0).kill();
            cluster.node_mut(0).start_answering();
        }
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());
    wait_holds(&cluster, &acknowledged);
    wait_equal(&cluster);
    cluster.assert_agreed();
    for node in cluster.nodes() {
        assert!(
            !node.log().contains("equivocation"),
            "{} saw two votes of one node",
            node.org.name
        );
        let status = node.status();
        assert!(status["voting"]["abstaining"].is_null(), "{status}");
    }
}

#[test]
fn a_node_that_hangs_holds_nobody_up_and_catches_up_when_it_goes_on() {
    let cluster = Cluster::start(4);
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("stop").lines(0..50)).unwrap();
    cluster.node(3).signal(Signal::STOP);
    let started = Instant::now();
    let import = cluster
        .node(0)
        .ssid(&["events", "import", log.to_str().unwrap(), "--wait"]);
    cluster.node(3).signal(Signal::CONT);
    let _ = import.well();
    assert!(started.elapsed() < SOON);
    cluster.wait_certified(50, LONG);
    assert_eq!(cluster.assert_agreed(), 50);
}

#[test]
fn all_four_killed_at_once_go_on_where_they_were() {
    let mut cluster = Cluster::start(4);
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("all").lines(0..200)).unwrap();
    let imported = cluster
        .node(2)
        .ssid_json(&["events", "import", log.to_str().unwrap()]);
    assert_eq!(imported["accepted"], 200, "{imported}");
    for i in 0..4 {
        cluster.node_mut(i).kill();
    }
    cluster.start_all();
    cluster.wait_certified(200, LONG);
    assert_eq!(cluster.assert_agreed(), 200);
}
