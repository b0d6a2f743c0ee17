//! The built binary on repositories of deployments without keys: what their scripts did, carried over.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const LOG: &str = "24_meta_orchestration/registry/logs/registry_events.log";
const MANIFEST: &str = "24_meta_orchestration/registry/manifests/federation_manifest.json";
const CONFIG: &str = "07_governance_legal/federation_config.json";
const EVENTS: usize = 12;

fn ssid(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(dir).env("XDG_DATA_HOME", dir.join(".data")).env("HOME", dir).output().unwrap()
}

/// Runs and expects the exit code; standard output and error.
fn runs(dir: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = ssid(dir, args);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

fn json_of(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&runs(dir, &[args, &["--json"]].concat(), 0).0).unwrap()
}

fn has_all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// A log of the wild form: prose, pretty-printed objects, one with more keys, one-line ones, a broken object.
fn log() -> String {
    let object = |n: usize| {
        format!(
            "{{\n  \"timestamp\": \"2025-10-11T15:{n:02}:00Z\",\n  \"event\": \"governance_update\",\n  \
             \"version\": \"v4.2.{n}\",\n  \"commit_hash\": \"7050f93\",\n  \"blueprint\": \"v4.2\",\n  \
             \"root_24_lock\": \"active\",\n  \"compliance_score\": \"100/100\",\n  \
             \"emitted_by\": \"registry_event_trigger.sh\"\n}}\n"
        )
    };
    let mut text = "Registry events initialized.\n".to_owned();
    for n in 0..EVENTS {
        match n {
            4 => text += &(object(90).replace("governance_update", "governance\"update") + &object(n)),
            7 => {
                text += &object(n).replace("\n}", ",\n  \"quarter\": \"2025-Q4\",\n  \"files\": [{\"hash\": null}]\n}");
            }
            9.. => text += &(object(n).replace("\n  ", " ").replace("\n}", "}")),
            _ => text += &object(n),
        }
    }
    text
}

/// Changes a JSON file of a repository, and commits that.
fn change(repo: &Path, path: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(repo.join(path)).unwrap()).unwrap();
    change(&mut value);
    fs::write(repo.join(path), format!("{value:#}\n")).unwrap();
    git(repo, &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-am", "changed"]);
}

/// A governance repository as the scripts left it, under Git.
fn repository() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("registry");
    let write = |path: &str, text: &str| {
        let path = repo.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(LOG, &log());
    let config = json!({
        "federation": {"enabled": true, "mode": "participant", "description": "ours"},
        "local_node": {"node_name": "Main", "git_remote": "https://git.example/main.git"},
    });
    write(CONFIG, &format!("{config:#}\n"));
    let manifest = json!({
        "blueprint_version": "v4.4",
        "last_updated": "2025-10-11T20:00:00Z",
        "federation": {"enabled": true, "mode": "participant", "consensus_threshold": 0.66, "last_sync": null},
        "nodes": [{
            "node_id": "0011223344556677", "node_name": "Partner-Node-1", "organization": "Partner Organization",
            "git_remote": "https://git.example/partner.git", "status": "active", "trust_score": 85,
        }],
        "local_node": {"node_id": "", "status": "inactive"},
        "consensus_history": [{
            "event_hash": "ab".repeat(32), "event_type": "blueprint_tagged", "event_version": "v4.4.0",
            "initiated_at": "2025-10-11T20:30:00Z", "completed_at": "2025-10-11T20:30:15Z",
            "participating_nodes": ["n1", "n2", "n3"], "node_hashes": {"n1": "aa", "n2": "aa", "n3": "bb"},
            "consensus_hash": "aa", "agreement_percentage": 66.67, "consensus_achieved": true,
            "disagreeing_nodes": ["n3"], "resolution": "consensus_achieved",
        }],
        "statistics": {"total_nodes": 1, "active_nodes": 1, "total_syncs": 120, "successful_syncs": 118,
            "failed_syncs": 2, "consensus_agreements": 95, "consensus_disagreements": 3},
        "sync_protocol": {"version": "1.0.0", "steps": ["1. Fetch", "2. Compare"]},
    });
    write(MANIFEST, &format!("{manifest:#}\n"));
    git(&repo, &["init", "--quiet"]);
    git(&repo, &["add", "."]);
    git(&repo, &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "as found"]);
    (dir, repo)
}

