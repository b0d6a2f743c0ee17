//! Equivocation: what is noticed, kept, passed on and shown; and two certificates of one subject,
//! which end it all.

use ssid_protocol::batch::{Kind, Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Evidence, EvidenceKind, Signed};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Epoch, ManifestHash, MerkleHash, Round, SetHash};
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::vote::{EpochClose, Phase, Proposal, Vote};
use ssid_storage::EvidenceRow;

use super::*;
use crate::Validity;
use crate::messages::CheckedAnswer;

fn net() -> Net {
    let mut net = Net::new(4);
    net.is_byzantine = true;
    net.settle();
    net
}

impl Net {
    fn evidence(&self, node: usize) -> Vec<EvidenceRow> {
        self.store(node)
            .evidence()
            .map(|row| row.unwrap().1)
            .collect()
    }

    /// That each of `nodes` holds one piece of this kind about `member`, and nothing else.
    fn assert_accused(
        &self,
        nodes: impl IntoIterator<Item = usize>,
        member: usize,
        kind: EvidenceKind,
    ) {
        for node in nodes {
            let rows = self.evidence(node);
            let found: Vec<_> = rows
                .iter()
                .map(|row| (row.evidence.member(), row.evidence.kind()))
                .collect();
            assert_eq!(found, [(Some(self.ids[member]), kind)], "node {node}");
            assert_eq!(self.score(node, member), 0, "node {node}");
            let told = self.events.iter().filter(|(at, event)| match event {
                NodeEvent::Evidence { member: told, .. } => {
                    *at == node && *told == Some(self.ids[member])
                }
                _ => false,
            });
            assert_eq!(told.count(), 1, "node {node}");
        }
    }
}

fn prevote(event: &Event, ballot: Option<&Event>) -> Vote {
    let (subject, ballot) = (subject_of(event), ballot.map(Event::choice));
    Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    }
}

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

#[test]
fn who_connects_later_is_told_by_asking() {
    let mut net = net();
    net.stop(2);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    deliver(
        &mut net,
        0,
        3,
        Statements::Events(vec![event.clone(), other(&event)]),
    );
    // gossip of it reaches nobody
    net.settle_except(|_, input| matches!(input, Inbound::Evidence { .. }));
    assert!(net.evidence(1).is_empty());
    net.start(2);
    net.settle_except(|_, input| matches!(input, Inbound::Evidence { .. }));
    net.assert_accused([0, 2], 3, EvidenceKind::Event);
    // node 1 was connected all the time: it asks again within the sync interval
    net.now = UnixMillis(net.now.0 + 3_600_000);
    net.pass(1);
    net.assert_accused(0..4, 3, EvidenceKind::Event);
}

#[test]
fn a_node_accused_itself_keeps_and_shows_it() {
    let mut net = net();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    // somebody else signs with node 0's key
    deliver(
        &mut net,
        0,
        0,
        Statements::Votes(vec![prevote(&event, None)]),
    );
    net.assert_accused([0], 0, EvidenceKind::Vote);
}

fn head_pair(signer: u8, roots: [u8; 2]) -> Evidence {
    let federation = testing::manifest(4).federation_id();
    let signed = |root: u8| {
        let beat = Heartbeat {
            log_root: MerkleHash([root; 32]),
            ..testing::heartbeat(7)
        };
        let statements = Statements::Heartbeat(Box::new(beat));
        Signed::of(
            &VerifiedBatch::sign(&testing::key(signer), &federation, statements).unwrap(),
            0,
        )
        .unwrap()
    };
    Evidence::of_statements(federation, signed(roots[0]), signed(roots[1]))
}

