//! Bytes that each decoder accepts, to begin with.

use serde::Serialize;

use crate::card::MemberCard;
use crate::chain::ChainLine;
use crate::git_lines::{BranchHead, Line};
use crate::id::Epoch;
use crate::json::MAX_NUMBER;
use crate::sync::ProvenEvent;
use crate::testing::{self, messages};
use crate::wire;

fn named<T: Serialize>(values: Vec<(&'static str, T)>) -> Vec<(String, Vec<u8>)> {
    values
        .into_iter()
        .map(|(name, value)| (name.replace(' ', "_"), wire::encode(&value)))
        .collect()
}

pub(super) fn batch() -> Vec<(String, Vec<u8>)> {
    named(messages::batches())
}

pub(super) fn proof() -> Vec<(String, Vec<u8>)> {
    let proofs = messages::certificate(4).precommits;
    proofs
        .iter()
        .map(|proof| (format!("of_{}", proof.count), wire::encode(proof)))
        .collect()
}

pub(super) fn request() -> Vec<(String, Vec<u8>)> {
    named(messages::requests())
}

pub(super) fn answer() -> Vec<(String, Vec<u8>)> {
    named(messages::answers())
}

pub(super) fn evidence() -> Vec<(String, Vec<u8>)> {
    named(messages::evidence())
}

pub(super) fn evidence_json() -> Vec<(String, Vec<u8>)> {
    let all = messages::evidence()
        .into_iter()
        .filter(|(name, _)| *name != "proposals");
    all.map(|(name, evidence)| text(name, evidence.to_json().to_jcs()))
        .collect()
}

fn text(name: &str, text: impl Into<String>) -> (String, Vec<u8>) {
    (name.to_owned(), text.into().into_bytes())
}

pub(super) fn certificate() -> Vec<(String, Vec<u8>)> {
    let (small, whole) = (messages::certificate(0), messages::certificate(3));
    vec![
        text("unsigned", small.to_pretty()),
        text("of_three", whole.to_json().to_jcs()),
    ]
}

pub(super) fn manifest() -> Vec<(String, Vec<u8>)> {
    vec![
        text("of_two", testing::manifest(2).to_jcs()),
        text("of_four", testing::manifest(4).to_pretty()),
        text(
            "of_epoch_1",
            testing::successor(&testing::manifest(4)).to_pretty(),
        ),
    ]
}

pub(super) fn card() -> Vec<(String, Vec<u8>)> {
    let card = MemberCard::sign(testing::manifest(2).members.remove(1), &testing::key(1));
    vec![
        text("pretty", card.to_pretty()),
        text("canonical", card.to_json().to_jcs()),
    ]
}

pub(super) fn handover() -> Vec<(String, Vec<u8>)> {
    let handover = testing::handover();
    vec![
        text("pretty", handover.to_pretty()),
        text("canonical", handover.to_json().to_jcs()),
    ]
}

pub(super) fn invite() -> Vec<(String, Vec<u8>)> {
    let mut later = testing::invite();
    later.epoch = Epoch(2);
    later.proposal = Some(later.manifest_hash);
    vec![
        text("pretty", testing::invite().to_pretty()),
        text("of_epoch_2", later.to_json().to_jcs()),
    ]
}

pub(super) fn chain() -> Vec<(String, Vec<u8>)> {
    let links = testing::epochs::links(2);
    let links = links.into_iter().zip(["first", "second"]);
    let certificate = ChainLine::Certificate(Box::new(messages::certificate(3)));
    links
        .map(|(link, name)| text(name, ChainLine::Link(Box::new(link)).to_text()))
        .chain([text("certificate", certificate.to_text())])
        .collect()
}

pub(super) fn heartbeat() -> Vec<(String, Vec<u8>)> {
    [1, MAX_NUMBER]
        .map(|n| (format!("at_{n}"), testing::heartbeat(n).leaf_bytes()))
        .into()
}

pub(super) fn line() -> Vec<(String, Vec<u8>)> {
    let batches = messages::batches();
    let alone = [("vote", &batches[1].1), ("proposal", &batches[3].1)];
    let alone =
        alone.map(|(name, batch)| (name, Line::Statement(Box::new(messages::first_of(batch)))));
    let batches = batches
        .iter()
        .map(|(name, batch)| (*name, Line::Batch(batch.clone())));
    let proof = messages::certificate(3).precommits.remove(2);
    let event = ProvenEvent {
        event: testing::event("release", "1"),
        announced: Some(proof),
    };
    let others = [
        ("event", Line::Event(Box::new(event))),
        (
            "certificate",
            Line::Certificate(Box::new(messages::certificate(3))),
        ),
    ];
    // heartbeats and closes do not travel by Git
    batches
        .chain(alone)
        .chain(others)
        .filter_map(|(name, line)| Some(text(name, line.to_text()?)))
        .collect()
}

pub(super) fn head() -> Vec<(String, Vec<u8>)> {
    let (_, federation_id, _, keys) = testing::federation(2);
    let [node_id, other] = [&keys[0], &keys[1]].map(crate::identity::VotingKey::node_id);
    let start = crate::id::Sha256Hash::of(&[b"start"]);
    let heard = [(other, crate::id::Sha256Hash::of(&[b"another"]))].into();
    let log_id = crate::id::LogId([7; 32]);
    let head = BranchHead {
        federation_id,
        node_id,
        log_id,
        log_size: 1 << 40,
        start,
        heard,
    };
    vec![text("one_heard", head.to_pretty())]
}

pub(super) fn json() -> Vec<(String, Vec<u8>)> {
    vec![
        text(
            "all_kinds",
            r#"{ "b": [1, true, {}, []], "a\u0041": "€\n\ud83d\ude00\u000f\"\\\/", "": 9007199254740991 }"#,
        ),
        text("deep", "[".repeat(100) + &"]".repeat(100)),
        text(
            "event",
            serde_json::to_string(&testing::event("blueprint_tagged", "v4.4.0"))
                .unwrap_or_default(),
        ),
    ]
}
