//! What this program starts: it has none of its secrets, and does not outlive it for nothing.

use std::fs;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use serde_json::json;
use ssid_tests::{
    Cluster, Organisation, SOON, Shape, Signal, eventually, free_port, ssid_in, ssid_with,
};

#[test]
fn nodes_of_a_cluster_have_none_of_the_operators_secrets() {
    // for its turn and its directory
    let cluster = Cluster::make(Shape::of(2));
    let dir = cluster.dir().join("fed");
    let at = dir.to_str().unwrap();
    let secrets = [
        (
            "SSID_LOCAL_NODE_GIT_REMOTE",
            "https://ada:s3cret@git.example/r.git",
        ),
        ("SSID_API_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("SSID_KEY_PASSPHRASE", "s3cret"),
    ];
    let up = ["cluster", "up", "--nodes", "2", "--dir", at, "--detach"];
    let _ = ssid_with(cluster.dir(), &secrets, &up).well();
    let data = dir.join("node-0").display().to_string();
    let shown = ssid_in(cluster.dir(), &["status", "--json", "--data", &data]);
    let synced = ssid_in(
        cluster.dir(),
        &["sync", "--transport", "git", "--json", "--data", &data],
    );
    let _ = ssid_in(cluster.dir(), &["cluster", "down", "--dir", at]).well();
    let _ = shown.well();
    assert!(!synced.stdout.contains("git.example"), "{synced:#?}");
    let own = &synced.json()["state"]["own"];
    assert!(own["remote"].is_null(), "{own}");
}

#[test]
fn a_node_outlives_the_terminal_that_it_was_started_on() {
    let mut cluster = Cluster::start(2);
    cluster.node(0).signal(Signal::HUP);
    let node = cluster.node(0);
    eventually("the signal is said", SOON, || {
        let log = node.log();
        if log.contains("SIGHUP") {
            Ok(())
        } else {
            Err(log)
        }
    });
    assert!(node.get("/healthz").status == 200);
    let (status, _) = cluster.node_mut(0).terminate();
    assert!(status.success(), "{status}");
}

/// The processes whose arguments name `text`.
fn processes_with(text: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
        })
        .collect()
}

#[test]
fn a_git_command_of_a_node_that_was_killed_is_ended_by_the_next() {
    // takes connections and says nothing: without an end of their own, commands stay for good
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = format!("git://{}/member.git", silent.local_addr().unwrap());
    let mut cluster = Cluster::make_of(Shape::of(2), |dir| {
        ["a", "b"]
            .map(|name| {
                fs::create_dir_all(dir.join(name)).unwrap();
                let config = json!({
                    "federation": {"enabled": true, "auto_sync": false},
                    "security": {"allowed_git_protocols": ["git"]},
                    "sync_settings": {"timeout_seconds": 300, "max_retry_attempts": 0},
                });
                let file = dir.join(name).join("federation_config.json");
                fs::write(file, config.to_string()).unwrap();
                Organisation::init_at(dir, name, free_port(), None, &["--git-remote", &remote])
            })
            .into()
    });
    cluster.start_all();
    cluster.wait_ready();
    let (dir, data) = (cluster.dir().to_owned(), cluster.node(0).data().to_owned());
    let sync = move || {
        let args = ["sync", "--force", "--transport", "git", "--data", &data];
        ssid_in(&dir, &args)
    };
    let (ended, has_ended) = mpsc::channel();
    let first = sync.clone();
    let waiting = spawn(move || ended.send(first()).unwrap());
    let running = || match processes_with(&remote) {
        none if none.is_empty() => Err("no git command runs"),
        some => Ok(some),
    };
    let before = eventually("a git command waits for the server", SOON, running);
    cluster.node_mut(0).kill();
    let _ = has_ended.recv_timeout(Duration::from_mins(1)).unwrap();
    waiting.join().unwrap();
    assert!(!processes_with(&remote).is_empty(), "it waits on");
    cluster.node_mut(0).start_answering();
    let again = spawn(sync);
    eventually("the old one is ended", SOON, || {
        let now = processes_with(&remote);
        if now.iter().any(|pid| before.contains(pid)) {
            Err(now)
        } else {
            Ok(())
        }
    });
    let (status, _) = cluster.node_mut(0).terminate();
    assert!(status.success(), "{status}");
    again.join().unwrap();
    eventually("none is left", SOON, || {
        let left = processes_with(&remote);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}
