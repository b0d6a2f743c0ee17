//! Changes of members (SPEC §4): proposed, approved, decided; and how the epoch that ends leaves
//! what it decided to the next.

use ssid_protocol::id::{Epoch, SubjectId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Status;
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest};
use ssid_protocol::vote::Phase;

use super::*;
use crate::settings::{ANNOUNCED_AT_ONCE, Endorsement};
use crate::{Decider, NoteKind, Operation, Reply};

mod approving;
mod returning;
mod succession;

fn decider() -> Decider {
    Decider {
        by: "test".into(),
        reason: "as agreed".into(),
    }
}

/// Who approves the change that is proposed.
fn approve(net: &mut Net, nodes: &[usize], manifest: &Manifest) {
    let choice = manifest.epoch_event().choice();
    for node in nodes {
        let subject = net.engine(*node).epochs().current().change();
        let operation = Operation {
            kind: NoteKind::Endorse,
            subject,
            choice,
        };
        net.command(*node, Command::Operate(operation, decider()));
        let operated = net.operated.pop().unwrap();
        assert!(operated.is_ok(), "node {node}: {operated:?}");
    }
}

fn propose(net: &mut Net, node: usize, manifest: &Manifest) {
    let manifest = Box::new(manifest.clone());
    net.command(node, Command::Propose(manifest, Vec::new(), decider()));
    net.settle();
}

/// A change of everybody's reasons and nothing else, or of what `edit` does.
fn change(net: &Net, node: usize, edit: impl Fn(&mut Manifest)) -> Manifest {
    let mut manifest = testing::successor(net.engine(node).epochs().current().manifest());
    edit(&mut manifest);
    manifest
}

fn epochs(net: &Net) -> Vec<u64> {
    let running = net.engines.iter().flatten();
    running
        .map(|engine| engine.epochs().current().number().0)
        .collect()
}

/// Proposed by the first, approved by all, and in force.
fn carry_through(net: &mut Net, manifest: &Manifest, approvers: &[usize]) {
    propose(net, 0, manifest);
    approve(net, approvers, manifest);
    net.settle();
    net.pass(6);
}

fn subject_of_event(net: &Net, event: &Event) -> SubjectId {
    net.engine(0).epochs().current().subject_of(event)
}

#[test]
fn a_change_that_a_quorum_approves_is_entered_by_all_and_voting_goes_on() {
    let mut net = Net::new(4);
    net.settle();
    let (before, after) = (
        testing::event("release", "v1"),
        testing::event("release", "v2"),
    );
    net.emit(0, std::slice::from_ref(&before));
    net.settle();
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    // the proposer's approval and one more are no quorum
    approve(&mut net, &[1], &manifest);
    net.pass(3);
    assert_eq!(epochs(&net), [0, 0, 0, 0]);
    approve(&mut net, &[2], &manifest);
    net.settle();
    net.pass(6);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    net.emit(3, std::slice::from_ref(&after));
    net.settle();
    for node in 0..4 {
        let certified = net.certified(node);
        assert!(certified.contains(&before.choice()) && certified.contains(&after.choice()));
        let last = net.engine(node).log_head().size - 1;
        assert_eq!(net.certificate(node, last).epoch, Epoch(1), "node {node}");
    }
    let digests: BTreeSet<_> = (0..4)
        .map(|node| net.store(node).certified_digest().value())
        .collect();
    assert_eq!(digests.len(), 1);
}

#[test]
fn a_node_that_is_no_member_yet_votes_in_the_epoch_that_takes_it_in() {
    let mut genesis = testing::manifest(5);
    let newcomer = genesis.members.pop().unwrap();
    let mut net = Net::of(genesis, 5, EngineSettings::default());
    net.settle();
    let early: Vec<_> = (0..40)
        .map(|i| testing::event("release", &format!("v{i}")))
        .collect();
    // what was decided before it came
    net.stop(4);
    net.emit(0, &early);
    net.settle();
    net.start(4);
    net.settle();
    let manifest = change(&net, 0, |manifest| manifest.members.push(newcomer.clone()));
    carry_through(&mut net, &manifest, &[1, 2, 3]);
    assert_eq!(epochs(&net), [1, 1, 1, 1, 1]);
    let late = testing::event("release", "late");
    net.emit(4, std::slice::from_ref(&late));
    net.settle();
    assert_eq!(net.certified(4).len(), 42, "with the change itself");
    let sequence = net.engine(0).log_head().size - 1;
    let record = net.record(0, sequence);
    assert_eq!((record.eligible_nodes, record.choice), (5, late.choice()));
}

