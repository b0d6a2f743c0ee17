//! Rows of conflicts, and decisions that cannot be written.

use ssid_protocol::id::{Round, SubjectId};
use ssid_storage::{Changes, ConflictRow, NoteKind};

use super::super::engine::Tick;
use super::super::request::{Decider, Operation};
use super::*;

fn rows(net: &Net, node: usize) -> Vec<SubjectId> {
    let store = net.store(node);
    store
        .conflicts()
        .unwrap()
        .into_iter()
        .map(|(subject, _)| subject)
        .collect()
}

/// Node 3 hears nothing while the others fail round 0, choose and decide; then it gets all of it at
/// once.
fn decided_behind_the_back_of_node_3() -> (Net, Vec<Inbound>, SubjectId) {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    let mut held = Vec::new();
    let settle = |net: &mut Net, held: &mut Vec<Inbound>| {
        while let Some((to, message)) = net.messages.pop_front() {
            match message {
                Message::In(input) if to == 3 => held.push(input),
                Message::In(input) => net.tick(to, vec![input]),
                Message::Wake => net.tick(to, Vec::new()),
                Message::Ask(asker, request) if to != 3 => net.answer(to, asker, request),
                Message::Ask(..) => {}
            }
        }
    };
    for (node, event) in [(0, &a), (1, &a), (2, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    settle(&mut net, &mut held);
    for _ in 0..140 {
        net.now = UnixMillis(net.now.0 + 500);
        (0..3).for_each(|node| net.tick(node, Vec::new()));
        settle(&mut net, &mut held);
    }
    assert_eq!(rows(&net, 0).len(), 1);
    let subject = rows(&net, 0)[0];
    for node in 0..3 {
        let operation = Operation {
            kind: NoteKind::Stand,
            subject,
            choice: a.choice(),
        };
        net.command(node, Command::Operate(operation, Decider::default()));
        settle(&mut net, &mut held);
    }
    assert_eq!(net.certified(0), BTreeSet::from([a.choice()]));
    (net, held, subject)
}

#[test]
fn a_conflict_that_comes_with_its_certificate_leaves_no_row() {
    let (mut net, held, _) = decided_behind_the_back_of_node_3();
    net.tick(3, held);
    net.settle();
    net.pass(30);
    for node in 0..4 {
        assert_eq!(
            (net.certified(node).len(), rows(&net, node)),
            (1, Vec::new()),
            "node {node}"
        );
    }
}

#[test]
fn a_start_ends_the_conflicts_of_what_is_not_open_and_writes_those_that_are() {
    let (mut net, _, subject) = decided_behind_the_back_of_node_3();
    let row = ConflictRow {
        since: net.now,
        round: Round(0),
    };
    let stale = [(subject, row), (SubjectId([9; 32]), row)].to_vec();
    // of a subject that is in conflict the row stays
    let (a, b) = (
        testing::event("blueprint_tagged", "v5"),
        Event {
            commit_hash: "eeeeeee".into(),
            ..two().1
        },
    );
    let b = Event {
        version: "v5".into(),
        ..b
    };
    net.messages.clear();
    for (node, event) in [(0, &a), (1, &a), (2, &b), (3, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    net.settle();
    net.pass(90);
    let open = net.subject(&a);
    assert_eq!(rows(&net, 0), [open]);
    net.engine_mut(0)
        .record
        .write(Changes {
            conflicts: stale,
            ..Changes::default()
        })
        .unwrap();
    assert_eq!(
        rows(&net, 0).len(),
        2,
        "of what is certified no row is written at all"
    );
    net.stop(0);
    net.start(0);
    assert_eq!(rows(&net, 0), [open]);
    // in an operator's round: a row that a crash kept from the disk
    let operation = Operation {
        kind: NoteKind::Stand,
        subject: open,
        choice: a.choice(),
    };
    net.settle();
    net.command(0, Command::Operate(operation, Decider::default()));
    (net.engine_mut(0).record)
        .write(Changes {
            conflicts_ended: vec![open],
            ..Changes::default()
        })
        .unwrap();
    assert_eq!(rows(&net, 0), []);
    net.stop(0);
    net.start(0);
    assert_eq!(rows(&net, 0), [open]);
}

/// The instance is forgotten by then: signing on would be without its votes and its lock.
#[test]
fn a_decision_that_cannot_be_written_halts_the_node() {
    let mut net = Net::new(4);
    net.settle();
    let event = two().0;
    net.tick(0, vec![observed(vec![event.clone()])]);
    let (now, engine) = (net.now, net.engine_mut(0));
    let subject = *engine.open.keys().next().unwrap();
    let mut tick = Tick::new(now);
    tick.decided.push((subject, Round(0), event.choice()));
    engine.recovered = Some(tick);
    let effects = engine.tick(now, Vec::new());
    assert!(effects.publish.is_empty() && effects.replies.is_empty());
    let reason = engine.status().read_only.unwrap();
    assert!(
        reason.contains("cannot be written") && reason.contains(&subject.to_string()),
        "{reason}"
    );
    assert_eq!(engine.store.certified_count(), 0);
    // and what was signed is known to the next life
    net.stop(0);
    net.start(0);
    net.settle();
    net.pass(5);
    net.assert_all_certified(&[event]);
}
