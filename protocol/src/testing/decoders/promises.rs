//! What must hold of each decoder, whatever the bytes are.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{BatchProof, Kind, SignedBatch, Statements};
use crate::card::MemberCard;
use crate::certificate::{Certificate, Verifier};
use crate::chain::{Chain, ChainLine};
use crate::evidence::{self, Evidence};
use crate::git_lines::{BranchHead, Line};
use crate::handover::Handover;
use crate::heartbeat::Heartbeat;
use crate::id::Epoch;
use crate::identity::VerifyKey;
use crate::invite::Invite;
use crate::json::{Json, MAX_NUMBER};
use crate::limits;
use crate::manifest::Manifest;
use crate::set_tree::{CertifiedEntry, PartError};
use crate::sync::{Answer, ChangeAnswer, LockProof, Request};
use crate::testing::{federation, manifest, messages};
use crate::wire;

/// Decodes; what decodes, encodes to the very bytes that it was decoded from.
fn exact<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value = wire::decode::<T>(bytes).ok()?;
    assert!(
        wire::encode(&value) == bytes,
        "a second encoding of one value"
    );
    Some(value)
}

pub(super) fn signed_batch(bytes: &[u8]) -> bool {
    exact::<SignedBatch>(bytes)
        .map(|batch| check_batch(&batch))
        .is_some()
}

fn check_batch(batch: &SignedBatch) {
    if let Statements::Heartbeat(heartbeat) = &batch.statements {
        check_heartbeat(heartbeat);
    }
    let (_, federation, ..) = federation(4);
    let Ok(key) = VerifyKey::parse(batch.signer) else {
        return;
    };
    let Ok(verified) = batch.clone().verify(&key, &federation) else {
        return;
    };
    let count = verified.statements().len();
    assert!(
        (1..=limits::BATCH_STATEMENTS).contains(&count),
        "{count} statements were believed"
    );
    assert_eq!(verified.leaves().len(), count);
    for index in [0, count / 2, count - 1] {
        let proof = verified.proof(index as u32).map(|proof| proof.path.len());
        assert!(
            proof.is_some_and(|hashes| hashes <= 12),
            "a path of {proof:?} in {count}"
        );
    }
    assert_eq!(verified.proof(count as u32), None);
}

pub(super) fn batch_proof(bytes: &[u8]) -> bool {
    exact::<BatchProof>(bytes)
        .map(|proof| check_proof(&proof))
        .is_some()
}

