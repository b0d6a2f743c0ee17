//! Certificates signed by test members, good and spoiled.

use super::*;
use crate::batch::{Statements, VerifiedBatch};
use crate::id::{EventHash, MerkleHash, NodeId};
use crate::identity::VotingKey;
use crate::json::JsonError;
use crate::manifest::Manifest;
use crate::testing::{event, federation, key};

/// One precommit of each key: alone in its batch, or, by the key's place, among that many nil
/// votes.
fn proofs(federation: &FederationId, vote: Vote, keys: &[VotingKey]) -> Vec<BatchProof> {
    let prove = |(place, key): (usize, &VotingKey)| {
        let nil = |i: usize| Vote {
            round: Round(i as u32),
            phase: Phase::Prevote,
            ballot: None,
            ..vote
        };
        let votes = (0..place).map(nil).chain([vote]).collect();
        let batch = VerifiedBatch::sign(key, federation, Statements::Votes(votes)).unwrap();
        batch.proof(place as u32).unwrap()
    };
    keys.iter().enumerate().map(prove).collect()
}

fn certify(
    manifest: &Manifest,
    federation: FederationId,
    event: Event,
    keys: &[VotingKey],
) -> Certificate {
    let subject = manifest.event_policies.subject_of(&event);
    let mut certificate =
        Certificate::assemble(federation, manifest.epoch, subject, Round(2), event, vec![]);
    certificate.precommits = proofs(&federation, certificate.vote(), keys);
    certificate.precommits.sort_by_key(|proof| proof.signer);
    certificate
}

/// A certificate of three among four voters, and what it is checked against.
fn sample() -> (Manifest, Certificate) {
    let (manifest, id, _, keys) = federation(4);
    let certificate = certify(
        &manifest,
        id,
        event("blueprint_tagged", "v4.4.0"),
        &keys[..3],
    );
    (manifest, certificate)
}

fn verify(manifest: &Manifest, certificate: &Certificate) -> Result<(), CertificateError> {
    let policies = manifest.event_policies.clone();
    certificate.verify(&mut Verifier::new(manifest.federation_id(), manifest, &policies).unwrap())
}

#[test]
fn a_quorum_proves_its_choice_in_every_form() {
    let (manifest, certificate) = sample();
    assert_eq!(verify(&manifest, &certificate), Ok(()));
    let read = Certificate::parse(certificate.to_pretty().as_bytes()).unwrap();
    assert_eq!(read, certificate);
    assert_eq!(
        Certificate::parse(certificate.to_json().to_jcs().as_bytes()),
        Ok(read)
    );
    assert_eq!(
        crate::wire::decode::<Certificate>(&crate::wire::encode(&certificate)).unwrap(),
        certificate
    );
}

#[test]
fn a_recurring_event_names_its_occurrence() {
    let (manifest, id, _, keys) = federation(4);
    let certificate = certify(&manifest, id, event("compliance_audit", "v4.4.0"), &keys);
    assert_eq!(certificate.subject.occurrence, "2025-10-11T20:00:00Z");
    assert_eq!(verify(&manifest, &certificate), Ok(()));
}

