//! Fixtures for tests and simulations, here so that every crate's tests build the same federations
//! and events.

pub mod decoders;
pub mod epochs;
pub mod messages;

pub use epochs::{epoch_event, handover, invite, successor};

use std::collections::BTreeMap;

use crate::event::Event;
use crate::heartbeat::{CanSign, Heartbeat, More};
use crate::id::{Epoch, FederationId, LogId, MerkleHash, Sha256Hash, UnixMillis};
use crate::identity::VotingKey;
use crate::manifest::{Manifest, Rules, TieBreak, Weighting};
use crate::member::{Member, PublicKeys, Role, Status};
use crate::quorum::VoterSet;
use crate::subject::{EventPolicies, Policy};

/// An admissible event of the given type and version.
pub fn event(event_type: &str, version: &str) -> Event {
    Event {
        timestamp: "2025-10-11T20:00:00Z".into(),
        event: event_type.into(),
        version: version.into(),
        commit_hash: "3dd05d9".into(),
        blueprint: "v4.4".into(),
        root_24_lock: "active".into(),
        compliance_score: "100/100".into(),
        emitted_by: "registry_event_trigger.sh".into(),
    }
}

/// A heartbeat with its epoch and all counters at `number`.
pub fn heartbeat(number: u64) -> Heartbeat {
    Heartbeat {
        epoch: Epoch(number),
        sequence: number,
        sent_at: UnixMillis(number),
        software: "ssid/0.1.0".into(),
        protocol_min: number,
        protocol_max: number,
        addresses: vec!["/ip4/127.0.0.1/tcp/4000".into()],
        blueprint: "v4.4".into(),
        compliance_score: "100/100".into(),
        log_id: LogId([1; 32]),
        log_size: number,
        log_root: MerkleHash([2; 32]),
        certified_count: number,
        certified_digest: Sha256Hash([3; 32]),
        open_count: number,
        open_digest: Sha256Hash([4; 32]),
        can_sign: CanSign::Yes,
        can_sign_reason: String::new(),
        divergences: number,
        more: More::default(),
    }
}

/// The voting key of test member `index`.
pub fn key(index: u8) -> VotingKey {
    VotingKey::from_seed(&[index.wrapping_add(1); 32])
}

/// A valid genesis manifest of `n` equal members, 2 to 256, with the keys `key(0)`, `key(1)`, …;
/// the first is the coordinator. `compliance_audit` recurs. There are no automatic rounds.
pub fn manifest(n: usize) -> Manifest {
    Manifest {
        name: "test".into(),
        epoch: Epoch::ZERO,
        created_at: "2025-10-11T20:00:00Z".into(),
        threshold_bp: 6600,
        min_participating_nodes: 2,
        vote_weighting: Weighting::Equal,
        tie_breaking_strategy: TieBreak::TimestampPriority,
        auto_resolve_conflicts: false,
        event_policies: EventPolicies(BTreeMap::from([(
            "compliance_audit".into(),
            Policy::Recurring,
        )])),
        rules: Rules::default(),
        members: (0..n).map(member).collect(),
        change: None,
    }
}

fn member(index: usize) -> Member {
    Member {
        node_id: key(index as u8).node_id(),
        peer_id: format!("peer-{index}"),
        node_name: format!("Node-{index}"),
        organization: format!("Org {index}"),
        role: if index == 0 {
            Role::Coordinator
        } else {
            Role::Participant
        },
        status: Status::Active,
        weight: 50,
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + index)],
        git_remote: String::new(),
        api_endpoint: String::new(),
        keys: PublicKeys::default(),
    }
}

/// These voters with a quorum that is one less than the rule says (SPEC §6): a fault, so that a
/// check of the voting rules can show that it would be seen.
pub fn with_lower_quorum(mut voters: VoterSet) -> VoterSet {
    voters.quorum = voters.quorum.saturating_sub(1);
    voters
}

/// [`manifest`], its federation id, its voters (sorted by node id) and its members' keys (in order
/// of the members: the key of voter `v` is in general not at `v`).
///
/// # Panics
/// If `n` is above 256: keys would repeat.
#[expect(clippy::expect_used, reason = "a fixture: the keys are its own")]
pub fn federation(n: usize) -> (Manifest, FederationId, VoterSet, Vec<VotingKey>) {
    let manifest = manifest(n);
    let voters = manifest
        .voters()
        .expect("at most 256 members have distinct keys");
    (
        manifest.clone(),
        manifest.federation_id(),
        voters,
        (0..n).map(|i| key(i as u8)).collect(),
    )
}
