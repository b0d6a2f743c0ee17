//! The published test vectors of SPEC: this crate must give the same values for every format.

use std::sync::LazyLock;

use serde_json::{Value, json};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::{Certificate, CertificateError, Verifier};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, FederationId, Round, Sha256Hash, SubjectId};
use ssid_protocol::identity::{VerifyKey, VotingKey};
use ssid_protocol::json::Json;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::merkle;
use ssid_protocol::quorum::quorum;
use ssid_protocol::vote::{Phase, Vote};

static TEXT: &[u8] = include_bytes!("vectors.json");
static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_slice(TEXT).expect("vectors.json is JSON"));

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn genesis() -> Manifest {
    Manifest::parse(VECTORS["genesis"].to_string().as_bytes())
        .expect("the genesis manifest has the shape of one")
}

fn federation() -> FederationId {
    text(&VECTORS["federation_id"])
        .parse()
        .expect("a federation id")
}

#[test]
fn the_genesis_manifest_is_valid_and_names_the_federation() {
    assert_eq!(genesis().validate_genesis(), Ok(()));
    assert_eq!(genesis().federation_id(), federation());
    assert_eq!(
        Manifest::parse(genesis().to_pretty().as_bytes()),
        Ok(genesis())
    );
}

#[test]
fn node_ids_are_the_secret_keys_public_halves() {
    let keys = list(&VECTORS["secret_keys"])
        .iter()
        .zip(list(&VECTORS["node_ids"]));
    for ((secret, id), member) in keys.zip(&genesis().members) {
        let seed = hex::decode(text(secret)).unwrap().try_into().unwrap();
        let node_id = VotingKey::from_seed(&seed).node_id();
        assert_eq!(node_id.to_string(), text(id));
        assert_eq!(node_id, member.node_id);
    }
    // one more, of who comes later
    assert_eq!(
        genesis().voters().unwrap().len() + 1,
        list(&VECTORS["secret_keys"]).len()
    );
}

#[test]
fn events_have_their_hashes_occurrences_and_subjects() {
    assert!(!list(&VECTORS["events"]).is_empty());
    for vector in list(&VECTORS["events"]) {
        let event: Event = serde_json::from_value(vector["event"].clone()).unwrap();
        assert_eq!(event.check_admissible(Epoch::ZERO), Ok(()));
        assert_eq!(event.event_hash().to_string(), text(&vector["event_hash"]));
        assert_eq!(
            event.content_digest().to_string(),
            text(&vector["content_digest"])
        );
        let subject = genesis().event_policies.subject_of(&event);
        assert_eq!(subject.occurrence, text(&vector["occurrence"]));
        assert_eq!(
            subject.id(&federation()).to_string(),
            text(&vector["subject_id"])
        );
    }
}

#[test]
fn votes_are_signed_in_their_layout() {
    let bytes = |name: &str| hex::decode(text(&VECTORS["vote_bytes"][name])).unwrap();
    let subject = |bytes: &[u8]| SubjectId(bytes[8..40].try_into().unwrap());
    let choice = certificate().choice;
    let (precommit, nil_prevote) = (bytes("precommit"), bytes("nil_prevote"));
    let vote = |subject, phase, ballot| Vote {
        epoch: Epoch::ZERO,
        subject,
        round: Round::ZERO,
        phase,
        ballot,
        observed: false,
    };
    assert_eq!(subject(&precommit), certificate().subject_id());
    assert_eq!(certificate().vote().leaf_bytes(), precommit);
    assert_eq!(
        vote(subject(&precommit), Phase::Precommit, Some(choice)).leaf_bytes(),
        precommit
    );
    assert_eq!(
        vote(subject(&nil_prevote), Phase::Prevote, None).leaf_bytes(),
        nil_prevote
    );
    let observed = Vote {
        observed: true,
        ..vote(subject(&precommit), Phase::Prevote, Some(choice))
    };
    assert_eq!(observed.leaf_bytes(), bytes("observed_prevote"));
    assert_eq!(
        Vote::from_leaf_bytes(&bytes("observed_prevote")),
        Some(observed)
    );
}

fn certificate() -> Certificate {
    Certificate::parse(VECTORS["certificate"].to_string().as_bytes())
        .expect("the certificate has the shape of one")
}

fn verify(certificate: &Certificate) -> Result<(), CertificateError> {
    let genesis = genesis();
    certificate.verify(
        &mut Verifier::new(federation(), &genesis, &genesis.event_policies).expect("it is valid"),
    )
}

#[test]
fn the_certificate_verifies_and_has_one_form() {
    assert_eq!(verify(&certificate()), Ok(()));
    assert_eq!(
        serde_json::from_str::<Value>(&certificate().to_pretty()).unwrap(),
        VECTORS["certificate"]
    );
    let strict = Json::parse(VECTORS["certificate"].to_string().as_bytes(), TEXT.len()).unwrap();
    assert_eq!(certificate().to_json().to_jcs(), strict.to_jcs());
}

