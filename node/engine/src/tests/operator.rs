//! Rounds after the first and people in them (SPEC §7 rules 1, 6 and 7), over several engines.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::batch::Statements;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Round, UnixMillis};
use ssid_protocol::manifest::{Manifest, TieBreak};
use ssid_protocol::record::Resolution;
use ssid_protocol::testing;
use ssid_storage::{DecisionRow, NoteKind};

use super::{Net, observed};
use crate::settings::{Endorsement, EngineSettings};
use crate::{
    Command, Decider, Inbound, NodeEvent, Operated, Operation, OperatorRefusal, RefusalKind,
    ReviewReason,
};

mod commits;

const TYPE: &str = "blueprint_tagged";

/// Who decides in these tests.
fn by() -> Decider {
    Decider {
        by: "Ada (ada)".into(),
        reason: "the other tag was moved".into(),
    }
}

/// Two events of one subject that do not agree; the second is earlier.
fn two() -> (Event, Event) {
    let a = testing::event(TYPE, "v4.4.0");
    let b = Event {
        commit_hash: "fffffff".into(),
        timestamp: "2025-10-11T19:59:00Z".into(),
        ..a.clone()
    };
    (a, b)
}

fn automatic(strategy: TieBreak) -> Manifest {
    Manifest {
        auto_resolve_conflicts: true,
        tie_breaking_strategy: strategy,
        ..testing::manifest(4)
    }
}

fn with_policy(policy: Endorsement) -> EngineSettings {
    EngineSettings {
        endorsement_by_event: BTreeMap::from([(TYPE.into(), policy)]),
        ..EngineSettings::default()
    }
}

impl Net {
    fn operate(
        &mut self,
        node: usize,
        kind: NoteKind,
        event: &Event,
    ) -> Result<Operated, OperatorRefusal> {
        let operation = Operation {
            kind,
            subject: self.subject(event),
            choice: event.choice(),
        };
        self.command(node, Command::Operate(operation, by()));
        self.operated.pop().unwrap()
    }
}

fn votes_are_lost(_: usize, input: &Inbound) -> bool {
    matches!(input, Inbound::Batch { batch, .. } if matches!(batch.statements(), Statements::Votes(_)))
}

#[test]
fn three_operators_decide_a_conflict_and_the_fourth_follows() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(1);
    let in_conflict = |net: &Net| {
        (0..4)
            .map(|node| net.status(node).conflicts)
            .collect::<Vec<_>>()
    };
    assert_eq!(in_conflict(&net), [1; 4]);
    let told = net
        .events
        .iter()
        .filter(|(_, event)| matches!(event, NodeEvent::Conflict { .. }))
        .count();
    assert_eq!(told, 4);
    for node in 0..3 {
        let view = net.view(node, &a);
        assert!(
            view.in_conflict && view.no_choice_because.is_none() && view.locked.is_none(),
            "{view:?}"
        );
        let done = net.operate(node, NoteKind::Stand, &b).unwrap();
        assert_eq!((done.round, done.quorum), (Round(1), 3), "{done:?}");
        assert!(
            done.explanation.contains("your choice is recorded: event"),
            "{done:?}"
        );
        // those who have not chosen yet have names
        let waits_for = |name: &str| {
            done.explanation
                .split_once("still to choose")
                .is_some_and(|(_, n)| n.contains(name))
        };
        assert_eq!(
            (waits_for("Node-3"), waits_for("Node-0")),
            (node < 2, false),
            "{done:?}"
        );
        let decisions = net.store(node).decisions_of(&net.subject(&b)).unwrap();
        let [
            DecisionRow {
                kind: NoteKind::Stand,
                by,
                reason,
                choice,
                ..
            },
        ] = &decisions[..]
        else {
            panic!("{decisions:?}")
        };
        assert_eq!(
            (by.as_str(), reason.as_str(), *choice),
            ("Ada (ada)", "the other tag was moved", b.choice())
        );
        net.settle();
        if node == 1 {
            assert_eq!(
                in_conflict(&net),
                [1; 4],
                "the others' operators are waited for"
            );
        }
    }
    net.assert_all_certified(std::slice::from_ref(&b));
    for node in 0..4 {
        let record = net.record(node, 0);
        assert_eq!(
            (record.round, record.resolution),
            (Round(1), Resolution::ManualReview),
            "node {node}"
        );
        assert!(net.store(node).conflicts().unwrap().is_empty());
    }
    let refused = net.operate(3, NoteKind::Stand, &a).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Decided, "{refused:?}");
}

