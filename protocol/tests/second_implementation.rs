//! `verify_certificate.py` is a second implementation of the specification. The two must agree on
//! which certificates and manifests are valid; where they do not, one of them, or the text, is
//! wrong.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use ssid_protocol::certificate::{Certificate, Verifier};
use ssid_protocol::chain::{Chain, ChainError, ChainLine};
use ssid_protocol::id::ManifestHash;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::testing::epochs;

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

/// Files of the chain of the vectors' epochs and of a certificate, as both programs read them.
struct Files {
    directory: PathBuf,
    genesis: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = directory(name);
        let genesis = write(
            directory.join("genesis"),
            vector("genesis").to_string().as_bytes(),
        );
        Self { directory, genesis }
    }

    /// What the second implementation says of each document: a chain file and a certificate.
    fn verdict(&self, chain: &[u8], certificate: &[u8], pin: Option<&ManifestHash>) -> bool {
        let mut checker = checker().expect("it ran before");
        checker.arg(&self.genesis).arg("--epochs");
        checker.arg(write(self.directory.join("epochs"), chain));
        if let Some(pin) = pin {
            checker.arg("--pin").arg(pin.to_string());
        }
        checker.arg(write(self.directory.join("certificate"), certificate));
        let output = checker.output().expect("it ran before");
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        let is_refusal = said.contains(": refused: ") || why.starts_with("manifests refused: ");
        assert_ne!(output.status.success(), is_refusal, "{said}{why}");
        output.status.success()
    }
}

/// What this crate says of the same.
fn is_valid_chain_here(chain: &[u8], certificate: &[u8], pin: Option<&ManifestHash>) -> bool {
    let verify = || -> Result<(), ChainError> {
        let mut proven = Chain::new(genesis())?;
        proven.read(chain)?;
        let certificate = Certificate::parse(certificate)?;
        pin.map_or(Ok(()), |pin| proven.check_pin(pin))?;
        proven.verify(&certificate)
    };
    verify().is_ok()
}

/// The lines of the vectors' chain file.
fn chain_lines() -> Vec<Value> {
    let mut epochs: Vec<Value> =
        serde_json::from_value(vector("epochs")).expect("the vectors have epochs");
    for epoch in &mut epochs {
        let keys = epoch.as_object_mut().expect("an object");
        keys.retain(|key, _| key == "manifest" || key == "certificate");
    }
    epochs
}

fn file_of(lines: &[Value]) -> Vec<u8> {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into_bytes()
}

#[test]
fn the_two_agree_on_chain_files() {
    if checker().is_none() {
        return;
    }
    let files = Files::new("chain");
    let lines = chain_lines();
    let certificate = vector("certificate_of_epoch_2").to_string();
    let chains: Vec<Vec<u8>> = vec![
        file_of(&lines),
        file_of(&lines[..2]),
        file_of(&lines[..1]),
        file_of(&lines[1..]),
        vec![],
        b"\n".to_vec(),
        file_of(&lines).trim_ascii_end().to_vec(),
        [b"\n".to_vec(), file_of(&lines)].concat(),
        [file_of(&lines), b"\n".to_vec()].concat(),
        file_of(&[&lines[..], &lines[2..]].concat()),
    ];
    let mut valid = 0;
    for chain in &chains {
        let here = is_valid_chain_here(chain, certificate.as_bytes(), None);
        let there = files.verdict(chain, certificate.as_bytes(), None);
        assert_eq!(here, there, "{}", String::from_utf8_lossy(chain));
        valid += usize::from(here);
    }
    assert!((2..8).contains(&valid), "{valid} of {}", chains.len());
    std::fs::remove_dir_all(files.directory).expect("it was made here");
}

/// Each with an end of line.
fn lines_of<T: std::fmt::Display>(lines: &[T]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.to_string(), "\n".to_owned()])
        .collect()
}

/// The chain of the vectors with one of its lines changed, before a certificate: every change of
/// what only later manifests have, and a sample of the others, spread over all.
fn spoiled_chains() -> Vec<String> {
    let lines = chain_lines();
    let last = json!({ "certificate": vector("certificate_of_epoch_2") }).to_string();
    let mut documents = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let before = lines_of(&lines[..place]);
        let after = lines_of(&lines[place + 1..]);
        let whole = |text: String| format!("{before}{text}\n{after}{last}\n");
        documents.push(whole(line.to_string()));
        documents.extend(variants(line).into_iter().step_by(13).map(whole));
        for key in ["previous", "succeeds", "reason", "epoch", "created_at"] {
            for other in replacements(&line["manifest"][key]) {
                let mut changed = line.clone();
                changed["manifest"][key] = other;
                documents.push(whole(changed.to_string()));
            }
        }
    }
    documents
}