/// Changes to the document, each with the error that must name it.
#[test]
fn spoiled_certificates_are_refused_for_what_they_are() {
    type Case<'a> = (&'a str, Value, fn(&CertificateError) -> bool);
    let other_key = VotingKey::from_seed(&[7; 32]).node_id().to_string();
    let zeros = "0".repeat(64);
    let (same, path) = (
        VECTORS["certificate"]["precommits"][0].clone(),
        json!([zeros, zeros, zeros]),
    );
    let cases: &[Case<'_>] = &[
        ("/format", json!("ssid-certificate/2"), |e| {
            matches!(e, CertificateError::Format(_))
        }),
        ("/round", json!(-1), |e| {
            matches!(e, CertificateError::Shape(_))
        }),
        ("/round", json!(1.0), |e| {
            matches!(e, CertificateError::Shape(_))
        }),
        ("/round", json!(null), |e| {
            matches!(e, CertificateError::Shape(_))
        }),
        ("/event", json!({}), |e| {
            matches!(e, CertificateError::Shape(_))
        }),
        ("/federation_id", json!(zeros), |e| {
            matches!(e, CertificateError::Federation { .. })
        }),
        ("/epoch", json!(1), |e| {
            matches!(e, CertificateError::Epoch { .. })
        }),
        ("/event/blueprint", json!("4.4"), |e| {
            matches!(e, CertificateError::Inadmissible(_))
        }),
        ("/event/timestamp", json!("2025-02-29T20:00:00Z"), |e| {
            matches!(e, CertificateError::Inadmissible(_))
        }),
        ("/event/blueprint", json!("v4.5"), |e| {
            matches!(
                e,
                CertificateError::Choice {
                    field: "event_hash",
                    ..
                }
            )
        }),
        ("/choice/event_hash", json!(zeros), |e| {
            matches!(
                e,
                CertificateError::Choice {
                    field: "event_hash",
                    ..
                }
            )
        }),
        ("/event/root_24_lock", json!("off"), |e| {
            matches!(
                e,
                CertificateError::Choice {
                    field: "content_digest",
                    ..
                }
            )
        }),
        ("/subject/event", json!("release"), |e| {
            matches!(e, CertificateError::Subject { field: "event", .. })
        }),
        ("/subject/version", json!("v4"), |e| {
            matches!(
                e,
                CertificateError::Subject {
                    field: "version",
                    ..
                }
            )
        }),
        ("/subject/occurrence", json!("2025-10-11T20:00:00Z"), |e| {
            matches!(e, CertificateError::Occurrence { .. })
        }),
        ("/precommits/2/count", json!(0), |e| {
            matches!(e, CertificateError::Count { at: 2, found: 0 })
        }),
        ("/precommits/2/count", json!(4097), |e| {
            matches!(e, CertificateError::Count { at: 2, .. })
        }),
        ("/precommits/2/index", json!(5), |e| {
            matches!(
                e,
                CertificateError::Index {
                    at: 2,
                    count: 5,
                    found: 5
                }
            )
        }),
        ("/precommits/1/node_id", json!(other_key), |e| {
            matches!(e, CertificateError::NotAVoter { at: 1, .. })
        }),
        ("/precommits/2", same, |e| {
            matches!(
                e,
                CertificateError::CountedTwice {
                    at: 2,
                    first: 0,
                    ..
                }
            )
        }),
        ("/precommits/2/path", json!([]), |e| {
            matches!(
                e,
                CertificateError::Path {
                    at: 2,
                    found: 0,
                    ..
                }
            )
        }),
        ("/precommits/2/path", path, |e| {
            matches!(e, CertificateError::Signature { at: 2, .. })
        }),
        ("/precommits/2/index", json!(1), |e| {
            matches!(e, CertificateError::Signature { at: 2, .. })
        }),
        ("/precommits/0/signature", json!("00".repeat(64)), |e| {
            matches!(e, CertificateError::Signature { at: 0, .. })
        }),
        ("/round", json!(1), |e| {
            matches!(e, CertificateError::Signature { at: 0, .. })
        }),
        ("/precommits", json!([]), |e| {
            matches!(e, CertificateError::Signers { min: 2, found: 0 })
        }),
    ];
    for (pointer, value, is_right) in cases {
        let mut spoiled = VECTORS["certificate"].clone();
        *spoiled.pointer_mut(pointer).expect("the vector has it") = value.clone();
        let read = Certificate::parse(spoiled.to_string().as_bytes());
        let error = read
            .and_then(|certificate| verify(&certificate))
            .unwrap_err();
        assert!(is_right(&error), "{pointer}: {error}");
    }
    let mut two = certificate();
    two.precommits.pop();
    assert_eq!(
        verify(&two),
        Err(CertificateError::Weight {
            quorum: 3,
            weight: 2
        })
    );
}