#[test]
fn choosing_is_refused_while_round_0_has_not_failed() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    let (a, b) = two();
    net.observe(&[&a, &b]);
    let refused = net.operate(0, NoteKind::Stand, &a).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::RoundUnfailed);
    assert_eq!(
        refused.reason,
        "round 0 has not failed yet: prevotes of Node-2, Node-3 are missing"
    );
    assert_eq!(net.view(0, &a).no_choice_because, Some(refused.reason));
    let unknown = testing::event(TYPE, "v9");
    assert_eq!(
        net.operate(0, NoteKind::Stand, &unknown).unwrap_err().kind,
        RefusalKind::NotOpen
    );
    let operation = Operation {
        kind: NoteKind::Stand,
        subject: net.subject(&a),
        choice: unknown.choice(),
    };
    net.command(0, Command::Operate(operation, by()));
    assert_eq!(
        net.operated.pop().unwrap().unwrap_err().kind,
        RefusalKind::UnknownCandidate
    );
    let refused = net.operate(0, NoteKind::Endorse, &b).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Voted, "{refused:?}");
}

/// Every node's prevotes for a reach node 0 only, which locks it; its precommit and everybody's
/// others fail the round.
fn locked_on_a(net: &mut Net, a: &Event, b: &Event) {
    net.settle();
    for (node, event) in [a, a, a, b].iter().enumerate() {
        net.tick(node, vec![observed(vec![(*event).clone()])]);
    }
    // node 1's prevote reaches nobody but node 0: the others see two prevotes for a, one for b
    let one = net.ids[1];
    net.settle_except(|to, input| match input {
        Inbound::Batch { batch, from, .. } => {
            to != 0 && *from == one && matches!(batch.statements(), Statements::Votes(_))
        }
        Inbound::Answered { .. } => true,
        _ => false,
    });
}

#[test]
fn a_locked_node_says_so_and_prevotes_its_lock() {
    let mut net = Net::new(4);
    let (a, b) = two();
    locked_on_a(&mut net, &a, &b);
    let lock = net
        .view(0, &a)
        .locked
        .expect("node 0 saw three prevotes for a");
    assert_eq!((lock.round, lock.choice), (Round::ZERO, a.choice()));
    net.now = UnixMillis(net.now.0 + 61_000);
    (1..4).for_each(|node| net.tick(node, Vec::new()));
    net.settle_except(|to, input| {
        to != 0 && votes_of(input, net_id(1)) || matches!(input, Inbound::Answered { .. })
    });
    net.now = UnixMillis(net.now.0 + 2_000);
    (0..4).for_each(|node| net.tick(node, Vec::new()));
    let done = net.operate(0, NoteKind::Stand, &b).unwrap();
    let words = format!(
        "this node is locked on event {} since round 0; it prevotes its lock",
        a.event_hash()
    );
    assert!(done.explanation.starts_with(&words), "{done:?}");
    assert!(
        done.explanation
            .contains("your choice stands for later rounds"),
        "{done:?}"
    );
    assert_eq!(
        net.prevote(0, &a, 1),
        Some(Some(a.clone())),
        "whatever the operator chose"
    );
    assert_eq!(net.view(0, &a).standing, Some(b.choice()));
}

fn net_id(node: u8) -> ssid_protocol::id::NodeId {
    testing::key(node).node_id()
}

fn votes_of(input: &Inbound, node: ssid_protocol::id::NodeId) -> bool {
    matches!(input, Inbound::Batch { batch, from, .. } if *from == node && matches!(batch.statements(), Statements::Votes(_)))
}

#[test]
fn a_standing_choice_survives_a_restart_and_ends_with_the_decision() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(1);
    net.operate(3, NoteKind::Stand, &a).unwrap();
    net.settle();
    net.engine_mut(3).compact_journal().unwrap();
    net.restart(3);
    assert_eq!(
        net.view(3, &a).standing,
        Some(a.choice()),
        "also after compaction"
    );
    assert_eq!(net.prevote(3, &a, 1), Some(Some(a.clone())));
    for node in 0..2 {
        net.operate(node, NoteKind::Stand, &a).unwrap();
        net.settle();
    }
    net.pass(5);
    net.assert_all_certified(std::slice::from_ref(&a));
    let engine = net.engine_mut(3);
    engine.compact_journal().unwrap();
    net.stop(3);
    let path = net.homes[3].path().join("votes.journal");
    let (_, records, _) = ssid_storage::Journal::open(&path, net.ids[3], 0).unwrap();
    assert!(
        !records
            .iter()
            .any(|record| matches!(record, ssid_storage::JournalRecord::Note(_))),
        "{records:?}"
    );
}

#[test]
fn a_choice_made_before_its_vote_got_out_is_carried_on_after_a_restart() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(1);
    for node in 0..3 {
        net.operate(node, NoteKind::Stand, &a).unwrap();
    }
    net.settle_except(votes_are_lost);
    (0..3).for_each(|node| net.restart(node));
    net.pass(10);
    net.assert_all_certified(std::slice::from_ref(&a));
    assert_eq!(net.record(3, 0).resolution, Resolution::ManualReview);
}

