//! Batches of which little is of use: what they take in memory is bounded by signer, and nothing of
//! use is lost.

use ssid_protocol::batch::Statements;
use ssid_protocol::id::{Epoch, Round, SubjectId};
use ssid_protocol::limits::{BATCH_STATEMENTS, WHOLE_BATCH_BYTES};
use ssid_protocol::vote::{Ballot, Phase, Vote};
use ssid_storage::JournalRecord;

use super::*;

/// A full batch whose last vote is of use.
fn hollow(subject: SubjectId, phase: Phase, ballot: Ballot) -> Statements {
    let useful = Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase,
        ballot,
        observed: false,
    };
    let stale = |i| Vote {
        epoch: Epoch(1 << 40),
        round: Round(i as u32),
        ..useful
    };
    Statements::Votes((1..BATCH_STATEMENTS).map(stale).chain([useful]).collect())
}

/// Four that are in conflict about `count` subjects after round 0: all of them stay open.
fn in_conflict(net: &mut Net, count: usize) -> Vec<SubjectId> {
    let a = events(count);
    let b: Vec<_> = a.iter().map(other).collect();
    for (node, lines) in [(0, &a), (1, &a), (2, &b)] {
        net.tick(node, vec![observed(lines.clone())]);
    }
    net.settle_except(|to, _| to == 3);
    net.engine(0).open.keys().copied().collect()
}

fn whole_bytes(net: &Net, node: usize, signer: usize) -> usize {
    net.engine(node).whole.bytes_of(&net.ids[signer])
}

/// Batches of `signer` that the node keeps whole for a vote.
fn whole_batches(net: &Net, node: usize, signer: usize) -> usize {
    let engine = net.engine(node);
    let held = engine.open.values().flat_map(|open| &open.held);
    held.filter(|vote| {
        vote.proof
            .batch()
            .is_some_and(|batch| batch.signer() == net.ids[signer])
    })
    .count()
}

#[test]
fn they_take_no_more_than_their_signers_share_and_every_vote_counts() {
    let mut net = Net::new(4);
    net.settle();
    let subjects = in_conflict(&mut net, 40);
    assert_eq!(subjects.len(), 40);
    for subject in &subjects {
        deliver(&mut net, 0, 3, hollow(*subject, Phase::Prevote, None));
        assert!(
            whole_bytes(&net, 0, 3) <= WHOLE_BATCH_BYTES,
            "{} bytes",
            whole_bytes(&net, 0, 3)
        );
    }
    assert!(
        whole_batches(&net, 0, 3) < 10,
        "{} are whole",
        whole_batches(&net, 0, 3)
    );
    let engine = net.engine(0);
    let counted = |subject: &SubjectId| {
        engine.open[subject]
            .machine
            .votes()
            .filter(|vote| vote.2.0 == 3)
            .count()
    };
    assert!(subjects.iter().all(|subject| counted(subject) >= 1));
    // by Git, too, if this node speaks for their signer
    let page = engine.offer(&[net.ids[3]].into(), None);
    let of_3 = page
        .batches
        .iter()
        .filter(|batch| batch.signer() == net.ids[3])
        .count();
    assert_eq!(page.statements.len() + of_3, 40);
    assert!(
        page.statements.len() > 30
            && page
                .statements
                .iter()
                .all(|signed| signed.proof.signer == net.ids[3])
    );
    // the others get each of them by asking, without the rest of its batch
    net.messages.clear();
    let request = Request::Open {
        subjects: Vec::new(),
        after: None,
    };
    let answer = net.ask_engine(
        0,
        Inbound::OpenAsked {
            subjects: Vec::new(),
            after: None,
            ticket: 1,
        },
    );
    let Answer::Open {
        batches,
        statements,
        ..
    } = &answer
    else {
        panic!("{answer:?}")
    };
    let of_3 = statements
        .iter()
        .filter(|signed| signed.proof.signer == net.ids[3])
        .count();
    assert_eq!(
        (
            of_3,
            batches
                .iter()
                .filter(|batch| batch.signer == net.ids[3])
                .count()
        ),
        (40, 0)
    );
    let answer = net.checker(0).check(net.ids[0], &request, answer).unwrap();
    net.tick(
        1,
        vec![Inbound::Answered {
            from: net.ids[0],
            request,
            answer: Some(answer),
        }],
    );
    let engine = net.engine(1);
    let counted = |subject: &SubjectId| {
        engine.open[subject]
            .machine
            .votes()
            .filter(|vote| vote.2.0 == 3)
            .count()
    };
    assert!(subjects.iter().all(|subject| counted(subject) >= 1));
}

