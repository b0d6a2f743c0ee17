//! What the own registry file says, and when it is asked (SPEC §7 rule 1, *Own registry*).

use std::collections::BTreeMap;

use ssid_protocol::vote::Phase;

use super::*;
use crate::settings::{ANNOUNCED_AT_ONCE, Endorsement};
use crate::shown::ReviewReason;

pub(super) fn news(news: RegistryNews) -> Inbound {
    Inbound::Registry(news)
}

/// The round-0 prevotes that a node sees, by node: for what, and whether observed.
pub(super) fn prevotes(net: &Net, node: usize) -> BTreeMap<NodeId, (Option<Choice>, bool)> {
    let views = net.engine(node).instances(None, None, 10);
    let votes = views.into_iter().flat_map(|view| view.votes);
    let first = votes.filter(|vote| vote.phase == Phase::Prevote && vote.round.0 == 0);
    first
        .map(|vote| (vote.node, (vote.choice, vote.observed)))
        .collect()
}

#[test]
fn nothing_of_others_is_endorsed_before_the_file_was_read_since_it_came() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.readers[1] = false;
    let (a, b) = two();
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    let (first, second) = (net.ids[0], net.ids[1]);
    assert_eq!(
        prevotes(&net, 0),
        BTreeMap::from([(first, (Some(a.choice()), true))])
    );
    let view = net.engine(1).instances(None, None, 1).pop().unwrap();
    assert_eq!(view.review.unwrap().reason, ReviewReason::Registry);
    // the reader finds a line of its own before it answers
    let look = net.looks[1].unwrap();
    net.tick(1, vec![observed(vec![b.clone()])]);
    net.tick(1, vec![news(RegistryNews::Read { look })]);
    net.settle();
    assert_eq!(prevotes(&net, 0)[&second], (Some(b.choice()), true));
}

#[test]
fn a_look_that_was_asked_for_before_an_event_came_does_not_do() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.readers[1] = false;
    let early = net.looks[1].unwrap();
    net.emit(0, &[two().0]);
    net.settle();
    net.tick(1, vec![news(RegistryNews::Read { look: early })]);
    net.settle();
    assert_eq!(prevotes(&net, 1).len(), 1, "only the announcer's");
    let look = net.looks[1].unwrap();
    net.tick(1, vec![news(RegistryNews::Read { look })]);
    assert_eq!(
        prevotes(&net, 1)[&net.ids[1]],
        (Some(two().0.choice()), false),
        "endorsed, not observed"
    );
}

#[test]
fn a_file_that_cannot_be_read_stops_endorsing_and_own_events_but_not_following() {
    let mut net = Net::new(4);
    net.settle();
    net.readers[3] = false;
    net.tick(
        3,
        vec![news(RegistryNews::Unreadable {
            reason: "a directory".into(),
        })],
    );
    let (a, _) = two();
    net.emit(3, std::slice::from_ref(&a));
    let refused = format!("{:?}", net.outcomes.pop());
    assert!(
        refused.contains("a directory") && refused.contains("retry: true"),
        "{refused}"
    );
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    net.pass(3);
    assert_eq!(net.certified(3), BTreeSet::from([a.choice()]), "it follows");
    let record = net.record(0, 0);
    assert!(
        !record.node_hashes.contains_key(&net.ids[3])
            && !record.endorsing_nodes.contains_key(&net.ids[3])
    );
    assert_eq!(record.silent_nodes, [net.ids[3]]);
    let status = net.status(3);
    assert_eq!(status.can_sign.as_str(), "no_registry");
    assert!(status.can_sign_reason.contains("a directory"));
}

#[test]
fn what_waits_because_the_file_cannot_be_read_ends_in_a_nil_prevote() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.readers[1] = false;
    net.tick(
        1,
        vec![news(RegistryNews::Unreadable {
            reason: "a directory".into(),
        })],
    );
    net.emit(0, &[two().0]);
    net.settle();
    assert_eq!(prevotes(&net, 1).len(), 1);
    net.now = UnixMillis(net.now.0 + 73 * 3_600_000);
    net.tick(1, Vec::new());
    net.settle();
    assert_eq!(prevotes(&net, 1)[&net.ids[1]], (None, false));
}

#[test]
fn no_vote_is_signed_before_the_file_has_been_read_once() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    // the clock goes on: started in the millisecond of its latest heartbeat, it were one set back
    net.pass(1);
    net.readers[3] = false;
    net.start(3);
    net.settle();
    let (a, b) = two();
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![a.clone()])]));
    net.settle();
    assert_eq!(net.status(3).can_sign.as_str(), "starting");
    assert_eq!(net.certified(0).len(), 1, "the others decide without it");
    // its own file said something else: it is named, although it comes after the decision
    net.tick(3, vec![observed(vec![b.clone()])]);
    let look = net.looks[3].unwrap();
    net.tick(3, vec![news(RegistryNews::Read { look })]);
    net.settle();
    net.pass(2);
    for node in 0..4 {
        let record = net.record(node, 0);
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
        assert_eq!(
            (record.node_hashes.len(), record.agreement_basis_points()),
            (4, 7500),
            "node {node}"
        );
        assert_eq!(record.found_later, None);
    }
}

/// A node that wakes up to a decision which the others made meanwhile still says what its own
/// registry has.
#[test]
fn who_followed_a_decision_before_it_read_its_file_is_named_all_the_same() {
    let mut net = Net::new(4);
    net.settle();
    net.readers[3] = false;
    let (a, b) = two();
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![a.clone()])]));
    net.settle();
    assert_eq!(net.certified(3).len(), 1, "it has followed");
    let look = net.looks[3].unwrap();
    net.tick(3, vec![observed(vec![b.clone()])]);
    net.tick(3, vec![news(RegistryNews::Read { look })]);
    net.settle();
    net.pass(2);
    for node in 0..4 {
        let record = net.record(node, 0);
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
        assert_eq!(record.agreement_basis_points(), 7500, "node {node}");
    }
}