#[test]
fn who_is_suspended_votes_no_more_and_the_others_are_a_quorum_without_it() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |manifest| {
        manifest.members[3].status = Status::Suspended;
    });
    carry_through(&mut net, &manifest, &[1, 2]);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    net.stop(3);
    let event = testing::event("release", "v2");
    net.emit(1, std::slice::from_ref(&event));
    net.settle();
    assert!(net.certified(0).contains(&event.choice()));
    let last = net.engine(0).log_head().size - 1;
    assert_eq!(net.record(0, last).eligible_nodes, 3);
}

/// Two are locked on a choice, and nobody has certified it, when the epoch ends.
#[test]
fn a_lock_goes_into_the_next_epoch_and_decides_there() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("release", "v7");
    let subject = subject_of_event(&net, &event);
    let is_precommit = |input: &Inbound| match input {
        Inbound::Batch { batch, .. } => match batch.statements() {
            ssid_protocol::batch::Statements::Votes(votes) => votes
                .iter()
                .any(|vote| vote.subject == subject && vote.phase == Phase::Precommit),
            _ => false,
        },
        _ => false,
    };
    net.command(0, Command::Emit(vec![event.clone()]));
    // precommits are lost, and nobody asks for them before the change is decided
    net.settle_except(|_, input| is_precommit(input));
    assert!(net.engine(1).open[&subject].machine.locked().is_some());
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    approve(&mut net, &[1, 2, 3], &manifest);
    net.settle_except(|_, input| is_precommit(input));
    assert!(!net.certified(1).contains(&event.choice()));
    net.pass_except(1, |_, input| {
        matches!(
            input,
            Inbound::Answered {
                request: Request::Open { .. },
                ..
            }
        )
    });
    net.pass(6);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    for node in 0..4 {
        assert!(net.certified(node).contains(&event.choice()), "node {node}");
    }
}

#[test]
fn a_node_that_comes_back_after_the_change_enters_by_the_others_closes() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    net.settle();
    let event = testing::event("release", "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2]);
    assert_eq!(epochs(&net), [1, 1, 1]);
    net.start(3);
    net.settle();
    net.pass(20);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    assert!(net.certified(3).contains(&event.choice()));
    assert_eq!(
        net.status(3).can_sign.as_str(),
        "yes",
        "{}",
        net.status(3).can_sign_reason
    );
}

#[test]
fn two_changes_are_slept_through_and_the_latest_is_entered() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    net.settle();
    for version in ["v1", "v2"] {
        let event = testing::event("release", version);
        net.emit(0, std::slice::from_ref(&event));
        net.settle();
        let manifest = change(&net, 0, |_| {});
        carry_through(&mut net, &manifest, &[1, 2]);
    }
    assert_eq!(epochs(&net), [2, 2, 2]);
    net.start(3);
    net.settle();
    net.pass(20);
    assert_eq!(epochs(&net), [2, 2, 2, 2]);
    assert_eq!(net.certified(3), net.certified(0));
}

#[test]
fn a_restart_keeps_the_epoch() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2, 3]);
    for node in 0..4 {
        net.restart(node);
    }
    net.pass(3);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    let event = testing::event("release", "v9");
    net.emit(2, std::slice::from_ref(&event));
    net.settle();
    assert!((0..4).all(|node| net.certified(node).contains(&event.choice())));
}

/// One node dies and starts again after each so many messages of a whole change.
#[test]
fn whenever_one_dies_all_end_in_the_same_epoch_and_nobody_contradicts_itself() {
    for died_after in (0..400).step_by(37) {
        let mut net = Net::new(4);
        net.settle();
        let manifest = change(&net, 0, |_| {});
        propose(&mut net, 0, &manifest);
        approve(&mut net, &[1, 2, 3], &manifest);
        let mut delivered = 0;
        for _ in 0..20 {
            while let Some((to, message)) = net.messages.pop_front() {
                delivered += 1;
                assert!(delivered < 20_000, "a tick without end");
                net.deliver(to, message);
                if delivered == died_after {
                    net.stop(1);
                    net.start(1);
                }
            }
            net.now = UnixMillis(net.now.0 + 500);
            (0..4).for_each(|node| net.tick(node, Vec::new()));
        }
        net.pass(10);
        assert_eq!(epochs(&net), [1, 1, 1, 1], "died after {died_after}");
        let event = testing::event("release", "v9");
        net.emit(1, std::slice::from_ref(&event));
        net.settle();
        let certified = (0..4).filter(|node| net.certified(*node).contains(&event.choice()));
        assert_eq!(certified.count(), 4, "died after {died_after}");
    }
}