#[test]
fn what_arrives_is_new_known_or_proves_nothing() {
    let mut net = net();
    let from = net.ids[1];
    let engine = net.engine_mut(0);
    let mut tell = |evidence: Evidence| {
        let input = Inbound::Evidence {
            evidence: Box::new(evidence),
            from,
            ticket: Some(1),
        };
        let effects = engine.tick(START, vec![input]);
        assert!(
            effects.evidence.is_empty(),
            "gossip forwards what it brought"
        );
        verdict(&effects)
    };
    assert_eq!(
        tell(head_pair(9, [1, 2])),
        Validity::Nothing,
        "a stranger, whom a later manifest may know"
    );
    assert_eq!(
        tell(head_pair(3, [1, 1])),
        Validity::Invalid,
        "no contradiction"
    );
    assert_eq!(tell(head_pair(3, [1, 2])), Validity::New);
    assert_eq!(tell(head_pair(3, [1, 2])), Validity::Nothing);
    assert_eq!(
        tell(head_pair(3, [3, 4])),
        Validity::Nothing,
        "one piece suffices"
    );
    let stored = net.evidence(0);
    assert_eq!((stored.len(), stored[0].from), (1, Some(from)));
}

/// A certificate that three of four signed.
fn certificate(event: &Event) -> Certificate {
    let (manifest, federation, _, keys) = testing::federation(4);
    let subject = manifest.event_policies.subject_of(event);
    let blank = Certificate::assemble(
        federation,
        Epoch(0),
        subject.clone(),
        Round(0),
        event.clone(),
        Vec::new(),
    );
    let proofs = keys.iter().skip(1).map(|key| {
        let batch =
            VerifiedBatch::sign(key, &federation, Statements::Votes(vec![blank.vote()])).unwrap();
        batch.proof(0).unwrap()
    });
    Certificate::assemble(
        federation,
        Epoch(0),
        subject,
        Round(0),
        event.clone(),
        proofs.collect(),
    )
}

fn hand_in(net: &mut Net, node: usize, certificates: Vec<Certificate>) {
    let request = Request::Log { from: 0, limit: 10 };
    let (log_id, size) = (LogId([99; 32]), certificates.len() as u64);
    let answer = Some(CheckedAnswer::Log {
        log_id,
        size,
        certificates,
    });
    net.tick(
        node,
        vec![Inbound::Answered {
            from: net.ids[1],
            request,
            answer,
        }],
    );
}

fn assert_forked(net: &mut Net, node: usize) {
    let stored = net.evidence(node);
    assert_eq!(
        stored
            .iter()
            .map(|row| row.evidence.kind())
            .collect::<Vec<_>>(),
        [EvidenceKind::Certificates]
    );
    assert!(net.status(node).read_only.is_some());
    let is_told = |event: &NodeEvent| matches!(event, NodeEvent::ReadOnly { reason } if reason.contains("certified"));
    assert!(
        net.events
            .iter()
            .any(|(at, event)| *at == node && is_told(event))
    );
    // it certifies nothing more, now and after a restart
    let size = net.certified(node).len();
    hand_in(
        net,
        node,
        vec![certificate(&testing::event("blueprint_tagged", "v9"))],
    );
    assert_eq!(net.certified(node).len(), size);
    net.stop(node);
    net.start(node);
    assert!(net.status(node).read_only.is_some());
    assert!(
        net.events
            .iter()
            .filter(|(at, event)| *at == node && matches!(event, NodeEvent::ReadOnly { .. }))
            .count()
            > 1
    );
    hand_in(
        net,
        node,
        vec![certificate(&testing::event("blueprint_tagged", "v9"))],
    );
    assert_eq!(net.certified(node).len(), size);
}

#[test]
fn two_certificates_of_one_subject_end_all_certifying() {
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let mut net = net();
    hand_in(&mut net, 0, vec![certificate(&event)]);
    net.messages.clear();
    assert!(net.evidence(0).is_empty());
    hand_in(
        &mut net,
        0,
        vec![certificate(&event), certificate(&other(&event))],
    );
    assert_forked(&mut net, 0);
    // it tells the others, who stop too
    net.settle();
    assert!(net.status(2).read_only.is_some());
}

#[test]
fn two_certificates_of_one_tick_too() {
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let mut net = net();
    hand_in(
        &mut net,
        0,
        vec![certificate(&event), certificate(&other(&event))],
    );
    let wakes = net
        .messages
        .iter()
        .any(|(to, message)| *to == 0 && matches!(message, Message::Wake));
    assert!(wakes, "it looks again once the first is on disk");
    net.tick(0, Vec::new());
    net.messages.clear();
    assert_forked(&mut net, 0);
}
