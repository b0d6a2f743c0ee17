//! What one member can make the others do, hold or wait for has an end.

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Epoch, Round, SubjectId};
use ssid_protocol::vote::{Phase, Vote};
use ssid_storage::{Cursor, NoteKind};

use super::*;
use crate::settings::{Endorsement, UNSUPPORTED_OF_ORIGIN};
use crate::{CheckedAnswer, Decider, Operation, ReviewReason, Validity};

const HOUR: u64 = 3_600_000;

impl Net {
    /// Lets hours pass, with a few seconds of each lived through.
    fn hours(&mut self, count: u64) {
        for _ in 0..count {
            self.now = UnixMillis(self.now.0 + HOUR);
            self.pass(3);
        }
    }

    /// What a heartbeat of node 3 is worth to node 0, that names this log as if it held what node 0
    /// holds.
    fn heartbeat(&mut self, number: u64, log_id: LogId) -> Validity {
        let (_, federation, _, keys) = testing::federation(4);
        let engine = self.engine(0);
        let heartbeat = Heartbeat {
            sequence: self.now.0 + number,
            log_id,
            log_size: 9_000_000 + number,
            certified_digest: engine.store.certified_digest().value(),
            ..testing::heartbeat(1)
        };
        let batch = VerifiedBatch::sign(
            &keys[3],
            &federation,
            Statements::Heartbeat(Box::new(heartbeat)),
        )
        .unwrap();
        let input = Inbound::Batch {
            batch: Arc::new(batch),
            from: self.ids[3],
            ticket: Some(1),
        };
        let now = self.clocks(0);
        let engine = self.engine_mut(0);
        verdict(&engine.tick(now, vec![input]))
    }
}

#[test]
fn every_wait_but_settling_ends() {
    for policy in [Endorsement::Operator, Endorsement::Observed] {
        let mut net = Net::new(4);
        net.settle();
        net.stop(2);
        net.settings.endorsement = policy;
        net.start(2);
        net.settle();
        net.stop(3);
        net.settle();
        let a = testing::event("blueprint_tagged", "v4.4.0");
        let b = other(&a);
        net.tick(0, vec![observed(vec![a.clone()])]);
        net.tick(1, vec![observed(vec![b.clone()])]);
        net.settle();
        let subject = net.subject(&a);
        let view = net
            .engine(2)
            .instances(Some(subject), None, 1)
            .pop()
            .unwrap();
        let until = view.review.and_then(|review| review.until);
        assert_eq!(
            until,
            Some(view.since.after(net.settings.review_timeout)),
            "{policy:?}"
        );
        net.hours(71);
        assert_eq!(net.status(0).conflicts, 0, "{policy:?}");
        net.hours(2);
        for node in 0..3 {
            let status = net.status(node);
            assert_eq!(
                (status.conflicts, status.awaiting_review),
                (1, 0),
                "{policy:?} at node {node}"
            );
        }
        let operation = Operation {
            kind: NoteKind::Stand,
            subject,
            choice: a.choice(),
        };
        net.command(0, Command::Operate(operation, Decider::default()));
        assert!(
            net.operated.pop().unwrap().is_ok(),
            "{policy:?}: people may choose"
        );
    }
}

#[test]
fn the_wait_for_a_missing_announcement_ends_too() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let subject = net.subject(&event);
    let ballot = Some(event.choice());
    let vote = Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    };
    for signer in [1, 2] {
        deliver(&mut net, 0, signer, Statements::Votes(vec![vote]));
    }
    let request = Request::Events {
        digests: vec![event.content_digest()],
    };
    let answer = Some(CheckedAnswer::Events(vec![(event, None)]));
    net.tick(
        0,
        vec![Inbound::Answered {
            from: net.ids[1],
            request,
            answer,
        }],
    );
    let view = net
        .engine(0)
        .instances(Some(subject), None, 1)
        .pop()
        .unwrap();
    let review = view.review.unwrap();
    assert_eq!(review.reason, ReviewReason::Unproven);
    assert!(review.until.is_some());
}

#[test]
fn heartbeats_cost_one_row_a_member_and_one_a_second_is_taken() {
    let mut net = Net::new(4);
    net.settle();
    net.pass(16);
    net.messages.clear();
    let id = |i: u64| LogId(ssid_protocol::id::Sha256Hash::of(&[&i.to_be_bytes()]).0);
    let at_once: Vec<_> = (0..500).map(|i| net.heartbeat(i, id(i))).collect();
    assert_eq!(
        at_once
            .iter()
            .filter(|validity| **validity == Validity::New)
            .count(),
        1,
        "the first"
    );
    for i in 500..520 {
        net.now = UnixMillis(net.now.0 + 1000);
        assert_eq!(net.heartbeat(i, id(i)), Validity::New);
    }
    let store = net.store(0);
    let place = |i: u64| {
        store
            .cursor(&Cursor {
                peer: net.ids[3],
                log_id: id(i),
            })
            .unwrap()
    };
    let rows: Vec<_> = (0..520).filter(|i| place(*i) > 0).collect();
    assert_eq!(rows, [519], "the latest log alone");
}

/// Answers what node 0 asks node 3 for, until it asks no more.
fn answer_endlessly(
    net: &mut Net,
    first: Request,
    answer: impl Fn(&Request) -> CheckedAnswer,
) -> usize {
    let (liar, mut request, mut pages) = (net.ids[3], first, 0);
    while pages < 5_000 {
        net.asked.clear();
        let answer = Some(answer(&request));
        net.tick(
            0,
            vec![Inbound::Answered {
                from: liar,
                request: request.clone(),
                answer,
            }],
        );
        net.messages.clear();
        let goes_on = |r: &Request| match r {
            Request::Log { .. } => true,
            Request::Open { after, .. } => after.is_some(),
            _ => false,
        };
        let next = net
            .asked
            .iter()
            .find(|(_, to, r)| *to == liar && goes_on(r));
        let Some((_, _, next)) = next.cloned() else {
            break;
        };
        request = next;
        pages += 1;
    }
    pages
}

