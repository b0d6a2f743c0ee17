//! Votes for subjects of which no event is known: bounded, cheap, and of full use once the event
//! comes.

use std::time::Duration;

use ssid_protocol::batch::{Kind, Statements};
use ssid_protocol::evidence::EvidenceKind;
use ssid_protocol::id::{Epoch, Round, Sha256Hash, SubjectId};
use ssid_protocol::limits::{UNKNOWN_VOTES, UNKNOWN_VOTES_OF_SUBJECT};
use ssid_protocol::record::Transport;
use ssid_protocol::vote::{Ballot, Phase, Vote};

use super::*;
use crate::settings::WAITING_AT_MOST;

fn vote(subject: SubjectId, round: u32, ballot: Ballot) -> Vote {
    Vote {
        epoch: Epoch(0),
        subject,
        round: Round(round),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    }
}

fn nowhere(i: usize) -> SubjectId {
    SubjectId(Sha256Hash::of(&[b"nowhere", &i.to_be_bytes()]).0)
}

fn is_of(input: &Inbound, kind: Kind) -> bool {
    matches!(input, Inbound::Batch { batch, .. } if batch.statements().kind() == kind)
}

impl Net {
    fn waiting(&self, node: usize) -> usize {
        self.engine(node).vote_buffer.len()
    }

    fn opened(&self, node: usize) -> usize {
        self.engine(node).open.len()
    }

    fn refused(&self, node: usize) -> u64 {
        self.status(node).refused.unknown_votes
    }
}

#[test]
fn they_open_nothing_and_each_voter_has_so_many() {
    let mut net = Net::new(4);
    net.settle();
    let ballot = Some(testing::event("a", "1").choice());
    for first in (0..=UNKNOWN_VOTES).step_by(1000) {
        let votes = (first..first + 1000)
            .map(|i| vote(nowhere(i), 0, ballot))
            .collect();
        deliver(&mut net, 0, 3, Statements::Votes(votes));
    }
    assert_eq!(
        (net.opened(0), net.waiting(0), net.refused(0)),
        (0, UNKNOWN_VOTES, 1000)
    );
    // again: nothing new, and no more refused than before
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(nowhere(1), 0, ballot)]),
    );
    assert_eq!((net.waiting(0), net.refused(0)), (UNKNOWN_VOTES, 1000));
    // another voter has a share of its own
    deliver(
        &mut net,
        0,
        2,
        Statements::Votes(vec![vote(nowhere(1), 0, ballot)]),
    );
    assert_eq!(net.waiting(0), UNKNOWN_VOTES + 1);
    // and nothing of it is in anybody's way
    net.messages.clear();
    net.emit(0, &events(5));
    net.settle();
    net.assert_all_certified(&events(5));
}

