//! Repositories that fail, each in its own way: a clear error in time, and the other members
//! unaffected.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use ssid_tests::git::{Daemon, HttpServer, SshServer, bare_repository, commit_files, git};
use ssid_tests::{Cluster, Organisation, SOON, Shape, eventually, free_port};

const BRANCH: &str = "ssid-federation";

fn config(data: &Path, timeout_seconds: u64) {
    fs::create_dir_all(data).unwrap();
    let config = json!({
        "security": {"allowed_git_protocols": ["https", "ssh", "file", "http", "git"]},
        "sync_settings": {"timeout_seconds": timeout_seconds, "max_retry_attempts": 0},
        "performance": {"parallel_sync": true, "max_parallel_syncs": 8},
    });
    fs::write(data.join("federation_config.json"), config.to_string()).unwrap();
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    StdRng::seed_from_u64(1).fill(&mut noise[..]);
    noise
}

/// Puts zeros into every pack of a repository, where its largest object is.
fn spoil_packs(repository: &Path) {
    let packs = fs::read_dir(repository.join("objects/pack"))
        .unwrap()
        .map(|file| file.unwrap().path());
    for pack in packs.filter(|path| path.extension().is_some_and(|e| e == "pack")) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0);
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, bytes).unwrap();
    }
}

fn member<'a>(outcome: &'a Value, name: &str) -> &'a Value {
    let members = outcome["state"]["members"].as_array().unwrap();
    members
        .iter()
        .find(|member| member["node_name"] == name)
        .unwrap()
}

#[test]
fn each_failing_repository_is_named_and_takes_no_other_with_it() {
    let servers = tempfile::tempdir().unwrap();
    let root = servers.path();
    for name in ["own", "good", "corrupt", "locked"] {
        bare_repository(root, &format!("{name}.git"));
    }
    let (daemon, http) = (Daemon::start(root), HttpServer::start(root));
    let ssh = SshServer::start(root, &root.join("keys"));
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    commit_files(
        &root.join("corrupt.git"),
        BRANCH,
        &[("blob", &noise(1 << 20))],
        None,
    );
    git(&root.join("corrupt.git"), &["repack", "-a", "-d", "-q"]);
    spoil_packs(&root.join("corrupt.git"));
    let garbage = b"{\"batch\":{}}\nnot json\n\n{\"event\":7}\n";
    let first = commit_files(
        &root.join("good.git"),
        BRANCH,
        &[("lines/00000000.jsonl", garbage)],
        None,
    );
    let locked = http.url_with("ada", "wrong-secret", "locked.git");
    let members = [
        ("own", daemon.url("own.git")),
        ("good", daemon.url("good.git")),
        ("locked", locked),
        ("dead", format!("git://127.0.0.1:{}/a.git", free_port())),
        (
            "hanging",
            format!("git://{}/a.git", hanging.local_addr().unwrap()),
        ),
        ("corrupt", daemon.url("corrupt.git")),
        ("silent", String::new()),
        // nobody gave this node a key, or told it the server's
        (
            "strange",
            ssh.as_ref()
                .map(|ssh| ssh.url("good.git"))
                .unwrap_or_default(),
        ),
    ];
    let mut cluster = Cluster::make_of(Shape::of(members.len()), |dir| {
        let init = |(name, remote): &(&str, String)| {
            config(&dir.join(name), 8);
            Organisation::init_at(dir, name, free_port(), None, &["--git-remote", remote])
        };
        members.iter().map(init).collect()
    });
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);

    let started = Instant::now();
    let outcome = node.ssid_json(&["sync", "--force", "--transport", "git"]);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    for (name, words) in [
        ("locked", "not let in"),
        ("dead", "not reached"),
        ("hanging", "no answer within 8 s"),
        ("corrupt", "damaged"),
    ] {
        let error = member(&outcome, name)["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{name}: {error}");
        assert!(outcome["remarks"].to_string().contains(name));
    }
    assert!(!outcome.to_string().contains("secret") && !node.log_tail().contains("secret"));
    if ssh.is_some() {
        let error = member(&outcome, "strange")["error"]
            .as_str()
            .unwrap_or_default();
        assert!(error.contains("not let in"), "{error}");
    }
    let good = member(&outcome, "good");
    assert_eq!(
        (&good["commit"], &good["bad_lines"], &good["error"]),
        (&first.as_str().into(), &3.into(), &Value::Null)
    );
    assert!(
        good["bad_example"]
            .as_str()
            .unwrap()
            .starts_with("00000000.jsonl line 1: "),
        "{good}"
    );
    let counted = (
        outcome["git_fetched"].as_u64(),
        outcome["git_failed"].as_u64(),
    );
    let over_ssh = u64::from(ssh.is_some());
    assert_eq!(counted, (Some(5 + over_ssh), Some(4 + over_ssh)));
    assert!(outcome["state"]["own"]["commit"].is_string(), "{outcome}");

    // a moment later nothing is done, unless it is forced
    let again = node.ssid_json(&["sync", "--transport", "git"]);
    assert_eq!(
        (&again["done"], &again["git_fetched"]),
        (&false.into(), &0.into())
    );

    // a history that is rewritten is seen and kept
    let other = commit_files(
        &root.join("good.git"),
        BRANCH,
        &[("lines/00000000.jsonl", b"other\n")],
        None,
    );
    let outcome = node.ssid_json(&["sync", "--force", "--transport", "git"]);
    let good = member(&outcome, "good");
    assert_eq!(
        (&good["commit"], &good["rewritten"][0]["was"]),
        (&other.as_str().into(), &first.as_str().into())
    );
    assert_eq!(node.status()["transport"]["rewritten_histories"], 1);
    // … as evidence, also after a restart, and called what it is: seen by this node, proven to
    // nobody
    let listed = || {
        node.ssid_json(&["evidence", "list"])["items"]
            .as_array()
            .map_or(0, Vec::len)
    };
    eventually("it is listed", SOON, || {
        if listed() == 1 {
            Ok(())
        } else {
            Err("it is not".to_owned())
        }
    });
    cluster.node_mut(0).kill();
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);
    assert_eq!(node.status()["transport"]["rewritten_histories"], 1);
    let list = node.ssid_json(&["evidence", "list"]);
    let one = &list["items"][0];
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(
        (&one["kind"], &one["proven"], &one["member"]["node_name"]),
        (&"rewritten_history".into(), &false.into(), &"good".into())
    );
    let id = one["evidence_id"].as_str().unwrap();
    let file = node.file("observation.json");
    let shown = node.ssid_json(&["evidence", "show", id, "-o", file.to_str().unwrap()]);
    let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(shown["document"], document);
    for (key, value) in [
        ("was", &first),
        ("now", &other),
        ("remote", &daemon.url("good.git")),
    ] {
        assert_eq!(document[key], value.as_str(), "{document}");
    }
    let genesis = node.file("genesis.json");
    let verify = [
        "evidence",
        "verify",
        file.to_str().unwrap(),
        "--genesis",
        genesis.to_str().unwrap(),
    ];
    let _ = node.ssid(&verify).exits(5).says(&[
        "it proves nothing",
        "Neither commit is signed",
        &first,
        &other,
    ]);
    // trust has no equivocation in it
    let explained = node.ssid_json(&["trust", "explain", "good"]);
    assert_eq!(
        (&explained["effects"], &explained["changes"]),
        (&json!([]), &json!([])),
        "{explained}"
    );
}