#[test]
fn every_refusal_names_what_where_and_why() {
    type Spoil = fn(&mut Certificate);
    type Case<'a> = (Spoil, fn(&CertificateError) -> bool, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            |c| c.federation_id.0[0] ^= 1,
            |e| matches!(e, CertificateError::Federation { .. }),
            &["`federation_id`"],
        ),
        (
            |c| c.epoch = Epoch(1),
            |e| matches!(e, CertificateError::Epoch { .. }),
            &["`epoch` must be 0", "it is 1"],
        ),
        (
            |c| c.event.version = "a|b".into(),
            |e| matches!(e, CertificateError::Inadmissible(_)),
            &["`version`", "without '|'", "a|b"],
        ),
        (
            |c| c.event.timestamp = "2025-10-11T20:00:01Z".into(),
            |e| {
                matches!(
                    e,
                    CertificateError::Choice {
                        field: "event_hash",
                        ..
                    }
                )
            },
            &["`choice.event_hash`"],
        ),
        (
            |c| c.event.emitted_by = "another".into(),
            |e| {
                matches!(
                    e,
                    CertificateError::Choice {
                        field: "content_digest",
                        ..
                    }
                )
            },
            &["`choice.content_digest`"],
        ),
        (
            |c| c.choice.event_hash = EventHash([0; 32]),
            |e| {
                matches!(
                    e,
                    CertificateError::Choice {
                        field: "event_hash",
                        ..
                    }
                )
            },
            &["it is 000000"],
        ),
        (
            |c| c.subject.event = "release".into(),
            |e| matches!(e, CertificateError::Subject { field: "event", .. }),
            &[
                "`subject.event` must be \"blueprint_tagged\"",
                "it is \"release\"",
            ],
        ),
        (
            |c| c.subject.version = "v4".into(),
            |e| {
                matches!(
                    e,
                    CertificateError::Subject {
                        field: "version",
                        ..
                    }
                )
            },
            &["`subject.version` must be \"v4.4.0\"", "it is \"v4\""],
        ),
        (
            |c| c.subject.occurrence = c.event.timestamp.clone(),
            |e| matches!(e, CertificateError::Occurrence { .. }),
            &[
                "must be \"\" for a unique event type",
                "it is \"2025-10-11T20:00:00Z\"",
            ],
        ),
        (
            |c| c.precommits[1].count = 0,
            |e| matches!(e, CertificateError::Count { at: 1, .. }),
            &["`precommits[1].count`", "1 to 4096", "it is 0"],
        ),
        (
            |c| c.precommits[1].count = 4097,
            |e| matches!(e, CertificateError::Count { at: 1, .. }),
            &["it is 4097"],
        ),
        (
            |c| c.precommits[0].index = c.precommits[0].count,
            |e| matches!(e, CertificateError::Index { at: 0, .. }),
            &["`precommits[0].index` must be below"],
        ),
        (
            |c| c.precommits[2].signer = key(9).node_id(),
            |e| matches!(e, CertificateError::NotAVoter { at: 2, .. }),
            &["`precommits[2].node_id` must be a voter of epoch 0"],
        ),
        (
            |c| c.precommits.push(c.precommits[1].clone()),
            |e| {
                matches!(
                    e,
                    CertificateError::CountedTwice {
                        at: 3,
                        first: 1,
                        ..
                    }
                )
            },
            &["`precommits[3].node_id`", "precommits[1]"],
        ),
        (
            |c| c.precommits[2].path.push(MerkleHash([0; 32])),
            |e| matches!(e, CertificateError::Path { at: 2, .. }),
            &["`precommits[2].path`"],
        ),
        (
            |c| c.precommits[2].signature.0[0] ^= 1,
            |e| matches!(e, CertificateError::Signature { at: 2, .. }),
            &["`precommits[2].signature`", "does not verify"],
        ),
        (
            |c| c.round = Round(3),
            |e| matches!(e, CertificateError::Signature { at: 0, .. }),
            &["`precommits[0].signature`"],
        ),
        (
            |c| c.precommits.truncate(2),
            |e| {
                matches!(
                    e,
                    CertificateError::Weight {
                        quorum: 3,
                        weight: 2
                    }
                )
            },
            &["quorum of 3", "weighs 2"],
        ),
        (
            |c| c.precommits.truncate(1),
            |e| matches!(e, CertificateError::Signers { min: 2, found: 1 }),
            &["min_participating_nodes = 2", "has 1"],
        ),
        (
            |c| c.precommits.clear(),
            |e| matches!(e, CertificateError::Signers { .. }),
            &["has 0"],
        ),
    ];
    for (i, (spoil, is_right, parts)) in cases.iter().enumerate() {
        let (manifest, mut certificate) = sample();
        spoil(&mut certificate);
        let error = verify(&manifest, &certificate).unwrap_err();
        assert!(is_right(&error), "case {i}: {error}");
        assert!(
            parts.iter().all(|part| error.to_string().contains(part)),
            "case {i}: {error}"
        );
    }
}

#[test]
fn every_hash_of_a_path_counts() {
    let (manifest, certificate) = sample();
    let mut tried = 0;
    for at in 0..certificate.precommits.len() {
        for step in 0..certificate.precommits[at].path.len() {
            let mut other = certificate.clone();
            other.precommits[at].path[step].0[31] ^= 1;
            assert!(
                matches!(verify(&manifest, &other), Err(CertificateError::Signature { at: a, .. }) if a == at)
            );
            tried += 1;
        }
    }
    assert!(tried > 0);
}

#[test]
fn enough_weight_needs_enough_signers_too() {
    let (mut manifest, _, _, keys) = federation(3);
    manifest.min_participating_nodes = 3;
    manifest.vote_weighting = crate::manifest::Weighting::Trust;
    let id = manifest.federation_id();
    let certificate = certify(
        &manifest,
        id,
        event("blueprint_tagged", "v4.4.0"),
        &keys[..2],
    );
    assert_eq!(
        verify(&manifest, &certificate),
        Err(CertificateError::Signers { min: 3, found: 2 })
    );
}

