//! Files that change, or cannot be read, while something depends on them: nothing is signed that
//! the file contradicts.

use ssid_protocol::vote::Phase;

use super::own_registry::{news, prevotes};
use super::*;

/// Lines in the own registry file that are not announced, but voted for all the same.
fn silent_lines(events: &[Event]) -> Inbound {
    let lines = events.iter().map(|event| OwnLine {
        event: event.clone(),
        announce: false,
    });
    news(RegistryNews::Lines(lines.collect()))
}

fn unreadable() -> Inbound {
    news(RegistryNews::Unreadable {
        reason: "a directory".into(),
    })
}

fn anew() -> Inbound {
    news(RegistryNews::Anew {
        what: "line 1: lines that had been read have been changed".into(),
    })
}

/// Answers the latest look that the node asked for.
fn finish_look(net: &mut Net, node: usize) {
    let look = net.looks[node].unwrap();
    net.tick(node, vec![news(RegistryNews::Read { look })]);
}

fn other_commit(event: &Event, commit: &str) -> Event {
    Event {
        commit_hash: commit.into(),
        ..event.clone()
    }
}

/// The reader hands over a changed file so fast that all of it comes within one tick.
#[test]
fn every_line_of_a_file_that_is_read_again_in_one_tick_counts() {
    let mut net = Net::new(4);
    net.settle();
    let announced = events(3);
    let before: Vec<_> = announced
        .iter()
        .map(|e| other_commit(e, "bbbbbbb"))
        .collect();
    let after: Vec<_> = announced
        .iter()
        .map(|e| other_commit(e, "ccccccc"))
        .collect();
    net.tick(3, vec![silent_lines(&before)]);
    let look = net.looks[3].unwrap();
    let read = news(RegistryNews::Read { look });
    net.tick(3, vec![anew(), silent_lines(&after), read]);
    net.emit(0, &announced);
    net.settle();
    net.pass(2);
    for sequence in 0..3 {
        let record = net.record(0, sequence);
        let said = record.node_hashes.get(&net.ids[3]);
        assert!(
            after.iter().any(|event| said == Some(&event.choice())),
            "{record:?}"
        );
        assert_eq!(record.disagreeing_nodes, [net.ids[3]]);
    }
}

/// A node whose start waits for its file, with an event offered meanwhile.
fn starting_with_an_offer(offered: &Event) -> Net {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    net.settle();
    net.readers[3] = false;
    net.start(3);
    net.settle();
    net.emit(3, std::slice::from_ref(offered));
    net.pass(2);
    let outcome = format!("{:?}", net.outcomes.pop());
    assert!(outcome.contains("Kept"), "{outcome}");
    net
}

#[test]
fn an_offer_kept_while_starting_yields_to_a_line_of_the_file() {
    let (a, b) = two();
    let mut net = starting_with_an_offer(&a);
    net.tick(3, vec![observed(vec![b.clone()])]);
    finish_look(&mut net, 3);
    net.settle();
    net.pass(2);
    assert_eq!(net.certified(0), BTreeSet::from([b.choice()]));
    assert_eq!(net.record(0, 0).disagreeing_nodes, []);
}

#[test]
fn an_offer_kept_while_starting_waits_for_a_file_that_cannot_be_read() {
    let (a, b) = two();
    let mut net = starting_with_an_offer(&a);
    net.tick(3, vec![unreadable()]);
    net.settle();
    net.pass(2);
    for node in 0..4 {
        let engine = net.engine(node);
        assert!(engine.open.is_empty(), "open at node {node}");
    }
    // nor is anything of others endorsed for its subject
    net.emit(0, std::slice::from_ref(&b));
    net.settle();
    assert_eq!(net.record(0, 0).silent_nodes, [net.ids[3]]);
    finish_look(&mut net, 3);
    net.settle();
    net.pass(2);
    assert_eq!(net.certified(3), BTreeSet::from([b.choice()]));
}

