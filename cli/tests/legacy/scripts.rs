//! The scripts by their names, with their flags, words and exit codes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::deployment::*;

#[test]
fn the_scripts_say_what_they_said() {
    let (_dir, repo) = repository();
    let (verified, _) = runs(&repo, &["compat", "consensus-validator", "--verify"], 0);
    has_all(
        &verified,
        &[
            "  Local Event Verification",
            "Verifying 12 event(s)...",
            "  OK Valid",
            "Valid: 12",
            "Invalid: 0",
        ],
    );
    has_all(
        &verified,
        &[
            "! Skipped lines",
            "Skipped: 1",
            "Event: governance_update (v4.2.7)",
        ],
    );
    let (history, _) = runs(
        &repo,
        &[
            "compat",
            "consensus_validator.py",
            "--show-history",
            "--limit",
            "20",
        ],
        0,
    );
    has_all(
        &history,
        &[
            "Consensus History (Last 20)",
            "Event Hash: abababababababab...",
            "  Type: blueprint_tagged",
        ],
    );
    has_all(
        &history,
        &[
            "  Status: ACHIEVED",
            "  Agreement: 66.7%",
            "  Participating Nodes: 3",
            "  Disagreeing Nodes: 1",
        ],
    );
    let (trust, _) = runs(
        &repo,
        &["compat", "consensus-validator", "--analyze-trust"],
        0,
    );
    has_all(
        &trust,
        &[
            "Node: Partner-Node-1",
            "  Trust Score: 85/100 (HIGH)",
            "Average Trust Score: 85.0/100",
        ],
    );
    let (status, _) = runs(
        &repo,
        &["compat", "federation-sync-manager", "--check-status"],
        0,
    );
    has_all(
        &status,
        &[
            "  Enabled: True",
            "  Mode: participant",
            "  Consensus Threshold: 66.0%",
            "  Last Sync: Never",
        ],
    );
    has_all(
        &status,
        &[
            "  Sync Interval: 60 minutes",
            "  Total Syncs: 120",
            "  Successful: 118",
            "  Failed: 2",
        ],
    );
    let (nodes, _) = runs(
        &repo,
        &["compat", "federation-sync-manager", "--list-nodes"],
        0,
    );
    has_all(
        &nodes,
        &[
            "Federated Nodes (1)",
            "Node ID: 0011223344556677",
            "  Last Seen: Never",
        ],
    );
    let check = ["compat", "consensus-validator", "--check-event"];
    has_all(
        &runs(&repo, &[&check[..], &["abab"]].concat(), 0).0,
        &["aa... : 2/3 (66.7%)", "! Disagreeing nodes: n3"],
    );
    has_all(
        &runs(&repo, &[&check[..], &["ffff"]].concat(), 4).1,
        &["Event not found in local registry: ffff"],
    );
    let verified = json_of(&repo, &["compat", "consensus-validator", "--verify"]);
    let standing = verified["events"][0]["event_hash"].as_str().unwrap();
    has_all(
        &runs(&repo, &[&check[..], &[standing]].concat(), 4).1,
        &[
            "governance_update v4.2.0 stands in the local registry",
            "not voted on",
        ],
    );
    has_all(
        &runs(&repo, &["compat", "auto-ipfs-anchor", "--web3-storage"], 1).1,
        &["Web3.Storage switched"],
    );
    runs(&repo, &["compat", "consensus-validator"], 2);
    runs(
        &repo,
        &[
            "compat",
            "consensus-validator",
            "--verify",
            "--show-history",
        ],
        2,
    );
    assert_eq!(
        git(&repo, &["status", "--porcelain"]),
        "",
        "asking changes nothing"
    );
    let outside = repo.parent().unwrap();
    has_all(
        &runs(
            outside,
            &["compat", "federation-sync-manager", "--check-status"],
            1,
        )
        .1,
        &["Federation manifest not found"],
    );
}

