//! People who choose once round 0 has failed (SPEC §7 rule 7): who may, what their choice does, and
//! how long it stands.

use super::*;

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
