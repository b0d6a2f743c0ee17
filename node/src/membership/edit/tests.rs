//! Changes in a few words: what comes of them, and what is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use ssid_protocol::testing::{key, manifest, successor};

use super::*;

fn draft() -> Manifest {
    successor(&manifest(4))
}

fn id(index: usize) -> NodeId {
    key(u8::try_from(index).unwrap()).node_id()
}

/// The card of a node that is no member.
fn card() -> Box<MemberCard> {
    let mut member = manifest(6).members.remove(5);
    member.node_name = "Oslo".into();
    Box::new(MemberCard::sign(member, &key(5)))
}

fn add(card: Box<MemberCard>) -> Edit {
    Edit::Add {
        card,
        role: None,
        weight: None,
    }
}

/// The result, which is a valid manifest after that of the draft.
fn valid(edits: &[Edit]) -> Manifest {
    let next = edited(draft(), edits).unwrap();
    let genesis = manifest(4);
    let valid = next.validate_successor(&genesis, &genesis, &BTreeSet::new());
    assert_eq!(valid, Ok(()), "{edits:?}");
    next
}

fn refusal(edits: &[Edit]) -> EditError {
    edited(draft(), edits).unwrap_err()
}

#[test]
fn a_card_becomes_a_member_with_the_role_that_is_said() {
    let next = valid(&[add(card())]);
    let oslo = next.members.last().unwrap();
    assert_eq!((oslo.node_id, oslo.role), (id(5), Role::Participant));
    let next = valid(&[Edit::Add {
        card: card(),
        role: Some(Role::Observer),
        weight: Some(7),
    }]);
    let oslo = next.members.last().unwrap();
    assert_eq!((oslo.role, oslo.weight), (Role::Observer, 7));
}

#[test]
fn a_member_leaves_returns_and_does_something_else() {
    assert!(valid(&[Edit::Remove(id(2))]).member(&id(2)).is_none());
    let suspended = valid(&[Edit::Status(id(3), Status::Suspended)]);
    let back = edited(suspended, &[Edit::Status(id(3), Status::Active)]).unwrap();
    assert_eq!(back.members, draft().members);
    let next = valid(&[
        Edit::Role(id(1), Role::Coordinator),
        Edit::Role(id(0), Role::Observer),
    ]);
    assert_eq!(next.members[1].role, Role::Coordinator);
    let moved = vec!["/ip4/192.0.2.7/tcp/4170".to_owned()];
    let next = valid(&[
        Edit::Addresses(id(1), moved.clone()),
        Edit::Weight(id(1), 9),
    ]);
    assert_eq!(
        (&next.members[1].addresses, next.members[1].weight),
        (&moved, 9)
    );
}

#[test]
fn rules_are_set() {
    let next = valid(&[
        Edit::Threshold(7_000),
        Edit::MinParticipating(3),
        Edit::TieBreaking(TieBreak::ManualReview),
        Edit::AutoResolve(true),
    ]);
    assert_eq!(
        (next.threshold_bp, next.min_participating_nodes),
        (7_000, 3)
    );
    assert_eq!(next.tie_breaking_strategy, TieBreak::ManualReview);
    assert!(next.auto_resolve_conflicts);
}

#[test]
fn a_lost_key_is_replaced_in_its_place_with_what_the_member_was_allowed_to() {
    let mut weak = card();
    weak.member.role = Role::Observer;
    let weak = Box::new(MemberCard::sign(weak.member, &key(5)));
    let next = valid(&[Edit::ReplaceLost {
        former: id(0),
        card: weak,
    }]);
    assert_eq!(next.members[0].node_id, id(5));
    assert_eq!(next.members[0].role, Role::Coordinator);
    assert_eq!(next.members.len(), 4);
    let succeeds = next.change.unwrap().succeeds;
    assert_eq!((succeeds[0].member, succeeds[0].former), (id(5), id(0)));
}

#[test]
fn a_member_may_keep_its_network_key_with_another_voting_key() {
    let mut member = manifest(4).members.remove(1);
    member.node_id = id(5);
    let card = Box::new(MemberCard::sign(member, &key(5)));
    let former = id(1);
    let next = valid(&[Edit::ReplaceLost {
        former,
        card: card.clone(),
    }]);
    assert_eq!(next.members[1].peer_id, "peer-1");
    // and nobody else may have it
    assert_eq!(refusal(&[add(card)]), EditError::PeerTaken("Node-1".into()));
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let forged = || {
        let mut card = card();
        card.member.node_name.push('x');
        card
    };
    let own = Box::new(MemberCard::sign(manifest(4).members.remove(1), &key(1)));
    let replace = |former, card| Edit::ReplaceLost { former, card };
    let away = |index| Edit::Status(id(index), Status::Suspended);
    let cases: Vec<(Vec<Edit>, &str)> = vec![
        (vec![Edit::Remove(id(7))], "is not a member"),
        (vec![away(7)], "is not a member"),
        (vec![replace(id(7), card())], "is not a member"),
        (vec![add(own.clone())], "Node-1 is a member already"),
        (
            vec![replace(id(1), own.clone())],
            "Node-1 is a member already",
        ),
        (vec![replace(id(2), own)], "Node-1 is a member already"),
        (vec![add(card()), add(card())], "Oslo is a member already"),
        (vec![add(forged())], "the card of Oslox is not its own"),
        (
            vec![replace(id(1), forged())],
            "the card of Oslox is not its own",
        ),
        (vec![Edit::Remove(id(0))], "Node-0 is the only coordinator"),
        (vec![away(0)], "Node-0 is the only coordinator"),
        (
            vec![Edit::Role(id(0), Role::Participant)],
            "Node-0 is the only coordinator",
        ),
        (
            vec![away(1), away(2), Edit::Remove(id(3))],
            "only 1 would be left",
        ),
        (vec![Edit::MinParticipating(5)], "only 4 would be left"),
        (
            vec![Edit::Status(id(1), Status::Active)],
            "Node-1 is active already",
        ),
        (
            vec![Edit::Role(id(1), Role::Participant)],
            "Node-1 is participant already",
        ),
        (vec![Edit::Threshold(6_600)], "the threshold is so already"),
    ];
    for (edits, says) in cases {
        let message = refusal(&edits).to_string();
        assert!(message.contains(says), "{edits:?}: {message}");
    }
}

#[test]
fn a_key_that_was_replaced_does_not_return() {
    let first = edited(
        draft(),
        &[Edit::ReplaceLost {
            former: id(1),
            card: card(),
        }],
    );
    let first = first.unwrap();
    let own = Box::new(MemberCard::sign(manifest(4).members.remove(1), &key(1)));
    let back = edited(successor(&first), &[add(own)]).unwrap();
    let replaced = BTreeSet::from([id(1)]);
    let refused = back.validate_successor(&first, &manifest(4), &replaced);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("such a key never returns"), "{message}");
}

#[test]
fn a_change_has_a_reason_in_words() {
    let edits = [add(card()), Edit::Status(id(2), Status::Suspended)];
    assert_eq!(
        in_words(&draft(), &edits),
        "Oslo joins, Node-2 is suspended"
    );
}