#[test]
fn a_wrong_hash_in_the_log_does_not_verify() {
    let (_dir, repo) = repository();
    let path = repo.join(LOG);
    let text = fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().trim_end_matches('}').to_owned();
    fs::write(
        &path,
        format!("{cut}, \"event_hash\": \"{}\"}}\n", "0".repeat(64)),
    )
    .unwrap();
    let (out, err) = runs(&repo, &["compat", "consensus-validator", "--verify"], 5);
    has_all(&out, &["Valid: 11", "Invalid: 1", "its event_hash is 0000"]);
    has_all(&err, &["not everything verified"]);
}

#[test]
fn nodes_come_and_go_in_the_manifest() {
    let (_dir, repo) = repository();
    let manager = ["compat", "federation-sync-manager"];
    let url = "https://git.example/north.git";
    let add = [
        &manager[..],
        &[
            "--add-node",
            url,
            "--node-name",
            "North",
            "--organization",
            "Org N",
        ],
    ]
    .concat();
    has_all(
        &runs(&repo, &add, 0).0,
        &["OK Node added successfully", "  Name: North"],
    );
    has_all(&runs(&repo, &add, 1).1, &["Node already exists"]);
    let nodes = json_of(&repo, &[&manager[..], &["--list-nodes"]].concat());
    let id = nodes[1]["node_id"].as_str().unwrap();
    assert_eq!((id.len(), &nodes[1]["trust_score"]), (16, &json!(50)));
    assert_eq!(
        nodes[1].as_object().unwrap().len(),
        12,
        "the registry's twelve keys"
    );
    let status = json_of(&repo, &[&manager[..], &["--check-status"]].concat());
    assert_eq!(status["statistics"]["total_nodes"], 2);
    for refused in [
        "ext::sh -c true",
        "--upload-pack=x",
        "git@-oProxyCommand=x:a.git",
        "file:///srv/a.git",
    ] {
        has_all(
            &runs(&repo, &[&manager[..], &["--add-node", refused]].concat(), 2).1,
            &["Git remote"],
        );
    }
    // what is secret in an address does not get into a file that is in Git
    let secret = "https://ada:s3cret@git.example/south.git";
    runs(&repo, &[&manager[..], &["--add-node", secret]].concat(), 0);
    let text = fs::read_to_string(repo.join(MANIFEST)).unwrap();
    assert!(
        text.contains("https://git.example/south.git") && !text.contains("s3cret"),
        "{text}"
    );
    let known = repo.join(".data/ssid/known_members.json");
    assert!(fs::read_to_string(&known).unwrap().contains(secret));
    has_all(
        &runs(&repo, &[&manager[..], &["--add-node", secret]].concat(), 1).1,
        &["Node already exists"],
    );
    let nodes = json_of(&repo, &[&manager[..], &["--list-nodes"]].concat());
    let south = nodes
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["node_name"] == "south")
        .unwrap();
    runs(
        &repo,
        &[
            &manager[..],
            &["--remove-node", south["node_id"].as_str().unwrap()],
        ]
        .concat(),
        0,
    );
    assert!(!fs::read_to_string(&known).unwrap().contains("s3cret"));
    runs(&repo, &[&manager[..], &["--remove-node", id]].concat(), 0);
    has_all(
        &runs(&repo, &[&manager[..], &["--remove-node", id]].concat(), 1).1,
        &["Node not found"],
    );
    assert_eq!(
        json_of(&repo, &[&manager[..], &["--list-nodes"]].concat())
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn the_trigger_appends_a_line_and_keeps_what_stands_there() {
    let (_dir, repo) = repository();
    let before = fs::read_to_string(repo.join(LOG)).unwrap();
    let trigger = [
        "compat",
        "registry-event-trigger",
        "--version",
        "v4.5.0",
        "--hash",
        "3dd05d9",
        "--event",
    ];
    let (out, _) = runs(&repo, &[&trigger[..], &["blueprint_tagged"]].concat(), 0);
    has_all(
        &out,
        &[
            "OK Event successfully emitted to registry",
            "  Version:         v4.5.0",
            "Proof-Anchor:",
            "  SHA256: ",
        ],
    );
    let after = fs::read_to_string(repo.join(LOG)).unwrap();
    let line = after.strip_prefix(&before).unwrap();
    assert!(
        line.contains("\"event_hash\"") && line.lines().count() == 1,
        "{line}"
    );
    has_all(
        &runs(&repo, &[&trigger[..], &["a \"quote\""]].concat(), 2).1,
        &["event field `event`"],
    );
    assert_eq!(fs::read_to_string(repo.join(LOG)).unwrap(), after);
    let (verified, _) = runs(&repo, &["compat", "consensus-validator", "--verify"], 0);
    has_all(&verified, &["Valid: 13"]);
}

#[test]
fn telemetry_and_anchoring_say_what_their_scripts_said() {
    let (_dir, repo) = repository();
    // the last rows are quarters to come: the present one is the latest that is not
    let dashboard = "quarter,date,compliance_score,violations,commits,proof_anchors,hash_valid,root24_status\n\
                     2025-Q4,2025-12-31,97,2,145,3ddc8d7a,true,PASS\n2099-Q1,2099-03-31,100,0,0,pending,true,PASS\n";
    write(&repo, DASHBOARD, dashboard);
    let telemetry = ["compat", "governance-telemetry"];
    has_all(
        &runs(&repo, &[&telemetry[..], &["--check-config"]].concat(), 0).0,
        &["valid"],
    );
    let (said, _) = runs(&repo, &telemetry, 0);
    has_all(
        &said,
        &[
            "[CHECK] Checking governance metrics...",
            "  Compliance Score: 97/100",
            "  Violations: 2",
        ],
    );
    has_all(
        &said,
        &[
            "  Root-24-LOCK: PASS",
            "! No notifications configured or all failed",
        ],
    );
    has_all(
        &runs(&repo, &[&telemetry[..], &["--test"]].concat(), 2).1,
        &["no channel is switched on"],
    );
    runs(&repo, &[&telemetry[..], &["--test", "--watch"]].concat(), 2);
    write(&repo, TELEMETRY, "{\"enabled\": false}");
    has_all(
        &runs(&repo, &telemetry, 0).0,
        &["! Telemetry is disabled in configuration"],
    );

    let anchor = ["compat", "auto-ipfs-anchor"];
    let nowhere = closed_port();
    change(&repo, CONFIG, |config| {
        config["anchoring"] = json!({"local_api": nowhere, "gateways": []});
    });
    let (said, why) = runs(&repo, &anchor, 1);
    has_all(
        &said,
        &[
            "[LIST] Loaded 12 registry events",
            "[LIST] Existing anchors: 0",
        ],
    );
    has_all(
        &said,
        &[
            "[?] Anchoring: registry_events.log",
            "X Failed to anchor registry_events.log",
        ],
    );
    has_all(&why, &["not anchored as configured"]);
    has_all(
        &runs(&repo, &[&anchor[..], &["--verify"]].concat(), 0).0,
        &["Verification complete: 0 verified, 0 failed"],
    );
    has_all(
        &runs(&repo, &[&anchor[..], &["--web3-storage"]].concat(), 1).1,
        &["Web3.Storage switched"],
    );
}

/// The address of a port where nobody listens.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A watch ends in order, whoever ends it and however: by Ctrl-C, or by the machine that goes down.
#[test]
fn a_watch_checks_at_once_and_ends_well_when_it_is_told_to() {
    let (_dir, repo) = repository();
    let watches: [(&[&str], &str, Signal); 2] = [
        (
            &["telemetry", "watch", "--repo", "."],
            "Checked",
            Signal::TERM,
        ),
        (
            &["compat", "governance-telemetry", "--watch"],
            "[CHECK]",
            Signal::INT,
        ),
    ];
    for (args, check, signal) in watches {
        let mut child = command(&repo)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !said.contains(check) {
            assert!(
                lines.read_line(&mut said).unwrap() > 0,
                "{args:?} ended before its first check: {said}"
            );
        }
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "{args:?} does not wait for the next check: {said}"
        );
        kill_process(Pid::from_child(&child), signal).unwrap();
        lines.read_to_string(&mut said).unwrap();
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {said}{err}");
        println!("{args:?}: {said}{err}");
    }
}