/// What is altered on the way is not believed.
#[test]
fn a_statement_alone_needs_its_proof() {
    let mut net = Net::new(4);
    net.settle();
    let subjects = in_conflict(&mut net, 1);
    deliver(&mut net, 0, 3, hollow(subjects[0], Phase::Prevote, None));
    net.messages.clear();
    let request = Request::Open {
        subjects: Vec::new(),
        after: None,
    };
    let mut answer = net.ask_engine(
        0,
        Inbound::OpenAsked {
            subjects: Vec::new(),
            after: None,
            ticket: 1,
        },
    );
    let Answer::Open { statements, .. } = &mut answer else {
        panic!("{answer:?}")
    };
    assert_eq!(statements.len(), 1);
    statements[0].proof.signer = net.ids[2];
    assert!(net.checker(0).check(net.ids[0], &request, answer).is_err());
}

/// The prevotes that justify an own precommit outlive their batches, restarts and compaction: the
/// lock stays proven.
#[test]
fn a_locks_polka_is_kept_alone() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.stop(1);
    net.stop(2);
    net.settle();
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    let subject = net.first_open(0).0;
    for signer in [2, 3] {
        deliver(
            &mut net,
            0,
            signer,
            hollow(subject, Phase::Prevote, Some(event.choice())),
        );
    }
    net.messages.clear();
    let lock = |net: &Net| net.open(0, &subject).machine.locked().unwrap().choice;
    let polka = |net: &Net| {
        let open = net.open(0, &subject);
        open.votes_for(Round(0), Phase::Prevote, event.choice())
            .count()
    };
    assert_eq!((lock(&net), polka(&net)), (event.choice(), 3));
    let alone = |net: &Net| {
        let path = net.homes[0].path().join("votes.journal");
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).unwrap();
        let (_, records, _) = Journal::open(&copy, net.ids[0], 0).unwrap();
        records
            .iter()
            .filter(|record| matches!(record, JournalRecord::SupportAlone(_)))
            .count()
    };
    assert_eq!(alone(&net), 2);
    assert!(
        std::fs::metadata(net.homes[0].path().join("votes.journal"))
            .unwrap()
            .len()
            < 10_000
    );
    for _ in 0..2 {
        net.stop(0);
        net.start(0);
        net.messages.clear();
        assert_eq!(
            (lock(&net), polka(&net), alone(&net)),
            (event.choice(), 3, 2)
        );
        net.engine_mut(0).compact_journal().unwrap();
    }
}

/// Every precommit of a batch is justified by batches of prevotes kept once, although the first of
/// them brings them about while the batch is being taken.
#[test]
fn batches_that_justify_are_kept_whole_from_their_first_vote_on() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(40);
    net.stop(1);
    net.stop(2);
    net.settle();
    net.emit(0, &all);
    net.messages.clear();
    let prevote = |event: &Event| Vote {
        epoch: Epoch(0),
        subject: net.subject(event),
        round: Round(0),
        phase: Phase::Prevote,
        ballot: Some(event.choice()),
        observed: false,
    };
    let prevotes: Vec<Vote> = all.iter().map(prevote).collect();
    for signer in [2, 3] {
        deliver(&mut net, 0, signer, Statements::Votes(prevotes.clone()));
    }
    net.stop(0);
    let path = net.homes[0].path().join("votes.journal");
    let (_, records, _) = Journal::open(&path, net.ids[0], 0).unwrap();
    let count = |of: fn(&JournalRecord) -> bool| records.iter().filter(|record| of(record)).count();
    let alone = count(|record| matches!(record, JournalRecord::SupportAlone(_)));
    let whole = count(|record| matches!(record, JournalRecord::Support(_)));
    assert_eq!((whole, alone), (2, 0), "batches and votes alone");
}
