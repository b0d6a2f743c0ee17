//! For tests of syncs over Git: repositories as their owners make them, and where what they hold
//! goes.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gix_hash::ObjectId;
use gix_object::Kind;
use ssid_engine::Inbound;
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::git_lines::LINES_DIR;
use ssid_protocol::id::LogId;
use ssid_protocol::testing;
use ssid_storage::{Owner, Store};
use tokio::sync::{mpsc, watch};

use super::branch::tree;
use super::intake::IntakeContext;
use super::objects::Objects;

/// The context of the first of four members, whose storage is in `dir` and only read.
pub(super) fn intake_context(dir: &Path, inputs: mpsc::Sender<Inbound>) -> IntakeContext {
    let (manifest, federation, _, keys) = testing::federation(4);
    let owner = Owner {
        federation,
        node: keys[0].node_id(),
    };
    let (store, _writer) = Store::open(dir, owner, LogId([1; 32])).unwrap();
    let epochs = Epochs::new(EpochContext::genesis(manifest).unwrap());
    IntakeContext {
        me: owner.node,
        epochs: watch::channel(Arc::new(epochs)).1,
        store,
        inputs,
    }
}

/// A commit with these files of lines, by name.
pub(super) fn commit_lines(objects: &Objects, files: &[(String, Vec<u8>)]) -> ObjectId {
    let write =
        |(name, text): &(String, Vec<u8>)| (name.clone(), objects.write(Kind::Blob, text).unwrap());
    let files: Vec<_> = files.iter().map(write).collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, id)| ("100644", name.as_str(), *id))
        .collect();
    let lines = objects.write(Kind::Tree, &tree(&files)).unwrap();
    let root = objects
        .write(Kind::Tree, &tree(&[("40000", LINES_DIR, lines)]))
        .unwrap();
    let who = "t <t@localhost> 0 +0000";
    let text = format!("tree {root}\nauthor {who}\ncommitter {who}\n\nx\n");
    objects.write(Kind::Commit, text.as_bytes()).unwrap()
}

/// Runs `git` in a repository, as somebody without a configuration of their own; what it wrote.
#[track_caller]
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    try_git(dir, args).unwrap_or_else(|said| panic!("{args:?}: {said}"))
}

/// The same; what it said if it failed.
pub(super) fn try_git(dir: &Path, args: &[&str]) -> Result<String, String> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(args)
        .current_dir(dir);
    let output = git
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}
