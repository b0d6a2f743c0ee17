//! `verify_certificate.py` is a second implementation of the specification. The two must agree on
//! which certificates and manifests are valid; where they do not, one of them, or the text, is
//! wrong.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::{Certificate, Verifier, verify_chain};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, Round};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Status;
use ssid_protocol::testing::{event, key, manifest};

/// The program with Python to run it; `None`, with a word about it, if there is no Python.
fn checker() -> Option<Command> {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        // not through the macro: what that writes is shown of failed tests only
        let why = "the second implementation needs python3, which does not run here";
        let _ = writeln!(std::io::stderr(), "SKIPPED: second_implementation: {why}");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/verify_certificate.py"
    ));
    Some(command)
}

/// A new directory for the files of one test.
fn directory(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the target directory can be written to");
    path
}

fn write(path: PathBuf, bytes: &[u8]) -> PathBuf {
    std::fs::write(&path, bytes).expect("the target directory can be written to");
    path
}

fn vector(name: &str) -> Value {
    let mut vectors: Value =
        serde_json::from_slice(include_bytes!("vectors.json")).expect("vectors.json is JSON");
    vectors[name].take()
}

fn genesis() -> Manifest {
    Manifest::parse(vector("genesis").to_string().as_bytes()).expect("the vector is a manifest")
}

fn is_valid_here(genesis: &Manifest, certificate: &[u8]) -> bool {
    let mut verifier = Verifier::new(genesis.federation_id(), genesis, &genesis.event_policies)
        .expect("the manifest is valid");
    Certificate::parse(certificate)
        .and_then(|certificate| certificate.verify(&mut verifier))
        .is_ok()
}

/// Every path into a document, to inner values too.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, item)| (i.to_string(), item))
            .collect(),
        _ => vec![],
    };
    for (key, value) in children {
        let pointer = format!("{at}/{key}");
        pointers(value, &pointer, found);
        found.push(pointer);
    }
}

/// The document with each value replaced by others, and removed.
fn variants(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    pointers(document, "", &mut found);
    let mut variants = Vec::new();
    for pointer in found {
        let original = document.pointer(&pointer).expect("it was found there");
        for other in replacements(original) {
            let mut changed = document.clone();
            *changed.pointer_mut(&pointer).expect("it was found there") = other;
            variants.push(changed.to_string());
        }
        let (parent, key) = pointer.rsplit_once('/').expect("it begins with one");
        let mut changed = document.clone();
        match changed.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.remove(key)),
            Some(Value::Array(items)) => drop(items.remove(key.parse().expect("an index"))),
            _ => continue,
        }
        variants.push(changed.to_string());
    }
    variants
}

fn replacements(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            let mut longer = text.clone();
            longer.push('0');
            let changed = text.replacen(['0', '1', '2', '3', 'a', 'e'], "7", 1);
            [
                longer,
                changed,
                text.to_uppercase(),
                String::new(),
                "\u{85}".into(),
            ]
            .map(Value::from)
            .to_vec()
        }
        Value::Number(_) => vec![
            json!(0),
            json!(1),
            json!(2),
            json!(4097),
            json!(1_u64 << 53),
            json!(-1),
            json!(1.0),
        ],
        Value::Bool(bool) => vec![json!(!bool), json!(1)],
        Value::Array(items) => {
            let twice: Vec<_> = items.iter().chain(items).cloned().collect();
            let reversed: Vec<_> = items.iter().rev().cloned().collect();
            vec![
                Value::from(twice),
                Value::from(reversed),
                json!([]),
                Value::Null,
            ]
        }
        Value::Object(_) | Value::Null => vec![json!({}), json!([]), Value::Null],
    }
}

/// Changes that only the text of a document can have.
fn texts(document: &str) -> Vec<String> {
    let spliced = |from: &str, to: &str| {
        assert!(document.contains(from), "{from}");
        document.replacen(from, to, 1)
    };
    vec![
        document.to_owned(),
        format!(" \n{document}\t\r\n"),
        format!("{document} ,"),
        format!("\u{feff}{document}"),
        format!("{document}{document}"),
        spliced("\"epoch\":0", "\"epoch\":0,\"epoch\":0"),
        spliced("\"epoch\":0", "\"epoch\":-0"),
        spliced("\"epoch\":0", "\"epoch\":0e0"),
        spliced("\"epoch\":0", "\"epoch\":00"),
        spliced("\"epoch\":0", "\"epoch\":NaN"),
        spliced("\"epoch\":0", "\"epoch\":false"),
        spliced("\"epoch\":0", "\"\\u0065poch\":0"),
        spliced("\"epoch\":0", "\"epoch\":0,\"ä\":0"),
        spliced("\"active\"", "\"\\u0061ctive\""),
        spliced("\"active\"", "\"\\ud800\""),
        spliced("\"active\"", "\"act\tive\""),
        spliced("\"active\"", "'active'"),
        spliced("\"active\"", "\"active\" /* */"),
    ]
}

