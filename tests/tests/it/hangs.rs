//! Whatever hangs: a node ends within 5 s of SIGTERM, and nothing that stands in the place of a
//! file makes it wait.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use ssid_tests::{Cluster, SOON, Shape, Signal, eventually, ssid_binary};

#[test]
fn requests_that_never_end_do_not_hold_up_the_end() {
    let mut cluster = Cluster::start(2);
    let node = cluster.node(0);
    let mut hanging = Vec::new();
    for head in [
        "POST /v1/events/import HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nbegun",
        "GET /v1/str",
    ] {
        let mut stream = UnixStream::connect(node.file("api.sock")).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        hanging.push(stream);
    }
    let (status, took) = cluster.node_mut(0).terminate();
    assert!(
        status.success() && took < Duration::from_secs(5),
        "{status} after {took:?}"
    );
}

#[test]
fn pipes_and_devices_in_the_place_of_files_are_refused_by_name_at_once() {
    let cluster = Cluster::make(Shape::of(2));
    let node = cluster.node(0);
    let names = [
        "genesis.json",
        "federation_config.json",
        "votes.journal",
        "voting.key",
        "registry_events.log",
    ];
    for name in names {
        let (path, aside) = (node.file(name), node.file("aside"));
        let was_there = std::fs::rename(&path, &aside).is_ok();
        for is_pipe in [true, false] {
            if is_pipe {
                assert!(
                    Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                );
            } else {
                symlink("/dev/zero", &path).unwrap();
            }
            let refused = node.ssid_run();
            assert!(
                refused.took < Duration::from_secs(10),
                "{name}: {refused:#?}"
            );
            assert!(refused.stderr.contains(name), "{name}: {refused:#?}");
            assert!(!refused.stderr.contains("panicked"), "{name}: {refused:#?}");
            std::fs::remove_file(&path).unwrap();
        }
        if was_there {
            std::fs::rename(&aside, &path).unwrap();
        }
    }
}

/// Bytes that a pipe holds by default.
const PIPE_BYTES: usize = 64 << 10;

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_node_nor_its_end() {
    let mut cluster = Cluster::make(Shape::of(2));
    cluster.node_mut(1).start();
    let node = cluster.node(0);
    // nearly full before the first line, and never read
    let (_unread, mut log) = std::io::pipe().unwrap();
    log.write_all(&vec![b'\n'; PIPE_BYTES - 300]).unwrap();
    let mut command = Command::new(ssid_binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SSID_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(["-vv", "run", "--data", node.data()])
        .env("HOME", cluster.dir())
        .stderr(log)
        .spawn()
        .unwrap();
    eventually("the node decides with the other", SOON, || {
        let emit = [
            "events",
            "emit",
            "--event",
            "a",
            "--version",
            "1",
            "--commit",
            "abcdef1",
            "--wait",
            "--timeout",
            "5",
        ];
        let said = node.ssid(&emit);
        if said.code == Some(0) {
            Ok(())
        } else {
            Err(said)
        }
    });
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let begun = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