#[test]
fn a_page_of_one_batch_costs_one_check_each_but_no_signature_is_believed() {
    let (manifest, id, voters, keys) = federation(4);
    let events: Vec<_> = (0..5)
        .map(|i| event("blueprint_tagged", &format!("v{i}")))
        .collect();
    let blank = |event: &Event| {
        let subject = manifest.event_policies.subject_of(event);
        Certificate::assemble(id, Epoch(0), subject, Round(0), event.clone(), vec![])
    };
    let mut page: Vec<_> = events.iter().map(blank).collect();
    let precommits: Vec<_> = page.iter().map(Certificate::vote).collect();
    for key in &keys[..3] {
        let batch = VerifiedBatch::sign(key, &id, Statements::Votes(precommits.clone())).unwrap();
        for (i, certificate) in (0..).zip(&mut page) {
            certificate.precommits.push(batch.proof(i).unwrap());
        }
    }
    let mut verifier = Verifier::with_voters(id, Epoch(0), &voters, &manifest.event_policies);
    for certificate in &page {
        assert_eq!(certificate.verify(&mut verifier), Ok(()));
    }
    assert_eq!(verifier.batches_verified(), 3);
    page[4].precommits[0].signature.0[3] ^= 1;
    assert!(matches!(
        page[4].verify(&mut verifier),
        Err(CertificateError::Signature { at: 0, .. })
    ));
    page[4].precommits[0].signature = page[4].precommits[1].signature;
    assert!(page[4].verify(&mut verifier).is_err());
    assert_eq!(verifier.batches_verified(), 3);
}

#[test]
fn the_json_form_is_exact() {
    let text = sample().1.to_json().to_jcs();
    let refusal = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Certificate::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert!(matches!(
        refusal("ssid-certificate/1", "ssid-certificate/2"),
        CertificateError::Format(_)
    ));
    let shapes = [
        ("{", "{\"more\":1,", "key `more` is not known"),
        (
            "\"choice\":{",
            "\"choice\":{\"more\":1,",
            "key `choice.more` is not known",
        ),
        (
            "\"event\":{",
            "\"event\":{\"more\":1,",
            "key `event.more` is not known",
        ),
        (
            "\"subject\":{",
            "\"subject\":{\"more\":1,",
            "key `subject.more` is not known",
        ),
        (
            "[{\"count\"",
            "[{\"more\":1,\"count\"",
            "key `precommits[0].more` is not known",
        ),
        (
            "\"round\":2",
            "\"round\":\"2\"",
            "`round`: expected a number",
        ),
        (
            "\"round\":2",
            "\"round\":4294967296",
            "`round`: expected a number of at most 32 bits",
        ),
        ("\"epoch\":0,", "", "key `epoch` is missing"),
        ("\"epoch\":0,", "\"epoch\":0,\"epoch\":0,", "duplicate key"),
        (
            "\"occurrence\"",
            "\"occurence\"",
            "key `subject.occurrence` is missing",
        ),
        (
            "\"signature\":\"",
            "\"signature\":\"00",
            "`precommits[0].signature`: expected 128",
        ),
        (
            "\"event_hash\":\"17",
            "\"event_hash\":\"1A",
            "`choice.event_hash`: expected 64 lower-case",
        ),
    ];
    for (from, to, expected) in shapes {
        let error = refusal(from, to);
        assert!(
            matches!(error, CertificateError::Shape(_)) && error.to_string().contains(expected),
            "{error}"
        );
    }
    let long = vec![b' '; crate::limits::DOCUMENT_BYTES + 1];
    assert!(matches!(
        Certificate::parse(&long),
        Err(CertificateError::Shape(JsonError::TooLong { .. }))
    ));
}

#[test]
fn assembling_sorts_the_signers() {
    let (_, certificate) = sample();
    let mut shuffled = certificate.precommits.clone();
    shuffled.reverse();
    let Certificate {
        federation_id,
        epoch,
        subject,
        round,
        event,
        ..
    } = certificate.clone();
    assert_eq!(
        Certificate::assemble(federation_id, epoch, subject, round, event, shuffled),
        certificate
    );
    assert_eq!(certificate.subject_id(), certificate.vote().subject);
    assert!(
        certificate
            .precommits
            .iter()
            .map(|p| p.signer)
            .collect::<Vec<NodeId>>()
            .is_sorted()
    );
}
