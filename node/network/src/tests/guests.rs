//! A guest: connected, asked and answered within bounds, and heard by nobody.

use ssid_protocol::sync::{Answer, Request};

use super::*;
use crate::testing::{guest, votes};

/// Member 0, to which 1 is a guest; 1 itself takes both for members.
async fn host_and_guest(limits: NetworkLimits) -> (TestNode, TestNode) {
    let host = TestNode::start(NetworkConfig {
        limits,
        ..config(0, &[member(0), guest(1)])
    })
    .await;
    let mut known = members(2);
    known[0].addresses = vec![host.address.clone()];
    let newcomer = TestNode::start(config(1, &known)).await;
    host.connected_to(&[1]).await;
    newcomer.connected_to(&[0]).await;
    (host, newcomer)
}

#[tokio::test]
async fn a_guest_hears_what_is_said_and_is_not_heard() {
    let (host, mut newcomer) = host_and_guest(NetworkLimits::default()).await;
    let said = signed(0, votes(1));
    until("the guest hears the member", || {
        // again and again: a guest gets it by asking for what gossip says is there
        host.network.publish(Topic::Votes, said.clone()).is_ok()
    })
    .await;
    let (from, batch, _) = newcomer.batch().await;
    assert_eq!((from, batch.signer()), (id(0), id(0)));

    let own = signed(1, votes(2));
    newcomer.network.publish(Topic::Votes, own).unwrap();
    let metrics = host.network.metrics();
    until("the member has dropped it", || {
        metrics.messages(Topic::Votes, "ignored") > 0
    })
    .await;
    assert_eq!(
        host.network.connected().borrow().len(),
        1,
        "and blames nobody"
    );
}

#[tokio::test]
async fn a_guest_asks_for_what_is_certified_at_a_tenth_of_the_rate() {
    let limits = NetworkLimits {
        peer_requests_per_second: 10.0,
        ..NetworkLimits::default()
    };
    let (mut host, newcomer) = host_and_guest(limits).await;
    let asking = newcomer.network.request(id(0), Request::Status);
    let answering = async {
        let (from, asked, reply) = host.asked().await;
        assert_eq!((from, asked), (id(1), Request::Status));
        reply.answer(Answer::Status(None));
    };
    let (answer, ()) = within("an answer", futures::future::join(asking, answering)).await;
    assert_eq!(answer, Ok(Answer::Status(None)));
    let refused = |answer| match answer {
        Ok(Answer::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    // four seconds' worth of a tenth of ten, of which one is used
    for _ in 0..3 {
        let own = newcomer.network.request(id(0), Request::Own).await;
        assert!(refused(own).contains("guest"));
    }
    let many = newcomer.network.request(id(0), Request::Status).await;
    assert!(refused(many).contains("too many requests"));
}
