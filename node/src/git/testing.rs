//! For tests of syncs over Git: repositories as their owners make them, and where what they hold goes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ssid_protocol::id::LogId;
use ssid_protocol::testing;
use ssid_storage::{Owner, Store};
use tokio::sync::mpsc;

use super::intake::Road;
use crate::engine::Inbound;
use crate::engine::checking::Checker;

/// The road of the first of four members, whose storage is in `dir` and only read.
pub(super) fn road(dir: &Path, inputs: mpsc::Sender<Inbound>) -> Road {
    let (manifest, federation, voters, keys) = testing::federation(4);
    let owner = Owner { federation, node: keys[0].node_id() };
    let (store, _writer) = Store::open(dir, owner, LogId([1; 32])).unwrap();
    let policies = manifest.event_policies.clone();
    Road { me: owner.node, checker: Arc::new(Checker::new(federation, manifest, voters, policies)), store, inputs }
}

/// Runs `git` in a repository, as somebody without a configuration of their own; what it wrote.
#[track_caller]
pub(super) fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(args).current_dir(dir);
    let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
