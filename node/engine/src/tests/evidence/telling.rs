//! How others come to know of evidence, and what is said of evidence that arrives.

use super::*;

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
