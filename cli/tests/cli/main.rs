//! The built binary, without a running node: help, exit codes, making nodes and federations,
//! certificates offline.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::{Epoch, Round};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::testing;
use ssid_protocol::vote::{Phase, Vote};
use tempfile::TempDir;

fn ssid(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_"))
    {
        command.env_remove(name);
    }
    command
        .args(args)
        .current_dir(dir)
        .env("XDG_DATA_HOME", dir)
        .env("HOME", dir)
        .output()
        .unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs and expects success.
fn well(dir: &Path, args: &[&str]) -> String {
    let output = ssid(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs and expects failure with exit code `code` and every one of `words` on standard error.
fn fails(dir: &Path, args: &[&str], code: i32, words: &[&str]) -> String {
    let output = ssid(dir, args);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: {word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The commands that are directly below one, as its help lists them.
fn below(dir: &Path, command: &str) -> (String, Vec<String>) {
    let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
    let help = well(dir, &args);
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    let names = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names = names
        .filter(|name| *name != "help")
        .map(|name| format!("{command} {name}").trim().to_owned())
        .collect();
    (help, names)
}

#[test]
fn every_command_has_help_with_an_example_and_json() {
    let dir = temp();
    let (mut commands, mut seen) = (below(dir.path(), "").1, 0);
    while let Some(command) = commands.pop() {
        let (help, names) = below(dir.path(), &command);
        assert!(
            help.contains(&format!("Usage: ssid {command}")),
            "{command}: {help}"
        );
        let summary: Vec<_> = help.lines().take_while(|line| !line.is_empty()).collect();
        assert!(
            summary.len() == 1 && summary[0].chars().count() <= 96,
            "{command}: its summary is not one line: {summary:?}"
        );
        if names.is_empty() {
            assert!(
                help.contains("Example") && help.contains("--json"),
                "{command}: {help}"
            );
            let mut lines = help.lines();
            lines.find(|line| line.starts_with("Example"));
            assert!(
                lines.next().is_some_and(|line| line.starts_with("  ")),
                "{command}: no example stands on a line of its own\n{help}"
            );
            seen += 1;
        }
        commands.extend(names);
    }
    assert!(seen > 60, "{seen} commands");
    assert!(well(dir.path(), &["--help"]).contains("Exit codes: 0 done"));
    assert!(well(dir.path(), &["--version"]).starts_with("ssid "));
}

#[test]
fn wrong_usage_is_exit_2_also_as_json() {
    let dir = temp();
    fails(dir.path(), &["frobnicate"], 2, &["frobnicate"]);
    fails(dir.path(), &["events", "emit"], 2, &["--event"]);
    let emit = [
        "events",
        "emit",
        "--event",
        "e",
        "--version",
        "v",
        "--commit",
        "c",
        "--timeout",
        "1",
    ];
    fails(dir.path(), &emit, 2, &["--wait"]);
    let said = fails(dir.path(), &["--json", "nodes", "show"], 2, &[]);
    let error: Value = serde_json::from_str(&said).unwrap();
    assert!(
        error["code"] == 2 && error["error"].is_string() && error.get("hint").is_some(),
        "{error}"
    );
}

#[test]
fn without_a_node_commands_are_exit_3_and_say_what_to_do() {
    let dir = temp();
    let emit = [
        "events",
        "emit",
        "--event",
        "a",
        "--version",
        "1",
        "--commit",
        "3dd05d9",
    ];
    for command in [
        &["status"][..],
        &["quorum"],
        &["nodes", "list"],
        &["events", "list"],
        &["events", "watch"],
        &["consensus", "history"],
        &["consensus", "verify"],
        &["conflicts", "list"],
        &["conflicts", "resolve", "aa", "--choose", "bb"],
        &["events", "endorse", "aa"],
        &["events", "refuse", "aa"],
        &["trust", "list"],
        &["trust", "explain", "aa"],
        &["trust", "boost", "aa", "--reason", "r"],
        &["evidence", "list"],
        &["evidence", "show", "aa"],
        &["log", "head"],
        &emit,
    ] {
        let hints = ["no node answers at d/api.sock", "ssid init --data d"];
        fails(dir.path(), &[command, &["--data", "d"]].concat(), 3, &hints);
    }
    let said = fails(dir.path(), &["status", "--json", "--data", "d"], 3, &[]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["code"], 3);
    well(
        dir.path(),
        &["init", "--name", "A", "--organization", "B", "--data", "d"],
    );
    // a socket that a killed node left behind
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("d/api.sock")).unwrap());
    fails(
        dir.path(),
        &["status", "--data", "d"],
        3,
        &["start one with: ssid run --data d"],
    );
    fails(
        dir.path(),
        &["events", "import", "missing.log", "--data", "d"],
        2,
        &["missing.log"],
    );
}

#[test]
fn addresses_that_nobody_can_dial_are_refused_before_anything_is_made() {
    let dir = temp();
    for (address, why) in [
        ("/ip4/0.0.0.0/tcp/4170", "no destination"),
        ("/ip4/127.0.0.1/tcp/0", "port 0"),
        ("/ip4/192.0.2.7/tcp/4170/ws", "does not speak"),
        ("/ip4/192.0.2.7/udp/4170/quic", "quic-v1"),
        ("/dns4/berlin example/tcp/4170", "no host name"),
        (
            "/ip4/192.0.2.7/tcp/4170/p2p/12D3KooWBJ9xNqD9w4RA2XfGmFG41aJ1JsEQwNcupCuzNTCyGE1D",
            "leave /p2p out",
        ),
    ] {
        let init = [
            "init",
            "--name",
            "A",
            "--organization",
            "B",
            "--data",
            "d",
            "--address",
            address,
        ];
        fails(dir.path(), &init, 2, &[address, why]);
        assert!(!dir.path().join("d").exists(), "{address}");
    }
}

#[test]
fn quiet_says_errors_only_and_documents_all_the_same() {
    let dir = temp();
    let init = [
        "-q",
        "init",
        "--name",
        "A",
        "--organization",
        "B",
        "--data",
        "d",
    ];
    assert_eq!(well(dir.path(), &init), "");
    fails(dir.path(), &init, 2, &["another directory"]);
    assert!(well(dir.path(), &["-q", "card", "--data", "d"]).contains("node_id"));
    let json = [
        "-q",
        "--json",
        "init",
        "--name",
        "A",
        "--organization",
        "B",
        "--data",
        "e",
    ];
    assert!(well(dir.path(), &json).contains("node_id"));
}

#[test]
fn a_failed_init_leaves_nothing_and_a_repository_gets_its_folder() {
    let dir = temp();
    let dir = dir.path();
    let init = ["init", "--name", "A", "--organization", "B", "--data", "d"];
    let listed = || {
        let names = fs::read_dir(dir.join("d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    well(dir, &init);
    let (key, before) = (fs::read(dir.join("d/voting.key")).unwrap(), listed());
    fails(dir, &init, 2, &["voting.key", "another directory"]);
    assert_eq!(
        (fs::read(dir.join("d/voting.key")).unwrap(), listed()),
        (key, before)
    );
    // the keys are gone, the vote history is there: no new keys beside it
    for name in ["voting.key", "network.key"] {
        fs::remove_file(dir.join("d").join(name)).unwrap();
    }
    let before = listed();
    fails(dir, &init, 2, &["votes.journal", "together"]);
    assert_eq!(listed(), before);

    let repo = dir.join("repo");
    fs::create_dir_all(&repo).unwrap();
    let data = [
        "init",
        "--name",
        "A",
        "--organization",
        "B",
        "--data",
        "e",
        "--repo",
        repo.to_str().unwrap(),
    ];
    well(dir, &data);
    assert!(
        repo.join("07_governance_legal/federation_config.json")
            .exists()
    );
}

/// Three nodes and their cards in `dir`.
fn three_nodes(dir: &Path) {
    for name in ["Berlin", "Paris", "Rome"] {
        let address = "/dns4/node.example/tcp/4170";
        well(
            dir,
            &[
                "init",
                "--name",
                name,
                "--organization",
                "Org",
                "--data",
                name,
                "--address",
                address,
            ],
        );
        fs::write(
            dir.join(format!("{name}.json")),
            well(dir, &["card", "--data", name]),
        )
        .unwrap();
    }
}

fn create(coordinator: &str) -> Vec<&str> {
    let cards = "federation create --name demo --card Berlin.json Paris.json Rome.json -o genesis.json --coordinator";
    cards.split(' ').chain([coordinator]).collect()
}

#[test]
fn nodes_are_made_and_form_a_federation() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    let made = well(dir, &create("Berlin"));
    assert!(
        made.contains("quorum     2 of 3") && made.contains("1 member may be away"),
        "{made}"
    );
    for name in ["Berlin", "Paris", "Rome", "Rome"] {
        well(dir, &["federation", "join", "genesis.json", "--data", name]);
    }
    let shown: Value = serde_json::from_str(&well(
        dir,
        &["federation", "show", "--data", "Paris", "--json"],
    ))
    .unwrap();
    let genesis = Manifest::parse(&fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(shown["federation_id"], genesis.federation_id().to_string());
    assert_eq!(
        (
            shown["members"][0]["role"].as_str(),
            shown["quorum"].as_u64()
        ),
        (Some("coordinator"), Some(2))
    );
    assert!(well(dir, &["config", "check", "--data", "Rome"]).contains("federation_config.json"));
    fs::write(
        dir.join("Rome/telemetry_config.json"),
        r#"{"tresholds": {}}"#,
    )
    .unwrap();
    let found = well(dir, &["config", "check", "--data", "Rome"]);
    assert!(
        found.contains("telemetry_config.json:1") && found.contains("tresholds"),
        "{found}"
    );
    fs::remove_file(dir.join("Rome/telemetry_config.json")).unwrap();
    let path = dir.join("Rome/federation_config.json");
    let kept = fs::read_to_string(&path).unwrap();
    let mut config: Value = serde_json::from_str(&kept).unwrap();
    (
        config["federation"]["enabled"],
        config["federation"]["mode"],
    ) = (false.into(), "observer".into());
    config["membership"]["auto_approve"] = true.into();
    fs::write(&path, config.to_string()).unwrap();
    let found = well(dir, &["config", "check", "--data", "Rome"]);
    assert!(
        found.contains("federation.mode is observer here and participant in"),
        "{found}"
    );
    assert!(
        found.contains("`membership.auto_approve` is true") && found.contains("no effect"),
        "{found}"
    );
    fails(
        dir,
        &["run", "--data", "Rome"],
        2,
        &["federation.enabled is false", "set it to true in", "Rome"],
    );
    fs::write(&path, kept).unwrap();
    let config: Value =
        serde_json::from_str(&well(dir, &["config", "show", "--data", "Rome", "--json"])).unwrap();
    assert_eq!(config["local_node"]["node_name"], "Rome");
    assert_eq!(config["network"]["listen"][0], "/ip4/0.0.0.0/tcp/4170");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    let init = |name, data| {
        [
            "init",
            "--organization",
            "Org",
            "--name",
            name,
            "--data",
            data,
        ]
    };
    fails(dir, &init("X", "Berlin"), 2, &["is there already"]);
    fails(
        dir,
        &[&init("X", "n")[..], &["--address", "berlin:4170"]].concat(),
        2,
        &["multiaddress", "/dns4/"],
    );
    fails(dir, &init("", "n"), 2, &["--name"]);
    fails(dir, &create("Madrid"), 2, &["Madrid", "Berlin", "Paris"]);
    fails(
        dir,
        &[create("Berlin"), vec!["--threshold", "101"]].concat(),
        2,
        &["--threshold"],
    );
    fails(
        dir,
        &["federation", "show", "--data", "Berlin"],
        2,
        &["genesis.json", "federation join"],
    );
    let card = fs::read_to_string(dir.join("Rome.json")).unwrap();
    fs::write(dir.join("Rome.json"), card.replace("\"Org\"", "\"Other\"")).unwrap();
    fails(dir, &create("Berlin"), 5, &["signature"]);
    fs::write(dir.join("Rome.json"), &card).unwrap();
    well(dir, &create("Berlin"));
    fails(dir, &create("Berlin"), 2, &["not overwritten"]);
    well(dir, &init("Oslo", "Oslo"));
    fails(
        dir,
        &["federation", "join", "genesis.json", "--data", "Oslo"],
        2,
        &["not a member", "ssid card"],
    );
    fails(
        dir,
        &["run", "--data", "nowhere"],
        2,
        &["ssid init --data nowhere"],
    );
    fs::write(
        dir.join("Rome/federation_config.json"),
        r#"{"sync_settings": {"timeout_seconds": "soon"}}"#,
    )
    .unwrap();
    fails(
        dir,
        &["config", "check", "--data", "Rome"],
        2,
        &["federation_config.json:1", "timeout_seconds", "soon"],
    );
}

#[test]
fn keys_are_for_their_owner_and_may_have_a_passphrase() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = temp();
    let init = |data: &str, passphrase: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
        command
            .args([
                "init",
                "--name",
                "A",
                "--organization",
                "B",
                "--json",
                "--data",
                data,
            ])
            .current_dir(dir.path());
        let output = command
            .env("SSID_KEY_PASSPHRASE", passphrase)
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(init("plain", "")["encrypted"], false);
    assert_eq!(init("sealed", "correct horse")["encrypted"], true);
    let mode = fs::metadata(dir.path().join("plain/voting.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(dir.path().join("plain/votes.journal").exists());
    fails(
        dir.path(),
        &["run", "--data", "sealed"],
        2,
        &["SSID_KEY_PASSPHRASE"],
    );
}

/// A certificate of the test federation of four, and its genesis file, in `dir`.
fn certificate(dir: &Path) -> Certificate {
    let (manifest, federation, _, keys) = testing::federation(4);
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let subject = manifest.event_policies.subject_of(&event);
    let (epoch, round) = (Epoch::ZERO, Round::ZERO);
    let ballot = Some(event.choice());
    let vote = Vote {
        epoch,
        subject: subject.id(&federation),
        round,
        phase: Phase::Precommit,
        ballot,
        observed: false,
    };
    let other = Vote {
        round: Round(7),
        ..vote
    };
    let prove = |key| {
        let batch = VerifiedBatch::sign(
            key,
            &federation,
            Statements::Votes(vec![other, vote, other]),
        );
        batch.unwrap().proof(1).unwrap()
    };
    let proofs = keys.iter().take(3).map(prove).collect();
    let certificate = Certificate::assemble(federation, epoch, subject, round, event, proofs);
    fs::write(dir.join("genesis.json"), manifest.to_pretty()).unwrap();
    fs::write(dir.join("c.json"), certificate.to_pretty()).unwrap();
    certificate
}

const VERIFY: &[&str] = &[
    "certificate",
    "verify",
    "c.json",
    "--genesis",
    "genesis.json",
];

#[test]
fn a_certificate_verifies_offline() {
    let dir = temp();
    let certificate = certificate(dir.path());
    let said = well(dir.path(), VERIFY);
    assert!(
        said.starts_with("valid: blueprint_tagged v4.4.0") && said.contains("Node-"),
        "{said}"
    );
    let said: Value =
        serde_json::from_str(&well(dir.path(), &[VERIFY, &["--json"]].concat())).unwrap();
    assert_eq!(said["valid"], true);
    assert_eq!(
        said["event_hash"],
        certificate.choice.event_hash.to_string()
    );
    fails(
        dir.path(),
        &[
            "certificate",
            "verify",
            "no.json",
            "--genesis",
            "genesis.json",
        ],
        2,
        &["no.json"],
    );
}

#[test]
fn a_spoiled_certificate_is_exit_5_with_the_reason() {
    let dir = temp();
    let certificate = certificate(dir.path());
    let text = certificate.to_pretty();
    let signature = certificate.precommits[0].signature.to_string();
    let flipped = format!(
        "{}{}",
        if signature.starts_with('0') { '1' } else { '0' },
        &signature[1..]
    );
    let cases: &[(&str, &str, &str)] = &[
        ("\"3dd05d9\"", "\"3dd05d8\"", ""),
        ("\"active\"", "\"broken\"", ""),
        (&signature, &flipped, "signature"),
        ("\"index\": 1", "\"index\": 2", ""),
        ("\"index\": 1", "\"index\": 3", "index"),
        ("\"epoch\": 0", "\"epoch\": 1", "epoch"),
        ("\"round\": 0", "\"round\": 1", ""),
        ("ssid-certificate/1", "ssid-certificate/2", "format"),
        ("\"epoch\": 0", "\"epoch\": 00", ""),
        ("\"epoch\": 0", "\"epoch\": 0, \"epoch\": 0", "duplicate"),
    ];
    for (from, to, reason) in cases {
        assert!(text.contains(from), "{from}");
        fs::write(dir.path().join("c.json"), text.replacen(from, to, 1)).unwrap();
        fails(dir.path(), VERIFY, 5, &[reason]);
    }
    fs::write(dir.path().join("c.json"), &text[..text.len() / 2]).unwrap();
    let said = fails(dir.path(), &[VERIFY, &["--json"]].concat(), 5, &[]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["code"], 5);
    fs::write(dir.path().join("c.json"), &text).unwrap();
    fs::write(
        dir.path().join("genesis.json"),
        testing::manifest(5).to_pretty(),
    )
    .unwrap();
    fails(dir.path(), VERIFY, 5, &["federation"]);
}

#[test]
fn evidence_verifies_offline_or_is_exit_5_with_the_reason() {
    let dir = temp();
    let (manifest, federation, _, keys) = testing::federation(4);
    fs::write(dir.path().join("genesis.json"), manifest.to_pretty()).unwrap();
    let signed = |commit: &str| {
        let event = Event {
            commit_hash: commit.into(),
            ..testing::event("blueprint_tagged", "v4.4.0")
        };
        let batch =
            VerifiedBatch::sign(&keys[2], &federation, Statements::Events(vec![event])).unwrap();
        Signed::of(&batch, 0).unwrap()
    };
    let evidence = Evidence::of_statements(federation, signed("3dd05d9"), signed("fffffff"));
    let (text, verify) = (
        evidence.to_pretty(),
        ["evidence", "verify", "e.json", "--genesis", "genesis.json"],
    );
    fs::write(dir.path().join("e.json"), &text).unwrap();
    let said = well(dir.path(), &verify);
    assert!(
        said.contains("proven")
            && said.contains("Node-2")
            && said.contains("blueprint_tagged v4.4.0"),
        "{said}"
    );
    let said: Value =
        serde_json::from_str(&well(dir.path(), &[&verify[..], &["--json"]].concat())).unwrap();
    assert_eq!(
        (&said["valid"], &said["kind"]),
        (&Value::Bool(true), &Value::String("event".into()))
    );
    assert_eq!(said["member"]["node_id"], keys[2].node_id().to_string());
    assert_eq!(said["evidence_id"], evidence.id().to_string());
    let other = keys[1].node_id().to_string();
    for (from, to, why) in [
        ("3dd05d9", "3dd05da", "the proof of the first statement"),
        ("ssid-evidence/1", "ssid-evidence/2", "format"),
        ("\"kind\": \"event\"", "\"kind\": \"vote\"", "missing"),
        (
            &keys[2].node_id().to_string(),
            &other,
            "nobody contradicts himself",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(dir.path().join("e.json"), text.replacen(from, to, 1)).unwrap();
        fails(dir.path(), &verify, 5, &["e.json", why]);
    }
    fails(
        dir.path(),
        &["evidence", "verify", "no.json", "--genesis", "genesis.json"],
        2,
        &["no.json"],
    );
}

#[test]
fn completions_and_manual_pages_are_made_and_a_closed_pipe_is_no_error() {
    let dir = temp();
    for shell in ["bash", "zsh", "fish"] {
        assert!(well(dir.path(), &["completions", shell]).contains("ssid"));
    }
    well(dir.path(), &["man", "-o", "man1"]);
    assert!(
        dir.path().join("man1/ssid.1").exists()
            && dir.path().join("man1/ssid-events-emit.1").exists()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    command
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), err(&ended)), (Some(0), String::new()));
}

#[test]
fn a_cluster_that_cannot_run_says_so() {
    let dir = temp();
    fails(
        dir.path(),
        &["cluster", "status", "--dir", "d"],
        2,
        &["no cluster in d", "ssid cluster up"],
    );
    fails(
        dir.path(),
        &["cluster", "up", "--nodes", "1", "--dir", "d"],
        2,
        &["--nodes 1"],
    );
}

/// The settings are compiled in by `.cargo/config.toml`, which a build from another directory does
/// not read.
#[test]
fn the_allocator_has_its_settings() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    let output = command
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .unwrap();
    let said = err(&output);
    for setting in [
        "opt.narenas: 2\n",
        "opt.dirty_decay_ms: 100 ",
        "opt.muzzy_decay_ms: 0 ",
        "opt.tcache_max: 1024\n",
    ] {
        assert!(said.contains(setting), "{setting:?} is not in: {said}");
    }
}

/// Runs with arguments that need not be Unicode.
fn ssid_os(dir: &Path, args: &[&std::ffi::OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    command
        .args(args)
        .current_dir(dir)
        .env("XDG_DATA_HOME", dir)
        .env("HOME", dir)
        .output()
        .unwrap()
}

#[test]
fn paths_that_are_not_unicode_are_paths() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = temp();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"nu\xff"));
    fs::create_dir(&odd).unwrap();
    let (data, repo) = (odd.join("n"), odd.join("r"));
    fs::create_dir_all(repo.join("24_meta_orchestration/registry/logs")).unwrap();
    let run = |args: &str, path: &Path| {
        let args: Vec<_> = args
            .split(' ')
            .map(|arg| {
                if arg == "@" {
                    path.as_os_str()
                } else {
                    arg.as_ref()
                }
            })
            .collect();
        let output = ssid_os(dir.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    };
    run(
        "init --data @ --name B --organization E --address /ip4/127.0.0.1/tcp/4999",
        &data,
    );
    run("config check --data @", &data);
    run("config check --data @ --json", &data);
    run(
        "compat registry-event-trigger --repo @ --event blueprint_tagged --version v9 --hash 3dd05d9",
        &repo,
    );
    run("import-legacy --repo @ --dry-run --json", &repo);
}

#[test]
fn escapes_in_files_of_others_do_not_reach_the_terminal() {
    let dir = temp();
    let path = dir.path().join("g.json");
    fs::write(&path, "{\"\\u001b]0;owned\\u0007\\u001b[2J\\u202e\": 1}").unwrap();
    for command in [
        &["federation", "show", "g.json"][..],
        &["certificate", "verify", "g.json", "--genesis", "g.json"],
    ] {
        let output = ssid(dir.path(), command);
        let said = err(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_ne!(output.status.code(), Some(0));
        assert!(
            !said.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{command:?}: {said:?}"
        );
    }
}

#[test]
fn tokens_in_addresses_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = temp();
    let data = dir.path().join("d");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let remote = "https://bot:s3cret@git.example.org/r.git";
    let init = [
        "init",
        "--data",
        "d",
        "--name",
        "B",
        "--organization",
        "E",
        "--git-remote",
        remote,
    ];
    well(dir.path(), &init);
    let mode = fs::metadata(data.join("federation_config.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!well(dir.path(), &["config", "show", "--data", "d"]).contains("s3cret"));
    // a repository's files are read by others: nothing is made
    let repo = dir.path().join("r/07_governance_legal");
    fs::create_dir_all(&repo).unwrap();
    let init = [
        "init",
        "--data",
        "e",
        "--repo",
        "r",
        "--name",
        "B",
        "--organization",
        "E",
        "--git-remote",
        remote,
    ];
    let said = fails(
        dir.path(),
        &init,
        2,
        &["--git-remote", "SSID_LOCAL_NODE_GIT_REMOTE"],
    );
    assert!(!said.contains("s3cret") && !dir.path().join("e").exists());
}

/// A line of a shell as its words, up to a comment, a pipe or a redirection.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The commands of `ssid` in a document's blocks of shell lines.
fn commands_in(document: &str) -> Vec<Vec<String>> {
    let document = document.replace("\\\n", "");
    let mut blocks = document.split("```");
    blocks.next();
    let lines = blocks
        .step_by(2)
        .filter_map(|block| block.strip_prefix("sh\n"))
        .flat_map(str::lines);
    let is_variable = |word: &String| word.starts_with("SLACK_");
    lines
        .map(|line| words_of(line).into_iter().skip_while(is_variable).collect())
        .filter(|words: &Vec<_>| words.first().is_some_and(|word| word == "ssid"))
        .collect()
}

/// Whether the program takes them is asked with `--help` at their end: what stands before it is
/// read first, and nothing is done.
#[test]
fn every_command_that_the_documents_print_is_one() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages = fs::read_dir(top.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let (dir, mut seen) = (temp(), 0);
    for page in pages.chain([top.join("README.md")]) {
        for words in commands_in(&fs::read_to_string(&page).unwrap()) {
            // what a reader puts in the place of the word
            let hash = "0".repeat(64);
            let words: Vec<&str> = words[1..]
                .iter()
                .map(|word| match word.as_str() {
                    "HASH" => hash.as_str(),
                    word => word,
                })
                .collect();
            let output = ssid(dir.path(), &[&words[..], &["--help"]].concat());
            assert!(
                output.status.success(),
                "{}: {words:?}: {}",
                page.display(),
                err(&output)
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} commands");
    let wrong = ssid(dir.path(), &["status", "--no-such-flag", "--help"]);
    assert_eq!(wrong.status.code(), Some(2), "a wrong one would be noticed");
}