#[test]
fn what_is_no_valid_successor_is_not_proposed() {
    let mut net = Net::new(4);
    net.settle();
    let mut manifest = change(&net, 0, |_| {});
    manifest.change.as_mut().unwrap().previous = ssid_protocol::id::ManifestHash([1; 32]);
    let command = Command::Propose(Box::new(manifest), Vec::new(), decider());
    let input = Inbound::Command { command, ticket: 1 };
    let now = net.clocks(0);
    let effects = net.engine_mut(0).tick(now, vec![input]);
    let refused = effects.replies.into_iter().any(|(_, reply)| match reply {
        Reply::Proposed(Err(refusal)) => refusal.reason.contains("previous"),
        _ => false,
    });
    assert!(refused);
    assert_eq!(net.engine(0).open.len(), 0);
}

#[test]
fn who_has_entered_says_what_it_confirmed_and_no_more_what_it_counted() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2, 3]);
    let request = ChangeRequest::Closes { epoch: Epoch(0) };
    for node in 0..4 {
        let input = Inbound::ChangeAsked {
            from: net.ids[(node + 1) % 4],
            request: request.clone(),
            ticket: 1,
        };
        let Answer::Change(ChangeAnswer::Closes(closes)) = net.ask_engine(node, input) else {
            panic!("closes are answered")
        };
        assert!(closes.len() >= 3, "of a quorum at least");
        assert!(
            closes
                .iter()
                .all(|held| held.is_confirmed && !held.is_counted)
        );
    }
}

/// Keys of an epoch that has ended may be anybody's.
#[test]
fn a_certificate_of_an_epoch_that_has_ended_certifies_nothing_and_stops_nobody() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("release", "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2, 3]);
    let (genesis, _, _, keys) = testing::federation(4);
    let other = Event {
        commit_hash: "b".repeat(40),
        ..event.clone()
    };
    let forged = [other, testing::event("release", "forged")]
        .map(|event| testing::epochs::certify(&genesis, &genesis, event, &keys[..3]));
    let before = net.certified(0);
    for certificate in forged {
        let carried = Carried {
            certificates: vec![certificate],
            ..Carried::default()
        };
        net.tick(0, vec![Inbound::Carried(carried)]);
    }
    net.pass(2);
    assert_eq!(net.certified(0), before);
    assert_eq!(net.status(0).refused.late_certificates, 1);
    assert_eq!(net.status(0).can_sign.as_str(), "yes");
}

#[test]
fn what_is_offered_while_the_members_change_is_kept_and_decided_in_the_next_epoch() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    approve(&mut net, &[1, 2], &manifest);
    net.settle();
    assert_eq!(net.status(0).can_sign.as_str(), "starting");
    let reason = net.status(0).can_sign_reason;
    assert!(reason.contains("epoch 1"), "{reason}");
    let event = testing::event("release", "meanwhile");
    net.emit(0, std::slice::from_ref(&event));
    net.pass(6);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    assert!((0..4).all(|node| net.certified(node).contains(&event.choice())));
}

/// A refusal keeps a manifest from being approved, and a new one may be.
#[test]
fn who_refuses_a_change_does_not_vote_for_it() {
    let mut net = Net::new(4);
    net.settle();
    let manifest = change(&net, 0, |_| {});
    propose(&mut net, 0, &manifest);
    for node in [1, 2] {
        let subject = net.engine(node).epochs().current().change();
        let operation = Operation {
            kind: NoteKind::Refuse,
            subject,
            choice: manifest.epoch_event().choice(),
        };
        net.command(node, Command::Operate(operation, decider()));
    }
    approve(&mut net, &[3], &manifest);
    net.pass(70);
    assert_eq!(epochs(&net), [0, 0, 0, 0]);
    // it failed: all approve another one, in a round of people's
    let second = change(&net, 0, |manifest| {
        manifest.change.as_mut().unwrap().reason = "another".into();
    });
    propose(&mut net, 0, &second);
    for node in 1..4 {
        let subject = net.engine(node).epochs().current().change();
        let operation = Operation {
            kind: NoteKind::Stand,
            subject,
            choice: second.epoch_event().choice(),
        };
        net.command(node, Command::Operate(operation, decider()));
    }
    net.pass(8);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    let reason = |node: usize| {
        let manifest = net.engine(node).epochs().current().manifest().clone();
        manifest.change.unwrap().reason
    };
    assert!((0..4).all(|node| reason(node) == "another"));
}