fn git(repo: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(args).current_dir(repo).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_deployment_is_carried_over_once_and_only_its_manifest_is_touched() {
    let (_dir, repo) = repository();
    let import = ["import-legacy", "--repo", "."];
    let (shown, _) = runs(&repo, &import, 0);
    has_all(&shown, &["Partner-Node-1", "85 HIGH", "observed only", "12 events", "1 stretches skipped", "--yes"]);
    has_all(&shown, &["120: 118 successful, 2 failed"]);
    assert_eq!(git(&repo, &["status", "--porcelain"]), "", "nothing is done without being asked");
    assert_eq!(json_of(&repo, &[&import[..], &["--dry-run"]].concat())["done"], false);
    let done = json_of(&repo, &[&import[..], &["--yes"]].concat());
    assert_eq!((&done["done"], &done["carries"]["statistics"]["total_syncs"]), (&json!(true), &json!(120)));
    assert_eq!(git(&repo, &["diff", "--name-only"]).trim(), MANIFEST);
    let after = fs::read(repo.join(MANIFEST)).unwrap();
    has_all(&runs(&repo, &[&import[..], &["--yes"]].concat(), 0).0, &["Carried over before"]);
    assert_eq!(fs::read(repo.join(MANIFEST)).unwrap(), after);
    let manifest: Value = serde_json::from_slice(&after).unwrap();
    assert_eq!(manifest["ssid"]["carried_over"]["trust_scores"]["0011223344556677"], 85);
    assert_eq!(manifest["statistics"]["total_syncs"], 120);
    assert_eq!(manifest["nodes"][0].as_object().unwrap().len(), 6, "the old scripts refuse nodes with other keys");
    let removed: Vec<_> = git(&repo, &["diff"]).lines().filter(|l| l.starts_with("- ")).map(str::to_owned).collect();
    assert!(removed.iter().all(|line| line.contains("last_updated") || line.trim_end().ends_with('}')), "{removed:?}");
    runs(&repo, &["import-legacy"], 2);
    runs(&repo, &["import-legacy", "--repo", ".git"], 2);
}

#[test]
fn the_scripts_say_what_they_said() {
    let (_dir, repo) = repository();
    let (verified, _) = runs(&repo, &["compat", "consensus-validator", "--verify"], 0);
    has_all(
        &verified,
        &["  Local Event Verification", "Verifying 12 event(s)...", "  OK Valid", "Valid: 12", "Invalid: 0"],
    );
    has_all(&verified, &["! Skipped lines", "Skipped: 1", "Event: governance_update (v4.2.7)"]);
    assert!(verified.is_ascii(), "no terminal, so plain ASCII");
    let (history, _) = runs(&repo, &["compat", "consensus_validator.py", "--show-history", "--limit", "20"], 0);
    has_all(&history, &["Consensus History (Last 20)", "Event Hash: abababababababab...", "  Type: blueprint_tagged"]);
    has_all(
        &history,
        &["  Status: ACHIEVED", "  Agreement: 66.7%", "  Participating Nodes: 3", "  Disagreeing Nodes: 1"],
    );
    let (trust, _) = runs(&repo, &["compat", "consensus-validator", "--analyze-trust"], 0);
    has_all(&trust, &["Node: Partner-Node-1", "  Trust Score: 85/100 (HIGH)", "Average Trust Score: 85.0/100"]);
    let (status, _) = runs(&repo, &["compat", "federation-sync-manager", "--check-status"], 0);
    has_all(&status, &["  Enabled: True", "  Mode: participant", "  Consensus Threshold: 66.0%", "  Last Sync: Never"]);
    has_all(&status, &["  Sync Interval: 60 minutes", "  Total Syncs: 120", "  Successful: 118", "  Failed: 2"]);
    let (nodes, _) = runs(&repo, &["compat", "federation-sync-manager", "--list-nodes"], 0);
    has_all(&nodes, &["Federated Nodes (1)", "Node ID: 0011223344556677", "  Last Seen: Never"]);
    let check = ["compat", "consensus-validator", "--check-event"];
    has_all(&runs(&repo, &[&check[..], &["abab"]].concat(), 0).0, &["aa... : 2/3 (66.7%)", "! Disagreeing nodes: n3"]);
    runs(&repo, &[&check[..], &["ffff"]].concat(), 4);
    has_all(&runs(&repo, &["compat", "auto-ipfs-anchor", "--web3-storage"], 1).1, &["Web3.Storage switched"]);
    runs(&repo, &["compat", "auto-ipfs-anchor", "--verify"], 0);
    let telemetry = ["compat", "governance-telemetry"];
    runs(&repo, &[&telemetry[..], &["--check-config"]].concat(), 0);
    runs(&repo, &[&telemetry[..], &["--test", "--watch"]].concat(), 2);
    runs(&repo, &["compat", "consensus-validator"], 2);
    runs(&repo, &["compat", "consensus-validator", "--verify", "--show-history"], 2);
    assert_eq!(git(&repo, &["status", "--porcelain"]), "", "asking changes nothing");
    let outside = repo.parent().unwrap();
    has_all(
        &runs(outside, &["compat", "federation-sync-manager", "--check-status"], 1).1,
        &["Federation manifest not found"],
    );
}

#[test]
fn a_wrong_hash_in_the_log_does_not_verify() {
    let (_dir, repo) = repository();
    let path = repo.join(LOG);
    let text = fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().trim_end_matches('}').to_owned();
    fs::write(&path, format!("{cut}, \"event_hash\": \"{}\"}}\n", "0".repeat(64))).unwrap();
    let (out, err) = runs(&repo, &["compat", "consensus-validator", "--verify"], 5);
    has_all(&out, &["Valid: 11", "Invalid: 1", "its event_hash is 0000"]);
    has_all(&err, &["not everything verified"]);
}

#[test]
fn a_deployment_without_keys_syncs_by_git_and_only_log_and_manifest_grow() {
    let (dir, repo) = repository();
    // four partners who have one event more, one of them another as well; and one that is gone
    let remotes: Vec<String> = (0..4)
        .map(|i| {
            let partner = dir.path().join(format!("partner-{i}"));
            git(dir.path(), &["clone", "--quiet", repo.to_str().unwrap(), partner.to_str().unwrap()]);
            let mut text = fs::read_to_string(partner.join(LOG)).unwrap();
            let line = text.lines().last().unwrap().to_owned();
            text += &(line.replace("v4.2.11", "v4.3.0") + "\n");
            if i == 0 {
                text += &(line.replace("v4.2.11", "v9.9.9") + "\n");
            }
            fs::write(partner.join(LOG), text).unwrap();
            git(&partner, &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-am", "more"]);
            partner.to_str().unwrap().to_owned()
        })
        .chain([dir.path().join("gone").to_str().unwrap().to_owned()])
        .collect();
    change(&repo, MANIFEST, |manifest| {
        let node = |(i, remote): (usize, &String)| {
            json!({"node_id": format!("{i:016x}"), "node_name": format!("P{i}"),
            "organization": "Org", "git_remote": remote, "status": "active", "trust_score": 50})
        };
        manifest["nodes"] = remotes.iter().enumerate().map(node).collect();
    });
    change(&repo, CONFIG, |config| {
        config["security"] = json!({"allowed_git_protocols": ["file"], "max_event_age_days": 36_500});
        config["sync_settings"] = json!({"max_retry_attempts": 0});
        config["conflict_resolution"] = json!({"auto_apply_consensus": true});
    });
    let before = fs::read_to_string(repo.join(LOG)).unwrap();
    let root = || -> Vec<_> { fs::read_dir(&repo).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    let at_root = root();
    runs(&repo, &["import-legacy", "--repo", ".", "--yes"], 0);
    let data = dir.path().join("data");
    let sync = ["--data", data.to_str().unwrap(), "--repo", ".", "sync", "--force"];
    let report = json_of(&repo, &sync);
    assert_eq!((&report["achieved"], &report["applied"], &report["insufficient"]), (&json!(1), &json!(1), &json!(1)));
    let failed: Vec<_> = report["nodes"].as_array().unwrap().iter().filter(|node| !node["error"].is_null()).collect();
    assert!(failed.len() == 1 && failed[0]["node_name"] == "P4", "{failed:?}");

    let log = fs::read_to_string(repo.join(LOG)).unwrap();
    let added = log.strip_prefix(&before).unwrap();
    assert!(added.lines().count() == 1 && added.contains("v4.3.0") && added.contains("event_hash"), "{added}");
    assert_eq!(git(&repo, &["diff", "--name-only"]).lines().collect::<Vec<_>>(), [LOG, MANIFEST]);
    assert_eq!(
        git(&repo, &["diff", "--numstat", "--", LOG]).split_whitespace().take(2).collect::<Vec<_>>(),
        ["1", "0"]
    );
    assert_eq!(root(), at_root, "nothing new at the repository's root");
    let manifest: Value = serde_json::from_slice(&fs::read(repo.join(MANIFEST)).unwrap()).unwrap();
    let record = &manifest["consensus_history"][1];
    assert_eq!((&record["transport"], &record["signed"], &record["quorum"]), (&json!("git"), &json!(false), &json!(4)));
    assert_eq!(manifest["statistics"]["total_syncs"], 121);
    assert_eq!(manifest["nodes"][0]["trust_score"], 50, "no signature, no trust");
    has_all(&runs(&repo, &["compat", "consensus-validator", "--verify"], 0).0, &["Valid: 13", "Invalid: 0"]);

    // a moment later it is not due, which is no failure; forced, it finds the same and adds nothing
    let manager = ["--data", data.to_str().unwrap(), "compat", "federation-sync-manager", "--sync"];
    has_all(&runs(&repo, &manager, 0).0, &["! Recent sync detected"]);
    let (said, _) = runs(&repo, &[&manager[..], &["--force"]].concat(), 0);
    has_all(&said, &["-> Syncing with: P0", "OK Sync successful", "X Sync failed", "  Successful: 4", "  Failed: 1"]);
    assert_eq!(fs::read_to_string(repo.join(LOG)).unwrap(), log);
    change(&repo, CONFIG, |config| config["federation"]["enabled"] = false.into());
    has_all(&runs(&repo, &manager, 0).0, &["! Federation is not enabled"]);
}

#[test]
fn nodes_come_and_go_in_the_manifest() {
    let (_dir, repo) = repository();
    let manager = ["compat", "federation-sync-manager"];
    let url = "https://git.example/north.git";
    let add = [&manager[..], &["--add-node", url, "--node-name", "North", "--organization", "Org N"]].concat();
    has_all(&runs(&repo, &add, 0).0, &["OK Node added successfully", "  Name: North"]);
    has_all(&runs(&repo, &add, 1).1, &["Node already exists"]);
    let nodes = json_of(&repo, &[&manager[..], &["--list-nodes"]].concat());
    let id = nodes[1]["node_id"].as_str().unwrap();
    assert_eq!((id.len(), &nodes[1]["trust_score"]), (16, &json!(50)));
    assert_eq!(nodes[1].as_object().unwrap().len(), 12, "the registry's twelve keys");
    let status = json_of(&repo, &[&manager[..], &["--check-status"]].concat());
    assert_eq!(status["statistics"]["total_nodes"], 2);
    runs(&repo, &[&manager[..], &["--remove-node", id]].concat(), 0);
    has_all(&runs(&repo, &[&manager[..], &["--remove-node", id]].concat(), 1).1, &["Node not found"]);
    assert_eq!(json_of(&repo, &[&manager[..], &["--list-nodes"]].concat()).as_array().unwrap().len(), 1);
}

#[test]
fn the_trigger_appends_a_line_and_keeps_what_stands_there() {
    let (_dir, repo) = repository();
    let before = fs::read_to_string(repo.join(LOG)).unwrap();
    let trigger = ["compat", "registry-event-trigger", "--version", "v4.5.0", "--hash", "3dd05d9", "--event"];
    let (out, _) = runs(&repo, &[&trigger[..], &["blueprint_tagged"]].concat(), 0);
    has_all(
        &out,
        &["OK Event successfully emitted to registry", "  Version:         v4.5.0", "Proof-Anchor:", "  SHA256: "],
    );
    let after = fs::read_to_string(repo.join(LOG)).unwrap();
    let line = after.strip_prefix(&before).unwrap();
    assert!(line.contains("\"event_hash\"") && line.lines().count() == 1, "{line}");
    has_all(&runs(&repo, &[&trigger[..], &["a \"quote\""]].concat(), 2).1, &["event field `event`"]);
    assert_eq!(fs::read_to_string(repo.join(LOG)).unwrap(), after);
    let (verified, _) = runs(&repo, &["compat", "consensus-validator", "--verify"], 0);
    has_all(&verified, &["Valid: 13"]);
}

#[test]
fn workflows_are_written_and_hand_made_ones_left_alone() {
    let (_dir, repo) = repository();
    let init = ["ci", "init", "--repo", "."];
    has_all(&runs(&repo, &init, 0).0, &["written", "federated_sync.yml", "quarterly_release.yml"]);
    has_all(&runs(&repo, &init, 0).0, &["as it should be"]);
    let path = repo.join(".github/workflows/federated_sync.yml");
    let ours = fs::read_to_string(&path).unwrap();
    let theirs = ours.replace("0 */6 * * *", "0 3 * * *");
    fs::write(&path, &theirs).unwrap();
    let (out, err) = runs(&repo, &init, 1);
    has_all(&out, &["left alone", "-    - cron: \"0 3 * * *\"", "+    - cron: \"0 */6 * * *\""]);
    has_all(&err, &["--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    has_all(&runs(&repo, &[&init[..], &["--force"]].concat(), 0).0, &["replaced"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), ours);
}

#[test]
fn a_release_is_bundled_and_verified() {
    let (_dir, repo) = repository();
    let bundle = ["release", "bundle", "--quarter", "2025-Q4"];
    has_all(&runs(&repo, &bundle, 1).1, &["2025-Q4/COMPLIANCE_REPORT.md", "--allow-missing"]);
    let made = json_of(&repo, &[&bundle[..], &["--allow-missing"]].concat());
    assert_eq!(made["git_commit"].as_str().unwrap(), git(&repo, &["rev-parse", "HEAD"]).trim());
    let artifact = made["artifact"].as_str().unwrap();
    has_all(&runs(&repo, &["release", "verify", artifact], 0).0, &["registry_events.log", "release 2025-Q4 holds"]);
    assert_eq!(json_of(&repo, &[&bundle[..], &["--allow-missing"]].concat()), made, "made once");
    let path = repo.join(artifact);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|w| w == b"Registry").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    runs(&repo, &["release", "verify", artifact], 5);
    runs(&repo, &["release", "bundle", "--quarter", "2025-Q9"], 2);
}
