//! A node that starts hears what it signed before it signs again; one that was rolled back
//! abstains.

use std::path::Path;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Epoch, Round};
use ssid_protocol::vote::{Phase, Vote};

use super::own_registry::news;
use super::*;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Stops the node, does `change` to its data directory, and brings that back as it was now, later.
struct Snapshot(TempDir);

impl Snapshot {
    fn of(net: &mut Net, node: usize) -> Self {
        net.stop(node);
        let kept = TempDir::new().unwrap();
        copy(net.homes[node].path(), kept.path());
        net.start(node);
        net.settle();
        Self(kept)
    }

    fn bring_back(&self, net: &mut Net, node: usize) {
        net.stop(node);
        std::fs::remove_dir_all(net.homes[node].path()).unwrap();
        copy(self.0.path(), net.homes[node].path());
        net.start(node);
    }
}

fn rolled_back(net: &Net, node: usize) -> Option<String> {
    net.status(node).abstaining
}

/// Votes signed by `node` that are on their way.
fn votes_of(net: &Net, node: usize) -> Vec<Vote> {
    let batches = net
        .messages
        .iter()
        .filter_map(|(_, message)| match message {
            Message::In(Inbound::Batch { batch, .. }) if batch.signer() == net.ids[node] => {
                Some(batch.clone())
            }
            _ => None,
        });
    let votes = batches.filter_map(|batch| match batch.statements() {
        Statements::Votes(votes) => Some(votes.clone()),
        _ => None,
    });
    votes.flatten().collect()
}

