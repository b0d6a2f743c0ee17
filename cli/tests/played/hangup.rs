//! SIGHUP: what follows or holds something ends with its terminal, and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use super::node::{Played, Running, line_of, ssid};

fn signal(running: &Running, signal: Signal) {
    let pid = Pid::from_raw(running.child.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Starts it as a terminal does, also where these tests run under nohup: there SIGHUP is ignored, and
/// whoever is started inherits that.
fn on_a_terminal(command: &Command) -> Running {
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP").arg(command.get_program());
    env.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => env.env(name, value),
            None => env.env_remove(name),
        };
    }
    Running::start(env)
}

fn following() -> (Played, String) {
    let connected = json!({ "type": "connected", "node_id": "44".repeat(32) });
    let told = format!("data: {connected}\n\n");
    let node = Played::new(move |asked| {
        assert_eq!(asked, "GET /v1/stream");
        (200, told.clone())
    });
    (node, "connected   4444".to_owned())
}

#[test]
fn following_events_ends_with_the_terminal() {
    let (node, first) = following();
    let mut running = on_a_terminal(&node.command(&["events", "watch"]));
    line_of(&mut running.out, |line| line.starts_with(&first));
    signal(&running, Signal::HUP);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_started_to_outlive_its_terminal_goes_on() {
    let (node, first) = following();
    let watch = node.command(&["events", "watch"]);
    let mut nohup = Command::new("sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(watch.get_program())
        .args(watch.get_args());
    let mut running = Running::start(nohup);
    line_of(&mut running.out, |line| line.starts_with(&first));
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    // SIGHUP is the lowest bit
    assert_eq!(ignored & 1, 1, "{status}");
    signal(&running, Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

/// The processes that work beneath a directory, by what their command lines name.
fn working_in(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let process = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&dir).then_some(line)
    };
    let entries = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    entries.filter_map(process).collect()
}

#[test]
fn a_cluster_ends_with_the_terminal_and_so_do_its_nodes() {
    let above = tempfile::tempdir_in("/tmp").unwrap();
    let dir = above.path().join("c");
    let up = ["cluster", "up", "--nodes", "2", "--json", "--dir"];
    let mut command = ssid(&up);
    command.arg(&dir);
    let mut running = on_a_terminal(&command);
    let mut document = String::new();
    while serde_json::from_str::<Value>(&document).is_err() {
        document += &line_of(&mut running.out, |_| true);
    }
    let up: Value = serde_json::from_str(&document).unwrap();
    let nodes = up["nodes"].as_array().unwrap().iter();
    let pids: Vec<_> = nodes.map(|node| node["pid"].as_i64().unwrap()).collect();
    let lives =
        |pid: &i64| test_kill_process(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap()).is_ok();
    assert!(pids.len() == 2 && pids.iter().all(lives));
    signal(&running, Signal::HUP);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(!pids.iter().any(lives), "{pids:?}");
}

#[test]
fn a_demo_ends_with_the_terminal_and_leaves_nothing_behind() {
    let above = tempfile::tempdir_in("/tmp").unwrap();
    let mut command = ssid(&["demo", "--nodes", "3"]);
    command.env("TMPDIR", above.path());
    let mut running = on_a_terminal(&command);
    // its nodes run
    line_of(&mut running.out, |line| line.starts_with("1 "));
    assert!(!working_in(above.path()).is_empty());
    signal(&running, Signal::HUP);
    assert_eq!(running.child.wait().unwrap().code(), Some(1));
    line_of(&mut running.err, |line| line.contains("interrupted"));
    assert_eq!(working_in(above.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
}