/// Names that somebody made up by the thousand take pages of hundreds each: nobody's full batch
/// fills an answer.
#[test]
fn full_batches_of_them_do_not_stretch_a_conversation() {
    let mut net = Net::new(4);
    net.settle();
    let ballot = Some(testing::event("a", "1").choice());
    for first in (0..UNKNOWN_VOTES).step_by(2500) {
        let votes = (first..first + 2500)
            .map(|i| vote(nowhere(i), 0, ballot))
            .collect();
        deliver(&mut net, 0, 3, Statements::Votes(votes));
    }
    let (mut after, mut pages, mut told) = (None, 0, 0);
    loop {
        let answer = net.ask_engine(
            0,
            Inbound::OpenAsked {
                subjects: Vec::new(),
                after,
                ticket: 1,
            },
        );
        let Answer::Open {
            batches,
            statements,
            next,
            ..
        } = answer
        else {
            panic!("{answer:?}")
        };
        pages += 1;
        told += statements.len()
            + batches
                .iter()
                .map(|batch| batch.statements.len())
                .sum::<usize>();
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert!(told >= UNKNOWN_VOTES, "{told} votes are told");
    assert!(pages <= 50, "{pages} pages");
}

#[test]
fn one_subject_takes_so_many_of_one_voter() {
    let mut net = Net::new(4);
    net.settle();
    let votes = (0..100)
        .map(|round| vote(nowhere(0), round, None))
        .collect();
    deliver(&mut net, 0, 3, Statements::Votes(votes));
    let kept = UNKNOWN_VOTES_OF_SUBJECT;
    assert_eq!((net.waiting(0), net.refused(0)), (kept, 100 - kept as u64));
}

/// Node 3 gets no announcement. What it heard of votes is enough to ask for the events and to
/// certify.
#[test]
fn their_events_are_asked_for_and_then_they_count() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(20);
    net.emit(0, &all);
    net.settle_except(|to, input| to == 3 && is_of(input, Kind::Events));
    assert_eq!(net.certified(3).len(), 0);
    assert!(net.waiting(3) > 0);
    let asked = net.asked.len();
    net.pass(1);
    net.assert_all_certified(&all);
    assert_eq!((net.waiting(3), net.opened(3)), (0, 0));
    let engine = net.engine(3);
    let record = engine.store.record(0).unwrap().unwrap();
    assert_eq!(
        record.node_hashes.len() + record.endorsing_nodes.len(),
        3,
        "what the others prevoted: {record:?}"
    );
    let own = |(by, _, request): &&(usize, NodeId, Request)| {
        *by == 3 && matches!(request, Request::Events { .. })
    };
    assert!(
        net.asked[asked..].iter().any(|asked| own(&asked)),
        "by the events' names"
    );
}

/// Nobody's vote names an event: the subject itself is asked about.
#[test]
fn votes_for_nothing_are_asked_about_too() {
    let mut net = Net::new(4);
    net.is_byzantine = true; // node 2 says something else later
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    deliver(
        &mut net,
        3,
        2,
        Statements::Votes(vec![vote(subject_of(&event), 0, None)]),
    );
    net.messages.clear();
    assert_eq!((net.opened(3), net.waiting(3)), (0, 1));
    net.pass(30);
    net.assert_all_certified(&[event]);
}

#[test]
fn an_event_that_enough_of_them_name_needs_no_announcement() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let hand_in = |net: &mut Net| {
        let answer = CheckedAnswer::Events(vec![(event.clone(), None)]);
        let request = Request::Events {
            digests: vec![event.content_digest()],
        };
        net.tick(
            0,
            vec![Inbound::Answered {
                from: net.ids[1],
                request,
                answer: Some(answer),
            }],
        );
        net.messages.clear();
    };
    let ballot = Some(event.choice());
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(subject_of(&event), 0, ballot)]),
    );
    hand_in(&mut net);
    assert_eq!(net.opened(0), 0, "one liar alone could name it");
    deliver(
        &mut net,
        0,
        2,
        Statements::Votes(vec![vote(subject_of(&event), 1, ballot)]),
    );
    hand_in(&mut net);
    assert_eq!(net.opened(0), 0, "in another round");
    deliver(
        &mut net,
        0,
        2,
        Statements::Votes(vec![vote(subject_of(&event), 0, ballot)]),
    );
    hand_in(&mut net);
    assert_eq!((net.opened(0), net.waiting(0)), (1, 0));
    let engine = net.engine(0);
    let open = &engine.open[&subject_of(&event)];
    assert_eq!(
        (
            open.held.len(),
            open.machine.votes().count(),
            open.machine.candidates().count()
        ),
        (3, 3, 1)
    );
}

