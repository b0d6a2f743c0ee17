//! Whatever hangs: a node ends within 5 s of SIGTERM, and nothing that stands in the place of a
//! file makes it wait.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use ssid_tests::{Cluster, Shape};

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
