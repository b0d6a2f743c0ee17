//! A full disk: the node stops voting and says so, the others go on, and with space again it
//! catches up.

use std::fs;
use std::path::Path;
use std::process::Command;

use ssid_tests::{Cluster, Events, LONG, Node, SOON, eventually};

/// How the disk of the first node is filled.
enum Disk {
    /// A small file system of its own, full; freed by removing the ballast.
    Mounted(#[expect(dead_code, reason = "unmounts when dropped")] Mount),
    /// No file of the process may grow beyond a limit; freed by a start without it.
    Limited,
}

struct Mount(String);

impl Mount {
    fn tmpfs(at: &Path, megabytes: u32) -> Option<Self> {
        let at = at.to_str()?.to_owned();
        let options = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs", &at])
            .output()
            .ok()?;
        mounted.status.success().then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // lazily: a node may still end; a mount that is gone already is as good
        let _ = Command::new("umount").args(["-l", &self.0]).output();
    }
}

/// Puts a file system of its own under a stopped node's data directory, its content copied.
fn mounted(node: &Node) -> Option<Mount> {
    let data = Path::new(node.data());
    let aside = data.with_extension("aside");
    fs::rename(data, &aside).unwrap();
    fs::create_dir(data).unwrap();
    let mount = Mount::tmpfs(data, 12);
    if mount.is_none() {
        fs::remove_dir(data).unwrap();
        fs::rename(&aside, data).unwrap();
        return None;
    }
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", aside.display()))
        .arg(data)
        .status()
        .unwrap();
    assert!(copied.success());
    mount
}

fn import(node: &Node, log: &Path, events: &str) {
    fs::write(log, events).unwrap();
    let _ = node
        .ssid(&["events", "import", log.to_str().unwrap(), "--wait"])
        .well();
}

#[test]
fn a_node_whose_disk_is_full_goes_read_only_says_so_and_catches_up_with_space_again() {
    let mut cluster = Cluster::start(4);
    let events = Events::series("full");
    let log = cluster.dir().join("log");
    import(cluster.node(1), &log, &events.lines(0..20));
    cluster.wait_certified(20, SOON);
    assert!(cluster.node_mut(0).terminate().0.success());

    let disk = match mounted(cluster.node(0)) {
        Some(mount) => Disk::Mounted(mount),
        None => Disk::Limited,
    };
    let ballast = cluster.node(0).file("ballast");
    match &disk {
        Disk::Mounted(_) => {
            println!("disk full: a small tmpfs, filled up");
            cluster.node_mut(0).start_answering();
            cluster.wait_ready();
            // until nothing fits any more
            let _ = fs::write(&ballast, vec![1; 64 << 20]).unwrap_err();
        }
        Disk::Limited => {
            println!("disk full: no mount possible, so RLIMIT_FSIZE");
            cluster.node_mut(0).start_to_be_limited();
            cluster.wait_ready();
            // the file that grows with every vote grows no more
            let journal = fs::metadata(cluster.node(0).file("votes.journal"))
                .unwrap()
                .len();
            cluster.node(0).limit_files(journal);
        }
    }

    // enough for a write that does not fit to come up, whatever was allocated before
    import(cluster.node(1), &log, &events.lines(20..300));
    let status = eventually("it is read-only and says so", LONG, || {
        let status = cluster.node(0).status();
        if status["voting"]["read_only"].is_string() {
            Ok(status)
        } else {
            Err(status["statistics"].to_string())
        }
    });
    assert!(
        status["voting"]["waiting_for"]
            .to_string()
            .contains("read-only"),
        "{status}"
    );
    assert!(
        cluster
            .node(0)
            .ssid(&["status"])
            .well()
            .stdout
            .contains("read-only")
    );
    let ready = cluster.node(0).get("/readyz");
    assert!(
        ready.status == 503 && ready.body.contains("read-only"),
        "{ready:?}"
    );
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        "v1",
        "--commit",
        "0123abc",
    ];
    let refused = cluster.node(0).ssid(&emit);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("read-only"),
        "{refused:#?}"
    );
    // the others go on
    import(cluster.node(1), &log, &events.lines(300..310));
    for i in 1..4 {
        eventually("the others hold all of it", SOON, || {
            match cluster.node(i).certified_count() {
                310 => Ok(()),
                n => Err(n),
            }
        });
    }
    let (status, _) = cluster.node_mut(0).terminate();
    assert_eq!(status.code(), Some(1), "{}", cluster.node(0).log_tail());
    assert!(
        cluster.node(0).log_tail().contains("read-only"),
        "{}",
        cluster.node(0).log_tail()
    );

    // with space again
    if let Disk::Mounted(_) = &disk {
        let full = cluster.node(0).ssid_run();
        assert!(
            full.code == Some(1),
            "a start without any space ends with a message: {full:#?}"
        );
        fs::remove_file(&ballast).unwrap();
    }
    cluster.node_mut(0).start_answering();
    cluster.wait_certified(310, LONG);
    assert_eq!(cluster.assert_agreed(), 310);
    let status = cluster.node(0).status();
    assert!(
        status["voting"]["abstaining"].is_null() && status["voting"]["read_only"].is_null(),
        "{status}"
    );
    cluster.node_mut(0).terminate();
}
