//! What proves, what does not, and the two forms it travels in.

use super::*;
use crate::batch::BatchError;
use crate::id::{Choice, MerkleHash, Round, SetHash, SubjectId};
use crate::identity::VotingKey;
use crate::manifest::Manifest;
use crate::testing;
use crate::vote::{Phase, RoundId};
use crate::wire;

fn verifier() -> Verifier {
    let manifest: Manifest = testing::manifest(4);
    Verifier::new(
        manifest.federation_id(),
        &manifest,
        manifest.voters().unwrap(),
        manifest.event_policies.clone(),
    )
}

fn federation() -> FederationId {
    testing::manifest(4).federation_id()
}

fn choice(version: &str) -> Choice {
    testing::event("release", version).choice()
}

fn vote(version: Option<&str>) -> Vote {
    Vote {
        epoch: Epoch(0),
        subject: SubjectId([7; 32]),
        round: Round(3),
        phase: Phase::Precommit,
        ballot: version.map(choice),
        observed: false,
    }
}

/// A statement signed amid others, so that its path is not empty.
fn signed(key: &VotingKey, statements: Statements, index: u32) -> Signed {
    Signed::of(
        &VerifiedBatch::sign(key, &federation(), statements).unwrap(),
        index,
    )
    .unwrap()
}

fn signed_vote(key: u8, vote: Vote) -> Signed {
    let other = Vote {
        subject: SubjectId([9; 32]),
        ..vote
    };
    signed(
        &testing::key(key),
        Statements::Votes(vec![other, vote, other]),
        1,
    )
}

fn pair(one: Signed, other: Signed) -> Evidence {
    Evidence::of_statements(federation(), one, other)
}

fn of_votes() -> Evidence {
    pair(signed_vote(2, vote(Some("1"))), signed_vote(2, vote(None)))
}

fn events(event_type: &str, other_content: bool) -> Evidence {
    let event = testing::event(event_type, "1");
    let other = Event {
        commit_hash: if other_content {
            "fffffff".into()
        } else {
            event.commit_hash.clone()
        },
        ..event.clone()
    };
    let sign = |event| {
        signed(
            &testing::key(1),
            Statements::Events(vec![testing::event("a", "9"), event]),
            1,
        )
    };
    pair(sign(event), sign(other))
}

fn heads(root: u8, size: u64) -> Evidence {
    let heartbeat = |root: u8, size: u64| Heartbeat {
        log_root: MerkleHash([root; 32]),
        log_size: size,
        ..testing::heartbeat(u64::from(root))
    };
    let sign = |heartbeat| {
        signed(
            &testing::key(3),
            Statements::Heartbeat(Box::new(heartbeat)),
            0,
        )
    };
    pair(sign(heartbeat(1, 5)), sign(heartbeat(root, size)))
}

fn proposals(epoch: u64) -> Evidence {
    let valid = Some(RoundId {
        epoch: Epoch(epoch),
        round: Round(1),
    });
    let one = Proposal {
        epoch: Epoch(0),
        subject: SubjectId([7; 32]),
        round: Round(2),
        choice: choice("1"),
        valid,
    };
    let sign = |proposal| signed(&testing::key(0), Statements::Proposals(vec![proposal]), 0);
    pair(sign(one), sign(Proposal { valid: None, ..one }))
}

fn closes() -> Evidence {
    let one = EpochClose {
        epoch: Epoch(0),
        next: crate::id::ManifestHash([1; 32]),
        certified_count: 4,
        certified_root: SetHash([2; 32]),
        locks_count: 0,
        locks_root: SetHash([3; 32]),
    };
    let sign = |close| signed(&testing::key(0), Statements::Closes(vec![close]), 0);
    pair(
        sign(one),
        sign(EpochClose {
            certified_count: 5,
            ..one
        }),
    )
}

