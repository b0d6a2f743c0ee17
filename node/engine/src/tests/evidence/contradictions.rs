//! Each kind of contradiction by one member, and what looks like one and is none.

use super::*;

#[test]
fn a_double_vote_is_known_to_all_and_changes_no_decision() {
    let mut net = net();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    // before anything is decided node 0 has two prevotes of node 3
    deliver(
        &mut net,
        0,
        3,
        Statements::Votes(vec![prevote(&event, Some(&event)), prevote(&event, None)]),
    );
    net.settle();
    net.pass(2);
    net.assert_all_certified(&[event]);
    net.assert_accused(0..4, 3, EvidenceKind::Vote);
    assert_eq!(net.evidence(0)[0].from, None, "it saw both itself");
    assert!(net.evidence(1)[0].from.is_some(), "it was told");
    assert_eq!(
        net.evidence(0)[0].evidence.id(),
        net.evidence(1)[0].evidence.id()
    );
    // kept over a restart, and the score with it
    net.stop(1);
    net.start(1);
    assert_eq!((net.evidence(1).len(), net.score(1, 3)), (1, 0));
}

#[test]
fn a_vote_that_contradicts_an_earlier_one_is_noticed_for_a_while_after_the_decision() {
    let mut net = net();
    let all = events(2);
    net.emit(0, &all);
    net.settle();
    net.assert_all_certified(&all);
    let nil = |event| Statements::Votes(vec![prevote(event, None)]);
    deliver(&mut net, 1, 3, nil(&all[0]));
    net.settle();
    net.assert_accused(0..4, 3, EvidenceKind::Vote);
    // one piece suffices
    deliver(&mut net, 1, 3, nil(&all[1]));
    net.settle();
    net.assert_accused(0..4, 3, EvidenceKind::Vote);
    // rounds that nobody needs are not kept
    let vote = prevote(&all[0], None);
    let far: Vec<_> = (2..100)
        .map(|round| Vote {
            round: Round(round),
            ..vote
        })
        .collect();
    let held = |net: &mut Net| {
        net.engine_mut(2)
            .closing
            .get_mut(&vote.subject)
            .unwrap()
            .held
            .len()
    };
    let before = held(&mut net);
    deliver(&mut net, 2, 1, Statements::Votes(far));
    assert_eq!(held(&mut net), before);
}

/// The certificate proves the first vote for as long as it is kept, which is for good.
#[test]
fn a_precommit_that_contradicts_a_certificate_is_noticed_for_good() {
    let mut net = net();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.pass(180);
    net.stop(1);
    net.start(1);
    net.settle();
    let certificate = net.certificate(1, 0);
    let signer = net
        .ids
        .iter()
        .position(|id| *id == certificate.precommits[0].signer)
        .unwrap();
    let silent = (0..4).find(|i| {
        certificate
            .precommits
            .iter()
            .all(|proof| proof.signer != net.ids[*i])
    });
    let precommit = |round, ballot| {
        Statements::Votes(vec![Vote {
            phase: Phase::Precommit,
            round: Round(round),
            ..prevote(&event, ballot)
        }])
    };
    // what contradicts nothing that is kept: the same, another round, a prevote, one whose
    // precommit is not in it
    deliver(&mut net, 1, signer, precommit(0, Some(&event)));
    deliver(&mut net, 1, signer, precommit(1, None));
    deliver(
        &mut net,
        1,
        signer,
        Statements::Votes(vec![prevote(&event, None)]),
    );
    if let Some(silent) = silent {
        deliver(&mut net, 1, silent, precommit(0, None));
    }
    assert!(net.evidence(1).is_empty());
    deliver(&mut net, 1, signer, precommit(0, None));
    net.settle();
    net.assert_accused(0..4, signer, EvidenceKind::Vote);
    net.assert_all_certified(&[event]);
}

#[test]
fn two_closes_of_one_epoch_are_evidence() {
    let mut net = net();
    let close = |epoch, next| EpochClose {
        epoch: Epoch(epoch),
        next: ManifestHash([next; 32]),
        certified_count: 0,
        certified_root: SetHash([0; 32]),
        locks_count: 0,
        locks_root: SetHash([0; 32]),
    };
    let closes = |all: &[EpochClose]| Statements::Closes(all.to_vec());
    deliver(&mut net, 0, 3, closes(&[close(0, 1)]));
    deliver(&mut net, 0, 3, closes(&[close(0, 1), close(1, 2)]));
    deliver(&mut net, 0, 2, closes(&[close(0, 2)]));
    net.messages.clear();
    assert!(
        net.evidence(0).is_empty(),
        "one close, twice; and one of another epoch"
    );
    deliver(&mut net, 0, 3, closes(&[close(0, 2)]));
    net.settle();
    net.assert_accused(0..4, 3, EvidenceKind::Close);
}

