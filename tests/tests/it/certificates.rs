//! A certificate proves itself to anybody who has the genesis file, and nothing that was changed
//! does.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ssid_tests::{Cluster, Outcome, SOON, ssid_in};
use tempfile::TempDir;

/// A certificate of a real federation, whose processes have ended.
struct Exported {
    dir: TempDir,
    genesis: PathBuf,
    text: String,
}

impl Exported {
    fn new() -> Self {
        let cluster = Cluster::start(4);
        let emit = [
            "events",
            "emit",
            "--event",
            "blueprint_tagged",
            "--version",
            "v4.4.0",
            "--commit",
            "3dd05d9",
            "--wait",
        ];
        let hash = cluster.node(1).ssid_json(&emit)["event_hash"]
            .as_str()
            .unwrap()
            .to_owned();
        cluster.wait_certified(1, SOON);
        let dir = tempfile::tempdir().unwrap();
        let (file, genesis) = (dir.path().join("c.json"), dir.path().join("genesis.json"));
        let _ = cluster
            .node(3)
            .ssid(&["consensus", "export", &hash, "-o", file.to_str().unwrap()])
            .well();
        fs::copy(cluster.genesis(), &genesis).unwrap();
        Self {
            text: fs::read_to_string(file).unwrap(),
            dir,
            genesis,
        }
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn verify(&self, text: impl AsRef<[u8]>) -> Outcome {
        let file = self.dir.path().join("spoiled.json");
        fs::write(&file, text).unwrap();
        self.verify_files(&file, &self.genesis)
    }

    fn verify_files(&self, file: &Path, genesis: &Path) -> Outcome {
        let args = [
            "certificate",
            "verify",
            file.to_str().unwrap(),
            "--genesis",
            genesis.to_str().unwrap(),
        ];
        ssid_in(self.dir.path(), &args)
    }
}

/// Another digit in a text of hex digits, at `at`.
fn other_digit(value: &mut Value, at: usize) {
    let mut text = value.as_str().unwrap().to_owned();
    let new = if &text[at..=at] == "0" { "1" } else { "0" };
    text.replace_range(at..=at, new);
    *value = text.into();
}

type Spoil = fn(&mut Value);

#[test]
fn a_certificate_spoiled_at_any_field_is_refused_with_exit_5_and_the_reason() {
    let exported = Exported::new();
    let whole = exported.verify(&exported.text).well();
    assert!(
        whole.stdout.contains("valid") && whole.stdout.contains("blueprint_tagged"),
        "{whole:#?}"
    );

    let spoiled: [(&str, Spoil); 32] = [
        ("format", |c| c["format"] = "ssid-certificate/2".into()),
        ("federation_id", |c| other_digit(&mut c["federation_id"], 3)),
        ("epoch", |c| c["epoch"] = 1.into()),
        ("epoch of another type", |c| c["epoch"] = "0".into()),
        ("round", |c| c["round"] = 1.into()),
        ("choice: event hash", |c| {
            other_digit(&mut c["choice"]["event_hash"], 63);
        }),
        ("choice: content digest", |c| {
            other_digit(&mut c["choice"]["content_digest"], 0);
        }),
        ("subject: event", |c| {
            c["subject"]["event"] = "blueprint_taggee".into();
        }),
        ("subject: version", |c| {
            c["subject"]["version"] = "v4.4.1".into();
        }),
        ("subject: occurrence", |c| {
            c["subject"]["occurrence"] = "2026-10-11T20:00:00Z".into();
        }),
        ("event: timestamp", |c| {
            c["event"]["timestamp"] = "2026-10-11T20:00:00Z".into();
        }),
        ("event: event", |c| {
            c["event"]["event"] = "blueprint_taggee".into();
        }),
        ("event: version", |c| {
            c["event"]["version"] = "v4.4.1".into();
        }),
        ("event: commit", |c| {
            c["event"]["commit_hash"] = "3dd05d8".into();
        }),
        ("event: blueprint", |c| {
            c["event"]["blueprint"] = "v4.5".into();
        }),
        ("event: root lock", |c| {
            c["event"]["root_24_lock"] = "OPEN".into();
        }),
        ("event: score", |c| {
            c["event"]["compliance_score"] = "1".into();
        }),
        ("event: emitter", |c| {
            c["event"]["emitted_by"] = "somebody".into();
        }),
        ("event: an inadmissible field", |c| {
            c["event"]["timestamp"] = "2026-13-11T20:00:00Z".into();
        }),
        ("event: a field less", |c| {
            drop(c["event"].as_object_mut().unwrap().remove("emitted_by"));
        }),
        ("unknown key", |c| c["note"] = "x".into()),
        ("unknown key inside", |c| {
            c["event"]["event_hash"] = c["choice"]["event_hash"].clone();
        }),
        ("signature", |c| {
            other_digit(&mut c["precommits"][0]["signature"], 17);
        }),
        ("signature: its end", |c| {
            other_digit(&mut c["precommits"][2]["signature"], 127);
        }),
        ("signature: too short", |c| {
            c["precommits"][0]["signature"] = "00".into();
        }),
        ("signer", |c| {
            other_digit(&mut c["precommits"][0]["node_id"], 5);
        }),
        ("signer: another member", |c| {
            c["precommits"][0]["node_id"] = c["precommits"][1]["node_id"].clone();
        }),
        ("index", |c| {
            c["precommits"][0]["index"] =
                (c["precommits"][0]["index"].as_u64().unwrap() + 1).into();
        }),
        ("count", |c| {
            c["precommits"][0]["count"] =
                (c["precommits"][0]["count"].as_u64().unwrap() + 1).into();
        }),
        ("path", |c| {
            c["precommits"][0]["path"]
                .as_array_mut()
                .unwrap()
                .push("00".repeat(32).into());
        }),
        ("one signer twice", |c| {
            c["precommits"][1] = c["precommits"][0].clone();
        }),
        ("too few signers", |c| {
            c["precommits"].as_array_mut().unwrap().truncate(2);
        }),
    ];
    for (what, spoil) in spoiled {
        let mut certificate = exported.value();
        spoil(&mut certificate);
        assert_ne!(certificate, exported.value(), "{what} changes nothing");
        let said = exported.verify(certificate.to_string());
        assert_eq!(said.code, Some(5), "{what}: {said:#?}");
        let reason = said.stderr.trim_start_matches("error: ");
        assert!(
            reason.starts_with(exported.dir.path().to_str().unwrap()) || reason.contains("epoch"),
            "{what}: {said:#?}"
        );
        assert!(
            reason.len() > 30 && !reason.contains("panicked"),
            "{what}: {said:#?}"
        );
    }
    for key in exported.value().as_object().unwrap().keys() {
        let mut certificate = exported.value();
        certificate.as_object_mut().unwrap().remove(key);
        let _ = exported
            .verify(certificate.to_string())
            .exits(5)
            .says(&[key]);
    }
    let twice = exported
        .text
        .replacen("\"round\": 0", "\"round\": 0, \"round\": 0", 1);
    assert_ne!(twice, exported.text);
    let _ = exported.verify(twice).exits(5).says(&["round"]);
}

#[test]
fn what_is_no_certificate_at_all_is_refused() {
    let exported = Exported::new();
    let deep = "[".repeat(100_000);
    let huge = format!("\"{}\"", "x".repeat(3 << 20));
    let many = format!("{}{}", &exported.text.trim_end(), "{}");
    for garbage in [
        "",
        "no JSON",
        "{}",
        "[]",
        "null",
        "\u{feff}{}",
        &deep,
        &huge,
        &many,
        &exported.text[..200],
    ] {
        let said = exported.verify(garbage).exits(5);
        assert!(said.stderr.len() < 1000, "{said:#?}");
    }
    let _ = exported.verify(b"\x00\xff\xfe").exits(5);
    let missing = exported.verify_files(Path::new("/nonexistent/c.json"), &exported.genesis);
    let _ = missing
        .exits(2)
        .says(&["/nonexistent/c.json", "ssid consensus export"]);
    // a directory stands for the files in it, and what is no certificate among them is named
    let _ = exported
        .verify_files(exported.dir.path(), &exported.genesis)
        .exits(5)
        .says(&["2 of 3 certificates"]);

    // a genesis file that is not the federation's own
    let good = exported.dir.path().join("c.json");
    let other = exported.dir.path().join("other.json");
    for (change, code) in [(json!("another name"), 5), (json!(7), 5)] {
        let mut genesis: Value =
            serde_json::from_str(&fs::read_to_string(&exported.genesis).unwrap()).unwrap();
        genesis["name"] = change;
        fs::write(&other, genesis.to_string()).unwrap();
        let _ = exported.verify_files(&good, &other).exits(code);
    }
    let _ = exported
        .verify_files(&good, Path::new("/nonexistent/g.json"))
        .exits(2)
        .says(&["/nonexistent/g.json"]);
}