/// What three of four sign for an event.
fn certificate(commit: &str) -> Certificate {
    let event = Event {
        commit_hash: commit.into(),
        ..testing::event("release", "1")
    };
    let subject = testing::manifest(4).event_policies.subject_of(&event);
    let blank = Certificate::assemble(
        federation(),
        Epoch(0),
        subject.clone(),
        Round(0),
        event.clone(),
        Vec::new(),
    );
    let prove = |key| signed(&testing::key(key), Statements::Votes(vec![blank.vote()]), 0).proof;
    Certificate::assemble(
        federation(),
        Epoch(0),
        subject,
        Round(0),
        event,
        (0..3).map(prove).collect(),
    )
}

fn of_certificates() -> Evidence {
    Evidence::of_certificates(federation(), certificate("3dd05d9"), certificate("fffffff"))
}

fn all() -> Vec<Evidence> {
    vec![
        events("release", true),
        of_votes(),
        heads(2, 5),
        proposals(0),
        closes(),
        of_certificates(),
    ]
}

#[test]
fn each_kind_proves_who_did_what() {
    let found: Vec<_> = all()
        .iter()
        .map(|evidence| evidence.verify(&verifier()).unwrap())
        .collect();
    let kinds: Vec<_> = found.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, EvidenceKind::ALL);
    let members: Vec<_> = found.iter().map(|one| one.member).collect();
    let member = |key| Some(testing::key(key).node_id());
    assert_eq!(
        members,
        [member(1), member(2), member(3), member(0), member(0), None]
    );
    assert_eq!(found[1].epoch, Some(Epoch(0)));
    assert!(
        found[1].what.starts_with("precommitted both ") && found[1].what.contains("nil"),
        "{}",
        found[1].what
    );
    assert!(found[0].what.contains("for release 1"), "{}", found[0].what);
    assert!(found[2].what.contains("of size 5"), "{}", found[2].what);
}

#[test]
fn it_reads_back_from_json_and_wire_and_keeps_its_name() {
    let mut names = std::collections::BTreeSet::new();
    for evidence in all() {
        let text = evidence.to_pretty();
        assert_eq!(Evidence::parse(text.as_bytes()).unwrap(), evidence);
        assert_eq!(
            wire::decode::<Evidence>(&wire::encode(&evidence)).unwrap(),
            evidence
        );
        assert_eq!(
            Evidence::parse(text.as_bytes()).unwrap().id(),
            evidence.id()
        );
        names.insert(evidence.id());
    }
    assert_eq!(names.len(), all().len());
}

#[test]
fn the_order_of_the_halves_is_fixed() {
    let (one, other) = (signed_vote(2, vote(Some("1"))), signed_vote(2, vote(None)));
    assert_eq!(pair(one.clone(), other.clone()), pair(other, one));
    for evidence in all() {
        let mut turned = evidence;
        match &mut turned.pair {
            Pair::Statements(pair) => pair.swap(0, 1),
            Pair::Certificates(pair) => pair.swap(0, 1),
        }
        assert_eq!(turned.verify(&verifier()), Err(EvidenceError::Order));
    }
}

#[test]
fn what_may_both_be_true_proves_nothing() {
    let refused = |evidence: Evidence| {
        let refusal = evidence.verify(&verifier()).unwrap_err();
        assert!(
            matches!(refusal, EvidenceError::NoContradiction(_)),
            "{refusal}"
        );
    };
    let other_than = |other: Vote| pair(signed_vote(2, vote(Some("1"))), signed_vote(2, other));
    refused(other_than(vote(Some("1"))));
    refused(other_than(Vote {
        round: Round(4),
        ..vote(None)
    }));
    refused(other_than(Vote {
        phase: Phase::Prevote,
        ..vote(None)
    }));
    refused(other_than(Vote {
        subject: SubjectId([8; 32]),
        ..vote(None)
    }));
    refused(events("release", false));
    refused(events("compliance_audit", true));
    refused(heads(1, 5));
    refused(heads(2, 6));
    let close = |epoch| {
        let close = EpochClose {
            epoch: Epoch(epoch),
            ..match &closes().pair {
                Pair::Statements(pair) => match pair[0].statement {
                    Statement::Close(close) => close,
                    _ => panic!("a close"),
                },
                Pair::Certificates(_) => panic!("statements"),
            }
        };
        signed(&testing::key(0), Statements::Closes(vec![close]), 0)
    };
    refused(pair(close(0), close(1)));
    refused(pair(close(0), signed_vote(0, vote(None))));
    let same =
        Evidence::of_certificates(federation(), certificate("3dd05d9"), certificate("3dd05d9"));
    refused(same);
}