fn split(net: &mut Net) -> (Event, Event) {
    let a = testing::event("blueprint_tagged", "v4.4.0");
    let b = other(&a);
    for (node, event) in [(0, &a), (1, &a), (2, &b), (3, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    net.settle();
    (a, b)
}

#[test]
fn votes_that_others_hold_and_the_journal_does_not_make_it_abstain() {
    let mut net = Net::new(4);
    net.settle();
    let before = Snapshot::of(&mut net, 0);
    let (_, other) = split(&mut net);
    before.bring_back(&mut net, 0);
    // its registry says something else now: it would sign a second prevote
    net.tick(0, vec![observed(vec![other])]);
    assert!(votes_of(&net, 0).is_empty() && rolled_back(&net, 0).is_none());
    while let Some((to, message)) = net.messages.pop_front() {
        match message {
            Message::In(input) => net.tick(to, vec![input]),
            Message::Wake => net.tick(to, Vec::new()),
            Message::Ask(asker, request) => net.answer(to, asker, request),
        }
        assert!(votes_of(&net, 0).is_empty(), "a second vote was signed");
    }
    assert!(
        rolled_back(&net, 0).is_some_and(|why| why.contains("rolled back")),
        "{:?}",
        rolled_back(&net, 0)
    );
    // for good: the next start reads it in the journal, also after compaction
    net.engine_mut(0).compact_journal().unwrap();
    net.stop(0);
    net.start(0);
    assert!(rolled_back(&net, 0).is_some_and(|why| why.contains("rolled back")));
    net.settle();
    net.emit(0, &events(1));
    assert!(format!("{:?}", net.outcomes.last()).contains("abstains"));
    // the others go on
    net.emit(1, &events(3));
    net.settle();
    assert_eq!(net.certified(0).len(), 3);
}

#[test]
fn a_certificate_with_a_forgotten_precommit_makes_it_abstain() {
    let mut net = Net::new(2);
    net.settle();
    let before = Snapshot::of(&mut net, 0);
    net.emit(1, &events(2));
    net.settle();
    net.assert_all_certified(&events(2));
    before.bring_back(&mut net, 0);
    net.settle();
    assert!(
        rolled_back(&net, 0).is_some(),
        "with two voters every certificate has both"
    );
    net.assert_all_certified(&events(2));
}

#[test]
fn a_head_of_a_longer_log_makes_it_abstain_and_name_no_log_any_more() {
    let mut net = Net::new(4);
    net.settle();
    let before = Snapshot::of(&mut net, 0);
    net.emit(1, &events(1));
    net.settle();
    net.pass(16); // a heartbeat later
    before.bring_back(&mut net, 0);
    let head = net.ids[0];
    let heard = net.engine(1).peers.states[&head].heartbeat.clone().unwrap();
    assert!(matches!(heard.statements(), Statements::Heartbeat(h) if h.log_size == 1));
    let (now, from) = (net.now, net.ids[1]);
    let engine = net.engine_mut(0);
    let request = Request::Own;
    let answer = CheckedAnswer::Own {
        heartbeat: Some(heard),
        votes: Vec::new(),
        complete: true,
    };
    engine.tick(
        now,
        vec![Inbound::Answered {
            from,
            request,
            answer: Some(answer),
        }],
    );
    assert!(
        engine
            .status()
            .abstaining
            .is_some_and(|why| why.contains("its log was rolled back"))
    );
    net.settle();
    let engine = net.engine(0);
    assert_eq!((engine.log_head().size, engine.head_to_sign().size), (1, 0));
}

#[test]
fn without_a_quorum_of_answers_nothing_is_signed_and_offers_are_kept_and_sent_later() {
    let mut net = Net::new(4);
    net.settle();
    (0..4).for_each(|node| net.stop(node));
    net.start(0);
    net.start(1);
    net.settle();
    assert_eq!(net.status(0).startup_check.unwrap().heard, [net.ids[1]]);
    let all = events(2);
    net.emit(0, &all[..1]);
    net.tick(1, vec![observed(all[1..].to_vec())]);
    assert!(net.outcomes.is_empty());
    net.pass(6);
    let outcome = format!("{:?}", net.outcomes);
    assert!(
        outcome.contains("Kept") && outcome.contains("1 of 3 other voters"),
        "{outcome}"
    );
    assert_eq!(net.engine(0).record.journal_sequence(), 1);
    // what was kept outlives a restart, and another event for its subject is refused
    net.stop(0);
    net.start(0);
    net.settle();
    assert_eq!(net.status(0).kept_offers, 1);
    net.start(2);
    net.settle();
    net.assert_all_certified(&all);
    assert!(net.status(0).startup_check.is_none());
}

#[test]
fn an_ordinary_restart_under_votes_is_no_rollback() {
    let mut net = Net::new(4);
    net.settle();
    split(&mut net);
    net.emit(1, &events(30));
    net.settle();
    for node in 0..4 {
        net.stop(node);
        net.settle();
        net.start(node);
        net.settle();
        net.engine_mut(node).compact_journal().unwrap();
        net.stop(node);
        net.start(node);
        net.settle();
    }
    net.pass(20);
    for node in 0..4 {
        assert_eq!(rolled_back(&net, node), None, "node {node}");
        assert!(net.status(node).startup_check.is_none(), "node {node}");
    }
    net.emit(2, &[testing::event("blueprint_tagged", "v99")]);
    net.settle();
    assert_eq!(net.certified(0).len(), 31);
}

#[test]
fn a_node_whose_database_is_lost_and_whose_journal_is_whole_does_not_abstain() {
    let mut net = Net::new(4);
    net.settle();
    split(&mut net);
    net.emit(0, &events(10));
    net.settle();
    net.engine_mut(0).compact_journal().unwrap();
    net.emit(0, &[testing::event("blueprint_tagged", "v99")]);
    net.settle();
    net.stop(0);
    std::fs::remove_dir_all(net.homes[0].path().join("db")).unwrap();
    std::fs::remove_file(net.homes[0].path().join("log.head")).unwrap();
    net.start(0);
    net.settle();
    net.pass(3);
    assert_eq!(rolled_back(&net, 0), None);
    assert_eq!(net.certified(0).len(), 11);
}

#[test]
fn during_the_startup_check_the_registry_holds_back_only_what_is_left_to_sign() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(21);
    net.emit(0, &all[..20]);
    net.settle();
    net.stop(0);
    net.start(0);
    // its registry file, read again: what is certified, one line that is another event than that,
    // and a new one
    let other = other(&all[3]);
    net.tick(0, vec![observed([&all[..], &[other]].concat())]);
    let open = net.status(0).open;
    assert_eq!(
        open, 1,
        "the new one waits, and counts as open so that no more is handed over than may be"
    );
    let is_divergence = |event: &NodeEvent| matches!(event, NodeEvent::Divergence { .. });
    let told = net
        .events
        .iter()
        .filter(|(node, event)| *node == 0 && is_divergence(event));
    assert_eq!(told.count(), 1);
    net.settle();
    net.assert_all_certified(&all);
}

#[test]
fn what_is_certified_during_a_long_startup_check_is_held_back_no_more() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(0);
    let all = events(21);
    net.emit(1, &all[..20]);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.start(0);
    net.tick(0, vec![observed(all)]);
    let status = |net: &Net| net.status(0);
    assert_eq!(
        status(&net).open,
        21,
        "nothing is known to be certified yet"
    );
    net.pass(3);
    assert!(
        status(&net).startup_check.is_some(),
        "one of four is no quorum to hear from"
    );
    assert_eq!(
        (status(&net).certified, status(&net).open),
        (20, 1),
        "the registry may go on"
    );
}

