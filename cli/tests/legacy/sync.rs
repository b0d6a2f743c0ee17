//! The plain logs of nodes without a key, over Git.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::deployment::*;

#[test]
fn a_deployment_without_keys_syncs_by_git_and_only_log_and_manifest_grow() {
    let (dir, repo) = repository();
    // four partners who have one event more, one of them another as well; and one that is gone
    let mut remotes = partners(&repo, 4);
    append(&remotes[0], "v9.9.9");
    remotes.push(dir.path().join("gone"));
    federate(&repo, &remotes);
    let before = fs::read_to_string(repo.join(LOG)).unwrap();
    let root = at_root(&repo);
    runs(&repo, &["import-legacy", "--repo", ".", "--yes"], 0);
    let data = dir.path().join("data");
    let sync = [
        "--data",
        data.to_str().unwrap(),
        "--repo",
        ".",
        "sync",
        "--force",
    ];
    let report = json_of(&repo, &sync);
    assert_eq!(
        (
            &report["achieved"],
            &report["applied"],
            &report["insufficient"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    let failed: Vec<_> = report["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| !node["error"].is_null())
        .collect();
    assert!(
        failed.len() == 1 && failed[0]["node_name"] == "P4",
        "{failed:?}"
    );

    let log = fs::read_to_string(repo.join(LOG)).unwrap();
    let added = log.strip_prefix(&before).unwrap();
    assert!(
        added.lines().count() == 1 && added.contains("v4.3.0") && added.contains("event_hash"),
        "{added}"
    );
    assert_eq!(
        git(&repo, &["diff", "--name-only"])
            .lines()
            .collect::<Vec<_>>(),
        [LOG, MANIFEST]
    );
    assert_eq!(
        git(&repo, &["diff", "--numstat", "--", LOG])
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>(),
        ["1", "0"]
    );
    assert_eq!(at_root(&repo), root, "nothing new at the repository's root");
    let manifest: Value = serde_json::from_slice(&fs::read(repo.join(MANIFEST)).unwrap()).unwrap();
    let record = &manifest["consensus_history"][1];
    assert_eq!(
        (&record["transport"], &record["signed"], &record["quorum"]),
        (&json!("git"), &json!(false), &json!(4))
    );
    assert_eq!(manifest["statistics"]["total_syncs"], 121);
    assert_eq!(
        manifest["nodes"][0]["trust_score"], 50,
        "no signature, no trust"
    );
    has_all(
        &runs(&repo, &["compat", "consensus-validator", "--verify"], 0).0,
        &["Valid: 13", "Invalid: 0"],
    );

    // a moment later it is not due, which is no failure; forced, it finds the same and adds nothing
    let manager = [
        "--data",
        data.to_str().unwrap(),
        "compat",
        "federation-sync-manager",
        "--sync",
    ];
    has_all(&runs(&repo, &manager, 0).0, &["! Recent sync detected"]);
    let (said, _) = runs(&repo, &[&manager[..], &["--force"]].concat(), 0);
    has_all(
        &said,
        &[
            "  1 stretch(es) of it could not be read",
            "-> Syncing with: P0",
            "OK Sync successful",
            "X Sync failed",
            "  Successful: 4",
            "  Failed: 1",
        ],
    );
    assert_eq!(fs::read_to_string(repo.join(LOG)).unwrap(), log);
    change(&repo, CONFIG, |config| {
        config["federation"]["enabled"] = false.into();
    });
    has_all(
        &runs(&repo, &manager, 0).0,
        &["! Federation is not enabled"],
    );

    // with a key there is a node to be asked, and nothing is done in its place
    let own = dir.path().join("own");
    let own = own.to_str().unwrap();
    runs(
        &repo,
        &[
            "--data",
            own,
            "init",
            "--name",
            "Main",
            "--organization",
            "Org",
        ],
        0,
    );
    has_all(
        &runs(
            &repo,
            &["--data", own, "compat", "federation-sync-manager", "--sync"],
            3,
        )
        .1,
        &["no node answers"],
    );
}

#[test]
fn nodes_that_were_added_are_synced_like_those_of_the_manifest() {
    let (dir, repo) = repository();
    let partners = partners(&repo, 3);
    federate(&repo, &partners[..2]);
    let data = dir.path().join("data");
    let here = ["--data", data.to_str().unwrap(), "--repo", "."];
    let add = [
        "nodes",
        "observe",
        "--node-name",
        "Oslo",
        "--organization",
        "Eksempel",
        "--git-remote",
    ];
    let added = json_of(
        &repo,
        &[&here[..], &add, &[partners[2].to_str().unwrap()]].concat(),
    );
    assert_eq!(
        (&added["added"], &added["is_read"]),
        (&json!(true), &json!(true)),
        "nobody has a key here"
    );
    assert_eq!(
        (&added["reached"], &added["publishes"]),
        (&json!(true), &json!(false)),
        "{added}"
    );
    let listed = json_of(
        &repo,
        &[
            &here[..],
            &["compat", "federation-sync-manager", "--list-nodes"],
        ]
        .concat(),
    );
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[2]["node_name"]),
        (3, &json!("Oslo"))
    );
    let report = json_of(&repo, &[&here[..], &["sync", "--force"]].concat());
    assert_eq!(
        (&report["achieved"], &report["applied"]),
        (&json!(1), &json!(1)),
        "3 of 4 have it: {report}"
    );
    let manifest = read_json(&repo, MANIFEST);
    let oslo = &manifest["nodes"][2];
    assert!(
        oslo["node_name"] == "Oslo" && oslo["last_seen"].is_string(),
        "{manifest}"
    );
    let observed = &manifest["ssid"]["observations"][oslo["node_id"].as_str().unwrap()];
    assert_eq!(
        (&observed["same"], &observed["new"]),
        (&json!(12), &json!(1))
    );
    // a member with a key turns it off, as long as the configuration does not say otherwise
    change(&repo, MANIFEST, |manifest| {
        manifest["nodes"][0]["node_id"] = "c".repeat(64).into();
    });
    let report = json_of(&repo, &[&here[..], &["sync", "--force"]].concat());
    assert_eq!(report["skipped"], "not_allowed");
    change(&repo, CONFIG, |config| {
        config["security"]["allow_unsigned_members"] = true.into();
    });
    append(&partners[1], "v4.9.0");
    append(&partners[2], "v4.9.0");
    let report = json_of(&repo, &[&here[..], &["sync", "--force"]].concat());
    assert_eq!(
        (
            &report["observed_only"],
            &report["nodes"][0]["comparison"]["new"]
        ),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        (&report["achieved"], &report["applied"]),
        (&json!(0), &json!(0)),
        "observed, never decided"
    );
}

#[test]
fn who_is_added_is_asked_whether_a_node_publishes_there_and_need_not_answer() {
    let (dir, repo) = repository();
    let partner = partners(&repo, 1).remove(0);
    federate(&repo, &[]);
    let data = dir.path().join("data");
    let gone = dir.path().join("gone");
    let add = |json: &[&str], name: &str, remote: &Path| {
        let here = [
            "--data",
            data.to_str().unwrap(),
            "--repo",
            ".",
            "nodes",
            "observe",
            "--node-name",
            name,
        ];
        let rest = [
            "--organization",
            "Eksempel",
            "--git-remote",
            remote.to_str().unwrap(),
        ];
        runs(&repo, &[json, &here, &rest].concat(), 0).0
    };
    has_all(
        &add(&[], "Oslo", &partner),
        &[
            "Oslo is added",
            "No node publishes there, on the branch ssid-federation",
        ],
    );
    git(&partner, &["branch", "ssid-federation"]);
    has_all(
        &add(&[], "Oslo", &partner),
        &[
            "was there already",
            "A node publishes there",
            "member with a vote",
        ],
    );
    has_all(
        &add(&[], "Bergen", &gone),
        &[
            "Bergen is added",
            "does not answer now, and is added all the same: not reached",
        ],
    );
    let added: Value = serde_json::from_str(&add(&["--json"], "Bergen", &gone)).unwrap();
    assert_eq!(
        (&added["reached"], &added["publishes"]),
        (&json!(false), &Value::Null)
    );
    assert!(
        added["not_reached_because"]
            .as_str()
            .is_some_and(|why| why.contains("not reached")),
        "{added}"
    );
}

#[test]
fn a_log_that_is_too_large_is_named_with_its_limit_and_the_others_are_read() {
    let (_dir, repo) = repository();
    let partners = partners(&repo, 3);
    federate(&repo, &partners);
    // compresses well, so that it is the log's own limit and not the fetch's
    let filler = "prose without end ".repeat(1 << 20);
    let text = fs::read_to_string(partners[0].join(LOG)).unwrap();
    fs::write(
        partners[0].join(LOG),
        text.clone() + &filler[..5 << 20] + "\n" + &text,
    )
    .unwrap();
    commit(&partners[0], "five MiB");
    fs::write(partners[1].join(LOG), text + &filler.repeat(4)).unwrap();
    commit(&partners[1], "too much");
    let report = json_of(&repo, &["--repo", ".", "sync", "--force"]);
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(
        (&nodes[0]["comparison"]["same"], &nodes[2]["error"]),
        (&json!(12), &Value::Null)
    );
    let why = nodes[1]["error"].as_str().unwrap();
    has_all(
        why,
        &[
            "more than log_bytes = 67108864",
            "archive it and begin a new one",
        ],
    );
    assert_eq!(
        (&report["achieved"], &report["insufficient"]),
        (&json!(0), &json!(1)),
        "2 of 4 are no quorum"
    );
}

#[test]
fn a_sync_is_told_where_the_configuration_says_so() {
    let (_dir, repo) = repository();
    federate(&repo, &partners(&repo, 3));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // answers the first message, and ends
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        tell.send(serde_json::from_slice::<Value>(&body).unwrap())
            .unwrap();
    });
    let telemetry =
        json!({"enabled": true, "notifications": {"webhook": {"enabled": true, "url": url}}});
    write(&repo, TELEMETRY, &telemetry.to_string());
    // an address is a secret: only its owner may read the file
    fs::set_permissions(repo.join(TELEMETRY), fs::Permissions::from_mode(0o600)).unwrap();
    runs(&repo, &["--repo", ".", "sync", "--force"], 0);
    let state = repo.join("24_meta_orchestration/registry/logs/telemetry_state.json");
    assert!(!state.exists(), "notifications are switched off");
    append(&repo.with_file_name("partner-0"), "v4.9.0");
    change(&repo, CONFIG, |config| {
        config["notifications"] =
            json!({"enabled": true, "channels": ["webhook"], "events": {"sync_completed": true}});
    });
    runs(&repo, &["--repo", ".", "sync", "--force"], 0);
    let told = told
        .recv_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    has_all(&told.to_string(), &["Plain logs of 3 of 3 nodes read"]);
    assert!(state.exists());
}

