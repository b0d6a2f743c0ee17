//! The published test vectors of SPEC: this crate must give the same values for every format.

use std::sync::LazyLock;

use serde_json::Value;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, FederationId};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::json::Json;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::merkle;
use ssid_protocol::quorum::quorum;

static TEXT: &[u8] = include_bytes!("vectors.json");
static VECTORS: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(TEXT).expect("vectors.json is JSON"));

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn genesis() -> Manifest {
    Manifest::parse(VECTORS["genesis"].to_string().as_bytes()).expect("the genesis manifest has the shape of one")
}

fn federation() -> FederationId {
    text(&VECTORS["federation_id"]).parse().expect("a federation id")
}

#[test]
fn the_genesis_manifest_is_valid_and_names_the_federation() {
    assert_eq!(genesis().validate_genesis(), Ok(()));
    assert_eq!(genesis().federation_id(), federation());
    assert_eq!(Manifest::parse(genesis().to_pretty().as_bytes()), Ok(genesis()));
}

#[test]
fn node_ids_are_the_secret_keys_public_halves() {
    let keys = list(&VECTORS["secret_keys"]).iter().zip(list(&VECTORS["node_ids"]));
    for ((secret, id), member) in keys.zip(&genesis().members) {
        let seed = hex::decode(text(secret)).unwrap().try_into().unwrap();
        let node_id = VotingKey::from_seed(&seed).node_id();
        assert_eq!(node_id.to_string(), text(id));
        assert_eq!(node_id, member.node_id);
    }
    assert_eq!(genesis().voters().unwrap().len(), list(&VECTORS["secret_keys"]).len());
}

#[test]
fn events_have_their_hashes_occurrences_and_subjects() {
    assert!(!list(&VECTORS["events"]).is_empty());
    for vector in list(&VECTORS["events"]) {
        let event: Event = serde_json::from_value(vector["event"].clone()).unwrap();
        assert_eq!(event.check_admissible(Epoch::ZERO), Ok(()));
        assert_eq!(event.event_hash().to_string(), text(&vector["event_hash"]));
        assert_eq!(event.content_digest().to_string(), text(&vector["content_digest"]));
        let subject = genesis().event_policies.subject_of(&event);
        assert_eq!(subject.occurrence, text(&vector["occurrence"]));
        assert_eq!(subject.id(&federation()).to_string(), text(&vector["subject_id"]));
    }
}

/// Leaf `i` of the vectors is the single byte `i`.
#[test]
fn merkle_roots_are_those_of_rfc_6962() {
    let roots = VECTORS["merkle_roots"].as_object().unwrap();
    assert!(!roots.is_empty());
    for (count, expected) in roots {
        let leaves: Vec<_> = (0..count.parse::<u8>().unwrap()).map(|i| merkle::leaf_hash(&[i])).collect();
        assert_eq!(merkle::root(&leaves).to_string(), text(expected), "{count} leaves");
        assert_eq!(merkle::MerkleTree::of(leaves).root().to_string(), text(expected), "{count} leaves");
    }
}

#[test]
fn quorums_of_equal_weights_with_at_least_two_signers() {
    assert!(!list(&VECTORS["quorums"]).is_empty());
    for vector in list(&VECTORS["quorums"]) {
        let number = |key: &str| vector[key].as_u64().unwrap();
        let threshold = u32::try_from(number("threshold_bp")).unwrap();
        assert_eq!(quorum(number("n"), threshold, 2), number("quorum"), "{vector}");
    }
}

#[test]
fn the_vectors_themselves_are_strict_json() {
    let strict = Json::parse(TEXT, TEXT.len()).unwrap();
    assert_eq!(Json::parse(strict.to_jcs().as_bytes(), TEXT.len()), Ok(strict.clone()));
    assert_eq!(serde_json::from_str::<Value>(&strict.to_pretty()).unwrap(), *VECTORS);
}
