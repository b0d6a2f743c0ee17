use super::*;
use crate::testing::{evidence, heartbeat, observer, votes};
use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::Evidence;
use ssid_protocol::id::FederationId;
use ssid_protocol::limits::{EVENT_BYTES, MESSAGE_BYTES};
use ssid_protocol::testing::event;

#[tokio::test]
async fn a_batch_passes_over_tcp_and_over_quic() {
    for listen in [tcp(), quic()] {
        let (first, mut second) = pair(listen).await;
        let statements = Statements::Events(vec![event("a", "1")]);
        first
            .network
            .publish(Topic::Events, signed(0, statements.clone()))
            .unwrap();
        let (from, batch, _ticket) = second.batch().await;
        assert_eq!((from, batch.signer()), (id(0), id(0)));
        assert_eq!(*batch.statements(), statements);
        first.stop().await;
        second.stop().await;
    }
}

#[tokio::test]
async fn evidence_goes_on_after_accept() {
    let mut known = members(3);
    let mut middle = TestNode::start(config(1, &known)).await;
    known[1].addresses = vec![middle.address.clone()];
    let first = TestNode::start(config(0, &known)).await;
    let mut last = TestNode::start(config(2, &known)).await;
    middle.connected_to(&[0, 2]).await;
    first.connected_to(&[1]).await;
    last.connected_to(&[1]).await;

    first
        .network
        .publish(Topic::Evidence, wire::encode(&evidence(3)))
        .unwrap();
    let (from, arrived, ticket) = middle.evidence().await;
    assert_eq!((from, *arrived), (id(0), evidence(3)));
    middle.network.verdict(ticket, Verdict::Accept);
    let (from, arrived, _ticket) = last.evidence().await;
    assert_eq!((from, *arrived), (id(1), evidence(3)));
}

#[tokio::test]
async fn a_batch_goes_on_only_after_accept() {
    let mut known = members(3);
    let mut middle = TestNode::start(config(1, &known)).await;
    known[1].addresses = vec![middle.address.clone()];
    let first = TestNode::start(config(0, &known)).await;
    let mut last = TestNode::start(config(2, &known)).await;
    middle.connected_to(&[0, 2]).await;
    first.connected_to(&[1]).await;
    last.connected_to(&[1]).await;

    first
        .network
        .publish(Topic::Votes, signed(0, votes(1)))
        .unwrap();
    let (_, _, ignored) = middle.batch().await;
    middle.network.verdict(ignored, Verdict::Ignore);
    first
        .network
        .publish(Topic::Votes, signed(0, votes(2)))
        .unwrap();
    let (_, batch, accepted) = middle.batch().await;
    assert_eq!(
        middle.network.metrics().messages(Topic::Votes, "accepted"),
        0
    );
    middle.network.verdict(accepted, Verdict::Accept);

    // what was ignored would have come first
    let (from, arrived, _ticket) = last.batch().await;
    assert_eq!((from, arrived.signer()), (id(1), id(0)));
    assert_eq!(arrived.root(), batch.root());
    assert_eq!(
        middle.network.metrics().messages(Topic::Votes, "accepted"),
        1
    );
    assert_eq!(
        middle.network.metrics().messages(Topic::Votes, "ignored"),
        1
    );
}

#[tokio::test]
async fn bad_messages_are_rejected_by_name() {
    let limits = NetworkLimits {
        offence_limit: 1000.0,
        ..NetworkLimits::default()
    };
    let known = vec![member(0), member(1), observer(2)];
    let (attacker, mut node) = pair_with(tcp(), limits, known).await;
    let other_federation = VerifiedBatch::sign(&key(0), &FederationId([9; 32]), votes(1)).unwrap();
    let mut forged = signed(1, votes(3));
    forged[40] ^= 1;
    let long = Event {
        version: "x".repeat(EVENT_BYTES),
        ..event("a", "1")
    };
    let spoiled = Event {
        version: "a|b".into(),
        ..event("a", "1")
    };
    let elsewhere = Evidence {
        federation_id: FederationId([9; 32]),
        ..evidence(1)
    };
    let bad = [
        ("garbage", Topic::Votes, b"garbage".to_vec()),
        (
            "signature",
            Topic::Votes,
            wire::encode(other_federation.batch()),
        ),
        ("signature", Topic::Votes, forged),
        ("wrong_topic", Topic::Heartbeats, signed(0, votes(1))),
        (
            "event_bytes",
            Topic::Events,
            signed(0, Statements::Events(vec![long])),
        ),
        ("heartbeat_bytes", Topic::Heartbeats, vec![0; 20_000]),
        (
            "inadmissible",
            Topic::Events,
            signed(0, Statements::Events(vec![spoiled, event("a", "1")])),
        ),
        ("unproven", Topic::Evidence, wire::encode(&elsewhere)),
    ];
    for (reason, topic, data) in bad {
        let before = node.network.metrics().rejects(reason);
        attacker.network.publish(topic, data).unwrap();
        until(reason, || {
            node.network.metrics().rejects(reason) == before + 1
        })
        .await;
    }
    attacker
        .network
        .publish(Topic::Votes, signed(0, votes(9)))
        .unwrap();
    let (_, batch, _ticket) = node.batch().await;
    assert_eq!(
        *batch.statements(),
        votes(9),
        "only the good one came through"
    );
}