fn check_proof(proof: &BatchProof) {
    let (_, federation, ..) = federation(4);
    let leaf = messages::certificate(0).vote().leaf_bytes();
    match proof.root(&leaf) {
        Ok(root) => {
            assert!(proof.index < proof.count && proof.count as usize <= limits::BATCH_STATEMENTS);
            assert!(proof.path.len() <= 12, "a path of {}", proof.path.len());
            if let Ok(key) = VerifyKey::parse(proof.signer) {
                let whole = proof.verify(Kind::Votes, &leaf, &key, &federation);
                assert_eq!(
                    whole,
                    proof.verify_root(Kind::Votes, &root, &key, &federation)
                );
                // what is signed as one kind is nothing as another
                assert!(
                    whole.is_err()
                        || proof
                            .verify(Kind::Events, &leaf, &key, &federation)
                            .is_err()
                );
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

pub(super) fn sync_request(bytes: &[u8]) -> bool {
    exact::<Request>(bytes).is_some()
}

pub(super) fn sync_answer(bytes: &[u8]) -> bool {
    let Some(answer) = exact::<Answer>(bytes) else {
        return false;
    };
    match &answer {
        Answer::Status(batch) => batch.iter().for_each(|batch| check_batch(batch)),
        Answer::Own {
            heartbeat, votes, ..
        } => {
            heartbeat.iter().for_each(|batch| check_batch(batch));
            votes.iter().for_each(|signed| check_proof(&signed.proof));
        }
        Answer::Log { entries, .. } => entries.iter().for_each(check_certificate),
        Answer::Open {
            batches,
            statements,
            certificates,
            ..
        } => {
            batches.iter().for_each(check_batch);
            statements
                .iter()
                .for_each(|signed| check_proof(&signed.proof));
            certificates.iter().for_each(check_certificate);
        }
        Answer::Events(events) => events
            .iter()
            .filter_map(|event| event.announced.as_ref())
            .for_each(check_proof),
        Answer::Evidence(all) => all.iter().for_each(check_evidence),
        Answer::Change(change) => check_change_answer(change),
        Answer::Refused(_) => {}
    }
    true
}

fn check_change_answer(answer: &ChangeAnswer) {
    match answer {
        ChangeAnswer::Epochs(certificates) => certificates.iter().for_each(check_certificate),
        ChangeAnswer::Manifests(_) | ChangeAnswer::Standing(_) => {}
        ChangeAnswer::Ready(batches) => batches.iter().for_each(check_batch),
        ChangeAnswer::Closes(closes) => closes
            .iter()
            .for_each(|held| check_proof(&held.close.proof)),
        ChangeAnswer::Sets(parts) => parts.iter().for_each(|(prefix, part)| {
            // its own digest is never what is wrong with a part
            if let Some(part) = part.clone().read::<{ CertifiedEntry::LEN }>() {
                let checked = part.check(prefix, &part.digest());
                assert!(!matches!(checked, Err(PartError::Digest { .. })));
            }
        }),
        ChangeAnswer::Polkas(proofs) => proofs.iter().for_each(|proof| match proof {
            LockProof::Prevotes { prevotes, .. } => prevotes
                .iter()
                .for_each(|signed| check_proof(&signed.proof)),
            LockProof::Certificate(certificate) => check_certificate(certificate),
        }),
    }
}

pub(super) fn evidence(bytes: &[u8]) -> bool {
    exact::<Evidence>(bytes)
        .map(|evidence| check_evidence(&evidence))
        .is_some()
}

/// That what is believed names its member, and that nothing is believed of somebody who signed
/// neither half.
fn check_evidence(evidence: &Evidence) {
    let (manifest, federation, voters, _) = federation(4);
    let verifier = evidence::Verifier::new(
        federation,
        &manifest,
        voters,
        manifest.event_policies.clone(),
    );
    if evidence.verify(&verifier).is_ok() {
        assert_eq!(evidence.federation_id, federation);
        if let Some(member) = evidence.member() {
            assert!(manifest.member(&member).is_some(), "{member} is no member");
        }
    }
}

pub(super) fn evidence_json(bytes: &[u8]) -> bool {
    let Ok(evidence) = Evidence::parse(bytes) else {
        return false;
    };
    check_evidence(&evidence);
    assert!(Evidence::parse(evidence.to_pretty().as_bytes()).as_ref() == Ok(&evidence));
    assert!(exact::<Evidence>(&wire::encode(&evidence)).as_ref() == Some(&evidence));
    true
}

/// That its forms read back, and that only what has a quorum verifies.
fn check_certificate(certificate: &Certificate) {
    if certificate.epoch.0 <= MAX_NUMBER {
        let json = certificate.to_json();
        assert_eq!(
            Certificate::parse_json(json.clone()).as_ref(),
            Ok(certificate)
        );
        assert!(Certificate::parse(json.to_jcs().as_bytes()).as_ref() == Ok(certificate));
    }
    let (manifest, federation, voters, _) = federation(4);
    let mut verifier = Verifier::with_voters(
        federation,
        manifest.epoch,
        &voters,
        &manifest.event_policies,
    );
    if certificate.verify(&mut verifier).is_ok() {
        let signers: BTreeSet<_> = certificate
            .precommits
            .iter()
            .map(|proof| proof.signer)
            .collect();
        assert!(
            signers.len() == certificate.precommits.len() && signers.len() >= 3,
            "{signers:?} are no quorum"
        );
        assert_eq!(certificate.choice, certificate.event.choice());
        assert_eq!(
            certificate.event.check_admissible(certificate.epoch),
            Ok(())
        );
    }
}

pub(super) fn certificate_json(bytes: &[u8]) -> bool {
    let Ok(certificate) = Certificate::parse(bytes) else {
        return false;
    };
    check_certificate(&certificate);
    assert!(Certificate::parse(certificate.to_pretty().as_bytes()).as_ref() == Ok(&certificate));
    assert!(exact::<Certificate>(&wire::encode(&certificate)).as_ref() == Some(&certificate));
    true
}

pub(super) fn manifest_json(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::parse(bytes) else {
        return false;
    };
    for form in [manifest.to_jcs(), manifest.to_pretty()] {
        let read = Manifest::parse(form.as_bytes());
        assert!(read.as_ref() == Ok(&manifest));
        assert_eq!(
            read.map(|read| read.federation_id()),
            Ok(manifest.federation_id())
        );
    }
    if manifest.epoch.0 > 0 {
        let event = manifest.epoch_event();
        let before = Epoch(manifest.epoch.0 - 1);
        let is_dated = crate::event::is_timestamp(&manifest.created_at);
        assert_eq!(event.check_admissible(before).is_ok(), is_dated);
    }
    if manifest.validate_genesis().is_ok() {
        let voters = manifest.voters();
        assert!(
            voters.is_ok_and(|v| v.len() >= 2
                && v.quorum() <= v.total()
                && 2 * v.quorum() > v.total())
        );
        assert!(manifest.members.len() <= limits::MEMBERS);
    }
    true
}

pub(super) fn card_json(bytes: &[u8]) -> bool {
    let Ok(card) = MemberCard::parse(bytes) else {
        return false;
    };
    for form in [card.to_json().to_jcs(), card.to_pretty()] {
        assert!(MemberCard::parse(form.as_bytes()).as_ref() == Ok(&card));
    }
    if card.verify().is_ok() {
        let mut other = card;
        other.member.organization.push('x');
        assert!(other.verify().is_err(), "a signature holds for two cards");
    }
    true
}

pub(super) fn handover_json(bytes: &[u8]) -> bool {
    let Ok(handover) = Handover::parse(bytes) else {
        return false;
    };
    for form in [handover.to_json().to_jcs(), handover.to_pretty()] {
        assert!(Handover::parse(form.as_bytes()).as_ref() == Ok(&handover));
    }
    let genesis = manifest(4);
    let (federation, in_force) = (genesis.federation_id(), genesis.hash());
    if handover.verify(&federation, &in_force).is_ok() {
        let mut other = handover;
        other.card.member.node_name.push('x');
        assert!(other.verify(&federation, &in_force).is_err());
    }
    true
}

/// What is read keeps its bounds and is of the federation that its genesis manifest says.
pub(super) fn invite_json(bytes: &[u8]) -> bool {
    let Ok(invite) = Invite::parse(bytes) else {
        return false;
    };
    for form in [invite.to_json().to_jcs(), invite.to_pretty()] {
        assert!(Invite::parse(form.as_bytes()).as_ref() == Ok(&invite));
    }
    assert_eq!(invite.federation_id, invite.genesis.federation_id());
    assert!((1..=limits::INVITE_PEERS).contains(&invite.peers.len()));
    true
}

/// A line that is read is one that can be written, and a chain takes only what its voters signed.
pub(super) fn chain_line(bytes: &[u8]) -> bool {
    let Ok(line) = ChainLine::parse(bytes) else {
        return false;
    };
    let text = line.to_text();
    assert!(text.ends_with('\n') && !text[..text.len() - 1].contains('\n'));
    assert!(ChainLine::parse(text.as_bytes()).as_ref() == Ok(&line));
    match line {
        ChainLine::Certificate(certificate) => check_certificate(&certificate),
        ChainLine::Link(link) => {
            if let Ok(mut chain) = Chain::new(manifest(4)) {
                let (hash, epoch) = (link.manifest.hash(), link.manifest.epoch);
                if chain.extend(*link).is_ok() {
                    assert!(epoch.0 == 1 && chain.check_pin(&hash).is_ok());
                }
                assert_eq!(chain.latest().epoch.0 + 1, chain.manifests().count() as u64);
            }
        }
    }
    true
}

pub(super) fn read_heartbeat(bytes: &[u8]) -> Option<Heartbeat> {
    Heartbeat::parse_json(Json::parse(bytes, limits::MESSAGE_BYTES).ok()?).ok()
}

pub(super) fn heartbeat_json(bytes: &[u8]) -> bool {
    let Some(heartbeat) = read_heartbeat(bytes) else {
        return false;
    };
    assert_eq!(heartbeat.check(), Ok(()));
    check_heartbeat(&heartbeat);
    true
}

/// What is within the limits has a canonical form that reads back.
fn check_heartbeat(heartbeat: &Heartbeat) {
    if heartbeat.check().is_ok() {
        let leaf = heartbeat.leaf_bytes();
        assert!(read_heartbeat(&leaf).as_ref() == Some(heartbeat));
    }
}

pub(super) fn strict_json(bytes: &[u8]) -> bool {
    let Ok(json) = Json::parse(bytes, limits::MESSAGE_BYTES) else {
        return false;
    };
    let jcs = json.to_jcs();
    assert!(
        jcs.len() <= bytes.len(),
        "the canonical form is the shortest"
    );
    for form in [&jcs, &json.to_pretty()] {
        // indentation can make more than it bounds, and only of what is written by this node itself
        assert!(Json::parse(form.as_bytes(), usize::MAX).as_ref() == Ok(&json));
    }
    // what the strict reader takes, a lenient one takes for the same
    let lenient = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    assert!(lenient(bytes).is_some() && lenient(bytes) == lenient(jcs.as_bytes()));
    true
}

/// A line that is read is one that can be written, and reads the same again.
pub(super) fn git_line(bytes: &[u8]) -> bool {
    let Ok(line) = Line::parse(bytes) else {
        return false;
    };
    match &line {
        Line::Batch(batch) => check_batch(batch),
        Line::Statement(signed) => check_proof(&signed.proof),
        Line::Event(proven) => proven.announced.iter().for_each(check_proof),
        Line::Certificate(certificate) => check_certificate(certificate),
    }
    let text = line.to_text();
    assert!(text.is_some_and(|text| Line::parse(text.as_bytes()).as_ref() == Ok(&line)));
    true
}

pub(super) fn git_head(bytes: &[u8]) -> bool {
    let Ok(head) = BranchHead::parse(bytes) else {
        return false;
    };
    assert!(head.heard.len() <= limits::MEMBERS);
    assert!(BranchHead::parse(head.to_pretty().as_bytes()).as_ref() == Ok(&head));
    true
}