/// What `node` prevotes from now on until nothing is on its way any more, and 2 s longer.
fn prevotes_of(net: &mut Net, node: usize) -> Vec<Vote> {
    let said = std::cell::RefCell::new(Vec::new());
    let signer = net.ids[node];
    net.pass_except(2, |_, input| {
        if let Inbound::Batch { batch, .. } = input
            && batch.signer() == signer
            && let Statements::Votes(votes) = batch.statements()
        {
            said.borrow_mut().extend(votes.clone());
        }
        false
    });
    said.into_inner()
}

/// The others decide while node 0 is away; another event stands in its own registry.
fn decide_without_it(net: &mut Net) -> Event {
    net.stop(0);
    let (a, b) = two();
    for node in 1..4 {
        net.tick(node, vec![observed(vec![a.clone()])]);
    }
    net.settle();
    assert!(net.certified(1).contains(&a.choice()));
    b
}

#[test]
fn who_was_away_for_a_moment_says_what_it_observed_of_what_was_decided_meanwhile() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.pass(10);
    net.start(0);
    net.tick(0, vec![observed(vec![own.clone()])]);
    let said = prevotes_of(&mut net, 0);
    let said: Vec<_> = said.iter().map(|vote| vote.ballot).collect();
    assert_eq!(said, [Some(own.choice()); 3], "to each of the others");
    assert!(net.divergences(0).is_empty(), "its record says so already");
}

/// Whom nobody can tell any more what it said says nothing that may contradict it.
#[test]
fn who_was_away_for_longer_than_others_count_says_nothing_too_late() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.pass(61);
    net.start(0);
    net.tick(0, vec![observed(vec![own])]);
    assert_eq!(prevotes_of(&mut net, 0), []);
    assert_eq!(net.divergences(0).len(), 1, "its own people are told");
    // of what is decided later it says everything again
    net.pass(61);
    let next = testing::event("audit_completed", "v4.4.0");
    net.readers[0] = false;
    for node in 1..4 {
        net.tick(node, vec![observed(vec![next.clone()])]);
    }
    net.settle();
    assert!(net.certified(0).contains(&next.choice()), "it has followed");
    let look = net.looks[0].unwrap();
    net.tick(0, vec![news(RegistryNews::Read { look })]);
    assert!(
        prevotes_of(&mut net, 0)
            .iter()
            .any(|vote| vote.ballot == Some(next.choice()))
    );
}

#[test]
fn after_a_step_of_the_clock_backwards_nothing_is_said_too_late() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.ahead[0] = -3_600_000;
    net.start(0);
    net.tick(0, vec![observed(vec![own])]);
    assert_eq!(prevotes_of(&mut net, 0), []);
    assert_eq!(net.divergences(0).len(), 1);
}

#[test]
fn an_own_heartbeat_that_the_disk_does_not_know_forbids_saying_anything_too_late() {
    let mut net = Net::new(4);
    net.settle();
    let before = Snapshot::of(&mut net, 0);
    net.pass(16); // a heartbeat of the life that is forgotten
    let own = decide_without_it(&mut net);
    net.start(0);
    before.bring_back(&mut net, 0);
    net.tick(0, vec![observed(vec![own])]);
    assert_eq!(prevotes_of(&mut net, 0), []);
    assert_eq!((net.divergences(0).len(), rolled_back(&net, 0)), (1, None));
}

/// Its own heartbeats of this life come back to it, from whoever likes to delay its start.
#[test]
fn an_own_heartbeat_of_this_life_forbids_nothing() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.start(0);
    net.tick(0, vec![observed(vec![own.clone()])]);
    let me = net.ids[0];
    let is_heartbeat = |message: &Message| match message {
        Message::In(Inbound::Batch { batch, .. }) if batch.signer() == me => {
            matches!(batch.statements(), Statements::Heartbeat(_)).then(|| batch.clone())
        }
        _ => None,
    };
    assert_eq!(net.messages.iter().find_map(|(_, m)| is_heartbeat(m)), None);
    // nobody answers for a while: it says that it is starting
    net.now.0 += 2_000;
    net.tick(0, Vec::new());
    let told = net.messages.iter().find_map(|(_, m)| is_heartbeat(m));
    let request = Request::Own;
    let answer = CheckedAnswer::Own {
        heartbeat: Some(told.unwrap()),
        votes: Vec::new(),
        complete: true,
    };
    let from = net.ids[1];
    net.tick(
        0,
        vec![Inbound::Answered {
            from,
            request,
            answer: Some(answer),
        }],
    );
    let said = prevotes_of(&mut net, 0);
    assert!(said.iter().any(|vote| vote.ballot == Some(own.choice())));
}