/// A deployment whose three partners have `events` events that it has not.
fn of_size(events: usize) -> (tempfile::TempDir, PathBuf) {
    let (dir, repo) = repository();
    let line = |n: usize| {
        let (minute, second) = (n / 60 % 60, n % 60);
        object(0)
            .replace("15:00:00", &format!("15:{minute:02}:{second:02}"))
            .replace("v4.2.0", &format!("v7.{n}"))
    };
    let text: String = (0..events).map(line).collect();
    let partner = |i: usize| {
        let partner = dir.path().join(format!("partner-{i}"));
        write(&partner, LOG, &text);
        git(&partner, &["init", "--quiet"]);
        commit(&partner, "log");
        partner
    };
    federate(&repo, &(0..3).map(partner).collect::<Vec<_>>());
    (dir, repo)
}

/// KiB that a sync of it takes at most.
fn memory_of_a_sync(events: usize) -> u64 {
    let (dir, repo) = of_size(events);
    let mut sync = command(&repo);
    sync.args([
        "--data",
        dir.path().join("data").to_str().unwrap(),
        "--repo",
        ".",
        "sync",
        "--force",
    ]);
    let mut child = sync.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        // the kernel's own high-water mark: the last look before the end is near enough
        let told = fs::read_to_string(&status).unwrap_or_default();
        let peak = told.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        });
        most = most.max(peak.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(ended.success());
    let log = fs::read_to_string(repo.join(LOG)).unwrap();
    assert_eq!(
        log.matches("v7.").count(),
        events,
        "all of them are appended"
    );
    most
}

#[test]
fn memory_does_not_grow_with_the_number_of_events() {
    let (few, many) = (memory_of_a_sync(100), memory_of_a_sync(20_000));
    // held at once, the events of these logs are more than 40 MiB; what sorting holds is 8 MiB
    assert!(
        few > 0 && many < few + 24 * 1024,
        "{few} KiB for 3 x 100 events, {many} KiB for 3 x 20,000"
    );
    println!("{few} KiB for 3 x 100 events, {many} KiB for 3 x 20,000");
}