#[test]
fn the_two_agree_on_every_variant_of_the_certificate() {
    let Some(mut checker) = checker() else { return };
    let directory = directory("certificates");
    let genesis = genesis();
    checker.arg(write(
        directory.join("genesis"),
        genesis.to_pretty().as_bytes(),
    ));
    let document = vector("certificate");
    let documents: Vec<_> = texts(&document.to_string())
        .into_iter()
        .chain(variants(&document))
        .collect();
    for (i, text) in documents.iter().enumerate() {
        checker.arg(write(directory.join(i.to_string()), text.as_bytes()));
    }
    let output = checker.output().expect("it ran before");
    let said = String::from_utf8(output.stdout).expect("the checker writes UTF-8");
    assert_eq!(
        said.lines().count(),
        documents.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (text, line) in documents.iter().zip(said.lines()) {
        assert_eq!(
            line.ends_with(": valid"),
            is_valid_here(&genesis, text.as_bytes()),
            "{line}\n{text}"
        );
    }
    let valid = said
        .lines()
        .filter(|line| line.ends_with(": valid"))
        .count();
    assert!(
        (3..30).contains(&valid) && documents.len() > 250,
        "{valid} of {}",
        documents.len()
    );
    std::fs::remove_dir_all(directory).expect("it was made here");
}

#[test]
fn the_two_agree_on_which_genesis_is_valid() {
    let Some(checker) = checker() else { return };
    let directory = directory("manifests");
    // with another genesis the certificate is of another federation: what the two say of the
    // manifest is the question
    let certificate = write(
        directory.join("certificate"),
        vector("certificate").to_string().as_bytes(),
    );
    let document = vector("genesis");
    // one process each: a sample of the variants, spread over all
    for text in variants(&document).into_iter().step_by(16) {
        let mut checker = Command::new(checker.get_program());
        checker.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/verify_certificate.py"
        ));
        let output = checker
            .arg(write(directory.join("genesis"), text.as_bytes()))
            .arg(&certificate)
            .output();
        let said = String::from_utf8(output.expect("it ran before").stderr)
            .expect("the checker writes UTF-8");
        let valid_here = Manifest::parse(text.as_bytes())
            .and_then(|m| m.validate_genesis())
            .is_ok();
        assert!(
            said.is_empty() || said.starts_with("manifests refused: "),
            "{said}\n{text}"
        );
        assert_eq!(said.is_empty(), valid_here, "{said}\n{text}");
    }
    std::fs::remove_dir_all(directory).expect("it was made here");
}

fn certify(
    manifest: &Manifest,
    genesis: &Manifest,
    event: Event,
    signers: std::ops::Range<u8>,
) -> Certificate {
    let federation = genesis.federation_id();
    let subject = genesis.event_policies.subject_of(&event);
    let mut certificate =
        Certificate::assemble(federation, manifest.epoch, subject, Round(1), event, vec![]);
    let batch = Statements::Votes(vec![certificate.vote(); 3]);
    for signer in signers {
        let batch =
            VerifiedBatch::sign(&key(signer), &federation, batch.clone()).expect("three votes");
        certificate
            .precommits
            .push(batch.proof(2).expect("the last of three"));
    }
    certificate
}

#[test]
fn the_two_agree_on_a_chain_of_epochs() {
    let Some(mut checker) = checker() else { return };
    let directory = directory("chain");
    let genesis = manifest(4);
    let mut first = genesis.clone();
    first.epoch = Epoch(1);
    first.members[3].status = Status::Suspended;
    let mut change = event("federation_epoch", "1");
    change.commit_hash = first.hash().to_string();
    let change = certify(&genesis, &genesis, change, 0..3);
    assert!(verify_chain(&genesis, &[(first.clone(), change.clone())]).is_ok());
    // recurring, and by two of the three voters that are left
    let good = certify(&first, &genesis, event("compliance_audit", "v1"), 0..2);
    let bad = certify(&first, &genesis, event("compliance_audit", "v1"), 2..4);
    checker
        .arg(write(
            directory.join("genesis"),
            genesis.to_pretty().as_bytes(),
        ))
        .arg("--epoch");
    checker.arg(write(directory.join("first"), first.to_pretty().as_bytes()));
    checker
        .arg(write(
            directory.join("change"),
            change.to_pretty().as_bytes(),
        ))
        .arg("--");
    for (name, certificate) in [("good", &good), ("bad", &bad), ("old", &change)] {
        checker.arg(write(
            directory.join(name),
            certificate.to_pretty().as_bytes(),
        ));
    }
    let said = String::from_utf8(checker.output().expect("it ran before").stdout)
        .expect("the checker writes UTF-8");
    let verdicts: Vec<_> = said
        .lines()
        .map(|line| line.split_once(": ").expect("file: verdict").1)
        .collect();
    assert_eq!(
        verdicts,
        ["valid", "refused: a signer is no voter", "valid"]
    );
    std::fs::remove_dir_all(directory).expect("it was made here");
}

/// What `vectors.rs` holds this crate to is computed without it.
#[test]
fn the_vectors_are_those_of_the_second_implementation() {
    if checker().is_none() {
        return;
    }
    let output = Command::new("python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/make_vectors.py"
        ))
        .output()
        .expect("it ran before");
    assert!(
        output.stdout == include_bytes!("vectors.json"),
        "run: python3 protocol/tests/make_vectors.py > protocol/tests/vectors.json\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
