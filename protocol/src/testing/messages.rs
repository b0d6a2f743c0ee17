//! One message of every kind, signed by test members: what the encodings are pinned with, and what
//! fuzzing starts from.

use super::{event, federation, heartbeat, key};
use crate::batch::{SignedBatch, Statements, VerifiedBatch};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::evidence::{Evidence, EvidenceKind, EvidenceSlot, Signed};
use crate::id::{Epoch, LogId, ManifestHash, Round, SetHash, SubjectId, UnixMillis};
use crate::identity::VerifyKey;
use crate::ready::Ready;
use crate::set_tree::{Prefix, SentPart};
use crate::subject::EventPolicies;
use crate::sync::{
    Answer, ChangeAnswer, ChangeRequest, ClosedSet, HeldClose, LockProof, ProvenEvent, Request,
};
use crate::vote::{EpochClose, Phase, Proposal, RoundId, Vote};

fn vote(i: u8) -> Vote {
    Vote {
        epoch: Epoch(i.into()),
        subject: SubjectId([i; 32]),
        round: Round(u32::from(i) << 16),
        phase: if i.is_multiple_of(2) {
            Phase::Prevote
        } else {
            Phase::Precommit
        },
        ballot: (!i.is_multiple_of(3)).then(|| announced(i).choice()),
        observed: false,
    }
}

/// A round-0 prevote for what its voter's own registry has.
fn observation() -> Vote {
    Vote {
        round: Round::ZERO,
        phase: Phase::Prevote,
        observed: true,
        ..vote(1)
    }
}

fn announced(i: u8) -> Event {
    Event {
        emitted_by: "überprüft".repeat(i.into()),
        ..event("blueprint_tagged", &format!("v{i}"))
    }
}

fn proposal(i: u8) -> Proposal {
    let valid = i.is_multiple_of(2).then_some(RoundId {
        epoch: Epoch(1),
        round: Round(i.into()),
    });
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
        certified_root: SetHash([2; 32]),
        locks_count: 3,
        locks_root: SetHash([4; 32]),
    }
}

fn ready() -> Ready {
    Ready {
        epoch: Epoch(1),
        manifest: ManifestHash([5; 32]),
        at: UnixMillis(1 << 40),
    }
}

/// Batches of every kind, by name, in order of the kinds.
///
/// # Panics
/// Never: they are its own.
#[expect(clippy::expect_used, reason = "a fixture")]
pub fn batches() -> Vec<(&'static str, SignedBatch)> {
    let (_, federation, ..) = federation(4);
    let statements = [
        (
            "events",
            Statements::Events((0..4).map(announced).collect()),
        ),
        (
            "votes",
            Statements::Votes((0..9).map(vote).chain([observation()]).collect()),
        ),
        (
            "heartbeat",
            Statements::Heartbeat(Box::new(heartbeat(1 << 40))),
        ),
        (
            "proposals",
            Statements::Proposals((0..3).map(proposal).collect()),
        ),
        ("closes", Statements::Closes((0..2).map(close).collect())),
        ("ready", Statements::Ready(ready())),
    ];
    let sign = |statements| {
        VerifiedBatch::sign(&key(2), &federation, statements)
            .expect("a few")
            .batch()
            .clone()
    };
    statements
        .into_iter()
        .map(|(name, statements)| (name, sign(statements)))
        .collect()
}

/// A certificate of `test` federation of four, with so many of their precommits, each from a batch
/// of another size.
///
/// # Panics
/// Never: they are its own.
#[expect(clippy::expect_used, reason = "a fixture")]
pub fn certificate(signers: u8) -> Certificate {
    let (_, federation, ..) = federation(4);
    let event = announced(1);
    let subject = EventPolicies::default().subject_of(&event);
    let blank = Certificate::assemble(federation, Epoch(0), subject, Round(1), event, vec![]);
    let prove = |i: u8| {
        let votes = (0..i).map(vote).chain([blank.vote()]).collect();
        let batch =
            VerifiedBatch::sign(&key(i), &federation, Statements::Votes(votes)).expect("a few");
        batch.proof(i.into()).expect("the last one")
    };
    let proofs = (0..signers).map(prove).collect();
    let Certificate {
        federation_id,
        epoch,
        subject,
        round,
        event,
        ..
    } = blank.clone();
    Certificate::assemble(federation_id, epoch, subject, round, event, proofs)
}

#[expect(clippy::expect_used, reason = "a fixture")]
pub(super) fn first_of(batch: &SignedBatch) -> Signed {
    let (_, federation, ..) = federation(4);
    let key = VerifyKey::parse(batch.signer).expect("a test key");
    let verified = batch
        .clone()
        .verify(&key, &federation)
        .expect("signed above");
    Signed::of(&verified, 0).expect("the first")
}

