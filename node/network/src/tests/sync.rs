use super::*;
use crate::codec::Incoming;
use futures::StreamExt as _;
use ssid_protocol::id::ContentDigest;
use ssid_protocol::limits::MESSAGE_BYTES;
use ssid_protocol::sync::{Answer, NAMES, Request};

/// Asks the second node while it answers with `answer`.
async fn ask(
    first: &TestNode,
    second: &mut TestNode,
    answer: Answer,
) -> Result<Answer, RequestError> {
    let request = Request::Log { from: 3, limit: 5 };
    let asking = first.network.request(id(1), request.clone());
    let answering = async {
        let (from, asked, reply) = second.asked().await;
        assert_eq!((from, asked), (id(0), request));
        reply.answer(answer);
    };
    within("the answer", futures::future::join(asking, answering))
        .await
        .0
}

#[tokio::test]
async fn a_request_is_answered_and_an_oversize_answer_refused() {
    for listen in [tcp(), quic()] {
        let (first, mut second) = pair(listen).await;
        let small = Answer::Events(Vec::new());
        assert_eq!(ask(&first, &mut second, small.clone()).await, Ok(small));
        let full = Answer::Refused("x".repeat(MESSAGE_BYTES - 100));
        assert_eq!(ask(&first, &mut second, full.clone()).await, Ok(full));
        let oversize = Answer::Refused("x".repeat(MESSAGE_BYTES));
        let Ok(Answer::Refused(reason)) = ask(&first, &mut second, oversize).await else {
            panic!("refused")
        };
        assert!(reason.contains("message_bytes"), "{reason}");
        let metrics = first.network.metrics();
        assert_eq!(
            metrics.sync_requests("out", "answered") + metrics.sync_requests("out", "refused"),
            3
        );
        assert!(metrics.sync_bytes("in") > MESSAGE_BYTES as u64 - 100);
    }
}

#[tokio::test]
async fn who_is_not_there_or_does_not_answer_is_named() {
    let (first, mut second) = pair(tcp()).await;
    for absent in [id(0), id(9)] {
        let result = first.network.request(absent, Request::Status).await;
        assert_eq!(result, Err(RequestError::NotConnected(absent)));
    }
    let asking = first.network.request(id(1), Request::Status);
    let dropping = async { drop(second.asked().await) };
    let (result, ()) = within("a failure", futures::future::join(asking, dropping)).await;
    assert!(matches!(result, Err(RequestError::Broken(_))), "{result:?}");
    first.stop.cancel();
    first.tracker.close();
    first.tracker.wait().await;
    assert_eq!(
        first.network.request(id(1), Request::Status).await,
        Err(RequestError::Closed)
    );
}

#[tokio::test]
async fn too_many_requests_and_too_many_names_are_refused() {
    let limits = NetworkLimits {
        peer_requests_per_second: 0.5,
        ..NetworkLimits::default()
    };
    let (first, mut second) = pair_with(tcp(), limits, members(2)).await;
    let digests = vec![ContentDigest([0; 32]); NAMES + 1];
    let refused = first
        .network
        .request(id(1), Request::Events { digests })
        .await
        .unwrap();
    assert!(matches!(refused, Answer::Refused(reason) if reason.contains("4096")));
    assert!(matches!(
        ask(&first, &mut second, Answer::Status(None)).await,
        Ok(Answer::Status(None))
    ));
    let refused = first.network.request(id(1), Request::Status).await.unwrap();
    assert!(
        matches!(refused, Answer::Refused(reason) if reason.contains("peer_requests_per_second"))
    );
    assert_eq!(second.network.metrics().rate_limited("peer_requests"), 1);
    assert_eq!(second.network.metrics().sync_requests("in", "refused"), 2);
}

#[tokio::test]
async fn who_does_not_read_its_answers_gets_no_more_of_them() {
    let (first, mut second) = pair(tcp()).await;
    let asking = (0..=tuning::SYNC_SERVED).map(|_| first.network.request(id(1), Request::Status));
    let mut asking: futures::stream::FuturesUnordered<_> = asking.collect();
    let refused = within("one too many", asking.next())
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(&refused, Answer::Refused(reason) if reason.starts_with("busy: 8 ")),
        "{refused:?}"
    );
    assert_eq!(second.network.metrics().rate_limited("peer_answers"), 1);
    for _ in 0..tuning::SYNC_SERVED {
        second.asked().await.2.answer(Answer::Status(None));
        assert_eq!(
            within("an answer", asking.next()).await,
            Some(Ok(Answer::Status(None)))
        );
    }
    assert!(matches!(
        ask(&first, &mut second, Answer::Status(None)).await,
        Ok(Answer::Status(None))
    ));
}

#[tokio::test]
async fn malformed_requests_count_as_offences() {
    let limits = NetworkLimits {
        offence_limit: 30.0,
        ..NetworkLimits::default()
    };
    let node = TestNode::start(NetworkConfig {
        limits,
        ..config(0, &members(2))
    })
    .await;
    let mut attacker = hostile(1);
    attacker.dial(with_peer(&node.address, 0)).unwrap();
    let metrics = node.network.metrics().clone();
    within("it is blocked", async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while metrics.disconnected_offenders() == 0 {
            tokio::select! {
                _ = attacker.select_next_some() => {}
                _ = look.tick() => {
                    let peer = member(0).peer;
                    if attacker.is_connected(&peer) {
                        attacker.behaviour_mut().sync.send_request(&peer, Incoming::Malformed);
                    }
                }
            }
        }
    })
    .await;
    assert!(metrics.sync_requests("in", "malformed") >= 3);
}

/// A hostile node that has begun five requests of [`node`](TestNode), which it never ends.
async fn begin_requests(node: &TestNode, index: u8) -> Swarm<Behaviour> {
    let (metrics, peer) = (Metrics::default(), member(0).peer);
    let mut swarm = hostile_counted(index, metrics.clone());
    swarm.dial(with_peer(&node.address, 0)).unwrap();
    within("five requests begun", async {
        let mut begun = 0;
        while metrics.sync_bytes("out") < 5 * 5 {
            if begun < 5 && swarm.is_connected(&peer) {
                swarm
                    .behaviour_mut()
                    .sync
                    .send_request(&peer, Incoming::Unfinished);
                begun += 1;
            }
            swarm.select_next_some().await;
        }
    })
    .await;
    swarm
}

#[tokio::test]
async fn requests_that_never_end_are_offences_and_links_that_break_meanwhile_are_not() {
    let limits = NetworkLimits {
        offence_limit: 3.0,
        ..NetworkLimits::default()
    };
    let node = TestNode::start(NetworkConfig {
        limits,
        ..config(0, &members(3))
    })
    .await;
    let metrics = node.network.metrics();
    drop(begin_requests(&node, 1).await);
    let mut slow = begin_requests(&node, 2).await;
    // past the limit with the second of its five; what the first began is due before that
    let peer = member(0).peer;
    within("the slow one is shut out", async {
        while slow.is_connected(&peer) {
            slow.select_next_some().await;
        }
    })
    .await;
    until("they are counted", || {
        metrics.sync_requests("in", "failed") > 0
    })
    .await;
    assert_eq!(metrics.disconnected_offenders(), 1);
    node.stop().await;
}
