//! Changes of members, certified by test members.

use super::{federation, key, manifest};
use crate::batch::{Statements, VerifiedBatch};
use crate::card::MemberCard;
use crate::certificate::Certificate;
use crate::chain::{ChainLine, Link};
use crate::event::{Event, FEDERATION_EPOCH};
use crate::handover::Handover;
use crate::id::Round;
use crate::identity::VotingKey;
use crate::invite::{Invite, InvitePeer};
use crate::manifest::{Change, Manifest};

/// An admissible `federation_epoch` event of that version, of a manifest that nobody has.
pub fn epoch_event(version: &str) -> Event {
    Event {
        timestamp: "2025-10-11T20:00:00Z".into(),
        event: FEDERATION_EPOCH.into(),
        version: version.into(),
        commit_hash: "a".repeat(64),
        blueprint: format!("v{version}"),
        root_24_lock: String::new(),
        compliance_score: String::new(),
        emitted_by: "ssid".into(),
    }
}

/// A valid manifest for the epoch after `previous`, which changes nothing.
pub fn successor(previous: &Manifest) -> Manifest {
    Manifest {
        epoch: previous.epoch.next(),
        change: Some(Change {
            previous: previous.hash(),
            succeeds: vec![],
            reason: "as agreed".into(),
        }),
        ..previous.clone()
    }
}

/// Key 1 of a federation of four handed over to key 9.
pub fn handover() -> Handover {
    let genesis = manifest(4);
    let mut member = genesis.members[1].clone();
    member.node_id = key(9).node_id();
    let card = MemberCard::sign(member, &key(9));
    Handover::sign(genesis.federation_id(), genesis.hash(), &key(1), card)
}

/// An invite to a federation of four in its first epoch, with three of them to ask.
pub fn invite() -> Invite {
    let genesis = manifest(4);
    Invite {
        federation_id: genesis.federation_id(),
        epoch: genesis.epoch,
        manifest_hash: genesis.hash(),
        proposal: None,
        peers: genesis.members[..3].iter().map(InvitePeer::of).collect(),
        genesis,
    }
}

/// A certificate for `event` of the epoch of `manifest`, signed by these keys, each in a batch of
/// three votes, in the federation of `genesis`.
///
/// # Panics
/// Never: the batches are its own.
#[expect(clippy::expect_used, reason = "a fixture")]
pub fn certify(
    genesis: &Manifest,
    manifest: &Manifest,
    event: Event,
    signers: &[VotingKey],
) -> Certificate {
    let federation = genesis.federation_id();
    let subject = genesis.event_policies.subject_of(&event);
    let (epoch, round) = (manifest.epoch, Round(1));
    let blank = Certificate::assemble(federation, epoch, subject, round, event, vec![]);
    let votes = Statements::Votes(vec![blank.vote(); 3]);
    let prove = |key: &VotingKey| {
        let batch = VerifiedBatch::sign(key, &federation, votes.clone()).expect("three votes");
        batch.proof(2).expect("the last of three")
    };
    let mut precommits: Vec<_> = signers.iter().map(prove).collect();
    precommits.sort_by_key(|proof| proof.signer);
    Certificate {
        precommits,
        ..blank
    }
}

/// The first `epochs` epochs after the genesis manifest of a federation of four. In each the reason
/// is another, and the three voters of the smallest places sign.
pub fn links(epochs: u64) -> Vec<Link> {
    let (genesis, _, _, keys) = federation(4);
    let mut previous = genesis.clone();
    let mut links = Vec::new();
    for epoch in 1..=epochs {
        let mut manifest = successor(&previous);
        if let Some(change) = &mut manifest.change {
            change.reason = format!("change number {epoch}");
        }
        let event = manifest.epoch_event();
        let certificate = certify(&genesis, &previous, event, &keys[..3]);
        previous = manifest.clone();
        links.push(Link {
            manifest,
            certificate,
        });
    }
    links
}

/// The genesis manifest of four, the chain file of so many epochs, and a certificate of the last.
pub fn documents(epochs: u64) -> (Manifest, String, Certificate) {
    let (genesis, _, _, keys) = federation(4);
    let links = links(epochs);
    let latest = links.last().map_or(&genesis, |link| &link.manifest);
    let event = super::event("blueprint_tagged", "v4.4.0");
    let certificate = certify(&genesis, latest, event, &keys[1..]);
    let lines = links
        .into_iter()
        .map(|link| ChainLine::Link(Box::new(link)));
    (
        genesis,
        lines.map(|line| line.to_text()).collect(),
        certificate,
    )
}
