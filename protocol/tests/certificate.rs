//! Certificates under attack: however the bytes of a good one are changed, what verifies says the
//! same.

use std::sync::LazyLock;

use proptest::prelude::*;
use ssid_protocol::certificate::{Certificate, Verifier};
use ssid_protocol::manifest::Manifest;

static GENESIS: LazyLock<Manifest> =
    LazyLock::new(|| Manifest::parse(&vector("genesis")).expect("a manifest"));
static CERTIFICATE: LazyLock<Certificate> =
    LazyLock::new(|| Certificate::parse(&vector("certificate")).expect("a certificate"));

fn vector(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_slice(include_bytes!("vectors.json")).expect("vectors.json is JSON");
    serde_json::to_vec_pretty(&vectors[name]).expect("values serialise")
}

fn verifies(certificate: &Certificate) -> bool {
    let mut verifier = Verifier::new(GENESIS.federation_id(), &GENESIS, &GENESIS.event_policies)
        .expect("it is valid");
    certificate.verify(&mut verifier).is_ok()
}

/// The certificate in its two forms.
static TEXTS: LazyLock<[String; 2]> =
    LazyLock::new(|| [CERTIFICATE.to_pretty(), CERTIFICATE.to_json().to_jcs()]);

#[derive(Clone, Debug)]
enum Change {
    Write(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    /// Copies a run of bytes over or before another place, as of one precommit over another.
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    // mostly characters that JSON or hex digits can be made of
    let byte = || prop_oneof![4 => prop::sample::select(&b" \n\t\"\\{}[]:,/0123456789abcdefABCDEF-.eu"[..]), 1 => any::<u8>()];
    prop_oneof![
        (any::<usize>(), byte()).prop_map(|(at, byte)| Change::Write(at, byte)),
        (any::<usize>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (any::<usize>(), 1..400_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (any::<usize>(), any::<usize>(), 1..400_usize)
            .prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: usize| at % bytes.len().max(1);
    match *change {
        Change::Write(at, byte) => {
            let at = place(at);
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
        Change::Insert(at, byte) => bytes.insert(place(at).min(bytes.len()), byte),
        Change::Remove(at, len) => drop(bytes.drain(place(at)..(place(at) + len).min(bytes.len()))),
        Change::Copy(from, to, len) => {
            let run = bytes[place(from)..(place(from) + len).min(bytes.len())].to_vec();
            let to = place(to);
            bytes.splice(to..to, run);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_json_never_verifies_unless_it_says_the_same(
        form in 0..2_usize,
        changes in proptest::collection::vec(change(), 1..3),
    ) {
        let mut bytes = TEXTS[form].clone().into_bytes();
        for change in &changes {
            apply(&mut bytes, change);
        }
        if let Ok(certificate) = Certificate::parse(&bytes) {
            prop_assert!(certificate == *CERTIFICATE || !verifies(&certificate));
        }
    }

    /// The same one level up: every value of the document replaced by another of its type.
    #[test]
    fn changed_values_never_verify(which in any::<prop::sample::Index>(), with in any::<u64>()) {
        let mut document: serde_json::Value = serde_json::from_str(&TEXTS[1]).unwrap();
        let mut leaves = Vec::new();
        leaves_of(&document, String::new(), &mut leaves);
        let pointer = which.get(&leaves);
        let leaf = document.pointer_mut(pointer).unwrap();
        *leaf = changed(leaf, with);
        if let Ok(certificate) = Certificate::parse(document.to_string().as_bytes()) {
            prop_assert!(certificate == *CERTIFICATE || !verifies(&certificate), "{pointer}");
        }
    }
}

fn leaves_of(value: &serde_json::Value, pointer: String, leaves: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(key, value)| leaves_of(value, format!("{pointer}/{key}"), leaves));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| leaves_of(item, format!("{pointer}/{i}"), leaves));
        }
        _ => leaves.push(pointer),
    }
}

/// A hash with another digit, a text with another character, another number.
fn changed(leaf: &serde_json::Value, with: u64) -> serde_json::Value {
    let Some(text) = leaf.as_str() else {
        return (with % 5000).into();
    };
    let mut bytes = text.to_owned().into_bytes();
    let at = usize::try_from(with).unwrap_or(0) % bytes.len().max(1);
    match bytes.get_mut(at) {
        Some(byte) => *byte = b"0123456789abcdef"[(with >> 32) as usize % 16],
        None => bytes.push(b'0'),
    }
    String::from_utf8_lossy(&bytes).into()
}