#[test]
fn a_log_without_end_is_no_log() {
    let mut net = Net::new(4);
    net.settle();
    net.emit(0, &events(1));
    net.settle();
    let store = net.store(0);
    let certificate = store.certificates(0, 1, 1 << 20).unwrap().pop().unwrap();
    net.messages.clear();
    let (now, liar) = (net.clocks(0), net.ids[3]);
    net.engine_mut(0)
        .start_catch_up(&mut crate::engine::Tick::new(now), liar);
    let before = net.engine(0).trust.score(&liar);
    let pages = answer_endlessly(
        &mut net,
        Request::Log {
            from: 0,
            limit: 512,
        },
        |_| CheckedAnswer::Log {
            log_id: LogId([77; 32]),
            size: u64::MAX,
            certificates: vec![certificate.clone(); 512],
        },
    );
    assert!(pages < 3, "{pages} pages of one certificate");
    assert_eq!(net.false_answers, [(0, liar)]);
    net.pass(120);
    assert_eq!(
        net.engine(0).trust.score(&liar),
        before - 3,
        "a sync that failed"
    );
}

#[test]
fn open_subjects_without_end_are_none() {
    let mut net = Net::new(4);
    net.settle();
    net.messages.clear();
    let (now, liar) = (net.clocks(0), net.ids[3]);
    net.engine_mut(0)
        .start_catch_up(&mut crate::engine::Tick::new(now), liar);
    let first = Request::Open {
        subjects: Vec::new(),
        after: None,
    };
    let pages = answer_endlessly(&mut net, first, |request| {
        let Request::Open { after, .. } = request else {
            panic!("{request:?}")
        };
        let mut next = after.map_or([0; 32], |after| after.0);
        let count = u64::from_be_bytes(next[..8].try_into().unwrap()) + 1;
        next[..8].copy_from_slice(&count.to_be_bytes());
        CheckedAnswer::Open {
            carried: Carried::default(),
            next: Some(SubjectId(next)),
        }
    });
    assert!(pages < 100, "{pages} empty pages");
    assert_eq!(net.false_answers, [(0, liar)]);
}

#[test]
fn honest_logs_are_read_to_their_end_however_often() {
    let mut net = Net::new(4);
    net.settle();
    net.emit(0, &events(1500));
    net.settle();
    net.pass(5);
    // its place in everybody's log is lost with its database, and all of it is known again by the
    // second conversation
    net.stop(3);
    std::fs::remove_dir_all(net.homes[3].path().join("db")).unwrap();
    std::fs::remove_file(net.homes[3].path().join("log.head")).unwrap();
    net.start(3);
    net.settle();
    net.pass(5);
    assert_eq!(net.certified(3).len(), 1500);
    assert_eq!(net.false_answers, []);
}

#[test]
fn what_nobody_but_its_origin_votes_for_takes_little() {
    let mut net = Net::new(4);
    net.settle();
    net.messages.clear();
    let old = |i: usize| Event {
        timestamp: "2019-01-01T00:00:00Z".into(),
        ..testing::event("blueprint_tagged", &format!("v{i}"))
    };
    let many: Vec<_> = (0..UNSUPPORTED_OF_ORIGIN + 500).map(old).collect();
    for part in many.chunks(500) {
        deliver(&mut net, 0, 3, Statements::Events(part.to_vec()));
    }
    let open = |net: &Net| net.status(0);
    let status = open(&net);
    assert_eq!(status.open, UNSUPPORTED_OF_ORIGIN as u64);
    assert_eq!(status.awaiting_review, status.open);
    assert_eq!(status.refused.open_instances, 500);
    // one of them is voted for by somebody else: it makes room for another
    let subject = net.subject(&many[0]);
    let ballot = Some(many[0].choice());
    let vote = Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    };
    deliver(&mut net, 0, 1, Statements::Votes(vec![vote]));
    deliver(
        &mut net,
        0,
        3,
        Statements::Events(many[UNSUPPORTED_OF_ORIGIN..].to_vec()),
    );
    assert_eq!(open(&net).open, UNSUPPORTED_OF_ORIGIN as u64 + 1);
    // others' events are not held up, nor is another origin's share touched
    deliver(
        &mut net,
        0,
        2,
        Statements::Events(vec![testing::event("audit_done", "v1")]),
    );
    assert_eq!(open(&net).open, UNSUPPORTED_OF_ORIGIN as u64 + 2);
    // they are asked about ever more rarely
    let ask_for = |net: &mut Net, hours: u64| {
        net.asked.clear();
        for _ in 0..hours * 60 {
            net.now = UnixMillis(net.now.0 + 60_000);
            net.tick(0, Vec::new());
            net.messages.clear();
        }
        let named = net.asked.iter().map(|(_, _, request)| match request {
            Request::Open { subjects, .. } => subjects.len(),
            _ => 0,
        });
        named.sum::<usize>()
    };
    ask_for(&mut net, 3);
    let in_two_hours = ask_for(&mut net, 2);
    assert!(
        in_two_hours <= 3 * UNSUPPORTED_OF_ORIGIN,
        "{in_two_hours} questions"
    );
    // people decide, and what they decided is counted as it changes
    let operation = Operation {
        kind: NoteKind::Refuse,
        subject: net.subject(&many[1]),
        choice: many[1].choice(),
    };
    let before = open(&net).awaiting_review;
    net.command(0, Command::Operate(operation, Decider::default()));
    assert_eq!(open(&net).awaiting_review, before - 1);
}
