//! The wire encoding (SPEC §10): its bytes are pinned, arbitrary bytes are refused without a panic, and one value has
//! one encoding. Where a hash is pinned, a change of it means a change of what nodes of another version can read.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, EvidenceKind, EvidenceSlot, Signed};
use ssid_protocol::id::{Epoch, LogId, ManifestHash, MerkleHash, Round, Sha256Hash, SubjectId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::subject::EventPolicies;
use ssid_protocol::sync::{Answer, ProvenEvent, Request};
use ssid_protocol::testing::{event, federation, heartbeat, key};
use ssid_protocol::vote::{EpochClose, Phase, Proposal, RoundId, Vote};
use ssid_protocol::wire;

fn vote(i: u8) -> Vote {
    Vote {
        epoch: Epoch(i.into()),
        subject: SubjectId([i; 32]),
        round: Round(u32::from(i) << 16),
        phase: if i.is_multiple_of(2) { Phase::Prevote } else { Phase::Precommit },
        ballot: (!i.is_multiple_of(3)).then(|| announced(i).choice()),
    }
}

fn announced(i: u8) -> Event {
    Event { emitted_by: "überprüft".repeat(i.into()), ..event("blueprint_tagged", &format!("v{i}")) }
}

fn proposal(i: u8) -> Proposal {
    let valid = i.is_multiple_of(2).then_some(RoundId { epoch: Epoch(1), round: Round(i.into()) });
    Proposal {
        epoch: Epoch(u64::MAX),
        subject: SubjectId([i; 32]),
        round: Round(1),
        choice: announced(i).choice(),
        valid,
    }
}

fn close(i: u8) -> EpochClose {
    EpochClose {
        epoch: Epoch(i.into()),
        next: ManifestHash([i; 32]),
        certified_count: 1 << 40,
        certified_root: MerkleHash([2; 32]),
        locks_count: 3,
        locks_root: MerkleHash([4; 32]),
    }
}

/// Batches of every kind, by name.
fn batches() -> Vec<(&'static str, SignedBatch)> {
    let (_, federation, ..) = federation(4);
    let statements = [
        ("events", Statements::Events((0..4).map(announced).collect())),
        ("votes", Statements::Votes((0..9).map(vote).collect())),
        ("heartbeat", Statements::Heartbeat(Box::new(heartbeat(1 << 40)))),
        ("proposals", Statements::Proposals((0..3).map(proposal).collect())),
        ("closes", Statements::Closes((0..2).map(close).collect())),
    ];
    let sign = |statements| VerifiedBatch::sign(&key(2), &federation, statements).expect("a few").batch().clone();
    statements.into_iter().map(|(name, statements)| (name, sign(statements))).collect()
}

fn certificate(signers: u8) -> Certificate {
    let (_, federation, ..) = federation(4);
    let event = announced(1);
    let subject = EventPolicies::default().subject_of(&event);
    let blank = Certificate::assemble(federation, Epoch(0), subject, Round(1), event, vec![]);
    let prove = |i: u8| {
        let votes = (0..i).map(vote).chain([blank.vote()]).collect();
        let batch = VerifiedBatch::sign(&key(i), &federation, Statements::Votes(votes)).expect("a few");
        batch.proof(i.into()).expect("the last one")
    };
    let proofs = (0..signers).map(prove).collect();
    let Certificate { federation_id, epoch, subject, round, event, .. } = blank.clone();
    Certificate::assemble(federation_id, epoch, subject, round, event, proofs)
}

/// Each kind of statement against itself, and two certificates: what is pinned is the encoding, not what it proves.
fn evidence() -> Vec<(&'static str, Evidence)> {
    let (_, federation, ..) = federation(4);
    let signed = |batch: &SignedBatch| {
        let key = VerifyKey::parse(batch.signer).expect("a test key");
        let verified = batch.clone().verify(&key, &federation).expect("signed above");
        Signed::of(&verified, 0).expect("the first")
    };
    let pairs = batches()
        .into_iter()
        .map(|(name, batch)| (name, Evidence::of_statements(federation, signed(&batch), signed(&batch))));
    pairs.chain([("certificates", Evidence::of_certificates(federation, certificate(1), certificate(3)))]).collect()
}

fn requests() -> Vec<(&'static str, Request)> {
    let subjects = vec![SubjectId([1; 32]), SubjectId([2; 32])];
    vec![
        ("status", Request::Status),
        ("log", Request::Log { from: 1 << 33, limit: 512 }),
        ("open all", Request::Open { subjects: vec![], after: None }),
        ("open", Request::Open { subjects, after: Some(SubjectId([3; 32])) }),
        ("events", Request::Events { digests: vec![announced(1).content_digest(), announced(2).content_digest()] }),
        ("own", Request::Own),
        ("evidence", Request::Evidence { known: EvidenceKind::ALL.map(slot).to_vec() }),
    ]
}

fn slot(kind: EvidenceKind) -> EvidenceSlot {
    EvidenceSlot { member: key(1).node_id(), kind, epoch: Epoch(1 << 40) }
}

fn answers() -> Vec<(&'static str, Answer)> {
    let batches = batches().into_iter().map(|(_, batch)| batch).collect::<Vec<_>>();
    let proof = certificate(3).precommits.remove(2);
    let proven = |announced| ProvenEvent { event: event("release", "1"), announced };
    let own = batches[2].clone();
    vec![
        ("no status", Answer::Status(None)),
        ("status", Answer::Status(Some(Box::new(batches[2].clone())))),
        ("log", Answer::Log { log_id: LogId([5; 32]), size: 7, entries: vec![certificate(0), certificate(3)] }),
        (
            "open",
            Answer::Open {
                batches,
                events: vec![proven(None)],
                certificates: vec![certificate(0)],
                next: Some(SubjectId([6; 32])),
            },
        ),
        ("events", Answer::Events(vec![proven(None), proven(Some(proof))])),
        ("refused", Answer::Refused("rate_limit".into())),
        ("own", Answer::Own(Some(Box::new(own)))),
        ("evidence", Answer::Evidence(evidence().into_iter().map(|(_, evidence)| evidence).collect())),
    ]
}

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
    let found: Vec<_> = values.iter().map(|(name, value)| (*name, pin(value))).collect();
    let found: Vec<_> = found.iter().map(|(name, hash)| (*name, hash.as_str())).collect();
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
    };
    let (_, federation, ..) = federation(4);
    let batch = VerifiedBatch::sign(&key(0), &federation, Statements::Votes(vec![vote])).unwrap();
    let bytes = wire::encode(batch.batch());
    let expected = [
        &key(0).node_id().0[..],
        &batch.batch().signature.0,
        // variant 1 (votes), one of them; epoch; subject; round; variant 1 (precommit); a choice
        &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2; 32],
        &[3, 0, 0, 0, 1, 0, 0, 0, 1],
        &vote.ballot.unwrap().to_bytes(),
    ];
    assert_eq!(hex::encode(bytes), hex::encode(expected.concat()));
}