#[test]
fn the_two_agree_on_every_variant_of_a_certificate_with_its_chain() {
    let Some(mut checker) = checker() else { return };
    let files = Files::new("spoiled_chains");
    let documents = spoiled_chains();
    checker.arg(&files.genesis);
    for (i, text) in documents.iter().enumerate() {
        checker.arg(write(files.directory.join(i.to_string()), text.as_bytes()));
    }
    let output = checker.output().expect("it ran before");
    let said = String::from_utf8(output.stdout).expect("the checker writes UTF-8");
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), documents.len(), "{why}");
    let mut valid = 0;
    for (text, line) in documents.iter().zip(said.lines()) {
        let mut chain = Chain::new(genesis()).expect("a valid genesis manifest");
        let read = chain.read_certificate(text.as_bytes());
        let here = read.is_ok_and(|certificate| chain.verify(&certificate).is_ok());
        assert_eq!(line.ends_with(": valid"), here, "{line}\n{text}");
        valid += usize::from(here);
    }
    assert!(
        (3..60).contains(&valid) && documents.len() > 150,
        "{valid} of {}",
        documents.len()
    );
    std::fs::remove_dir_all(files.directory).expect("it was made here");
}

#[test]
fn the_two_agree_on_pins_and_on_certificates_by_their_own_epoch() {
    if checker().is_none() {
        return;
    }
    let files = Files::new("pins");
    let chain = file_of(&chain_lines());
    let good = vector("certificate_of_epoch_2").to_string();
    let mut hashes: Vec<ManifestHash> = chain_lines()
        .iter()
        .map(|line| {
            let manifest = line["manifest"].to_string();
            let manifest = Manifest::parse(manifest.as_bytes()).expect("a manifest");
            manifest.hash()
        })
        .collect();
    hashes.extend([genesis().hash(), ManifestHash([7; 32])]);
    let mut verdicts = Vec::new();
    for pin in &hashes {
        let here = is_valid_chain_here(&chain, good.as_bytes(), Some(pin));
        assert_eq!(files.verdict(&chain, good.as_bytes(), Some(pin)), here);
        verdicts.push(here);
    }
    assert_eq!(verdicts, [true, true, true, true, false]);
    let mut others: Vec<Value> = list_of("invalid_certificates", "certificate");
    for epoch in 0..5 {
        let mut renamed: Value = serde_json::from_str(&good).expect("it is JSON");
        renamed["epoch"] = json!(epoch);
        others.push(renamed);
    }
    for certificate in others {
        let bytes = certificate.to_string().into_bytes();
        let here = is_valid_chain_here(&chain, &bytes, None);
        assert_eq!(files.verdict(&chain, &bytes, None), here, "{certificate}");
        assert_eq!(here, certificate["epoch"] == 2 && bytes == good.as_bytes());
    }
    std::fs::remove_dir_all(files.directory).expect("it was made here");
}

fn list_of(name: &str, key: &str) -> Vec<Value> {
    let vector = vector(name);
    let list = vector.as_array().expect("an array");
    list.iter().map(|one| one[key].clone()).collect()
}

#[test]
fn both_read_a_hundred_epochs_and_a_certificate_with_its_chain() {
    let Some(mut checker) = checker() else { return };
    let directory = directory("hundred");
    let (genesis, chain, certificate) = epochs::documents(100);
    let alone = certificate.to_pretty();
    let line = ChainLine::Certificate(Box::new(certificate));
    let whole = format!("{chain}{}", line.to_text());
    let output = checker
        .arg(write(
            directory.join("genesis"),
            genesis.to_pretty().as_bytes(),
        ))
        .arg("--epochs")
        .arg(write(directory.join("epochs"), chain.as_bytes()))
        .arg(write(directory.join("alone"), alone.as_bytes()))
        .arg(write(directory.join("whole"), whole.as_bytes()))
        .arg(write(
            directory.join("cut"),
            whole.split_once('\n').expect("many lines").1.as_bytes(),
        ))
        .output()
        .expect("it ran before");
    let said = String::from_utf8(output.stdout).expect("the checker writes UTF-8");
    let verdicts: Vec<_> = said
        .lines()
        .map(|line| line.split_once(": ").expect("file: verdict").1)
        .collect();
    assert_eq!(
        verdicts,
        ["valid", "valid", "refused: epoch must be 1"],
        "{}",
        String::from_utf8_lossy(&output.stderr)
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
