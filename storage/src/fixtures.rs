//! A small world for tests: a federation of four, its batches and certified subjects.

use std::collections::BTreeMap;

use ssid_protocol::batch::{Kind, Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, FederationId, LogId, NodeId, Round, UnixMillis};
use ssid_protocol::record::{ConsensusRecord, Resolution, Transport};
use ssid_protocol::subject::Subject;
use ssid_protocol::testing;
use ssid_protocol::vote::{Phase, Vote};

use crate::changes::{Certified, Changes};
use crate::rows::{BatchRef, LogEntry, ProofRef};
use crate::store::Owner;

pub(crate) const FEDERATION: FederationId = FederationId([7; 32]);
pub(crate) const LOG: LogId = LogId([5; 32]);

pub(crate) fn node(index: u8) -> NodeId {
    testing::key(index).node_id()
}

pub(crate) fn owner() -> Owner {
    Owner {
        federation: FEDERATION,
        node: node(0),
    }
}

pub(crate) fn event(number: u64) -> Event {
    testing::event("blueprint_tagged", &format!("v{number}"))
}

pub(crate) fn subject(number: u64) -> Subject {
    Subject {
        event: "blueprint_tagged".into(),
        version: format!("v{number}"),
        occurrence: String::new(),
    }
}

/// One signer's precommits for the events with these numbers.
pub(crate) fn precommits(signer: u8, numbers: std::ops::Range<u64>) -> VerifiedBatch {
    let vote = |number| Vote {
        epoch: Epoch(0),
        subject: subject(number).id(&FEDERATION),
        round: Round(0),
        phase: Phase::Precommit,
        ballot: Some(event(number).choice()),
        observed: false,
    };
    VerifiedBatch::sign(
        &testing::key(signer),
        &FEDERATION,
        Statements::Votes(numbers.map(vote).collect()),
    )
    .unwrap()
}

pub(crate) fn record(number: u64) -> ConsensusRecord {
    let choice = event(number).choice();
    ConsensusRecord {
        subject_id: subject(number).id(&FEDERATION),
        choice,
        event_type: "blueprint_tagged".into(),
        event_version: format!("v{number}"),
        initiated_at: UnixMillis(number),
        completed_at: UnixMillis(number + 1),
        epoch: Epoch(0),
        round: Round(0),
        eligible_nodes: 4,
        quorum: 3,
        node_hashes: BTreeMap::from([(node(0), choice), (node(1), choice), (node(2), choice)]),
        endorsing_nodes: BTreeMap::new(),
        silent_nodes: vec![node(3)],
        disagreeing_nodes: vec![],
        found_later: None,
        resolution: Resolution::Achieved,
        transport: Transport::Live,
    }
}

/// Certifies the events with these numbers by precommits of three, each in one batch.
pub(crate) fn certify(numbers: std::ops::Range<u64>) -> Changes {
    let batches: Vec<_> = (0..3)
        .map(|signer| precommits(signer, numbers.clone()))
        .collect();
    let certified = |(index, number)| {
        let at = |batch: &VerifiedBatch| BatchRef {
            signer: batch.signer(),
            root: batch.root(),
            index,
        };
        let entry = LogEntry {
            subject: subject(number),
            epoch: Epoch(0),
            round: Round(0),
            choice: event(number).choice(),
            precommits: batches
                .iter()
                .map(|batch| ProofRef::Batch(at(batch)))
                .collect(),
        };
        Certified {
            entry,
            record: record(number),
        }
    };
    Changes {
        events: numbers.clone().map(event).collect(),
        batches: batches.iter().map(Into::into).collect(),
        certified: (0..).zip(numbers).map(certified).collect(),
        ..Changes::default()
    }
}

/// Whether the certificate of log entry `sequence` verifies, signature by signature.
pub(crate) fn check_certificate(store: &crate::Store, sequence: u64, number: u64) {
    let certificate = store.certificate(sequence).unwrap().unwrap();
    assert_eq!(
        (&certificate.event, &certificate.subject),
        (&event(number), &subject(number))
    );
    assert_eq!(certificate.precommits.len(), 3);
    for proof in &certificate.precommits {
        let vote = Vote {
            epoch: certificate.epoch,
            subject: certificate.subject.id(&FEDERATION),
            round: certificate.round,
            phase: Phase::Precommit,
            ballot: Some(certificate.choice),
            observed: false,
        };
        let key = ssid_protocol::identity::VerifyKey::parse(proof.signer).unwrap();
        proof
            .verify(Kind::Votes, &vote.leaf_bytes(), &key, &FEDERATION)
            .unwrap();
    }
}