/// Two organisations with a repository each; the repository of the second.
fn two_nodes(root: &Path) -> (Cluster, PathBuf) {
    let repositories = ["a.git", "b.git"].map(|name| bare_repository(root, name));
    let cluster = Cluster::make_of(Shape::of(2), |dir| {
        let init = |(i, repository): (usize, &PathBuf)| {
            let name = format!("node-{i}");
            config(&dir.join(&name), 60);
            let remote = format!("file://{}", repository.display());
            Organisation::init_at(dir, &name, free_port(), None, &["--git-remote", &remote])
        };
        repositories.iter().enumerate().map(init).collect()
    });
    let [_, second] = repositories;
    (cluster, second)
}

#[test]
fn a_repository_that_is_too_large_is_broken_off() {
    let servers = tempfile::tempdir().unwrap();
    let (mut cluster, repository) = two_nodes(servers.path());
    git(&repository, &["config", "core.compression", "0"]);
    commit_files(&repository, BRANCH, &[("blob", &noise(72 << 20))], None);
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);
    let said = node
        .ssid(&["--json", "sync", "--force", "--transport", "git"])
        .exits(1);
    let outcome = said.says(&["no member's branch could be fetched"]).json();
    let error = member(&outcome, "node-1")["error"]
        .as_str()
        .unwrap_or_default();
    assert!(error.contains("fetch_bytes = 67108864"), "{error}");
    let mirrors = fs::read_dir(node.file("git/mirrors"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let packs = mirrors.map(|mirror| fs::read_dir(mirror.join("objects/pack")).unwrap().count());
    assert_eq!(packs.sum::<usize>(), 0, "nothing of it is kept");
}

#[test]
fn a_mirror_that_is_damaged_is_fetched_again() {
    let servers = tempfile::tempdir().unwrap();
    let root = servers.path();
    let (mut cluster, repository) = two_nodes(root);
    let mut lines = noise(1 << 18)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        + "\n";
    let first = commit_files(
        &repository,
        BRANCH,
        &[("lines/00000000.jsonl", lines.as_bytes())],
        None,
    );
    cluster.node_mut(0).start_answering();
    let node = cluster.node(0);
    let sync = || node.ssid_json(&["sync", "--force", "--transport", "git"]);
    assert_eq!(member(&sync(), "node-1")["commit"], first);
    let mirrors = fs::read_dir(node.file("git/mirrors"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mirror = &mirrors.last().unwrap();
    spoil_packs(mirror);
    lines += "two\n";
    let files: &[(&str, &[u8])] = &[("lines/00000000.jsonl", lines.as_bytes())];
    let second = commit_files(&repository, BRANCH, files, Some(&first));
    let outcome = sync();
    assert_eq!(member(&outcome, "node-1")["commit"], second, "{outcome}");
    assert!(mirror.with_extension("damaged").exists());
}