#[test]
fn a_line_read_before_is_said_only_once_the_file_can_be_read_again() {
    let mut net = Net::new(4);
    net.settle();
    let (a, b) = two();
    net.tick(3, vec![silent_lines(std::slice::from_ref(&b))]);
    net.readers[3] = false;
    net.tick(3, vec![unreadable()]);
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    net.pass(2);
    assert_eq!(net.certified(3), BTreeSet::from([a.choice()]), "it follows");
    assert_eq!(net.record(0, 0).silent_nodes, [net.ids[3]]);
    finish_look(&mut net, 3);
    net.settle();
    net.pass(2);
    for node in 0..4 {
        let record = net.record(node, 0);
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
        assert_eq!(record.node_hashes[&net.ids[3]], b.choice());
    }
}

/// The same where the subject is undecided when the file can be read again.
#[test]
fn a_line_read_before_is_what_an_undecided_subject_gets() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    let (a, b) = two();
    net.tick(3, vec![silent_lines(std::slice::from_ref(&b))]);
    net.readers[3] = false;
    net.tick(3, vec![unreadable()]);
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    let third = net.ids[3];
    assert!(!prevotes(&net, 0).contains_key(&third));
    finish_look(&mut net, 3);
    net.settle();
    assert_eq!(prevotes(&net, 0)[&third], (Some(b.choice()), true));
}

#[test]
fn what_a_changed_file_said_before_the_start_was_over_is_not_said() {
    let mut net = Net::new(4);
    net.settle();
    (1..4).for_each(|node| net.stop(node));
    net.settle();
    let (a, b) = two();
    net.emit(0, std::slice::from_ref(&a));
    net.readers[3] = false;
    net.start(3);
    net.settle();
    net.tick(3, vec![silent_lines(std::slice::from_ref(&b))]);
    let changed = other_commit(&a, "ccccccc");
    net.tick(3, vec![anew()]);
    net.tick(3, vec![silent_lines(std::slice::from_ref(&changed))]);
    finish_look(&mut net, 3);
    net.start(1);
    net.settle();
    net.pass(2);
    let third = net.ids[3];
    assert_eq!(prevotes(&net, 0)[&third], (Some(changed.choice()), true));
}

/// It followed a polka before its file had been read, and died.
#[test]
fn a_lock_of_an_earlier_life_is_prevoted_only_once_the_file_has_been_read() {
    let mut net = Net::new(4);
    net.settle();
    net.readers[1] = false;
    let (a, b) = two();
    net.emit(0, std::slice::from_ref(&a));
    net.settle_except(|to, input| {
        let is_vote = matches!(input, Inbound::Batch { batch, .. }
            if matches!(batch.statements(), ssid_protocol::batch::Statements::Votes(_)));
        to != 1 && is_vote
    });
    let locked = |net: &Net| {
        let engine = net.engine(1);
        let open = engine.open.values().next().unwrap();
        let prevotes = open
            .machine
            .tally(ssid_protocol::id::Round::ZERO, Phase::Prevote);
        let me = engine.rules.me.unwrap();
        let own = prevotes.and_then(|tally| tally.first(me));
        (open.machine.locked().map(|lock| lock.choice), own)
    };
    assert_eq!(locked(&net), (Some(a.choice()), None));
    net.stop(1);
    net.start(1);
    net.settle_except(|to, _| to != 1);
    net.tick(1, vec![unreadable()]);
    net.settle_except(|to, _| to != 1);
    assert_eq!(net.status(1).startup_check, None);
    assert_eq!(locked(&net), (Some(a.choice()), None));
    net.tick(1, vec![silent_lines(std::slice::from_ref(&b))]);
    finish_look(&mut net, 1);
    assert_eq!(locked(&net), (Some(a.choice()), Some(Some(b.choice()))));
}

/// What was offered first stands, but the file says something else since: that is shown.
#[test]
fn a_line_beside_an_own_event_that_is_certified_is_a_divergence() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    let (a, b) = two();
    net.emit(0, std::slice::from_ref(&a));
    net.settle();
    net.tick(0, vec![observed(vec![b.clone()])]);
    net.start(2);
    net.start(3);
    net.settle();
    net.pass(2);
    assert_eq!(net.certified(0), BTreeSet::from([a.choice()]));
    let rows: Vec<_> = net
        .divergences(0)
        .iter()
        .map(|row| row.own.choice())
        .collect();
    assert_eq!(rows, [b.choice()]);
}