#[test]
fn batches_of_every_kind() {
    let expected = [
        ("events", "b1c0b1b2dd604e12"),
        ("votes", "cdf30a3f29e323ab"),
        ("heartbeat", "78ec852fb4adbde0"),
        ("proposals", "fa9349a4dfc21de1"),
        ("closes", "b6dba7f04d8d72cf"),
    ];
    assert_pinned(&batches(), &expected);
}

#[test]
fn certificates() {
    let values = vec![("of none", certificate(0)), ("of four", certificate(4))];
    assert_pinned(&values, &[("of none", "249d65aaab1b658d"), ("of four", "ff05672777c4dfe8")]);
}

#[test]
fn evidence_of_every_kind() {
    let expected = [
        ("events", "fc8086eb5148ad21"),
        ("votes", "f9f4959e8a4a4a23"),
        ("heartbeat", "c53017f5764cab5e"),
        ("proposals", "e1f6bc91e1de2abc"),
        ("closes", "41d0847a9a981e7a"),
        ("certificates", "341b47685005c2bd"),
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
        ("evidence", "6afcb0fa843fe031"),
    ];
    assert_pinned(&requests(), &expected);
}

#[test]
fn sync_answers() {
    let expected = [
        ("no status", "8855508aade16ec5"),
        ("status", "70a8eaa58b85246a"),
        ("log", "1b5d1d66acf0fe0c"),
        ("open", "eab09da030eef60d"),
        ("events", "6d7d031a6deec736"),
        ("refused", "7bcce6d2ecc5f6bf"),
        ("own", "26e9746c8e443e22"),
        ("evidence", "67771b7ac17e8d16"),
    ];
    assert_pinned(&answers(), &expected);
}

/// What decodes, encodes to the very bytes that it was decoded from.
fn decodes_to_itself<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = wire::decode::<T>(bytes) {
        prop_assert_eq!(wire::encode(&value), bytes);
    }
    Ok(())
}

fn all_decode_to_themselves(bytes: &[u8]) -> Result<(), TestCaseError> {
    decodes_to_itself::<SignedBatch>(bytes)?;
    decodes_to_itself::<Request>(bytes)?;
    decodes_to_itself::<Answer>(bytes)?;
    decodes_to_itself::<Evidence>(bytes)?;
    decodes_to_itself::<Certificate>(bytes)
}

/// Encodings of all the values above.
static ENCODINGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let batches = batches().into_iter().map(|(_, batch)| wire::encode(&batch));
    let requests = requests().into_iter().map(|(_, request)| wire::encode(&request));
    let answers = answers().into_iter().map(|(_, answer)| wire::encode(&answer));
    let evidence = evidence().into_iter().map(|(_, evidence)| wire::encode(&evidence));
    batches.chain(evidence).chain(requests).chain(answers).chain([wire::encode(&certificate(3))]).collect()
});

/// One change to a valid encoding: a byte written over, cut off, put in, or a run removed.
fn mutate(bytes: &mut Vec<u8>, at: usize, byte: u8, how: u8) {
    let at = at % (bytes.len() + 1);
    match how {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, byte),
        2 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len()))),
        _ => {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        all_decode_to_themselves(&bytes)?;
    }

    /// Small numbers, as lengths and variants are: such bytes get further.
    #[test]
    fn arbitrary_small_bytes_never_panic(bytes in proptest::collection::vec(0..3_u8, 0..600)) {
        all_decode_to_themselves(&bytes)?;
    }

    #[test]
    fn changed_encodings_decode_to_themselves_or_not_at_all(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..8_u8), 1..4),
    ) {
        let mut bytes = which.get(&ENCODINGS).clone();
        for (at, byte, how) in changes {
            mutate(&mut bytes, at, byte, how);
        }
        all_decode_to_themselves(&bytes)?;
    }
}
