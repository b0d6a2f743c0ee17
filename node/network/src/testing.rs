//! Fixtures of the network's tests.

use std::sync::Arc;

use libp2p::identity::Keypair;
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::heartbeat::{CanSign, Heartbeat, More};
use ssid_protocol::id::{
    Epoch, FederationId, LogId, MerkleHash, Round, Sha256Hash, SubjectId, UnixMillis,
};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::testing::{event, key};
use ssid_protocol::vote::{Phase, Vote};
use tokio::sync::watch;

use crate::config::MemberPeer;

pub(crate) const FEDERATION: FederationId = FederationId([1; 32]);

/// The libp2p key of test member `index`.
pub(crate) fn identity(index: u8) -> Keypair {
    Keypair::ed25519_from_bytes([index.wrapping_add(101); 32]).unwrap()
}

/// Test member `index`, a voter without addresses.
pub(crate) fn member(index: u8) -> MemberPeer {
    let node = key(index).node_id();
    MemberPeer {
        node,
        key: VerifyKey::parse(node).unwrap(),
        peer: identity(index).public().to_peer_id(),
        addresses: Vec::new(),
        is_voter: true,
        is_guest: false,
    }
}

/// Test member `index` as an observer.
pub(crate) fn observer(index: u8) -> MemberPeer {
    MemberPeer {
        is_voter: false,
        ..member(index)
    }
}

/// Test member `index` as a guest.
pub(crate) fn guest(index: u8) -> MemberPeer {
    MemberPeer {
        is_guest: true,
        ..observer(index)
    }
}

/// As many votes, on subjects of their own.
pub(crate) fn votes(count: usize) -> Statements {
    let vote = |i: usize| {
        let subject = SubjectId(Sha256Hash::of(&[&i.to_be_bytes()]).0);
        let ballot = Some(event("a", "1").choice());
        Vote {
            epoch: Epoch(0),
            subject,
            round: Round(0),
            phase: Phase::Prevote,
            ballot,
            observed: false,
        }
    };
    Statements::Votes((0..count).map(vote).collect())
}

/// The epoch of the fixtures: members 0 to 3.
pub(crate) fn epoch() -> EpochContext {
    let manifest = ssid_protocol::testing::manifest(4);
    let policies = manifest.event_policies.clone();
    EpochContext::new(FEDERATION, policies, manifest).unwrap()
}

/// The same as a node is told it.
pub(crate) fn epochs() -> watch::Receiver<Arc<Epochs>> {
    watch::channel(Arc::new(Epochs::new(epoch()))).1
}

/// Two log heads of one size that a test member signed.
pub(crate) fn evidence(signer: u8) -> Evidence {
    let signed = |root: u8| {
        let Statements::Heartbeat(mut heartbeat) = heartbeat(1) else {
            panic!("a heartbeat")
        };
        heartbeat.log_root = MerkleHash([root; 32]);
        let batch =
            VerifiedBatch::sign(&key(signer), &FEDERATION, Statements::Heartbeat(heartbeat))
                .unwrap();
        Signed::of(&batch, 0).unwrap()
    };
    Evidence::of_statements(FEDERATION, signed(1), signed(2))
}

/// A heartbeat with that sequence number.
pub(crate) fn heartbeat(sequence: u64) -> Statements {
    Statements::Heartbeat(Box::new(Heartbeat {
        epoch: Epoch(0),
        sequence,
        sent_at: UnixMillis(sequence),
        software: "ssid/0.1.0".into(),
        protocol_min: 1,
        protocol_max: 1,
        addresses: Vec::new(),
        blueprint: String::new(),
        compliance_score: String::new(),
        log_id: LogId([0; 32]),
        log_size: 0,
        log_root: MerkleHash([0; 32]),
        certified_count: 0,
        certified_digest: Sha256Hash([0; 32]),
        open_count: 0,
        open_digest: Sha256Hash([0; 32]),
        can_sign: CanSign::Yes,
        can_sign_reason: String::new(),
        divergences: 0,
        more: More::default(),
    }))
}