/// The bytes that SPEC section 13 lists under `heading`, and what it says follows from them.
fn listing(heading: &str) -> (Vec<u8>, String) {
    let spec = include_str!("../SPEC.md");
    let example = &spec[spec.find("\n## 13.").expect("section 13")..];
    let block = &example[example.find(heading).expect("the heading")..];
    let mut lines = block
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .map(str::trim);
    let bytes = lines
        .by_ref()
        .take_while(|line| !line.is_empty() && !line.starts_with('→'));
    let first_column = |line: &str| line.split("  ").next().unwrap_or_default().replace(' ', "");
    let bytes = bytes.map(first_column).collect::<String>();
    let result = block.split_once('→').map_or("", |(_, rest)| {
        rest.split("\n\n").next().unwrap_or_default()
    });
    (
        hex::decode(&bytes).unwrap_or_else(|_| bytes.into_bytes()),
        result.split_whitespace().collect(),
    )
}

#[test]
fn the_worked_example_of_the_specification_is_right() {
    let certificate = certificate();
    for (heading, result) in [
        ("**Event hash.**", certificate.choice.event_hash.to_string()),
        (
            "**Content digest.**",
            certificate.choice.content_digest.to_string(),
        ),
        ("**Subject id.**", certificate.subject_id().to_string()),
    ] {
        let (bytes, shown) = listing(heading);
        assert_eq!(Sha256Hash::of(&[&bytes]).to_string(), shown, "{heading}");
        assert_eq!(shown, result, "{heading}");
    }
    let precommit = certificate.vote();
    assert_eq!(listing("**Votes.**").0, precommit.leaf_bytes());
    let nil = hex::decode(text(&VECTORS["vote_bytes"]["nil_prevote"])).unwrap();
    let nil_subject = SubjectId(nil[8..40].try_into().unwrap());
    let prevote = |subject, ballot| Vote {
        subject,
        ballot,
        phase: Phase::Prevote,
        ..precommit
    };
    let votes = vec![
        prevote(precommit.subject, precommit.ballot),
        precommit,
        prevote(nil_subject, None),
    ];
    let seed = hex::decode(text(&VECTORS["secret_keys"][0]))
        .unwrap()
        .try_into()
        .unwrap();
    let batch = VerifiedBatch::sign(
        &VotingKey::from_seed(&seed),
        &federation(),
        Statements::Votes(votes),
    )
    .unwrap();
    let inner = merkle::node_hash(&batch.leaves()[0], &batch.leaves()[1]);
    let tree: Vec<_> = batch
        .leaves()
        .iter()
        .chain([&inner, &batch.root()])
        .map(ToString::to_string)
        .collect();
    let spec = include_str!("../SPEC.md");
    assert!(
        tree.iter().all(|hash| spec.contains(hash.as_str())),
        "{tree:#?}"
    );
    let (message, signature) = listing("**Signature.**");
    assert_eq!(signature, batch.batch().signature.to_string());
    assert_eq!(message.len(), 82);
    let key = VerifyKey::parse(batch.signer()).unwrap();
    assert_eq!(key.verify(&message, &batch.batch().signature), Ok(()));
    assert_eq!(
        batch.proof(1).unwrap().path,
        [batch.leaves()[0], batch.leaves()[2]]
    );
}

/// Leaf `i` of the vectors is the single byte `i`.
#[test]
fn merkle_roots_are_those_of_rfc_6962() {
    let roots = VECTORS["merkle_roots"].as_object().unwrap();
    assert!(!roots.is_empty());
    for (count, expected) in roots {
        let leaves: Vec<_> = (0..count.parse::<u8>().unwrap())
            .map(|i| merkle::leaf_hash(&[i]))
            .collect();
        assert_eq!(
            merkle::root(&leaves).to_string(),
            text(expected),
            "{count} leaves"
        );
        assert_eq!(
            merkle::MerkleTree::of(leaves).root().to_string(),
            text(expected),
            "{count} leaves"
        );
    }
}

#[test]
fn quorums_of_equal_weights_with_at_least_two_signers() {
    assert!(!list(&VECTORS["quorums"]).is_empty());
    for vector in list(&VECTORS["quorums"]) {
        let number = |key: &str| vector[key].as_u64().unwrap();
        let threshold = u32::try_from(number("threshold_bp")).unwrap();
        assert_eq!(
            quorum(number("n"), threshold, 2),
            number("quorum"),
            "{vector}"
        );
    }
}

#[test]
fn the_vectors_themselves_are_strict_json() {
    let strict = Json::parse(TEXT, TEXT.len()).unwrap();
    assert_eq!(
        Json::parse(strict.to_jcs().as_bytes(), TEXT.len()),
        Ok(strict.clone())
    );
    assert_eq!(
        serde_json::from_str::<Value>(&strict.to_pretty()).unwrap(),
        *VECTORS
    );
}
