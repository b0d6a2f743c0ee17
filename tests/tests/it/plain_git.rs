//! Repositories of members without a key, as far as it takes a server to show how they are read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use ssid_tests::git::{DumbServer, HttpServer, git};
use ssid_tests::{Events, Outcome, free_port, ssid_in, ssid_with};

const LOG: &str = "24_meta_orchestration/registry/logs/registry_events.log";

/// A governance repository with the scripts' files and one event.
fn governance(dir: &Path, name: &str) -> PathBuf {
    let repository = dir.join(name);
    let folders = [
        "07_governance_legal",
        "24_meta_orchestration/registry/manifests",
    ];
    for folder in folders
        .iter()
        .copied()
        .chain(Path::new(LOG).parent().and_then(Path::to_str))
    {
        fs::create_dir_all(repository.join(folder)).unwrap();
    }
    let config = json!({
        "federation": {"enabled": true},
        "security": {"allowed_git_protocols": ["file", "http", "git"]},
        "sync_settings": {"max_retry_attempts": 1, "retry_delay_seconds": 0, "timeout_seconds": 20},
    });
    fs::write(
        repository.join("07_governance_legal/federation_config.json"),
        config.to_string(),
    )
    .unwrap();
    let manifest = r#"{"federation": {"enabled": false}, "nodes": []}"#;
    fs::write(
        repository.join(folders[1]).join("federation_manifest.json"),
        manifest,
    )
    .unwrap();
    fs::write(repository.join(LOG), Events::series("plain").lines(0..1)).unwrap();
    repository
}

/// A bare repository that others fetch the same log from.
fn published(dir: &Path, name: &str) -> PathBuf {
    let work = governance(dir, "work");
    git(&work, &["init", "--quiet"]);
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "log"]);
    git(dir, &["clone", "--quiet", "--bare", "work", name]);
    fs::remove_dir_all(work).unwrap();
    dir.join(name)
}

fn add(own: &Path, remote: &str) {
    let _ = ssid_in(
        own,
        &[
            "compat",
            "federation-sync-manager",
            "--add-node",
            remote,
            "--node-name",
            "North",
        ],
    )
    .well();
}

fn read(outcome: &Outcome) -> Value {
    let node = outcome.json()["nodes"][0].clone();
    assert_eq!(
        (&node["error"], &node["comparison"]["same"]),
        (&Value::Null, &1.into()),
        "{outcome:#?}"
    );
    node
}

const SYNC: [&str; 5] = ["--json", "sync", "--force", "--repo", "."];

#[test]
fn a_repository_that_a_web_server_hands_out_as_files_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let own = governance(dir.path(), "own");
    let repository = published(dir.path(), "north.git");
    let server = DumbServer::start(dir.path());
    add(&own, &server.url(&repository));
    read(&ssid_in(&own, &SYNC).well());
    read(&ssid_in(&own, &SYNC).well());
}

#[test]
fn a_password_and_the_nodes_secrets_are_in_no_commands_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let own = governance(dir.path(), "own");
    published(dir.path(), "north.git");
    let server = HttpServer::start(dir.path());
    // between ssid and Git: notes what each command is given
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let git = std::env::split_paths(&path)
        .map(|dir| dir.join("git"))
        .find(|git| git.exists())
        .unwrap();
    let (args, variables) = (dir.path().join("args"), dir.path().join("variables"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\nenv >> '{}'\nexec '{}' \"$@\"\n",
        args.display(),
        variables.display(),
        git.display()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{path}", bin.display());
    add(&own, &server.url_with("ada", "open%20sesame", "north.git"));
    let outcome = ssid_with(
        &own,
        &[("PATH", &path), ("SSID_SMTP_PASSWORD", "of-the-mail")],
        &SYNC,
    )
    .well();
    read(&outcome);
    let (args, variables) = (
        fs::read_to_string(args).unwrap(),
        fs::read_to_string(variables).unwrap(),
    );
    assert!(
        args.contains("fetch") && args.contains("north.git"),
        "{args}"
    );
    for text in [&args, &outcome.stdout, &outcome.stderr] {
        assert!(!text.contains("sesame") && !text.contains("ada:"), "{text}");
    }
    assert!(!variables.contains("of-the-mail"), "{variables}");
    // and a wrong one is refused as such
    let wrong = governance(dir.path(), "wrong");
    add(&wrong, &server.url_with("ada", "guessed", "north.git"));
    let outcome = ssid_in(&wrong, &SYNC).exits(1);
    assert!(
        outcome.stdout.contains("not let in") && !outcome.stdout.contains("guessed"),
        "{outcome:#?}"
    );
}

#[test]
fn who_refuses_is_asked_once_and_who_may_come_back_again_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let own = governance(dir.path(), "own");
    add(&own, &format!("http://127.0.0.1:{}/x.git", free_port()));
    let mut config: Value = serde_json::from_slice(
        &fs::read(own.join("07_governance_legal/federation_config.json")).unwrap(),
    )
    .unwrap();
    // a pause that this test would not live to see the end of
    config["sync_settings"]["retry_delay_seconds"] = 3600.into();
    fs::write(
        own.join("07_governance_legal/federation_config.json"),
        config.to_string(),
    )
    .unwrap();
    let outcome = ssid_in(&own, &SYNC).exits(1);
    assert!(
        outcome.stdout.contains("not reached") && !outcome.stderr.contains("attempt"),
        "{outcome:#?}"
    );

    let own = governance(dir.path(), "other");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    add(&own, &format!("git://{address}/x.git"));
    // takes two connections, and ends them
    let server = std::thread::spawn(move || (0..2).all(|_| listener.accept().is_ok()));
    let _ = ssid_in(&own, &SYNC)
        .exits(1)
        .says(&["x.git: ", "(attempt 1 of 2; the next in 0 s)"]);
    assert!(server.join().unwrap());
}

#[test]
fn a_release_names_the_commit_of_its_own_repository_or_says_why_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let own = governance(dir.path(), "own");
    let other = governance(dir.path(), "other");
    for repository in [&own, &other] {
        git(repository, &["init", "--quiet"]);
        git(repository, &["add", "."]);
        git(
            repository,
            &["commit", "--quiet", "-m", repository.to_str().unwrap()],
        );
    }
    let bundle = [
        "--json",
        "release",
        "bundle",
        "--repo",
        ".",
        "--quarter",
        "2025-Q4",
        "--allow-missing",
    ];
    let elsewhere = other.join(".git");
    let variables = [
        ("GIT_DIR", elsewhere.to_str().unwrap()),
        ("GIT_WORK_TREE", other.to_str().unwrap()),
    ];
    let made = ssid_with(&own, &variables, &bundle).well().json();
    assert_eq!(made["git_commit"], git(&own, &["rev-parse", "HEAD"]));

    let none = governance(dir.path(), "none");
    let ceiling = Command::new("git")
        .arg("-C")
        .arg(&none)
        .args(["rev-parse", "HEAD"])
        .output()
        .unwrap();
    assert!(
        !ceiling.status.success(),
        "the test's directory is in no repository"
    );
    let _ = ssid_in(&none, &bundle[..7])
        .exits(1)
        .says(&["not a git repository", "--allow-missing"]);
    let made = ssid_in(&none, &bundle)
        .well()
        .says(&["the commit is not known", "not a git repository"])
        .json();
    assert_eq!(made["git_commit"], "");
}