#[test]
fn two_proposals_of_one_round_are_evidence() {
    let mut manifest = testing::manifest(4);
    (
        manifest.auto_resolve_conflicts,
        manifest.tie_breaking_strategy,
    ) = (true, TieBreak::TimestampPriority);
    let federation = manifest.federation_id();
    let mut net = Net::with(manifest.clone(), EngineSettings::default());
    net.is_byzantine = true;
    net.settle();
    let (a, b) = {
        let a = testing::event("blueprint_tagged", "v4.4.0");
        (a.clone(), other(&a))
    };
    for (node, event) in [(0, &a), (1, &a), (2, &b), (3, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    let is_of = |input: &Inbound, kind| matches!(input, Inbound::Batch { batch, .. } if batch.statements().kind() == kind);
    net.settle_except(|_, input| is_of(input, Kind::Proposals));
    let subject = net.subject(&a);
    let proposed = |net: &Net| {
        let mut of = (0..4).filter_map(|node| {
            let open = net.engine(node).open.get(&subject)?;
            open.machine.proposal(Round(1)).copied()
        });
        of.next()
    };
    for _ in 0..200 {
        if proposed(&net).is_some() {
            break;
        }
        net.now = UnixMillis(net.now.0 + 500);
        (0..4).for_each(|node| net.tick(node, Vec::new()));
        net.settle_except(|_, input| is_of(input, Kind::Proposals));
    }
    let first = proposed(&net).expect("round 0 fails and an automatic round follows");
    let round = net.open(0, &subject).machine.round();
    assert_eq!(round, Round(1), "the round is still open");
    let voters = manifest.voters().unwrap();
    let machine = &net.open(0, &subject).machine;
    let proposer = machine
        .proposer(&voters, TieBreak::TimestampPriority, Round(1))
        .unwrap();
    let proposer = net
        .ids
        .iter()
        .position(|id| *id == voters.get(proposer).unwrap().key.id())
        .unwrap();
    let second = Proposal {
        choice: if first.choice == a.choice() {
            b.choice()
        } else {
            a.choice()
        },
        ..first
    };
    let at = (proposer + 1) % 4;
    for proposal in [first, second] {
        let batch = VerifiedBatch::sign(
            &testing::key(proposer as u8),
            &federation,
            Statements::Proposals(vec![proposal]),
        );
        let input = Inbound::Batch {
            batch: Arc::new(batch.unwrap()),
            from: net.ids[proposer],
            ticket: None,
        };
        net.tick(at, vec![input]);
    }
    net.settle();
    net.assert_accused(0..4, proposer, EvidenceKind::Proposal);
}

#[test]
fn two_events_of_one_origin_are_evidence_while_open_and_for_a_while_after() {
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let mut while_open = net();
    deliver(
        &mut while_open,
        0,
        3,
        Statements::Events(vec![event.clone(), other(&event)]),
    );
    while_open.settle();
    while_open.assert_accused(0..4, 3, EvidenceKind::Event);

    let mut after = net();
    after.emit(3, std::slice::from_ref(&event));
    after.settle();
    after.assert_all_certified(std::slice::from_ref(&event));
    deliver(&mut after, 0, 3, Statements::Events(vec![other(&event)]));
    after.settle();
    after.assert_accused(0..4, 3, EvidenceKind::Event);
    after.assert_all_certified(&[event]);
}

#[test]
fn events_of_two_origins_and_recurring_ones_are_none() {
    let mut net = net();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let audit = testing::event("compliance_audit", "1");
    deliver(
        &mut net,
        0,
        3,
        Statements::Events(vec![event.clone(), audit.clone(), other(&audit)]),
    );
    deliver(&mut net, 0, 2, Statements::Events(vec![other(&event)]));
    deliver(&mut net, 0, 3, Statements::Events(vec![event]));
    net.settle();
    assert!((0..4).all(|node| net.evidence(node).is_empty()));
}

#[test]
fn two_log_heads_of_one_size_are_evidence_whatever_their_sequence() {
    let mut net = net();
    let beat = |sequence: u64, size: u64, root: u8| {
        let (log_size, log_root) = (size, MerkleHash([root; 32]));
        Statements::Heartbeat(Box::new(Heartbeat {
            epoch: Epoch(0),
            sequence,
            log_size,
            log_root,
            ..testing::heartbeat(1)
        }))
    };
    let sequence = START.0 + 1_000_000;
    deliver(&mut net, 0, 3, beat(sequence, 5, 1));
    deliver(&mut net, 0, 3, beat(sequence + 1, 6, 2));
    deliver(&mut net, 0, 3, beat(sequence + 2, 6, 2));
    net.messages.clear();
    assert!(net.evidence(0).is_empty(), "a log that grows");
    deliver(&mut net, 0, 3, beat(sequence, 6, 3));
    net.settle();
    net.assert_accused(0..4, 3, EvidenceKind::LogHead);
}
