//! A key that takes the place of another: who approves learns whether the old key said so, and what
//! was thought of that holds for the new one.

use ssid_protocol::card::MemberCard;
use ssid_protocol::handover::Handover;
use ssid_protocol::manifest::Succession;
use ssid_protocol::trust::{TrustNote, TrustReason};

use super::*;
use crate::Adjustment;

/// Four members, and a fifth node whose key is to take the place of the fourth's.
fn four_and_a_next_key() -> (Net, Manifest) {
    let mut genesis = testing::manifest(5);
    genesis.members.pop();
    let mut net = Net::of(genesis, 5, EngineSettings::default());
    net.settle();
    let (former, member) = (net.ids[3], net.ids[4]);
    let manifest = change(&net, 0, |manifest| {
        manifest.members[3].node_id = member;
        let change = manifest.change.as_mut().unwrap();
        change.succeeds = vec![Succession { member, former }];
    });
    (net, manifest)
}

fn handover(net: &Net, manifest: &Manifest) -> Handover {
    let (_, _, _, keys) = testing::federation(5);
    let card = MemberCard::sign(manifest.members[3].clone(), &keys[4]);
    let previous = manifest.change.as_ref().unwrap().previous;
    Handover::sign(net.manifest.federation_id(), previous, &keys[3], card)
}

/// The hand-overs that a node holds with the one proposal that it knows.
fn held(net: &Net, node: usize) -> Vec<String> {
    let mut rows = net.store(node).proposals().map(Result::unwrap);
    let (_, row) = rows.next().unwrap();
    assert!(rows.next().is_none(), "node {node}");
    row.handovers
}

#[test]
fn a_hand_over_reaches_the_others_with_the_manifest_and_outlives_a_restart() {
    let (mut net, manifest) = four_and_a_next_key();
    let good = handover(&net, &manifest);
    let command = Command::Propose(Box::new(manifest), vec![good.clone()], decider());
    net.command(3, command);
    net.settle();
    let only = [good.to_json().to_jcs()];
    for node in 0..4 {
        assert_eq!(held(&net, node), only, "node {node}");
    }
    net.stop(0);
    net.start(0);
    net.settle();
    assert_eq!(held(&net, 0), only);
}

#[test]
fn a_hand_over_that_the_former_key_did_not_sign_is_not_kept() {
    let (mut net, manifest) = four_and_a_next_key();
    let mut forged = handover(&net, &manifest);
    forged.signature.0[0] ^= 1;
    let command = Command::Propose(Box::new(manifest), vec![forged], decider());
    net.command(3, command);
    net.settle();
    for node in 0..4 {
        assert!(held(&net, node).is_empty(), "node {node}");
    }
}

#[test]
fn the_score_of_a_key_passes_on_to_the_one_that_follows_and_it_votes() {
    let (mut net, manifest) = four_and_a_next_key();
    let note = TrustNote {
        by: "ada".into(),
        words: "audited".into(),
    };
    let adjustment = Adjustment {
        member: net.ids[3],
        boost: true,
        note,
    };
    net.command(0, Command::Adjust(adjustment));
    let before = net.score(0, 3);
    assert!(before > 50, "{before}");
    carry_through(&mut net, &manifest, &[1, 2]);
    assert_eq!(epochs(&net)[..3], [1, 1, 1]);
    // either earned a point or two by syncs and votes meanwhile
    let rows = net.points(4, TrustReason::Succession);
    let expected = before - 52..=before - 46;
    assert!(
        matches!(rows[..], [points] if expected.contains(&points)),
        "{rows:?}"
    );
    assert!(net.score(0, 4) >= before, "{}", net.score(0, 4));
    let event = testing::event("release", "by the next key");
    net.emit(4, std::slice::from_ref(&event));
    net.settle();
    assert!(net.certified(0).contains(&event.choice()));
}
