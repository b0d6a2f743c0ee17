//! A member whose repository is made to cost others much: it is broken off, and nothing else waits
//! for it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use serde_json::{Value, json};
use ssid_tests::git::{Daemon, bare_repository, commit_files, git};
use ssid_tests::{Cluster, Organisation, SOON, Shape, free_port};

const BRANCH: &str = "ssid-federation";

/// A federation with these members and where they publish.
fn members(remotes: &[(&str, String)], auto_sync: bool) -> Cluster {
    Cluster::make_of(Shape::of(remotes.len()), |dir| {
        let init = |(name, remote): &(&str, String)| {
            fs::create_dir_all(dir.join(name)).unwrap();
            let config = json!({
                "federation": {"enabled": true, "auto_sync": auto_sync},
                "security": {"allowed_git_protocols": ["git"]},
                "sync_settings": {"timeout_seconds": 20, "max_retry_attempts": 0},
            });
            fs::write(
                dir.join(name).join("federation_config.json"),
                config.to_string(),
            )
            .unwrap();
            Organisation::init_at(dir, name, free_port(), None, &["--git-remote", remote])
        };
        remotes.iter().map(init).collect()
    })
}

fn member<'a>(outcome: &'a Value, name: &str) -> &'a Value {
    let members = outcome["state"]["members"].as_array().unwrap();
    members
        .iter()
        .find(|member| member["node_name"] == name)
        .unwrap()
}

/// Writes a pack into a repository: a file of a MiB, and one that is the first a hundred times
/// over, as a difference of a few hundred bytes. The ids of both.
const BOMB: &str = r"
import hashlib, os, struct, subprocess, sys, zlib
base = os.urandom(1 << 16) * 16
times = 100
def number(value):
    text = b''
    while True:
        byte, value = value & 0x7f, value >> 7
        text += bytes([byte | (0x80 if value else 0)])
        if not value:
            return text
def header(kind, size):
    byte, size, text = (kind << 4) | (size & 15), size >> 4, b''
    while size:
        text, byte, size = text + bytes([byte | 0x80]), size & 0x7f, size >> 7
    return text + bytes([byte])
delta = number(len(base)) + number(len(base) * times) + bytes([0x80 | 0x40, 0x10]) * times
name = hashlib.sha1(b'blob %d\0' % len(base) + base).digest()
pack = b'PACK' + struct.pack('>II', 2, 2)
pack += header(3, len(base)) + zlib.compress(base) + header(7, len(delta)) + name + zlib.compress(delta)
pack += hashlib.sha1(pack).digest()
subprocess.run(['git', '-C', sys.argv[1], 'index-pack', '--stdin'], input=pack, stdout=subprocess.DEVNULL, check=True)
large = hashlib.sha1(b'blob %d\0' % (len(base) * times))
for _ in range(times):
    large.update(base)
print(hashlib.sha1(b'blob %d\0' % len(base) + base).hexdigest(), large.hexdigest())
";

/// Puts files that are in a repository on a branch of it.
fn publish<'a>(repository: &Path, ids: impl Iterator<Item = &'a str>) {
    let tree = repository.join("tree.new");
    let entries = ids
        .enumerate()
        .map(|(i, id)| format!("100644 blob {id}\t{i:08}.jsonl\n"));
    fs::write(&tree, entries.collect::<String>()).unwrap();
    let script = format!(
        "lines=$(git mktree < tree.new) && root=$(printf '040000 tree %s\\tlines\\n' $lines | git mktree) && \
         git update-ref refs/heads/{BRANCH} $(git commit-tree -m x $root)"
    );
    git(repository, &["-c", &format!("alias.x=!{script}"), "x"]);
}

#[test]
fn a_difference_that_unpacks_to_much_is_broken_off() {
    let servers = tempfile::tempdir().unwrap();
    let root = servers.path();
    for name in ["own.git", "bomb.git", "good.git"] {
        bare_repository(root, name);
    }
    let made = Command::new("python3")
        .args(["-c", BOMB])
        .arg(root.join("bomb.git"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    publish(
        &root.join("bomb.git"),
        String::from_utf8_lossy(&made.stdout).split_whitespace(),
    );
    commit_files(
        &root.join("good.git"),
        BRANCH,
        &[("lines/00000000.jsonl", b"x\n")],
        None,
    );
    let daemon = Daemon::start(root);
    let remotes = ["own", "bomb", "good"].map(|name| (name, daemon.url(&format!("{name}.git"))));
    let mut cluster = members(&remotes, false);
    cluster.node_mut(0).start_answering();
    let outcome = cluster
        .node(0)
        .ssid_json(&["sync", "--force", "--transport", "git"]);
    let error = member(&outcome, "bomb")["error"]
        .as_str()
        .unwrap_or_default();
    assert!(
        error.contains("unpacks to more than alloc_bytes"),
        "{outcome}"
    );
    assert_eq!(member(&outcome, "good")["error"], Value::Null, "{outcome}");
}

#[test]
fn a_node_ends_at_once_while_a_fetch_hangs() {
    let servers = tempfile::tempdir().unwrap();
    bare_repository(servers.path(), "own.git");
    let daemon = Daemon::start(servers.path());
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let remotes = [
        ("own", daemon.url("own.git")),
        (
            "hanging",
            format!("git://{}/a.git", hanging.local_addr().unwrap()),
        ),
    ];
    let (taken, is_taken) = mpsc::channel();
    let holder = spawn(move || {
        let (connection, _) = hanging.accept().unwrap();
        taken.send(()).unwrap();
        // until the other side ends it
        std::io::copy(&mut &connection, &mut std::io::sink())
    });
    let mut cluster = members(&remotes, true);
    cluster.node_mut(0).start_answering();
    is_taken.recv_timeout(SOON).unwrap();
    let (status, took) = cluster.node_mut(0).terminate();
    assert!(
        status.success() && took < Duration::from_secs(5),
        "{status}, {took:?}"
    );
    assert!(
        holder.join().unwrap().is_ok(),
        "no child is left that holds the connection"
    );
}