#[test]
fn automatic_rounds_decide_by_time_with_nobody_acting() {
    let mut net = Net::with(
        automatic(TieBreak::TimestampPriority),
        EngineSettings::default(),
    );
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&b));
    for node in 0..4 {
        assert_eq!(
            net.record(node, 0).resolution.to_string(),
            "tie_break:timestamp_priority",
            "node {node}"
        );
        assert_eq!(net.status(node).conflicts, 0);
    }
}

#[test]
fn automatic_rounds_decide_for_the_coordinators_choice() {
    let mut net = Net::with(
        automatic(TieBreak::CoordinatorPriority),
        EngineSettings::default(),
    );
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]); // node 0 is the coordinator, b is earlier
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&a));
    assert_eq!(
        net.record(2, 0).resolution.to_string(),
        "tie_break:coordinator_priority"
    );
}

#[test]
fn automatic_rounds_decide_by_weight() {
    let mut manifest = Manifest {
        members: testing::manifest(7).members,
        ..automatic(TieBreak::TrustWeighted)
    };
    manifest.threshold_bp = 6600;
    let mut net = Net::with(manifest, EngineSettings::default());
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &a, &a, &b, &b, &b]); // 4 to 3 of 7, 5 decide; b is earlier
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&a));
    assert_eq!(
        net.record(5, 0).resolution.to_string(),
        "tie_break:trust_weighted"
    );
}

#[test]
fn under_manual_review_people_are_waited_for() {
    let mut net = Net::with(automatic(TieBreak::ManualReview), EngineSettings::default());
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(30);
    net.assert_all_certified(&[]);
    assert_eq!(net.status(0).conflicts, 1);
}

#[test]
fn the_operator_policy_waits_until_a_person_endorses() {
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Operator));
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
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
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Operator));
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
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
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Operator));
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
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
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Observed));
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
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
fn an_event_settles_before_it_is_endorsed_unless_enough_others_prevoted() {
    let settle_by_event = BTreeMap::from([(TYPE.into(), Duration::from_secs(20))]);
    let settings = EngineSettings {
        settle_by_event,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let event = testing::event(TYPE, "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.pass(15);
    net.assert_all_certified(&[]);
    let view = net.view(1, &event);
    assert_eq!(
        (view.review.as_ref().unwrap().reason, view.awaiting_review),
        (ReviewReason::Settling, false)
    );
    assert_eq!(
        view.review.unwrap().until,
        Some(UnixMillis(view.since.0 + 20_000))
    );
    net.pass(6);
    net.assert_all_certified(std::slice::from_ref(&event));
    // prevotes of two of four exceed F: nothing to wait for
    let next = testing::event(TYPE, "v2");
    net.observe(&[&next, &next]);
    net.assert_all_certified(&[event, next]);
}

#[test]
fn without_settling_an_event_is_endorsed_at_once() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event(TYPE, "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.assert_all_certified(&[event]);
}

#[test]
fn settled_events_that_do_not_agree_are_left_to_people_or_to_the_tie_break() {
    let settle_by_event = BTreeMap::from([(TYPE.into(), Duration::from_secs(20))]);
    let settings = EngineSettings {
        settle_by_event,
        ..EngineSettings::default()
    };
    let (a, b) = two();
    for (manifest, waits) in [
        (testing::manifest(4), true),
        (automatic(TieBreak::TimestampPriority), false),
    ] {
        let mut net = Net::with(manifest, settings.clone());
        net.settle();
        net.observe(&[&a, &b]);
        net.pass(25);
        if waits {
            let review = net.view(2, &a).review.unwrap();
            assert_eq!(review.reason, ReviewReason::Disagreeing, "{review:?}");
            assert_eq!(net.status(2).awaiting_review, 1);
            net.operate(2, NoteKind::Endorse, &a).unwrap();
            assert_eq!(net.prevote(2, &a, 0), Some(Some(a.clone())));
            net.operate(3, NoteKind::Endorse, &a).unwrap();
            net.settle();
            net.assert_all_certified(std::slice::from_ref(&a));
        } else {
            net.assert_all_certified(std::slice::from_ref(&b));
        }
    }
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
        let answer = Some(super::super::CheckedAnswer::Events(vec![(unproven, None)]));
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

#[test]
fn conversations_are_counted() {
    let mut net = Net::new(4);
    net.settle();
    let syncs = net.status(0).syncs;
    assert!(
        syncs.successful >= 3 && syncs.failed == 0 && syncs.last == Some(net.now),
        "{syncs:?}"
    );
    net.restart(3);
    net.stop(3);
    net.start(3);
    net.settle_except(|_, input| matches!(input, Inbound::Answered { .. }));
    net.stop(3);
    net.settle();
    assert!(net.status(0).syncs.failed >= 1, "a conversation broke off");
}

#[test]
fn a_read_only_node_takes_no_decision() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.engine_mut(0)
        .standing
        .make_read_only("the disk is full".into());
    let refused = net.operate(0, NoteKind::Stand, &a).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::ReadOnly);
    assert!(refused.reason.contains("the disk is full"));
}
