//! Events that this node announces, and those of others: what is taken, what is refused, what is
//! kept.

use ssid_storage::NoteKind;

use super::*;
use crate::settings::{ANNOUNCED_TOGETHER, Endorsement, UNSUPPORTED_OF_ORIGIN};
use crate::{Decider, Operation};

#[test]
fn offering_an_event_twice_or_against_the_rules_is_answered_in_words() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, &[event.clone(), event.clone()]);
    assert!(matches!(
        net.outcomes[..],
        [EmitOutcome::Accepted { .. }, EmitOutcome::Known { .. }]
    ));
    let other = other(&event);
    net.emit(
        0,
        &[
            other,
            Event {
                version: "a|b".into(),
                ..event.clone()
            },
        ],
    );
    let reasons: Vec<_> = net.outcomes[2..]
        .iter()
        .map(|outcome| format!("{outcome:?}"))
        .collect();
    assert!(
        reasons[0].contains("it stands for one event a subject"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("`version`") && reasons[1].contains("a|b"),
        "{reasons:?}"
    );
    net.settle();
    net.emit(1, &[event]);
    assert!(
        matches!(
            net.outcomes.last(),
            Some(EmitOutcome::Certified { sequence: 0, .. })
        ),
        "{:?}",
        net.outcomes
    );
}

#[test]
fn more_than_can_be_under_way_is_accepted_and_announced_in_turn() {
    let mut net = Net::new(2);
    net.settle();
    let all = events(6000);
    net.emit(0, &all);
    assert!(
        net.engine(0).own_events.queued().count() > 1,
        "the rest waits"
    );
    net.settle();
    net.pass(2);
    assert_eq!(net.certified(1).len(), all.len());
}

#[test]
fn an_own_announcement_outlives_restarts_and_compaction() {
    let mut net = Net::new(4);
    net.settle();
    (1..4).for_each(|node| net.stop(node));
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.pass(3);
    for _ in 0..2 {
        net.stop(0);
        net.start(0);
        net.settle();
        net.engine_mut(0).compact_journal().unwrap();
    }
    let other = Event {
        commit_hash: "fffffff".into(),
        ..event
    };
    net.emit(0, &[other]);
    let outcome = format!("{:?}", net.outcomes.last());
    assert!(
        outcome.contains("it stands for one event a subject"),
        "{outcome}"
    );
}

#[test]
fn an_event_that_nobody_announced_opens_nothing() {
    let mut net = Net::new(4);
    net.messages.clear();
    let answer = CheckedAnswer::Open {
        carried: Carried {
            events: vec![(testing::event("blueprint_tagged", "v4.4.0"), None)],
            ..Carried::default()
        },
        next: None,
    };
    let request = Request::Open {
        subjects: Vec::new(),
        after: None,
    };
    net.tick(
        0,
        vec![Inbound::Answered {
            from: net.ids[1],
            request,
            answer: Some(answer),
        }],
    );
    assert_eq!(net.engine(0).open.len(), 0);
}

#[test]
fn one_origins_many_events_for_one_subject_cost_nothing() {
    use ssid_protocol::batch::Statements;
    let mut net = Net::new(4);
    net.messages.clear();
    let base = testing::event("blueprint_tagged", "v4.4.0");
    let flood: Vec<_> = (0..500)
        .map(|i| Event {
            commit_hash: format!("{i:07x}"),
            ..base.clone()
        })
        .collect();
    deliver(&mut net, 0, 1, Statements::Events(flood.clone()));
    let engine = net.engine(0);
    let open = engine.open.values().next().unwrap();
    assert_eq!(
        (open.machine.candidates().count(), open.announced.len()),
        (1, 1)
    );
    let stored = flood
        .iter()
        .filter(|event| {
            engine
                .store
                .event(&event.content_digest())
                .unwrap()
                .is_some()
        })
        .count();
    assert_eq!(stored, 1);
}

/// Two engines of a federation in which people endorse, the second of them after a restart.
fn two_with_people() -> Net {
    let mut net = Net::new(2);
    net.settle();
    net.stop(1);
    net.settings.endorsement = Endorsement::Operator;
    net.start(1);
    net.settle();
    net
}

fn assert_open_alike(net: &Net, count: usize) {
    let digests = [0, 1].map(|node| {
        let engine = net.engine(node);
        assert_eq!(engine.open.len(), count, "open at node {node}");
        assert_eq!(engine.refused.open_instances, 0, "refused by node {node}");
        engine.open_digest()
    });
    assert_eq!(digests[0], digests[1]);
}

/// An honest node announces no more of what nobody else votes for than others keep: else they would
/// have other open subjects than it for as long as people take.
#[test]
fn what_others_would_drop_is_held_back() {
    let mut net = two_with_people();
    let all = events(UNSUPPORTED_OF_ORIGIN + 500);
    let (emitted, registered) = all.split_at(UNSUPPORTED_OF_ORIGIN - 100);
    net.emit(0, emitted);
    net.tick(0, vec![observed(registered.to_vec())]);
    net.settle();
    net.pass(40);
    // announcements are released whole: what would not fit waits
    let open = net.engine(0).open.len();
    assert!(open > UNSUPPORTED_OF_ORIGIN - ANNOUNCED_TOGETHER, "{open}");
    assert!(open <= UNSUPPORTED_OF_ORIGIN, "{open}");
    assert_open_alike(&net, open);
    for node in [0, 1] {
        net.stop(node);
        net.start(node);
        net.settle();
        net.pass(40);
        assert_open_alike(&net, open);
    }
    // a start reads the file anew
    net.tick(0, vec![observed(registered.to_vec())]);
    // as others vote, there is room for the rest
    for _ in 0..3 {
        let waiting = net.engine(1).open.iter();
        let operations = waiting.map(|(subject, open)| Operation {
            kind: NoteKind::Endorse,
            subject: *subject,
            choice: open.machine.candidates().next().unwrap().choice,
        });
        for operation in operations.collect::<Vec<_>>() {
            let operate = Inbound::Command {
                command: Command::Operate(operation, Decider::default()),
                ticket: 1,
            };
            net.tick(1, vec![operate]);
        }
        net.settle();
        net.pass(40);
    }
    assert_eq!(net.certified(0).len(), all.len());
}
