//! How events are certified: by all, by some, after restarts and losses.

use super::*;

#[test]
fn four_certify_what_one_emits() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(50);
    net.emit(0, &all);
    net.settle();
    net.assert_all_certified(&all);
    assert!(
        net.outcomes
            .iter()
            .all(|outcome| matches!(outcome, EmitOutcome::Accepted { .. }))
    );
    let engine = net.engine(1);
    let record = engine.store.record(0).unwrap().unwrap();
    let lists = (
        record.node_hashes.len(),
        record.endorsing_nodes.len(),
        record.silent_nodes.len(),
    );
    assert_eq!(
        lists,
        (1, 3, 0),
        "late prevotes are in the record: {record:?}"
    );
    assert_eq!(
        engine.trust.score(&net.ids[2]),
        53,
        "a sync, and agreement, which counts once a day per origin"
    );
}

#[test]
fn the_same_log_observed_by_all_is_certified_once() {
    let mut net = Net::new(4);
    let all = events(20);
    for node in 0..4 {
        net.tick(node, vec![observed(all.clone())]);
    }
    net.settle();
    net.assert_all_certified(&all);
    net.tick(2, vec![observed(all.clone())]);
    net.settle();
    net.assert_all_certified(&all);
}

#[test]
fn the_majoritys_event_is_certified_and_the_record_names_who_disagreed() {
    let mut net = Net::new(4);
    net.settle();
    let right = testing::event("blueprint_tagged", "v4.4.0");
    let wrong = other(&right);
    net.tick(3, vec![observed(vec![wrong.clone()])]);
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![right.clone()])]));
    net.settle();
    net.assert_all_certified(std::slice::from_ref(&right));
    for node in 0..4 {
        let record = net.record(node, 0);
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
        assert_eq!(record.agreement_basis_points(), 7500);
    }
    let status = net.status(0);
    assert_eq!((status.agreements, status.disagreements), (0, 1));
    assert_eq!(net.score(0, 3), 46, "a sync and a disagreement");
}

#[test]
fn two_to_two_certifies_nothing_and_is_a_conflict_everywhere() {
    let mut net = Net::new(4);
    net.settle();
    let a = testing::event("blueprint_tagged", "v4.4.0");
    let b = other(&a);
    for (node, event) in [(0, &a), (1, &a), (2, &b), (3, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    net.settle();
    net.pass(90);
    net.assert_all_certified(&[]);
    for node in 0..4 {
        assert_eq!(net.status(node).conflicts, 1, "node {node}");
        assert_eq!(net.store(node).conflicts().unwrap().len(), 1);
    }
}

#[test]
fn two_of_four_wait_and_go_on_with_a_third() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.settle();
    let all = events(5);
    net.emit(0, &all);
    net.settle();
    net.pass(10);
    net.assert_all_certified(&[]);
    let status = net.status(0);
    assert!(
        !status.has_quorum && status.missing_voters.len() == 2 && status.open == 5,
        "{status:?}"
    );
    net.start(2);
    net.settle();
    net.pass(10);
    net.assert_all_certified(&all);
}

#[test]
fn a_node_that_was_away_fetches_the_log_and_verifies_it() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    let all = events(700);
    net.emit(1, &all);
    net.settle();
    net.start(3);
    net.settle();
    net.assert_all_certified(&all);
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
fn lost_gossip_is_made_good_by_asking() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(30);
    net.emit(0, &all);
    // node 3 misses everything, and every third message of the others is lost
    let count = std::cell::Cell::new(0_u32);
    net.settle_except(|to, input| {
        count.set(count.get() + 1);
        matches!(input, Inbound::Batch { .. }) && (to == 3 || count.get().is_multiple_of(3))
    });
    net.pass(40);
    net.assert_all_certified(&all);
}

#[test]
fn a_restart_goes_on_where_it_was_and_never_votes_twice() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(10);
    net.emit(0, &all);
    // prevotes arrive nowhere: everybody has voted, nobody knows
    net.settle_except(|_, input| match input {
        Inbound::Batch { batch, .. } => matches!(
            batch.statements(),
            ssid_protocol::batch::Statements::Votes(_)
        ),
        _ => false,
    });
    for node in 0..4 {
        net.stop(node);
    }
    (0..4).for_each(|node| net.start(node));
    net.settle();
    net.pass(10);
    net.assert_all_certified(&all);
}

#[test]
fn the_journal_is_compacted_and_remembers_what_was_decided() {
    let mut net = Net::new(2);
    net.settle();
    let all = events(20);
    net.emit(0, &all[..10]);
    net.settle();
    net.messages.clear();
    net.stop(1);
    net.emit(0, &all[10..]);
    let engine = net.engine_mut(0);
    let before = engine.record.journal_bytes();
    engine.compact_journal().unwrap();
    assert!(engine.record.journal_bytes() < before);
    // the database is lost, the journal is not: nothing is signed again for the ten that were
    // decided
    net.stop(0);
    std::fs::remove_dir_all(net.homes[0].path().join("db")).unwrap();
    std::fs::remove_file(net.homes[0].path().join("log.head")).unwrap();
    net.start(0);
    let other = other(&all[0]);
    net.emit(0, &[other]);
    assert!(
        matches!(
            net.outcomes.last(),
            Some(EmitOutcome::Refused { retry: true, .. })
        ),
        "{:?}",
        net.outcomes.last()
    );
    net.start(1);
    net.settle();
    net.pass(5);
    assert_eq!(net.certified(0).len(), 20);
    assert_eq!(net.certified(1).len(), 20);
}

#[test]
fn a_clock_that_is_off_refuses_to_announce() {
    let mut net = Net::new(4);
    net.settle();
    net.now = UnixMillis(START.0 + 16_000);
    (1..4).for_each(|node| net.tick(node, Vec::new()));
    net.ahead[0] = -616_000;
    net.messages.retain(|(to, _)| *to == 0);
    net.settle();
    net.emit(0, &events(1));
    let outcome = format!("{:?}", net.outcomes.last());
    assert!(outcome.contains("clock is 616 s behind"), "{outcome}");
}

#[test]
fn an_observation_from_before_the_connection_still_counts() {
    let mut net = Net::new(4);
    net.settle();
    let right = testing::event("blueprint_tagged", "v4.4.0");
    let wrong = other(&right);
    net.tick(3, vec![observed(vec![wrong])]);
    net.messages.clear();
    // the others decide while node 3 is alone
    net.connected.remove(&3);
    net.tell_connections();
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![right.clone()])]));
    net.settle_except(|to, _| to == 3);
    net.connected.insert(3);
    net.tell_connections();
    net.settle();
    net.pass(1);
    for node in 0..3 {
        let record = net.record(node, 0);
        assert_eq!(record.node_hashes.len(), 4, "node {node}");
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
    }
}

#[test]
fn votes_far_ahead_hold_one_proof_a_voter() {
    use ssid_protocol::batch::Statements;
    use ssid_protocol::id::{Epoch, Round};
    use ssid_protocol::vote::{Phase, Vote};
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    let subject = net.first_open(0).0;
    for round in 2..60 {
        let vote = Vote {
            epoch: Epoch(0),
            subject,
            round: Round(round),
            phase: Phase::Prevote,
            ballot: None,
            observed: false,
        };
        deliver(&mut net, 0, 1, Statements::Votes(vec![vote]));
    }
    let held = &net.open(0, &subject).held;
    assert_eq!(held.len(), 2, "the own prevote and the other's latest");
}