#[test]
fn who_is_heard_over_git_alone_has_not_told_what_was_prevoted() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.start(0);
    net.tick(0, vec![observed(vec![own])]);
    // their logs, and who says to have read this node's branch, before anybody answers live
    let asked = Request::Log {
        from: 0,
        limit: 512,
    };
    net.answer(1, net.ids[0], asked);
    let Some((0, Message::In(log))) = net.messages.pop_back() else {
        panic!("a log is answered")
    };
    let heard = BTreeSet::from([net.ids[1], net.ids[2]]);
    net.tick(0, vec![log, Inbound::Heard(heard)]);
    assert!(net.status(0).startup_check.is_none());
    assert_eq!(net.certified(0).len(), 1);
    assert_eq!(prevotes_of(&mut net, 0), []);
    assert_eq!(net.divergences(0).len(), 1);
}

/// What is decided with the answer that ends the check is decided by then.
#[test]
fn what_is_decided_in_the_tick_that_ends_the_check_is_not_said_either() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    let own = decide_without_it(&mut net);
    net.pass(61);
    net.start(0);
    net.tick(0, vec![observed(vec![own])]);
    let mut log = None;
    while let Some((to, message)) = net.messages.pop_front() {
        match message {
            Message::In(Inbound::Answered {
                from,
                request,
                answer,
            }) if to == 0 && matches!(request, Request::Log { .. }) => {
                // held back, to arrive together with what ends the check
                log.get_or_insert(Inbound::Answered {
                    from,
                    request,
                    answer,
                });
            }
            Message::In(input) => net.tick(to, vec![input]),
            Message::Wake => net.tick(to, Vec::new()),
            Message::Ask(asker, request) => net.answer(to, asker, request),
        }
    }
    assert!(net.certified(0).is_empty() && net.status(0).startup_check.is_some());
    let heard = BTreeSet::from([net.ids[1], net.ids[2]]);
    net.tick(0, vec![Inbound::Heard(heard), log.unwrap()]);
    assert!(net.status(0).startup_check.is_none());
    assert_eq!(net.certified(0).len(), 1);
    assert_eq!(prevotes_of(&mut net, 0), []);
}

/// Starts node 0 after others have decided without it; all of them answer `Own` with so many votes
/// of this member and say that there are more. Whether it says what it observed all the same.
fn says_it_after_answers_that_were_cut(signer: usize, votes: usize) -> bool {
    let mut net = Net::new(4);
    net.settle();
    let first = testing::event("audit_completed", "v4.4.0");
    net.emit(1, std::slice::from_ref(&first));
    net.settle();
    net.pass(61);
    let own = decide_without_it(&mut net);
    net.start(0);
    net.tick(0, vec![observed(vec![own.clone()])]);
    let (_, federation, _, keys) = testing::federation(4);
    let subject = net.engine(0).epochs.current().subject_of(&first);
    let vote = |n: u32| Vote {
        epoch: Epoch(0),
        subject,
        round: Round::ZERO,
        phase: Phase::Prevote,
        ballot: Some(
            Event {
                version: n.to_string(),
                ..first.clone()
            }
            .choice(),
        ),
        observed: false,
    };
    let statements = Statements::Votes((0..512).map(vote).collect());
    let batch = VerifiedBatch::sign(&keys[signer], &federation, statements).unwrap();
    let signed = |index: usize| Signed::of(&batch, u32::try_from(index).unwrap()).unwrap();
    // repeated, if they are fewer than an answer holds
    let all: Vec<_> = (0..512).map(|index| signed(index % votes)).collect();
    let mut said = false;
    while let Some((to, message)) = net.messages.pop_front() {
        match message {
            Message::In(Inbound::Answered {
                from,
                request: Request::Own,
                ..
            }) if to == 0 => {
                let answer = CheckedAnswer::Own {
                    heartbeat: None,
                    votes: all.clone(),
                    complete: false,
                };
                let request = Request::Own;
                let answer = Some(answer);
                net.tick(
                    0,
                    vec![Inbound::Answered {
                        from,
                        request,
                        answer,
                    }],
                );
            }
            Message::In(input) => net.tick(to, vec![input]),
            Message::Wake => net.tick(to, Vec::new()),
            Message::Ask(asker, request) => net.answer(to, asker, request),
        }
        said |= votes_of(&net, 0)
            .iter()
            .any(|vote| vote.ballot == Some(own.choice()));
    }
    assert_eq!(rolled_back(&net, 0), None);
    assert!(net.status(0).startup_check.is_none());
    said
}

#[test]
fn only_answers_full_of_its_own_prevotes_count_as_cut() {
    assert!(!says_it_after_answers_that_were_cut(0, 512));
    assert!(says_it_after_answers_that_were_cut(0, 511), "one twice");
    assert!(says_it_after_answers_that_were_cut(1, 512), "another's");
}
