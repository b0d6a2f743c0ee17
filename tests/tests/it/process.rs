//! A node as a process: it ends in order, and it shares neither its directory nor its port.

use std::net::TcpListener;
use std::time::Duration;

use ssid_tests::{Cluster, Events, Shape, Signal};

#[test]
fn sigterm_and_sigint_end_a_node_with_exit_0_within_5_seconds_also_under_load() {
    let mut cluster = Cluster::start(4);
    let log = cluster.dir().join("log");
    std::fs::write(&log, Events::series("term").lines(0..200)).unwrap();
    let imported = cluster
        .node(0)
        .ssid_json(&["events", "import", log.to_str().unwrap()]);
    assert_eq!(imported["accepted"], 200);
    for i in 0..4 {
        let node = cluster.node_mut(i);
        if i % 2 == 0 {
            let (status, took) = node.terminate();
            assert!(
                status.success() && took < Duration::from_secs(5),
                "{status} after {took:?}\n{}",
                node.log_tail()
            );
        } else {
            node.signal(Signal::INT);
            assert!(node.wait_ended().success(), "{}", node.log_tail());
        }
        assert!(
            node.log().trim_end().ends_with("stopped"),
            "{}",
            node.log_tail()
        );
    }
    cluster.start_all();
    cluster.wait_certified(200, ssid_tests::LONG);
    assert_eq!(cluster.assert_agreed(), 200);
}

#[test]
fn a_second_process_on_one_data_directory_is_refused_and_the_first_goes_on() {
    let cluster = Cluster::start(2);
    let node = cluster.node(0);
    let second = node
        .ssid_run()
        .exits(1)
        .says(&["in use by another process", node.data()]);
    assert!(second.took < Duration::from_secs(10), "{second:#?}");
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
    ];
    let _ = node.ssid(&emit).well();
    let status = node.ssid_json(&["status"]);
    assert_eq!(status["voting"]["has_quorum"], true, "{status}");
}

#[test]
fn a_port_in_use_is_named_with_the_next_step() {
    let cluster = Cluster::make(Shape::of(2));
    let port = cluster.node(0).org.port;
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let _ = cluster.node(0).ssid_run().exits(1).says(&[
        &address,
        "the port is in use",
        "network.listen",
    ]);
}

#[test]
fn a_node_whose_log_nobody_reads_any_more_runs_on_and_ends_in_order() {
    let mut cluster = Cluster::make(Shape::of(2));
    cluster.node_mut(0).start_unheard();
    cluster.start_all();
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
    ];
    let _ = cluster.node(0).ssid(&emit).well();
    let (status, took) = cluster.node_mut(0).terminate();
    assert!(
        status.success() && took < Duration::from_secs(5),
        "{status} after {took:?}"
    );
}

#[test]
fn commands_without_a_node_exit_3_and_say_how_to_start_one() {
    let cluster = Cluster::make(Shape::of(2));
    let node = cluster.node(0);
    for command in [
        &["status"][..],
        &["events", "list"],
        &["consensus", "verify"],
        &["nodes", "list"],
        &["log", "head"],
    ] {
        let _ = node.ssid(command).exits(3).says(&[
            "no node answers at",
            "ssid run --data",
            node.data(),
        ]);
        let said = node.ssid(&[&["--json"], command].concat()).exits(3);
        let error: serde_json::Value = serde_json::from_str(&said.stderr).unwrap();
        assert_eq!(
            (&error["code"], said.stdout.as_str()),
            (&3.into(), ""),
            "{said:#?}"
        );
    }
}