/// Each kind of statement against itself, and two certificates: what is pinned is the encoding, not
/// what it proves.
///
/// # Panics
/// Never: they are its own.
pub fn evidence() -> Vec<(&'static str, Evidence)> {
    let (_, federation, ..) = federation(4);
    let signed = first_of;
    // who is ready twice contradicts nothing
    let contradict = batches().into_iter().filter(|(name, _)| *name != "ready");
    let pairs = contradict.map(|(name, batch)| {
        (
            name,
            Evidence::of_statements(federation, signed(&batch), signed(&batch)),
        )
    });
    pairs
        .chain([(
            "certificates",
            Evidence::of_certificates(federation, certificate(1), certificate(3)),
        )])
        .collect()
}

/// Requests of every kind, by name.
pub fn requests() -> Vec<(&'static str, Request)> {
    let subjects = vec![SubjectId([1; 32]), SubjectId([2; 32])];
    vec![
        ("status", Request::Status),
        (
            "log",
            Request::Log {
                from: 1 << 33,
                limit: 512,
            },
        ),
        (
            "open all",
            Request::Open {
                subjects: vec![],
                after: None,
            },
        ),
        (
            "open",
            Request::Open {
                subjects,
                after: Some(SubjectId([3; 32])),
            },
        ),
        (
            "events",
            Request::Events {
                digests: vec![announced(1).content_digest(), announced(2).content_digest()],
            },
        ),
        ("own", Request::Own),
        (
            "sets",
            Request::Change(ChangeRequest::Sets {
                epoch: Epoch(3),
                closer: key(1).node_id(),
                set: ClosedSet::Certified,
                prefixes: vec![Prefix::ROOT],
            }),
        ),
        (
            "polkas",
            Request::Change(ChangeRequest::Polkas {
                epoch: Epoch(3),
                closer: key(1).node_id(),
                subjects: vec![SubjectId([1; 32])],
            }),
        ),
        (
            "ready",
            Request::Change(ChangeRequest::Ready {
                manifest: ManifestHash([4; 32]),
            }),
        ),
        (
            "manifests",
            Request::Change(ChangeRequest::Manifests {
                hashes: vec![ManifestHash([4; 32])],
            }),
        ),
        ("standing", Request::Change(ChangeRequest::Standing)),
        (
            "evidence",
            Request::Evidence {
                known: EvidenceKind::ALL.map(slot).to_vec(),
            },
        ),
    ]
}

fn slot(kind: EvidenceKind) -> EvidenceSlot {
    EvidenceSlot {
        member: key(1).node_id(),
        kind,
        epoch: Epoch(1 << 40),
    }
}

/// Answers of every kind, by name.
pub fn answers() -> Vec<(&'static str, Answer)> {
    let batches = batches()
        .into_iter()
        .map(|(_, batch)| batch)
        .collect::<Vec<_>>();
    let proof = certificate(3).precommits.remove(2);
    let own = batches[2].clone();
    let proven = |announced| ProvenEvent {
        event: event("release", "1"),
        announced,
    };
    vec![
        ("no status", Answer::Status(None)),
        ("status", Answer::Status(Some(Box::new(batches[2].clone())))),
        (
            "log",
            Answer::Log {
                log_id: LogId([5; 32]),
                size: 7,
                entries: vec![certificate(0), certificate(3)],
            },
        ),
        (
            "open",
            Answer::Open {
                statements: [&batches[1], &batches[3]].map(first_of).to_vec(),
                batches: batches.clone(),
                events: vec![proven(None)],
                certificates: vec![certificate(0)],
                next: Some(SubjectId([6; 32])),
            },
        ),
        (
            "events",
            Answer::Events(vec![proven(None), proven(Some(proof))]),
        ),
        ("refused", Answer::Refused("rate_limit".into())),
        (
            "sets",
            Answer::Change(ChangeAnswer::Sets(vec![
                (Prefix::ROOT, SentPart::Inner(vec![SetHash([1; 32]); 16])),
                (Prefix::ROOT, SentPart::Leaf(vec![7; 96])),
            ])),
        ),
        (
            "polkas",
            Answer::Change(ChangeAnswer::Polkas(vec![
                LockProof::Prevotes {
                    event: Box::new(event("release", "1")),
                    prevotes: vec![first_of(&batches[1])],
                },
                LockProof::Certificate(Box::new(certificate(1))),
            ])),
        ),
        (
            "ready",
            Answer::Change(ChangeAnswer::Ready(vec![batches[5].clone()])),
        ),
        (
            "closes",
            Answer::Change(ChangeAnswer::Closes(vec![HeldClose {
                close: first_of(&batches[4]),
                is_counted: true,
                is_confirmed: false,
            }])),
        ),
        (
            "own",
            Answer::Own {
                heartbeat: Some(Box::new(own)),
                votes: vec![first_of(&batches[1])],
                complete: true,
            },
        ),
        (
            "evidence",
            Answer::Evidence(
                evidence()
                    .into_iter()
                    .map(|(_, evidence)| evidence)
                    .collect(),
            ),
        ),
    ]
}
