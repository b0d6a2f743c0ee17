//! Endorsing and refusing what others announced, by policies and by people (SPEC §7 rule 1).

use super::*;

/// Four nodes with this policy, and an event that the first of them has announced.
fn announced(policy: Endorsement) -> (Net, Event) {
    let mut net = Net::with(testing::manifest(4), with_policy(policy));
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    (net, event)
}

#[test]
fn the_operator_policy_waits_until_a_person_endorses() {
    let (mut net, event) = announced(Endorsement::Operator);
    net.pass(5);
    net.assert_all_certified(&[]);
    for node in 1..4 {
        let (status, view) = (net.status(node), net.view(node, &event));
        assert_eq!(
            (status.awaiting_review, view.awaiting_review),
            (1, true),
            "node {node}"
        );
        let review = view.review.unwrap();
        assert_eq!(review.reason, ReviewReason::Operator);
        assert!(
            review
                .explanation
                .contains("the policy for blueprint_tagged is operator"),
            "{review:?}"
        );
    }
    assert_eq!(net.status(0).awaiting_review, 0, "its own event");
    for node in 1..3 {
        let done = net.operate(node, NoteKind::Endorse, &event).unwrap();
        assert!(done.explanation.contains("prevoted event"), "{done:?}");
        net.settle();
    }
    net.assert_all_certified(std::slice::from_ref(&event));
    assert_eq!(net.record(3, 0).resolution, Resolution::Achieved);
}

#[test]
fn an_endorsement_is_taken_once_and_survives_a_restart() {
    let (mut net, event) = announced(Endorsement::Operator);
    net.operate(1, NoteKind::Endorse, &event).unwrap();
    let bytes = net.engine(1).record.journal_bytes();
    net.operate(1, NoteKind::Endorse, &event).unwrap();
    assert_eq!(
        net.engine(1).record.journal_bytes(),
        bytes,
        "nothing new is written"
    );
    let refused = net.operate(1, NoteKind::Refuse, &event).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Voted);
    net.settle_except(votes_are_lost);
    net.restart(1);
    assert_eq!(net.prevote(1, &event, 0), Some(Some(event.clone())));
    assert_eq!(net.status(1).awaiting_review, 0);
    net.operate(2, NoteKind::Endorse, &event).unwrap();
    net.settle();
    net.pass(10);
    net.assert_all_certified(std::slice::from_ref(&event));
}

#[test]
fn a_refusal_is_a_nil_prevote() {
    let (mut net, event) = announced(Endorsement::Operator);
    let done = net.operate(1, NoteKind::Refuse, &event).unwrap();
    assert_eq!(done.explanation, "this node prevoted nil in round 0");
    assert_eq!(net.prevote(1, &event, 0), Some(None));
    net.restart(1);
    assert_eq!(net.prevote(1, &event, 0), Some(None));
    net.operate(2, NoteKind::Refuse, &event).unwrap();
    net.settle();
    net.pass(2);
    assert_eq!(
        net.status(3).conflicts,
        1,
        "two of four refuse: no quorum can be reached"
    );
    let refused = net.operate(3, NoteKind::Endorse, &event).unwrap_err();
    assert!(
        refused.hint.unwrap().contains("ssid conflicts resolve"),
        "{}",
        refused.reason
    );
}

#[test]
fn an_own_event_is_neither_endorsed_nor_refused() {
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Operator));
    net.settle();
    let (event, other) = two();
    net.tick(1, vec![observed(vec![other.clone()])]);
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    let refused = net.operate(1, NoteKind::Endorse, &event).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Voted, "{refused:?}");
}

#[test]
fn observed_never_endorses() {
    let (mut net, event) = announced(Endorsement::Observed);
    net.pass(5);
    net.assert_all_certified(&[]);
    let view = net.view(1, &event);
    assert_eq!(
        (view.review.unwrap().reason, view.awaiting_review),
        (ReviewReason::Observed, false)
    );
    let endorsed = net.operate(1, NoteKind::Endorse, &event);
    assert!(endorsed.is_err(), "{endorsed:?}");
}

