//! Things that are well-formed and false: certificates without a quorum, heartbeats about logs that
//! do not exist.

use std::time::{SystemTime, UNIX_EPOCH};

use ssid_protocol::batch::{BatchProof, Statements};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::heartbeat::{CanSign, Heartbeat, More};
use ssid_protocol::id::{Epoch, LogId, MerkleHash, Round, Sha256Hash, Signature, UnixMillis};
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::wire;

use super::link::Answering;
use super::member::Member;

/// A heartbeat of `member` that says whatever it takes for the victim to ask for its log.
///
/// # Panics
/// If the clock stands before 1970.
pub fn heartbeat(member: &Member, number: u64) -> Heartbeat {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let hash = Sha256Hash::of(&[&number.to_be_bytes(), &member.node_id().0]);
    Heartbeat {
        epoch: Epoch(0),
        sequence: now + number,
        sent_at: UnixMillis(now),
        software: "mallory/1".to_owned(),
        protocol_min: 1,
        protocol_max: 1,
        addresses: Vec::new(),
        blueprint: String::new(),
        compliance_score: String::new(),
        log_id: LogId(hash.0),
        log_size: 1 << 52,
        log_root: MerkleHash(hash.0),
        certified_count: 1 << 52,
        certified_digest: hash,
        open_count: 1 << 52,
        can_sign: CanSign::Yes,
        can_sign_reason: String::new(),
        divergences: 0,
        more: More::default(),
        open_digest: hash,
    }
}

fn precommit(member: &Member, certificate: &Certificate) -> BatchProof {
    let batch = member.sign(Statements::Votes(vec![certificate.vote()]));
    let (signer, signature) = (batch.signer, batch.signature);
    BatchProof {
        signer,
        index: 0,
        count: 1,
        path: Vec::new(),
        signature,
    }
}

/// Certificates of `event` that no quorum signed, by what is wrong with them.
pub fn forged_certificates(member: &Member, event: &Event) -> Vec<(&'static str, Certificate)> {
    let subject = member.manifest.event_policies.subject_of(event);
    let blank = Certificate::assemble(
        member.federation,
        Epoch(0),
        subject,
        Round(0),
        event.clone(),
        Vec::new(),
    );
    let own = precommit(member, &blank);
    let with = |precommits: Vec<BatchProof>| Certificate {
        precommits,
        ..blank.clone()
    };
    // its own signature under the names of the others
    let mut names: Vec<_> = member
        .manifest
        .members
        .iter()
        .map(|other| other.node_id)
        .collect();
    names.sort_unstable();
    let borrowed = names
        .into_iter()
        .map(|signer| BatchProof {
            signer,
            ..own.clone()
        })
        .collect();
    let altered = Event {
        compliance_score: "0/100".to_owned(),
        ..event.clone()
    };
    vec![
        ("no signature", with(Vec::new())),
        ("one signer", with(vec![own.clone()])),
        (
            "one signer three times",
            with(vec![own.clone(), own.clone(), own.clone()]),
        ),
        ("others' names", with(borrowed)),
        (
            "a spoiled signature",
            with(vec![BatchProof {
                signature: Signature([7; 64]),
                ..own.clone()
            }]),
        ),
        (
            "an altered event",
            Certificate {
                event: altered,
                ..with(vec![own])
            },
        ),
    ]
}

/// Answers every question with what is false, another lie each time.
pub fn liar(member: &Member, event: &Event) -> Answering {
    let forged: Vec<Certificate> = forged_certificates(member, event)
        .into_iter()
        .map(|(_, forged)| forged)
        .collect();
    let status = member.sign(Statements::Heartbeat(Box::new(heartbeat(member, 1))));
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Box::new(move |request| {
        let lie = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % forged.len();
        let lie = vec![forged[lie].clone()];
        wire::encode(&match request {
            Request::Status => Answer::Status(Some(Box::new(status.clone()))),
            Request::Log { .. } => Answer::Log {
                log_id: LogId([9; 32]),
                size: 1 << 52,
                entries: lie,
            },
            Request::Open { .. } => {
                let (batches, statements, events) = (Vec::new(), Vec::new(), Vec::new());
                Answer::Open {
                    batches,
                    statements,
                    events,
                    certificates: lie,
                    next: None,
                }
            }
            // an answer to another question
            Request::Events { .. }
            | Request::Own
            | Request::Evidence { .. }
            | Request::Change(_) => Answer::Status(None),
        })
    })
}
