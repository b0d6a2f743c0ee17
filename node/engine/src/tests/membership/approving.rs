//! What operators say to a proposed change of members, how long it holds, and the new voters that it
//! waits for.

use ssid_protocol::vote::Ballot;

use super::*;
use crate::ReviewReason;

/// What an operator says to a proposal.
fn say(net: &mut Net, node: usize, kind: NoteKind, manifest: &Manifest) {
    let operation = Operation {
        kind,
        subject: net.engine(node).epochs().current().change(),
        choice: manifest.epoch_event().choice(),
    };
    net.command(node, Command::Operate(operation, decider()));
    let operated = net.operated.pop().unwrap();
    assert!(operated.is_ok(), "node {node}: {operated:?}");
    net.settle();
}

/// Why a node does not vote for the change.
fn waits_for(net: &Net, node: usize) -> Option<ReviewReason> {
    let engine = net.engine(node);
    let subject = engine.epochs().current().change();
    let views = engine.instances(Some(subject), None, 1);
    views.first()?.review.as_ref().map(|review| review.reason)
}

/// A node's votes in the change's current round.
fn votes(net: &Net, node: usize, phase: Phase) -> Vec<Ballot> {
    let engine = net.engine(node);
    let subject = engine.epochs().current().change();
    let views = engine.instances(Some(subject), None, 1);
    let votes = views.iter().flat_map(|view| &view.votes);
    let own = votes.filter(|vote| vote.node == net.ids[node] && vote.phase == phase);
    own.map(|vote| vote.choice).collect()
}

/// Four voters, of which the last was suspended before, and a proposal that lets it vote again.
fn with_one_to_come_back() -> (Net, Manifest) {
    let mut genesis = testing::manifest(4);
    genesis.members[3].status = Status::Suspended;
    let mut net = Net::with(genesis, EngineSettings::default());
    net.settle();
    net.stop(3);
    net.settle();
    let manifest = change(&net, 0, |manifest| {
        manifest.members[3].status = Status::Active;
    });
    propose(&mut net, 0, &manifest);
    for node in [1, 2] {
        say(&mut net, node, NoteKind::Endorse, &manifest);
    }
    net.pass(20);
    (net, manifest)
}

#[test]
fn an_approved_change_waits_for_its_new_voter_and_goes_on_once_that_is_there() {
    let (mut net, _) = with_one_to_come_back();
    for node in 0..3 {
        assert_eq!(
            waits_for(&net, node),
            Some(ReviewReason::NotReady),
            "node {node}"
        );
        assert_eq!(votes(&net, node, Phase::Prevote), []);
    }
    net.start(3);
    net.settle();
    net.pass(12);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
}

/// Also across a restart, which forgets who is ready and not what its operator said.
#[test]
fn an_operator_may_go_on_without_the_new_voter_and_a_quorum_of_them_is_needed() {
    let (mut net, manifest) = with_one_to_come_back();
    say(&mut net, 1, NoteKind::Waive, &manifest);
    assert_eq!(waits_for(&net, 1), None);
    net.restart(1);
    net.settle();
    net.pass(12);
    assert_eq!(epochs(&net), [0, 0, 0], "two of three decide");
    say(&mut net, 2, NoteKind::Waive, &manifest);
    net.pass(12);
    assert_eq!(epochs(&net), [1, 1, 1]);
}

#[test]
fn who_takes_an_approval_back_after_its_prevote_precommits_nil() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    let choice = manifest.epoch_event().choice();
    propose(&mut net, 0, &manifest);
    say(&mut net, 1, NoteKind::Endorse, &manifest);
    assert_eq!(votes(&net, 1, Phase::Prevote), [Some(choice)]);
    say(&mut net, 1, NoteKind::Refuse, &manifest);
    assert_eq!(votes(&net, 1, Phase::Precommit), [None]);
    // with the next its prevote makes a quorum, which whoever sees it follows; but one is away
    net.stop(3);
    say(&mut net, 2, NoteKind::Endorse, &manifest);
    assert_eq!(votes(&net, 2, Phase::Precommit), [Some(choice)]);
    net.pass(8);
    assert_eq!(epochs(&net), [0, 0, 0], "two precommits do not decide");
    net.start(3);
    net.settle();
    say(&mut net, 3, NoteKind::Endorse, &manifest);
    net.pass(8);
    assert_eq!(epochs(&net), [1, 1, 1, 1], "three do, without it");
}

#[test]
fn an_approval_ends_when_the_proposal_is_two_weeks_old() {
    let (mut net, manifest) = with_one_to_come_back();
    let days = |days: u64| days * 24 * 60 * 60 * 1000;
    net.now = UnixMillis(net.now.0 + days(15));
    net.pass(2);
    net.start(3);
    net.settle();
    net.pass(12);
    assert_eq!(epochs(&net), [0, 0, 0, 0], "whoever is ready");
    let approves = |ballot: &Ballot| ballot.is_some();
    assert!((0..3).all(|node| !votes(&net, node, Phase::Prevote).iter().any(approves)));
    let operation = Operation {
        kind: NoteKind::Waive,
        subject: net.engine(1).epochs().current().change(),
        choice: manifest.epoch_event().choice(),
    };
    net.command(1, Command::Operate(operation, decider()));
    let refusal = net.operated.pop().unwrap().unwrap_err();
    assert!(refusal.reason.contains("too old"), "{refusal:?}");
}

#[test]
fn refusing_one_of_two_proposals_leaves_the_other_to_be_approved() {
    let mut net = Net::new(4);
    net.settle();
    let first = change(&net, 0, |_| {});
    let second = change(&net, 0, |manifest| {
        manifest.change.as_mut().unwrap().reason = "another".into();
    });
    propose(&mut net, 0, &first);
    propose(&mut net, 1, &second);
    for node in [2, 3] {
        say(&mut net, node, NoteKind::Refuse, &first);
        assert_eq!(votes(&net, node, Phase::Prevote), [], "the other is there");
        say(&mut net, node, NoteKind::Endorse, &second);
    }
    net.pass(8);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    let manifest = net.engine(0).epochs().current().manifest().clone();
    assert_eq!(manifest.hash(), second.hash());
}

#[test]
fn refusing_all_that_is_proposed_is_a_nil_prevote() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    say(&mut net, 1, NoteKind::Refuse, &manifest);
    assert_eq!(votes(&net, 1, Phase::Prevote), [None]);
}

/// What a standing choice carries is bounded: people are asked then, and may say the same again.
#[test]
fn whoever_approves_again_in_a_conflict_goes_on() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    say(&mut net, 1, NoteKind::Endorse, &manifest);
    for node in [2, 3] {
        say(&mut net, node, NoteKind::Refuse, &manifest);
    }
    net.pass(200);
    let stands = |net: &Net| {
        let engine = net.engine(1);
        let subject = engine.epochs().current().change();
        let view = engine.instances(Some(subject), None, 1).pop().unwrap();
        (view.in_conflict, view.round)
    };
    let (is_in_conflict, round) = stands(&net);
    assert!(is_in_conflict);
    for node in [0, 1] {
        say(&mut net, node, NoteKind::Endorse, &manifest);
    }
    net.pass(20);
    assert!(stands(&net).1 > round, "{round:?}");
}