#[test]
fn whoever_reviews_too_late_has_refused() {
    for (hours, expected) in [(1, Some(None)), (3, None)] {
        let review_timeout = Duration::from_hours(hours);
        let settings = EngineSettings {
            review_timeout,
            ..with_policy(Endorsement::Operator)
        };
        let mut net = Net::with(testing::manifest(4), settings);
        net.settle();
        let (event, _) = two();
        net.emit(0, std::slice::from_ref(&event));
        net.settle();
        net.now = UnixMillis(net.now.0 + 60_000);
        net.restart(1); // the time runs on while a node is away
        net.now = UnixMillis(net.now.0 + 2 * 3_600_000 - 60_000);
        net.tick(1, Vec::new());
        assert_eq!(net.prevote(1, &event, 0), expected, "{hours} h");
    }
}

/// Found by the simulation: what was endorsed while nothing could be signed yet stood beside what
/// was endorsed later, and the node voted for neither.
#[test]
fn what_is_endorsed_before_signing_stands_in_nobodys_way() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    net.settle();
    let (a, b) = two();
    for (node, event) in [(0, &a), (1, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    let known_to = |node| {
        net.engine(node)
            .open
            .values()
            .flat_map(|open| open.announced.values())
            .next()
            .unwrap()
    };
    let batches: Vec<_> = [0, 1].map(known_to).into_iter().cloned().collect();
    net.messages.clear();
    net.start(3);
    net.messages.clear(); // nobody has told it what it signed
    for (from, announced) in batches.into_iter().enumerate() {
        let crate::proof::Proof::Batch(batch, _) = announced else {
            panic!("an own announcement")
        };
        net.tick(
            3,
            vec![Inbound::Batch {
                batch,
                from: net.ids[from],
                ticket: None,
            }],
        );
    }
    assert_eq!(
        net.view(3, &a).review.unwrap().reason,
        ReviewReason::Disagreeing
    );
    net.operate(3, NoteKind::Endorse, &b).unwrap();
    net.stop(3);
    net.settle();
    net.start(3);
    net.settle();
    assert_eq!(
        net.prevote(3, &b, 0),
        Some(Some(b)),
        "as its operator decided"
    );
}

/// Found by the simulation: a liar served a candidate without its proof, and nobody was asked about
/// the others any more.
#[test]
fn an_unproven_candidate_hides_no_review() {
    let mut net = Net::new(4);
    net.settle();
    let (early, other) = two();
    let early = Event {
        timestamp: "2025-10-11T20:10:00Z".into(),
        ..early
    };
    net.emit(0, std::slice::from_ref(&early));
    net.settle();
    for commit in 0..8 {
        // before and behind it in the order of candidates
        let unproven = Event {
            commit_hash: format!("{commit}{}", &other.commit_hash[1..]),
            ..early.clone()
        };
        let request = ssid_protocol::sync::Request::Events {
            digests: vec![unproven.content_digest()],
        };
        let answer = Some(crate::CheckedAnswer::Events(vec![(unproven, None)]));
        net.tick(
            1,
            vec![Inbound::Answered {
                from: net.ids[3],
                request,
                answer,
            }],
        );
    }
    let view = net.view(1, &early);
    assert_eq!(
        (view.candidates.len(), view.review.unwrap().reason),
        (9, ReviewReason::Untimely)
    );
}

#[test]
fn events_of_the_future_and_of_the_distrusted_wait_for_a_person() {
    let mut net = Net::new(4);
    net.settle();
    let early = Event {
        timestamp: "2025-10-11T20:10:00Z".into(),
        ..testing::event(TYPE, "v1")
    };
    net.emit(0, std::slice::from_ref(&early));
    net.settle();
    let review = net.view(1, &early).review.unwrap();
    assert_eq!(review.reason, ReviewReason::Untimely);
    net.pass(301);
    net.assert_all_certified(&[early]);
    let mut net = Net::new(4);
    net.settle();
    let (event, _) = two();
    for node in 1..4 {
        let (member, at) = (net.ids[0], net.now);
        let reason = ssid_protocol::trust::TrustReason::Equivocation;
        let change = ssid_protocol::trust::TrustChange {
            member,
            reason,
            points: reason.points(),
            at,
            origin: None,
            reference: "t".into(),
            note: None,
        };
        net.engine_mut(node).trust.apply(&change);
    }
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    let review = net.view(1, &event).review.unwrap();
    assert_eq!(review.reason, ReviewReason::LowTrust);
    assert!(
        review.explanation.contains("Node-0 announced it"),
        "{review:?}"
    );
    assert_eq!(net.status(1).awaiting_review, 1);
}