#[tokio::test]
async fn what_another_manifest_may_take_is_ignored_and_nobody_is_blamed() {
    // a single offence would shut it out
    let limits = NetworkLimits {
        offence_limit: 1.0,
        ..NetworkLimits::default()
    };
    let known = vec![member(0), member(1), observer(2)];
    let (relay, mut node) = pair_with(tcp(), limits, known).await;
    let cases = [
        ("not_a_member", Topic::Votes, signed(5, votes(1))),
        ("not_a_voter", Topic::Votes, signed(2, votes(1))),
        (
            "other_manifest",
            Topic::Evidence,
            wire::encode(&evidence(9)),
        ),
    ];
    for (reason, topic, data) in cases {
        relay.network.publish(topic, data).unwrap();
        until(reason, || node.network.metrics().unusable(reason) == 1).await;
    }
    relay
        .network
        .publish(Topic::Votes, signed(0, votes(9)))
        .unwrap();
    node.batch().await;
    assert_eq!(node.network.metrics().disconnected_offenders(), 0);
}

#[tokio::test]
async fn an_oversize_message_is_refused_at_both_ends() {
    let (first, _second) = pair(tcp()).await;
    let refused = first
        .network
        .publish(Topic::Votes, vec![0; MESSAGE_BYTES + 1]);
    assert!(matches!(refused, Err(PublishRefused::TooLarge { .. })));

    let mut attacker = hostile(1);
    first.network.set_members(members(3));
    let node = TestNode::start(config(0, &members(2))).await;
    attacker.dial(with_peer(&node.address, 0)).unwrap();
    let metrics = node.network.metrics().clone();
    within("the oversize message", async {
        let topic = Topics::of(&FEDERATION).hash(Topic::Votes).unwrap();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while metrics.rejects("message_bytes") == 0 {
            tokio::select! {
                _ = attacker.select_next_some() => {}
                _ = look.tick() => {
                    let _ = attacker.behaviour_mut().gossip.publish(topic.clone(), vec![7; MESSAGE_BYTES + 100]);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_offender_is_disconnected_and_stays_out() {
    let limits = NetworkLimits {
        offence_limit: 25.0,
        ..NetworkLimits::default()
    };
    let (attacker, node) = pair_with(tcp(), limits, members(2)).await;
    for i in 0..3 {
        attacker.network.publish(Topic::Votes, vec![i; 10]).unwrap();
    }
    node.connected_to(&[]).await;
    assert_eq!(node.network.metrics().disconnected_offenders(), 1);
    attacker
        .network
        .add_address(id(1), vec![node.address.clone()]);
    until("it is refused", || {
        node.network.metrics().refused_connections("blocked") > 0
    })
    .await;
}

#[tokio::test]
async fn a_reject_of_the_consumer_counts_against_the_deliverer() {
    let limits = NetworkLimits {
        offence_limit: 10.0,
        ..NetworkLimits::default()
    };
    let (first, mut second) = pair_with(tcp(), limits, members(2)).await;
    first
        .network
        .publish(Topic::Votes, signed(0, votes(1)))
        .unwrap();
    let (_, _, ticket) = second.batch().await;
    second.network.verdict(ticket, Verdict::Reject);
    second.connected_to(&[]).await;
    assert_eq!(second.network.metrics().rejects("consumer"), 1);
}

#[tokio::test]
async fn past_a_rate_messages_are_dropped_and_counted() {
    let limits = NetworkLimits {
        signer_messages_per_second: 0.25,
        ..NetworkLimits::default()
    };
    let (first, mut second) = pair_with(tcp(), limits, members(2)).await;
    for sequence in 0..5 {
        first
            .network
            .publish(Topic::Heartbeats, signed(0, heartbeat(sequence)))
            .unwrap();
    }
    second.batch().await;
    until("the rest is refused", || {
        second.network.metrics().rate_limited("signer_messages") == 4
    })
    .await;
    second.connected_to(&[0]).await;
}

#[tokio::test]
async fn a_consumer_that_does_not_read_stalls_nothing() {
    let limits = NetworkLimits {
        event_queue: 1,
        ..NetworkLimits::default()
    };
    let (first, mut second) = pair_with(tcp(), limits, members(2)).await;
    for count in 1..=20 {
        first
            .network
            .publish(Topic::Votes, signed(0, votes(count)))
            .unwrap();
    }
    let metrics = second.network.metrics().clone();
    until("twenty drops or deliveries", || {
        metrics.messages(Topic::Votes, "dropped_consumer_busy")
            + metrics.messages(Topic::Votes, "delivered")
            == 20
    })
    .await;
    assert!(metrics.messages(Topic::Votes, "dropped_consumer_busy") >= 18);
    let busy = first
        .network
        .request(id(1), ssid_protocol::sync::Request::Status)
        .await
        .unwrap();
    assert!(
        matches!(busy, ssid_protocol::sync::Answer::Refused(reason) if reason.contains("busy"))
    );
    while second.events.try_recv().is_ok() {}
    // the notices that waited take the free places first
    within("a batch after the jam", async {
        for count in 100.. {
            first
                .network
                .publish(Topic::Votes, signed(0, votes(count)))
                .unwrap();
            tokio::select! {
                _ = second.batch() => return,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_and_their_votes_at_once_are_all_delivered() {
    let (first, mut second) = pair(tcp()).await;
    let events: Vec<_> = (0..10_000)
        .map(|i| event("blueprint_tagged", &format!("v{i}")))
        .collect();
    let mut statements = 0;
    for (n, part) in events.chunks(3000).enumerate() {
        let data = signed(0, Statements::Events(part.to_vec()));
        assert!(data.len() < MESSAGE_BYTES, "{}", data.len());
        first.network.publish(Topic::Events, data).unwrap();
        first
            .network
            .publish(Topic::Votes, signed(0, votes(part.len() + n)))
            .unwrap();
        statements += 2 * part.len() + n;
    }
    // and many small ones
    for sequence in 0..500 {
        first
            .network
            .publish(Topic::Heartbeats, signed(0, heartbeat(sequence)))
            .unwrap();
    }
    statements += 500;
    while statements > 0 {
        let (_, batch, ticket) = second.batch().await;
        statements -= batch.statements().len();
        second.network.verdict(ticket, Verdict::Accept);
    }
    for kind in [
        "all_queues_full",
        "no_peers_subscribed",
        "duplicate",
        "slow_peer",
        "other",
    ] {
        assert_eq!(first.network.metrics().publish_failures(kind), 0, "{kind}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_is_worked_off() {
    let (first, mut second) = pair(tcp()).await;
    let mut offered = 0;
    while first
        .network
        .publish(Topic::Heartbeats, signed(0, heartbeat(offered)))
        .is_ok()
    {
        offered += 1;
    }
    assert!(offered >= 1024);
    let one_more = first
        .network
        .publish(Topic::Heartbeats, signed(0, heartbeat(offered)));
    assert_eq!(one_more, Err(PublishRefused::QueueFull));
    for _ in 0..offered {
        let (_, _, ticket) = second.batch().await;
        second.network.verdict(ticket, Verdict::Accept);
    }
}

#[tokio::test]
async fn shutdown_delivers_what_was_offered_right_before() {
    let (first, mut second) = pair(tcp()).await;
    for sequence in 0..20 {
        first
            .network
            .publish(Topic::Heartbeats, signed(0, heartbeat(sequence)))
            .unwrap();
    }
    let network = first.network.clone();
    first.stop().await;
    let refused = network.publish(Topic::Heartbeats, signed(0, heartbeat(20)));
    assert_eq!(refused, Err(PublishRefused::Closed));
    for _ in 0..20 {
        second.batch().await;
    }
    second.connected_to(&[]).await;
}

#[tokio::test]
async fn a_peer_that_leaves_gossip_unanswered_is_not_connected() {
    let node = TestNode::start(config(0, &members(2))).await;
    let mut mute = hostile(1);
    for topic in Topics::of(&FEDERATION).idents() {
        mute.behaviour_mut().gossip.unsubscribe(topic);
    }
    mute.dial(with_peer(&node.address, 0)).unwrap();
    within("it is sent away", async {
        while !matches!(
            mute.select_next_some().await,
            SwarmEvent::ConnectionClosed { .. }
        ) {}
    })
    .await;
    assert!(node.network.connected().borrow().is_empty());
}
