//! An origin that shows each node another event for one subject: of each origin a node takes one,
//! so no event is known to a quorum, and only people can end it.

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::id::SubjectId;
use ssid_storage::NoteKind;

use super::super::request::{Decider, Operation, RefusalKind};
use super::*;

/// The member that lies; its node is down.
const LIAR: usize = 3;

fn shown(to: usize) -> Event {
    Event {
        commit_hash: format!("{to:07}"),
        ..testing::event("blueprint_tagged", "v4.4.0")
    }
}

/// Three of four honest, each with another event of the liar; round 0 has failed.
fn split() -> (Net, SubjectId) {
    let mut net = Net::new(4);
    net.is_byzantine = true;
    net.settle();
    net.stop(LIAR);
    net.settle();
    let (_, federation, _, keys) = testing::federation(4);
    for to in 0..LIAR {
        let batch = VerifiedBatch::sign(
            &keys[LIAR],
            &federation,
            Statements::Events(vec![shown(to)]),
        )
        .unwrap();
        let from = net.ids[LIAR];
        net.tick(
            to,
            vec![Inbound::Batch {
                batch: Arc::new(batch),
                from,
                ticket: None,
            }],
        );
    }
    net.settle();
    net.pass(120);
    let subject = net.subject(&shown(0));
    for node in 0..LIAR {
        let open = net.open(node, &subject);
        let known: Vec<_> = open
            .machine
            .candidates()
            .map(|candidate| candidate.choice)
            .collect();
        assert_eq!(
            (known, open.machine.in_conflict()),
            (vec![shown(node).choice()], true),
            "node {node}"
        );
    }
    (net, subject)
}

fn choose(
    net: &mut Net,
    node: usize,
    subject: SubjectId,
    event: &Event,
) -> Result<Operated, OperatorRefusal> {
    let operation = Operation {
        kind: NoteKind::Stand,
        subject,
        choice: event.choice(),
    };
    net.command(node, Command::Operate(operation, Decider::default()));
    net.operated.pop().unwrap()
}

#[test]
fn operators_choose_alike_what_only_one_of_them_has() {
    for chosen in 0..LIAR {
        let (mut net, subject) = split();
        for node in 0..LIAR {
            choose(&mut net, node, subject, &shown(chosen)).unwrap();
        }
        net.settle();
        net.pass(30);
        net.assert_all_certified(&[shown(chosen)]);
    }
}

#[test]
fn the_choice_outlives_a_restart_before_its_event_came() {
    let (mut net, subject) = split();
    for node in 0..LIAR {
        let operated = choose(&mut net, node, subject, &shown(0)).unwrap();
        assert_eq!(
            operated.explanation.contains("is asked for"),
            node > 0,
            "{}",
            operated.explanation
        );
    }
    net.messages.clear();
    for node in 1..LIAR {
        net.stop(node);
        net.start(node);
    }
    net.settle();
    net.pass(60);
    net.assert_all_certified(&[shown(0)]);
    // and with the row of a subject that has both candidates of one origin
    let (mut net, subject) = split();
    choose(&mut net, 1, subject, &shown(0)).unwrap();
    net.settle();
    net.pass(60);
    let candidates = |net: &Net| net.open(1, &subject).machine.candidates().count();
    assert_eq!(candidates(&net), 2);
    net.stop(1);
    net.start(1);
    assert_eq!(candidates(&net), 2);
}

#[test]
fn what_no_vote_names_is_no_choice_and_what_is_not_here_is_not_endorsed() {
    let (mut net, subject) = split();
    let made_up = choose(&mut net, 0, subject, &shown(9)).unwrap_err();
    assert_eq!(made_up.kind, RefusalKind::UnknownCandidate);
    let operation = Operation {
        kind: NoteKind::Endorse,
        subject,
        choice: shown(1).choice(),
    };
    net.command(0, Command::Operate(operation, Decider::default()));
    assert_eq!(
        net.operated.pop().unwrap().unwrap_err().kind,
        RefusalKind::UnknownCandidate
    );
}
