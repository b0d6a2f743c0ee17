//! A governance repository as the scripts left it, and the programs that work in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const LOG: &str = "24_meta_orchestration/registry/logs/registry_events.log";
pub(crate) const MANIFEST: &str =
    "24_meta_orchestration/registry/manifests/federation_manifest.json";
pub(crate) const CONFIG: &str = "07_governance_legal/federation_config.json";
pub(crate) const TELEMETRY: &str = "07_governance_legal/telemetry_config.json";
pub(crate) const DASHBOARD: &str = "05_documentation/reports/dashboard/dashboard_data.csv";
pub(crate) const EVENTS: usize = 12;

/// The program with nothing of this machine's settings.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_"))
    {
        command.env_remove(name);
    }
    command
        .current_dir(dir)
        .env("XDG_DATA_HOME", dir.join(".data"))
        .env("HOME", dir);
    command
}

pub(crate) fn ssid(dir: &Path, args: &[&str]) -> Output {
    command(dir).args(args).output().unwrap()
}

/// Runs and expects the exit code; standard output and error.
pub(crate) fn runs(dir: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = ssid(dir, args);
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    // a temporary directory's path is ASCII, and so are the fixtures: anything else would be ours
    assert!(
        !args.contains(&"compat") || out.is_ascii(),
        "no terminal, so plain ASCII: {out}"
    );
    (out, err)
}

pub(crate) fn json_of(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&runs(dir, &[args, &["--json"]].concat(), 0).0).unwrap()
}

pub(crate) fn has_all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

pub(crate) fn read_json(repo: &Path, path: &str) -> Value {
    serde_json::from_slice(&fs::read(repo.join(path)).unwrap()).unwrap()
}

pub(crate) fn object(n: usize) -> String {
    format!(
        "{{\n  \"timestamp\": \"2025-10-11T15:{n:02}:00Z\",\n  \"event\": \"governance_update\",\n  \
         \"version\": \"v4.2.{n}\",\n  \"commit_hash\": \"7050f93\",\n  \"blueprint\": \"v4.2\",\n  \
         \"root_24_lock\": \"active\",\n  \"compliance_score\": \"100/100\",\n  \
         \"emitted_by\": \"registry_event_trigger.sh\"\n}}\n"
    )
}

/// A log of the wild form: prose, pretty-printed objects, one with more keys, one-line ones, a
/// broken object.
pub(crate) fn log() -> String {
    let mut text = "Registry events initialized.\n".to_owned();
    for n in 0..EVENTS {
        match n {
            4 => {
                text +=
                    &(object(90).replace("governance_update", "governance\"update") + &object(n));
            }
            7 => {
                text += &object(n).replace(
                    "\n}",
                    ",\n  \"quarter\": \"2025-Q4\",\n  \"files\": [{\"hash\": null}]\n}",
                );
            }
            8 => text += &object(n).replace('\n', "\r\n"),
            9.. => text += &(object(n).replace("\n  ", " ").replace("\n}", "}")),
            _ => text += &object(n),
        }
    }
    text
}

/// Changes a JSON file of a repository, and commits that.
pub(crate) fn change(repo: &Path, path: &str, change: impl FnOnce(&mut Value)) {
    let mut value = read_json(repo, path);
    change(&mut value);
    fs::write(repo.join(path), format!("{value:#}\n")).unwrap();
    commit(repo, "changed");
}

pub(crate) fn write(repo: &Path, path: &str, text: &str) {
    let path = repo.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A governance repository as the scripts left it, under Git.
pub(crate) fn repository() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("registry");
    write(&repo, LOG, &log());
    write(&repo, CONFIG, &format!("{:#}\n", config()));
    write(&repo, MANIFEST, &format!("{:#}\n", manifest()));
    git(&repo, &["init", "--quiet", "--initial-branch=main"]);
    commit(&repo, "as found");
    (dir, repo)
}

fn config() -> Value {
    json!({
        "blueprint_version": "v4.4",
        "description": "Federation Configuration",
        "federation": {"enabled": true, "mode": "participant", "description": "ours", "auto_sync": false},
        "local_node": {"node_name": "Main", "organization": "Org", "git_remote": "https://git.example/main.git"},
        "usage_instructions": {"sync_manually": "by hand"},
    })
}

fn manifest() -> Value {
    json!({
        "blueprint_version": "v4.4",
        "description": "Federation Manifest",
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
    })
}

/// Clones of a repository whose logs have one event more than it; where they are.
pub(crate) fn partners(repo: &Path, count: usize) -> Vec<PathBuf> {
    let clone = |i| {
        let partner = repo.with_file_name(format!("partner-{i}"));
        git(repo, &["clone", "--quiet", ".", partner.to_str().unwrap()]);
        append(&partner, "v4.3.0");
        partner
    };
    (0..count).map(clone).collect()
}

/// Appends an event to a partner's log, as its script would, and commits that.
pub(crate) fn append(partner: &Path, version: &str) {
    let mut text = fs::read_to_string(partner.join(LOG)).unwrap();
    let line = text.lines().last().unwrap().to_owned();
    let was = line
        .split('"')
        .find(|part| part.starts_with("v4.") || part.starts_with("v9."))
        .unwrap();
    text += &(line.replace(was, version) + "\n");
    fs::write(partner.join(LOG), text).unwrap();
    commit(partner, "more");
}

/// Makes `remotes` the nodes of the manifest, and lets them be fetched.
pub(crate) fn federate(repo: &Path, remotes: &[PathBuf]) {
    let node = |(i, remote): (usize, &PathBuf)| {
        json!({"node_id": format!("{i:016x}"), "node_name": format!("P{i}"),
            "organization": "Org", "git_remote": remote, "status": "active", "trust_score": 50})
    };
    change(repo, MANIFEST, |manifest| {
        manifest["nodes"] = remotes.iter().enumerate().map(node).collect();
    });
    change(repo, CONFIG, |config| {
        config["security"] =
            json!({"allowed_git_protocols": ["file"], "max_event_age_days": 36_500});
        config["sync_settings"] = json!({"max_retry_attempts": 0});
        config["conflict_resolution"] = json!({"auto_apply_consensus": true});
    });
}

pub(crate) fn commit(repo: &Path, message: &str) {
    git(repo, &["add", "."]);
    git(
        repo,
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "commit",
            "--quiet",
            "-m",
            message,
        ],
    );
}

pub(crate) fn git(repo: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(args)
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Names at a repository's root.
pub(crate) fn at_root(repo: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(repo)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