#[test]
fn two_that_contradict_each_other_are_evidence_at_once() {
    let mut net = Net::new(4);
    net.is_byzantine = true;
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let subject = subject_of(&event);
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(subject, 0, Some(event.choice()))]),
    );
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(subject, 0, None)]),
    );
    let kinds: Vec<_> = net
        .engine(0)
        .evidence_pool
        .held
        .iter()
        .map(|slot| slot.kind)
        .collect();
    assert_eq!((kinds, net.opened(0)), (vec![EvidenceKind::Vote], 0));
    // a third proves nothing more
    let other = Event {
        commit_hash: "fffffff".into(),
        ..event
    };
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(subject, 0, Some(other.choice()))]),
    );
    assert_eq!(net.waiting(0), 2);
}

/// The certificate comes before the event does: who observed what is in the record all the same.
#[test]
fn a_certificate_finds_them() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let is_to_3 = |to: usize, input: &Inbound| to == 3 && !is_of(input, Kind::Votes);
    net.emit(0, std::slice::from_ref(&event));
    net.settle_except(is_to_3);
    assert_eq!((net.opened(3), net.certified(3).len()), (0, 0));
    assert!(net.waiting(3) >= 3);
    let certificate = net.certificate(0, 0);
    let answer = CheckedAnswer::Open {
        carried: Carried {
            certificates: vec![certificate],
            ..Carried::default()
        },
        next: None,
    };
    let request = Request::Open {
        subjects: vec![subject_of(&event)],
        after: None,
    };
    net.tick(
        3,
        vec![Inbound::Answered {
            from: net.ids[1],
            request,
            answer: Some(answer),
        }],
    );
    assert_eq!((net.certified(3).len(), net.waiting(3)), (1, 0));
    let record = net.record(3, 0);
    let voted = record.node_hashes.len() + record.endorsing_nodes.len();
    assert_eq!(
        (voted, record.transport),
        (3, Transport::Live),
        "{record:?}"
    );
}

/// Who forgot what it signed must hear of it also from those who know the subject by its votes
/// alone.
#[test]
fn they_are_told_to_whom_signed_them() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(0);
    // somebody who only has the vote: an earlier life's announcement was lost
    let ballot = Some(testing::event("blueprint_tagged", "v4.4.0").choice());
    for node in 1..4 {
        deliver(
            &mut net,
            node,
            0,
            Statements::Votes(vec![vote(nowhere(0), 0, ballot)]),
        );
    }
    net.messages.clear();
    net.start(0);
    net.settle();
    let why = net.status(0).abstaining;
    assert!(
        why.as_ref().is_some_and(|why| why.contains("rolled back")),
        "{why:?}"
    );
}

/// The same by Git: who starts is spoken for.
#[test]
fn they_stand_on_the_branch_for_whom_it_speaks() {
    let mut net = Net::new(4);
    net.settle();
    for signer in [2, 3] {
        deliver(
            &mut net,
            0,
            signer,
            Statements::Votes(vec![vote(nowhere(signer), 0, None)]),
        );
    }
    let engine = net.engine(0);
    let signers = |relayed: BTreeSet<NodeId>| {
        let page = engine.offer(&relayed, None);
        page.batches
            .iter()
            .map(|batch| batch.signer())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (signers(BTreeSet::new()), signers([net.ids[3]].into())),
        (vec![], vec![net.ids[3]])
    );
}

/// Nobody's room is taken for good by names whose events never come.
#[test]
fn they_wait_a_week_and_no_longer() {
    let mut net = Net::new(4);
    net.settle();
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(nowhere(0), 0, None)]),
    );
    net.now = net.now.after(WAITING_AT_MOST / 2);
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(nowhere(0), 1, None), vote(nowhere(1), 0, None)]),
    );
    net.now = net.now.after(WAITING_AT_MOST / 3);
    net.tick(0, Vec::new());
    assert_eq!(net.waiting(0), 3);
    net.now = net.now.after(WAITING_AT_MOST / 6 + Duration::from_secs(1));
    net.tick(0, Vec::new());
    assert_eq!(net.waiting(0), 1, "both of the older name are gone");
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![vote(nowhere(0), 0, None)]),
    );
    assert_eq!(net.waiting(0), 2, "and are taken again");
}