#[test]
fn a_line_that_comes_after_an_endorsement_is_a_divergence_and_told_once() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    for _ in 0..2 {
        net.tick(2, vec![observed(vec![b.clone()])]);
        net.settle();
    }
    // the same fact with another time is none
    let later = Event {
        timestamp: "2025-10-11T21:00:00Z".into(),
        ..a.clone()
    };
    net.tick(1, vec![observed(vec![later])]);
    net.pass(2);
    let [row] = &net.divergences(2)[..] else {
        panic!("{:?}", net.divergences(2))
    };
    assert_eq!(
        (row.sequence, row.certified, row.own.choice()),
        (0, a.choice(), b.choice())
    );
    assert!(net.divergences(1).is_empty());
    let record = net.record(2, 0);
    assert_eq!(
        record.found_later.map(|found| found.choice),
        Some(b.choice())
    );
    let told = net
        .events
        .iter()
        .filter(|(_, event)| matches!(event, NodeEvent::Divergence { .. }));
    assert_eq!(told.count(), 1);
    net.pass(16);
    let heartbeat = net.engine(0).peers()[&net.ids[2]]
        .row
        .last_heartbeat
        .clone()
        .unwrap();
    assert_eq!(heartbeat.divergences, 1);
}

/// Lines beyond what may be announced at once wait on disk, and are votes all the same.
#[test]
fn a_line_that_waits_to_be_announced_is_what_the_node_votes_for() {
    let mut net = Net::new(4);
    net.settle();
    let by_event = BTreeMap::from([("blueprint_tagged".to_owned(), Endorsement::Operator)]);
    for node in 1..4 {
        net.stop(node);
        net.settings.endorsement_by_event = by_event.clone();
        net.start(node);
    }
    net.settle();
    let own = testing::event("policy_promoted", "v1");
    let lines = events(1_500).into_iter().chain([own.clone()]).collect();
    net.tick(0, vec![observed(lines)]);
    net.settle();
    assert!(net.status(0).open >= 1_500);
    let other = other(&own);
    net.emit(3, std::slice::from_ref(&other));
    net.settle();
    net.pass(2);
    let engine = net.engine(0);
    let records =
        (0..engine.store.certified_count()).filter_map(|at| engine.store.record(at).unwrap());
    let record = records
        .into_iter()
        .find(|record| record.event_type == "policy_promoted")
        .unwrap();
    assert_eq!(
        record.choice,
        other.choice(),
        "the others endorsed what was announced"
    );
    assert_eq!(
        record.node_hashes.get(&net.ids[0]),
        Some(&own.choice()),
        "and this node observed its own"
    );
    assert_eq!(record.disagreeing_nodes, [net.ids[0]]);
}

/// What waits for other nodes' people must not hold up what does not.
#[test]
fn announcements_go_on_behind_events_that_wait_for_people() {
    let by_event = BTreeMap::from([("blueprint_tagged".to_owned(), Endorsement::Operator)]);
    let settings = EngineSettings {
        endorsement_by_event: by_event,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.emit(0, &events(ANNOUNCED_AT_ONCE + 10));
    net.settle();
    let audits: Vec<_> = (0..1000)
        .map(|i| testing::event("policy_promoted", &format!("v{i}")))
        .collect();
    net.emit(0, &audits);
    net.settle();
    net.pass(60);
    assert_eq!(net.store(0).certified_count(), 1000);
}

/// An event that was accepted and waits in the backlog is what the node votes for.
#[test]
fn an_accepted_event_that_waits_in_the_backlog_is_not_passed_over() {
    let by_event = BTreeMap::from([("blueprint_tagged".to_owned(), Endorsement::Operator)]);
    let settings = EngineSettings {
        endorsement_by_event: by_event,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.emit(0, &events(1024));
    let own = testing::event("policy_promoted", "v1");
    net.emit(0, std::slice::from_ref(&own));
    assert!(matches!(
        net.outcomes.last(),
        Some(EmitOutcome::Accepted { .. })
    ));
    let other = other(&own);
    net.emit(3, std::slice::from_ref(&other));
    net.settle();
    net.pass(5);
    let engine = net.engine(0);
    let records =
        (0..engine.store.certified_count()).filter_map(|at| engine.store.record(at).unwrap());
    let record = records
        .into_iter()
        .find(|record| record.event_type == "policy_promoted")
        .unwrap();
    assert_eq!(record.node_hashes.get(&net.ids[0]), Some(&own.choice()));
}

/// In a federation in which nobody may lie the announcer alone does not waive the limit of age.
#[test]
fn an_untimely_event_is_not_waived_by_its_announcer_alone() {
    let mut net = Net::new(3);
    net.settle();
    let old = Event {
        timestamp: "2020-01-01T00:00:00Z".into(),
        ..two().0
    };
    net.emit(0, std::slice::from_ref(&old));
    net.settle();
    net.pass(5);
    assert!(net.certified(0).is_empty());
    let view = net.engine(1).instances(None, None, 1).pop().unwrap();
    assert_eq!(view.review.unwrap().reason, ReviewReason::Untimely);
    // a second registry that has it does
    net.tick(1, vec![observed(vec![old.clone()])]);
    net.settle();
    assert_eq!(net.certified(2), BTreeSet::from([old.choice()]));
}
