//! The own branch: published again and again, in the server's words if it refuses, and never where
//! another's stands.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ssid_tests::git::{bare_repository, commit_files, git};
use ssid_tests::{Cluster, Node, Organisation, Outcome, SOON, Shape, eventually, free_port};

const BRANCH: &str = "ssid-federation";

/// Two members of one federation that publish in one repository, on branches with these names.
fn members(remote: Option<&Path>, branches: [&str; 2]) -> Cluster {
    Cluster::make_of(Shape::of(2), |dir| {
        let init = |(i, branch): (usize, &str)| {
            let name = format!("node-{i}");
            fs::create_dir_all(dir.join(&name)).unwrap();
            let config = json!({
                "security": {"allowed_git_protocols": ["file"]},
                "sync_settings": {"git_branch": branch, "max_retry_attempts": 0},
            });
            fs::write(
                dir.join(&name).join("federation_config.json"),
                config.to_string(),
            )
            .unwrap();
            let remote = remote.map(|remote| format!("file://{}", remote.display()));
            let more: Vec<&str> = remote
                .iter()
                .flat_map(|remote| ["--git-remote", remote])
                .collect();
            Organisation::init_at(dir, &name, free_port(), None, &more)
        };
        branches.into_iter().enumerate().map(init).collect()
    })
}

/// A repository with a first commit on `main`.
fn repository(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = bare_repository(dir, name);
    git(&path, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    let commit = commit_files(&path, "main", &[("README.md", b"precious")], None);
    (path, commit)
}

fn sync(node: &Node) -> Outcome {
    node.ssid(&["sync", "--force", "--transport", "git"])
}

/// Where a branch stands.
fn tip(repository: &Path, branch: &str) -> String {
    git(
        repository,
        &[
            "for-each-ref",
            "--format=%(objectname)",
            &format!("refs/heads/{branch}"),
        ],
    )
}

/// The own branch is published, however it stands with the other member's.
fn published(node: &Node) {
    let outcome = node
        .ssid(&["--json", "sync", "--force", "--transport", "git"])
        .json();
    assert_eq!(outcome["own_published"], true, "{outcome}");
}

/// The sync says this of the own branch and exits 1, and so does the status.
fn refused(node: &Node, words: &[&str]) {
    let said = sync(node)
        .exits(1)
        .says(&["the own branch was not published"])
        .stdout;
    let status = node.ssid(&["status"]).well().stdout;
    let error = node.status()["transport"]["own_branch_error"]
        .as_str()
        .unwrap()
        .to_owned();
    for word in words {
        for text in [&said, &status, &error] {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}

#[test]
fn a_refused_push_is_told_in_the_servers_words_until_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, _) = repository(dir.path(), "r.git");
    let hook = remote.join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let words = "You are not allowed to push to protected branches of this project.";
    fs::write(&hook, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let mut cluster = members(Some(&remote), [BRANCH, "other"]);
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);
    refused(node, &[words, "hook declined"]);
    fs::remove_file(hook).unwrap();
    let _ = sync(node).well();
    assert_ne!(tip(&remote, BRANCH), "");
    assert_eq!(node.status()["transport"]["own_branch_error"], Value::Null);
}

#[test]
fn a_branch_that_somebody_removed_is_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, _) = repository(dir.path(), "r.git");
    let mut cluster = members(Some(&remote), [BRANCH, "other"]);
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);
    let _ = sync(node).well();
    let before = tip(&remote, BRANCH);
    git(
        &remote,
        &["update-ref", "-d", &format!("refs/heads/{BRANCH}")],
    );
    let outcome: Value = node.ssid_json(&["sync", "--force", "--transport", "git"]);
    assert_eq!(outcome["own_published"], true, "{outcome}");
    let after = tip(&remote, BRANCH);
    git(&remote, &["merge-base", "--is-ancestor", &before, &after]);
}

