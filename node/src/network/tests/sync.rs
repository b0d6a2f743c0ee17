use super::*;
use crate::network::codec::Incoming;
use futures::StreamExt as _;
use ssid_protocol::id::ContentDigest;
use ssid_protocol::limits::MESSAGE_BYTES;
use ssid_protocol::sync::{Answer, NAMES, Request};

/// Asks the second node while it answers with `answer`.
async fn ask(first: &TestNode, second: &mut TestNode, answer: Answer) -> Result<Answer, RequestError> {
    let request = Request::Log { from: 3, limit: 5 };
    let asking = first.network.request(id(1), request.clone());
    let answering = async {
        let (from, asked, reply) = second.asked().await;
        assert_eq!((from, asked), (id(0), request));
        reply.answer(answer);
    };
    within("the answer", futures::future::join(asking, answering)).await.0
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
        let Ok(Answer::Refused(reason)) = ask(&first, &mut second, oversize).await else { panic!("refused") };
        assert!(reason.contains("message_bytes"), "{reason}");
        let metrics = first.network.metrics();
        assert_eq!(metrics.sync_requests("out", "answered") + metrics.sync_requests("out", "refused"), 3);
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
    assert_eq!(first.network.request(id(1), Request::Status).await, Err(RequestError::Closed));
}

#[tokio::test]
async fn too_many_requests_and_too_many_names_are_refused() {
    let limits = NetworkLimits { peer_requests_per_second: 0.5, ..NetworkLimits::default() };
    let (first, mut second) = pair_with(tcp(), limits, members(2)).await;
    let digests = vec![ContentDigest([0; 32]); NAMES + 1];
    let refused = first.network.request(id(1), Request::Events { digests }).await.unwrap();
    assert!(matches!(refused, Answer::Refused(reason) if reason.contains("4096")));
    assert!(matches!(ask(&first, &mut second, Answer::Status(None)).await, Ok(Answer::Status(None))));
    let refused = first.network.request(id(1), Request::Status).await.unwrap();
    assert!(matches!(refused, Answer::Refused(reason) if reason.contains("peer_requests_per_second")));
    assert_eq!(second.network.metrics().rate_limited("peer_requests"), 1);
    assert_eq!(second.network.metrics().sync_requests("in", "refused"), 2);
}

#[tokio::test]
async fn malformed_requests_count_as_offences() {
    let limits = NetworkLimits { offence_limit: 30.0, ..NetworkLimits::default() };
    let node = TestNode::start(NetworkConfig { limits, ..config(0, &members(2)) }).await;
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