#[test]
fn federation_epochs_may_be_announced_again() {
    let manifest = |digit: &str| Event {
        commit_hash: digit.repeat(64),
        ..testing::epoch_event("1")
    };
    let sign = |event| signed(&testing::key(0), Statements::Events(vec![event]), 0);
    let evidence = pair(sign(manifest("a")), sign(manifest("b")));
    assert!(matches!(
        evidence.verify(&verifier()),
        Err(EvidenceError::NoContradiction(_))
    ));
}

#[test]
fn it_takes_a_signer_with_a_say_and_signatures_that_hold() {
    let of = |evidence: &Evidence| evidence.verify(&verifier()).unwrap_err();
    let stranger = pair(signed_vote(5, vote(Some("1"))), signed_vote(5, vote(None)));
    assert!(matches!(
        of(&stranger),
        EvidenceError::NotASigner { role: "voter", .. }
    ));
    let two = pair(signed_vote(1, vote(Some("1"))), signed_vote(2, vote(None)));
    assert!(matches!(of(&two), EvidenceError::TwoSigners { .. }));
    let mut elsewhere = of_votes();
    elsewhere.federation_id = FederationId([1; 32]);
    assert!(matches!(of(&elsewhere), EvidenceError::Federation { .. }));
    let later = |version| {
        signed_vote(
            2,
            Vote {
                epoch: Epoch(1),
                ..vote(version)
            },
        )
    };
    assert!(matches!(
        of(&pair(later(Some("1")), later(None))),
        EvidenceError::Epoch { .. }
    ));
    assert_eq!(of(&proposals(u64::MAX)), EvidenceError::Number("second"));

    let mut forged = of_votes();
    let Pair::Statements(pair) = &mut forged.pair else {
        panic!("statements")
    };
    let Statement::Vote(vote) = &mut pair[1].statement else {
        panic!("a vote")
    };
    vote.ballot = Some(choice("2"));
    assert!(matches!(
        of(&forged),
        EvidenceError::Proof {
            which: "second",
            reason: BatchError::Identity(_)
        }
    ));
    let mut certificates = of_certificates();
    let Pair::Certificates(pair) = &mut certificates.pair else {
        panic!("certificates")
    };
    pair[1].precommits.pop();
    assert!(matches!(
        of(&certificates),
        EvidenceError::Certificate {
            which: "second",
            ..
        }
    ));
}

#[test]
fn the_json_form_is_exact() {
    let text = of_votes().to_json().to_jcs();
    let refusal = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        Evidence::parse(text.replacen(from, to, 1).as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert!(refusal("ssid-evidence/1", "ssid-evidence/2").contains("known is"));
    assert!(refusal("\"kind\":\"vote\"", "\"kind\":\"gossip\"").contains("`kind`"));
    assert!(refusal("\"kind\":\"vote\"", "\"kind\":\"close\"").contains("missing"));
    assert!(refusal("{", "{\"more\":1,").contains("`more` is not known"));
    assert!(refusal("\"first\":{", "\"first\":{\"more\":1,").contains("`first.more`"));
    assert!(refusal("\"proof\":{", "\"proof\":{\"more\":1,").contains("more"));
    assert!(
        refusal("\"phase\":\"precommit\"", "\"phase\":\"vote\"").contains("prevote or precommit")
    );
    assert!(refusal("\"ballot\":[{", "\"ballot\":[{},{").contains("no or one"));
    assert!(refusal("\"round\":3,", "").contains("missing"));
    assert!(refusal("{", "{\"kind\":\"vote\",").contains("duplicate"));
}
