//! The wire encoding (SPEC §10): its bytes are pinned. Where a hash is pinned, a change of it means
//! a change of what nodes of another version can read. What becomes of bytes that are no encoding
//! is in `decoders.rs`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::id::{Epoch, Round, Sha256Hash, SubjectId};
use ssid_protocol::testing::messages::{answers, batches, certificate, evidence, requests};
use ssid_protocol::testing::{event, federation, key};
use ssid_protocol::vote::{Phase, Vote};
use ssid_protocol::wire;

/// That the value's encoding reads back, and its hash.
fn pin<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let bytes = wire::encode(value);
    assert_eq!(&wire::decode::<T>(&bytes).expect("its own encoding"), value);
    Sha256Hash::of(&[&bytes]).to_string()[..16].to_owned()
}

fn assert_pinned<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    values: &[(&str, T)],
    expected: &[(&str, &str)],
) {
    let found: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, pin(value)))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(name, hash)| (*name, hash.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_batch_of_one_vote_byte_by_byte() {
    let vote = Vote {
        epoch: Epoch(1),
        subject: SubjectId([2; 32]),
        round: Round(3),
        phase: Phase::Precommit,
        ballot: Some(event("blueprint_tagged", "v4.4.0").choice()),
        observed: false,
    };
    let (_, federation, ..) = federation(4);
    let batch = VerifiedBatch::sign(&key(0), &federation, Statements::Votes(vec![vote])).unwrap();
    let bytes = wire::encode(batch.batch());
    let expected = [
        &key(0).node_id().0[..],
        &batch.batch().signature.0,
        // variant 1 (votes), one of them; epoch; subject; round; variant 1 (precommit); a choice;
        &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2; 32],
        &[3, 0, 0, 0, 1, 0, 0, 0, 1],
        &vote.ballot.unwrap().to_bytes(),
        // not observed
        &[0],
    ];
    assert_eq!(hex::encode(bytes), hex::encode(expected.concat()));
}

#[test]
fn batches_of_every_kind() {
    let expected = [
        ("events", "339a1f18bbd30143"),
        ("votes", "c97a7c790cfe003c"),
        ("heartbeat", "fe8ea2f24ab9bf72"),
        ("proposals", "ef86975e0f0acf74"),
        ("closes", "7758c2e6e179d5fe"),
        ("ready", "471f42002ced3499"),
    ];
    assert_pinned(&batches(), &expected);
}

#[test]
fn certificates() {
    let values = vec![("of none", certificate(0)), ("of four", certificate(4))];
    assert_pinned(
        &values,
        &[
            ("of none", "addc59d567d11284"),
            ("of four", "fb5148010628c781"),
        ],
    );
}

#[test]
fn evidence_of_every_kind() {
    let expected = [
        ("events", "547abb452f9dfa7d"),
        ("votes", "95fab7deda1aef1e"),
        ("heartbeat", "866fbea12a915763"),
        ("proposals", "ae66c961fc61e6c2"),
        ("closes", "592dadecfa32ddf7"),
        ("certificates", "bea5a2c9b49ce4af"),
    ];
    assert_pinned(&evidence(), &expected);
}

#[test]
fn sync_requests() {
    let expected = [
        ("status", "df3f619804a92fdb"),
        ("log", "b81e2a1d7fb54d6e"),
        ("open all", "edea17609e561aac"),
        ("open", "bc79f0f0ac3b9a94"),
        ("events", "525572628e3f401a"),
        ("own", "fb5e512425fc9449"),
        ("sets", "cca12e36a15b695c"),
        ("polkas", "28b7a0e319c5e2fe"),
        ("ready", "77e03801c9fba61e"),
        ("manifests", "c671f504fafdb1bb"),
        ("standing", "d558c744bfa8a48a"),
        ("evidence", "6afcb0fa843fe031"),
    ];
    assert_pinned(&requests(), &expected);
}

#[test]
fn sync_answers() {
    let expected = [
        ("no status", "8855508aade16ec5"),
        ("status", "a455b0f59ae73454"),
        ("log", "a4341aebd2248341"),
        ("open", "3cdb7e7b810a15aa"),
        ("events", "5a285600690f93ca"),
        ("refused", "7bcce6d2ecc5f6bf"),
        ("sets", "93b099b5bf2dd7ca"),
        ("polkas", "608f6b8d11457e1e"),
        ("ready", "227b97a2e6c6026d"),
        ("closes", "371b6812abd3ead4"),
        ("own", "a762cc8f532bbb52"),
        ("evidence", "03177c565399274f"),
    ];
    assert_pinned(&answers(), &expected);
}