/// What it signed in the later epoch its journal alone says.
#[test]
fn a_node_whose_database_is_lost_enters_again_before_it_signs() {
    for compacts in [false, true] {
        let mut net = Net::new(4);
        net.settle();
        let manifest = change(&net, 0, |_| {});
        carry_through(&mut net, &manifest, &[1, 2, 3]);
        net.emit(0, &[testing::event("release", "v1")]);
        net.settle();
        // voted on, and not decided: two are not there
        net.stop(1);
        net.stop(2);
        let waiting = testing::event("release", "waits");
        net.emit(3, std::slice::from_ref(&waiting));
        net.settle();
        if compacts {
            net.engine_mut(3).compact_journal().unwrap();
        }
        net.stop(3);
        std::fs::remove_dir_all(net.homes[3].path().join("db")).unwrap();
        std::fs::remove_file(net.homes[3].path().join("log.head")).unwrap();
        net.start(3);
        assert_eq!(net.engine(3).epochs().current().number(), Epoch(0));
        assert_ne!(net.status(3).can_sign.as_str(), "yes");
        net.start(1);
        net.start(2);
        net.settle();
        net.pass(40);
        assert_eq!(epochs(&net), [1, 1, 1, 1], "compacted: {compacts}");
        let status = net.status(3);
        assert_eq!(
            status.can_sign.as_str(),
            "yes",
            "{}",
            status.can_sign_reason
        );
        for node in 0..4 {
            assert!(
                net.certified(node).contains(&waiting.choice()),
                "node {node}"
            );
            assert_eq!(net.store(node).evidence().count(), 0);
        }
    }
}

#[test]
fn small_and_large_federations_change_several_times_and_one_sleeps_through_it() {
    for n in [2, 3, 7] {
        let mut net = Net::new(n);
        net.settle();
        // of few voters all are needed
        let sleeper = n - 1;
        let sleeps = n > 3;
        if sleeps {
            net.stop(sleeper);
        }
        for number in 0..3_u64 {
            let manifest = change(&net, 0, |manifest| {
                manifest.change.as_mut().unwrap().reason = format!("change {number}");
            });
            let approvers: Vec<_> = (1..n - usize::from(sleeps)).collect();
            carry_through(&mut net, &manifest, &approvers);
            net.emit(1, &[testing::event("release", &format!("v{number}"))]);
            net.settle();
            assert!(
                epochs(&net).iter().all(|epoch| *epoch == number + 1),
                "{n}: {number}"
            );
        }
        if sleeps {
            net.start(sleeper);
            net.settle();
            net.pass(20);
        }
        assert_eq!(epochs(&net), vec![3; n], "{n}");
        assert!((0..n).all(|node| net.certified(node).len() == 6), "{n}");
    }
}

/// More than are announced at once wait for the earlier ones, which wait for people. Who is
/// suspended meanwhile announces no more: nobody would take it.
#[test]
fn what_waits_to_be_announced_waits_until_its_node_votes_again() {
    let settings = EngineSettings {
        endorsement: Endorsement::Operator,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let waiting = 76;
    let events: Vec<_> = (0..ANNOUNCED_AT_ONCE + waiting)
        .map(|i| testing::event("release", &format!("v{i}")))
        .collect();
    net.emit(3, &events);
    net.settle();
    let manifest = change(&net, 0, |manifest| {
        manifest.members[3].status = Status::Suspended;
    });
    carry_through(&mut net, &manifest, &[1, 2]);
    net.pass(4);
    assert!((0..4).all(|node| net.engine(node).open.is_empty()));
    let manifest = change(&net, 0, |manifest| {
        manifest.members[3].status = Status::Active;
    });
    carry_through(&mut net, &manifest, &[1, 2]);
    net.pass(4);
    assert!((0..4).all(|node| net.engine(node).open.len() == waiting));
}
