//! The published test vectors of later epochs: manifests, their chain, cards, hand-overs, closes,
//! readiness and set trees, and what has to be refused.

use std::sync::LazyLock;

use serde_json::Value;
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::card::MemberCard;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::chain::{Chain, ChainLine, Link};
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{Choice, Epoch, ManifestHash, Round, SubjectId, UnixMillis};
use ssid_protocol::id::{ContentDigest, EventHash, Sha256Hash};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::invite::Invite;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::ready::Ready;
use ssid_protocol::set_tree::{CertifiedEntry, EntrySet, LockEntry};
use ssid_protocol::vote::{EpochClose, RoundId};

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_slice(include_bytes!("vectors.json")).expect("vectors.json is JSON")
});

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(name: &str) -> &[Value] {
    let list = VECTORS[name].as_array().expect("an array");
    assert!(!list.is_empty(), "{name}");
    list
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn genesis() -> Manifest {
    Manifest::parse(VECTORS["genesis"].to_string().as_bytes()).expect("a manifest")
}

fn read_link(value: &Value) -> Option<Link> {
    match ChainLine::parse(value.to_string().as_bytes()) {
        Ok(ChainLine::Link(link)) => Some(*link),
        _ => None,
    }
}

/// The link of one of the vectors' epochs, without what they say of it.
fn link(vector: &Value) -> Link {
    let mut link = vector.clone();
    let keys = link.as_object_mut().expect("an object");
    keys.retain(|key, _| key == "manifest" || key == "certificate");
    read_link(&link).expect("a link")
}

/// The chain of so many epochs after genesis.
fn chain(epochs: u64) -> Chain {
    let mut chain = Chain::new(genesis()).expect("a valid genesis manifest");
    for vector in list("epochs").iter().take(epochs as usize) {
        chain.extend(link(vector)).expect("a valid link");
    }
    assert_eq!(chain.latest().epoch, Epoch(epochs));
    chain
}

#[test]
fn each_epoch_has_its_hash_and_its_event() {
    let chain = chain(3);
    for (vector, manifest) in list("epochs").iter().zip(chain.manifests().skip(1)) {
        assert_eq!(manifest.hash().to_string(), text(&vector["hash"]));
        let event = serde_json::to_value(manifest.epoch_event()).expect("plain data");
        assert_eq!(event, vector["event"]);
        assert_eq!(chain.check_pin(&manifest.hash()), Ok(()));
    }
    let certificate = VECTORS["certificate_of_epoch_2"].to_string();
    let certificate = Certificate::parse(certificate.as_bytes()).expect("a certificate");
    assert_eq!(chain.verify(&certificate), Ok(()));
}

#[test]
fn a_chain_file_of_the_three_reads_as_the_same() {
    let lines = list("epochs")
        .iter()
        .map(|vector| ChainLine::Link(Box::new(link(vector))).to_text());
    let file: String = lines.collect();
    let mut read = Chain::new(genesis()).expect("a valid genesis manifest");
    read.read(file.as_bytes()).expect("a valid chain file");
    assert!(read.manifests().eq(chain(3).manifests()));
}

#[test]
fn what_breaks_a_rule_is_refused() {
    for vector in list("invalid_manifests") {
        let before = chain(number(&vector["after"]));
        let refused = Manifest::parse(vector["manifest"].to_string().as_bytes())
            .and_then(|manifest| before.check_next(&manifest));
        assert!(refused.is_err(), "{}", vector["why"]);
    }
    for vector in list("invalid_links") {
        let mut before = chain(number(&vector["after"]));
        let is_valid = read_link(&vector["link"]).is_some_and(|link| before.extend(link).is_ok());
        assert!(!is_valid, "{}", vector["why"]);
    }
    let chain = chain(3);
    for vector in list("invalid_certificates") {
        let read = Certificate::parse(vector["certificate"].to_string().as_bytes());
        let certificate = read.expect("each has the shape of one");
        assert!(chain.verify(&certificate).is_err(), "{}", vector["why"]);
    }
    for vector in list("invalid_cards") {
        let card = MemberCard::parse(vector["card"].to_string().as_bytes());
        let is_valid = card.is_ok_and(|card| card.verify().is_ok());
        assert!(!is_valid, "{}", vector["why"]);
    }
    for vector in list("invalid_handovers") {
        let is_valid = is_valid_handover(&vector["handover"]);
        assert!(!is_valid, "{}", vector["why"]);
    }
}

/// Whether it holds for the manifest after that of epoch 1.
fn is_valid_handover(vector: &Value) -> bool {
    let in_force = chain(1).latest().hash();
    Handover::parse(vector.to_string().as_bytes())
        .is_ok_and(|one| one.verify(&genesis().federation_id(), &in_force).is_ok())
}

#[test]
fn cards_and_hand_overs_verify() {
    let card = MemberCard::parse(VECTORS["card"].to_string().as_bytes()).expect("a card");
    assert_eq!(card.verify(), Ok(()));
    assert_eq!(card.member.keys.get("commit"), Some("0f"));
    assert!(is_valid_handover(&VECTORS["handover"]));
}

#[test]
fn an_invite_is_of_its_federation_and_pins_its_epoch() {
    let invite = Invite::parse(VECTORS["invite"].to_string().as_bytes()).expect("an invite");
    assert_eq!(invite.federation_id, genesis().federation_id());
    let chain = chain(invite.epoch.0);
    assert_eq!(invite.manifest_hash, chain.latest().hash());
    assert_eq!(
        invite.proposal.map(|hash| hash.to_string()).as_deref(),
        Some(text(&list("epochs")[2]["hash"]))
    );
    for vector in list("invalid_invites") {
        let mut invite = VECTORS["invite"].clone();
        let changed = vector["changed"].as_object().expect("an object");
        invite
            .as_object_mut()
            .expect("an object")
            .extend(changed.clone());
        let read = Invite::parse(invite.to_string().as_bytes());
        assert!(read.is_err(), "{}", vector["why"]);
    }
}

fn hash(letter: &str, i: u64) -> [u8; 32] {
    Sha256Hash::of(&[format!("{letter}{i}").as_bytes()]).0
}

fn choice(i: u64) -> Choice {
    Choice {
        event_hash: EventHash(hash("h", i)),
        content_digest: ContentDigest(hash("d", i)),
    }
}

fn certified(i: u64) -> [u8; CertifiedEntry::LEN] {
    let entry = CertifiedEntry {
        subject: SubjectId(hash("s", i)),
        choice: choice(i),
    };
    entry.to_bytes()
}

fn crowded(i: u64) -> [u8; CertifiedEntry::LEN] {
    let mut entry = certified(i);
    entry[..5].fill(0xab);
    entry
}

fn lock(i: u64) -> [u8; LockEntry::LEN] {
    let entry = LockEntry {
        subject: SubjectId(hash("s", i)),
        at: RoundId {
            epoch: Epoch(i % 3),
            round: Round((i % 5) as u32),
        },
        choice: choice(i),
    };
    entry.to_bytes()
}

#[test]
fn sets_have_their_roots() {
    fn root<const N: usize>(count: u64, entry: fn(u64) -> [u8; N]) -> String {
        let set = EntrySet::of((0..count).map(entry).collect());
        set.expect("distinct subjects").root().to_string()
    }
    for vector in list("sets") {
        let count = number(&vector["count"]);
        let root = match text(&vector["entries"]) {
            "certified" => root(count, certified),
            "crowded" => root(count, crowded),
            "locks" => root(count, lock),
            other => panic!("entries of kind {other}"),
        };
        assert_eq!(root, text(&vector["root"]), "{vector}");
    }
}

/// That the vector's signature is its signer's over a batch of this one statement.
fn assert_signed(vector: &Value, leaf: &[u8], statements: Statements) {
    assert_eq!(hex::encode(leaf), text(&vector["leaf"]));
    let signer = text(&vector["signer"]).parse().expect("a node id");
    let batch = SignedBatch {
        signer,
        signature: text(&vector["signature"]).parse().expect("a signature"),
        statements,
    };
    let key = VerifyKey::parse(signer).expect("a key");
    assert!(batch.verify(&key, &genesis().federation_id()).is_ok());
}

#[test]
fn a_close_and_a_ready_statement_are_signed_in_their_layout() {
    let vector = &VECTORS["close"];
    let close = EpochClose {
        epoch: Epoch(number(&vector["epoch"])),
        next: text(&vector["next"]).parse().expect("a hash"),
        certified_count: number(&vector["certified_count"]),
        certified_root: text(&vector["certified_root"]).parse().expect("a hash"),
        locks_count: number(&vector["locks_count"]),
        locks_root: text(&vector["locks_root"]).parse().expect("a hash"),
    };
    assert_eq!(close.next, chain(1).latest().hash());
    assert_signed(vector, &close.leaf_bytes(), Statements::Closes(vec![close]));
    let vector = &VECTORS["ready"];
    let manifest: ManifestHash = text(&vector["manifest"]).parse().expect("a hash");
    let ready = Ready {
        epoch: Epoch(number(&vector["epoch"])),
        manifest,
        at: UnixMillis(number(&vector["at"])),
    };
    assert_eq!(manifest, chain(2).latest().hash());
    assert_signed(vector, &ready.leaf_bytes(), Statements::Ready(ready));
}
