//! Events that this node announces, and those of others: what is taken, what is refused, what is
//! kept.

use super::*;

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
    let other = Event {
        commit_hash: "fffffff".into(),
        ..event.clone()
    };
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
        net.engines[0].as_ref().unwrap().backlog.len() > 1,
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
        net.engines[0].as_mut().unwrap().compact_journal().unwrap();
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
    assert_eq!(net.engines[0].as_ref().unwrap().open.len(), 0);
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
    let engine = net.engines[0].as_ref().unwrap();
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
