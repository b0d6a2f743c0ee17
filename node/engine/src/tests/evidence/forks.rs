//! Two certificates of one subject, which end all certifying.

use super::*;

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
