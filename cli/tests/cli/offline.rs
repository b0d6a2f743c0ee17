//! Certificates and evidence, verified offline.

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::{Epoch, Round};
use ssid_protocol::testing;
use ssid_protocol::vote::{Phase, Vote};

use super::*;

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