#[test]
fn under_its_next_key_a_node_goes_on_with_the_branch_that_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, _) = repository(dir.path(), "r.git");
    let mut cluster = members(Some(&remote), [BRANCH, "other"]);
    cluster.start_all();
    cluster.wait_ready();
    published(cluster.node(0));
    let before = tip(&remote, BRANCH);
    let rotated = cluster
        .node(0)
        .ssid_json(&["key", "rotate", "--reason", "yearly"]);
    let hash = rotated["proposed"]["manifest_hash"].as_str().unwrap();
    cluster.node(1).approve(hash);
    eventually("the node runs under its next key", SOON, || {
        let outcome = cluster.node(0).ssid(&["status", "--json"]);
        let status: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        let node_id = status["node"]["node_id"].clone();
        if node_id == rotated["next_key"] {
            Ok(())
        } else {
            Err(status)
        }
    });
    published(cluster.node(0));
    let after = tip(&remote, BRANCH);
    git(&remote, &["merge-base", "--is-ancestor", &before, &after]);
    let head = git(&remote, &["show", &format!("{after}:head.json")]);
    let head: Value = serde_json::from_str(&head).unwrap();
    assert_eq!(head["node_id"], rotated["next_key"]);
}

#[test]
fn a_name_that_another_branch_takes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, commit) = repository(dir.path(), "r.git");
    git(
        &remote,
        &["update-ref", &format!("refs/heads/{BRANCH}/old"), &commit],
    );
    let mut cluster = members(Some(&remote), [BRANCH, "main/below"]);
    for (i, taken) in [(0, "ssid-federation/old"), (1, "a branch main:")] {
        cluster.node_mut(i).start_answering();
        refused(
            cluster.node(i),
            &["cannot be made", taken, "sync_settings.git_branch"],
        );
    }
}

#[test]
fn no_branch_is_written_to_that_is_not_the_nodes_own() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, main) = repository(dir.path(), "r.git");
    let notes = commit_files(
        &remote,
        "notes",
        &[("head.json", b"{}"), ("lines/00000000.jsonl", b"x\n")],
        None,
    );
    let mut cluster = members(Some(&remote), ["main", "notes"]);
    for (i, words) in [
        (
            0,
            [
                "it is the repository's default branch",
                "README.md",
                "is left as it is",
            ],
        ),
        (
            1,
            ["its head.json cannot be read", "notes", "is left as it is"],
        ),
    ] {
        cluster.node_mut(i).start_answering();
        refused(cluster.node(i), &words);
    }
    assert_eq!((tip(&remote, "main"), tip(&remote, "notes")), (main, notes));

    // another member's, of another federation, and one that somebody has put other files on
    let mut cluster = members(Some(&remote), ["shared", "shared"]);
    cluster.node_mut(0).start_answering();
    published(cluster.node(0));
    let shared = tip(&remote, "shared");
    cluster.node_mut(1).start_answering();
    refused(
        cluster.node(1),
        &["it is node", &cluster.node(0).org.node_id()],
    );
    assert_eq!(tip(&remote, "shared"), shared);
    let head = git(&remote, &["cat-file", "blob", "shared:head.json"]);
    let merged = [("head.json", head.as_bytes()), ("README.md", b"mine")];
    let merged = commit_files(&remote, "shared", &merged, Some(&shared));
    refused(cluster.node(0), &["it has other files: README.md"]);
    assert_eq!(tip(&remote, "shared"), merged);
    git(&remote, &["update-ref", "refs/heads/shared", &shared]);
    // that it became the default branch meanwhile, as the first one pushed does at some hosts,
    // changes nothing
    git(&remote, &["symbolic-ref", "HEAD", "refs/heads/shared"]);
    published(cluster.node(0));
}

#[test]
fn a_node_publishes_where_git_says_that_its_repository_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let (remote, _) = repository(dir.path(), "r.git");
    git(dir.path(), &["clone", "--quiet", "r.git", "clone"]);
    let clone = dir.path().join("clone");
    git(&clone, &["remote", "set-url", "origin", "../r.git"]);
    git(
        &clone,
        &["worktree", "add", "--quiet", "../linked", "-b", "linked"],
    );
    let linked = dir.path().join("linked");
    let mut cluster = members(None, [BRANCH, "other"]);
    let governance = linked.join("07_governance_legal");
    fs::create_dir_all(&governance).unwrap();
    fs::copy(
        cluster.node(0).file("federation_config.json"),
        governance.join("federation_config.json"),
    )
    .unwrap();
    cluster.node_mut(0).start_for(&linked);
    let outcome = cluster
        .node(0)
        .ssid_json(&["sync", "--force", "--transport", "git"]);
    let own = &outcome["state"]["own"];
    let expected = remote.canonicalize().unwrap();
    assert_eq!(
        (own["remote"].as_str(), &own["error"]),
        (expected.to_str(), &Value::Null)
    );
    assert_ne!(tip(&remote, BRANCH), "");
}
