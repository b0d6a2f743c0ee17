//! The network over loopback: real swarms, conditions with deadlines.

mod gossip;
mod guests;
mod links;
mod sync;

use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::evidence::Evidence;
use ssid_protocol::id::NodeId;
use ssid_protocol::testing::key;
use ssid_protocol::wire;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::behaviour::{self, Behaviour};
use super::testing::{FEDERATION, epochs, identity, member};
use super::*;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running network with its events.
struct TestNode {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    address: Multiaddr,
    stop: CancellationToken,
    tracker: TaskTracker,
}

fn tcp() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

fn quic() -> Multiaddr {
    "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()
}

/// Test member `index` of a federation of `members`, on a TCP port of its own.
fn config(index: u8, members: &[MemberPeer]) -> NetworkConfig {
    NetworkConfig {
        identity: identity(index),
        epochs: epochs(),
        listen: vec![tcp()],
        bootstrap: Vec::new(),
        mdns: false,
        members: members.to_vec(),
        local_node: key(index).node_id(),
        remembered: Vec::new(),
        limits: NetworkLimits::default(),
    }
}

/// The members `0..count`.
fn members(count: u8) -> Vec<MemberPeer> {
    (0..count).map(member).collect()
}

fn id(index: u8) -> NodeId {
    key(index).node_id()
}

fn signed(signer: u8, statements: Statements) -> Vec<u8> {
    wire::encode(
        VerifiedBatch::sign(&key(signer), &FEDERATION, statements)
            .unwrap()
            .batch(),
    )
}

/// Awaits `future`, and fails with `what` past the deadline.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("not within {DEADLINE:?}: {what}")
    };
    done
}

/// Looks at a condition until it holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

impl TestNode {
    async fn start(config: NetworkConfig) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let (network, events) = start(config, &tracker, stop.clone()).unwrap();
        let mut listening = network.listening();
        let all = within("listening", listening.wait_for(|all| !all.is_empty()))
            .await
            .unwrap()
            .clone();
        let address = all.first().unwrap().clone();
        Self {
            network,
            events,
            address,
            stop,
            tracker,
        }
    }

    /// Waits until exactly these members are connected.
    async fn connected_to(&self, indices: &[u8]) {
        let expected = indices.iter().copied().map(id).collect();
        let mut connected = self.network.connected();
        within("connected", connected.wait_for(|now| **now == expected))
            .await
            .unwrap();
    }

    /// The next batch, past notices.
    async fn batch(&mut self) -> (NodeId, Arc<VerifiedBatch>, Ticket) {
        within("a batch", async {
            loop {
                if let NetworkEvent::Batch {
                    from,
                    batch,
                    ticket,
                    ..
                } = self.events.recv().await.unwrap()
                {
                    return (from, batch, ticket);
                }
            }
        })
        .await
    }

    /// The next piece of evidence, past notices.
    async fn evidence(&mut self) -> (NodeId, Box<Evidence>, Ticket) {
        within("evidence", async {
            loop {
                if let NetworkEvent::Evidence {
                    from,
                    evidence,
                    ticket,
                } = self.events.recv().await.unwrap()
                {
                    return (from, evidence, ticket);
                }
            }
        })
        .await
    }

    /// The next request, past notices.
    async fn asked(&mut self) -> (NodeId, ssid_protocol::sync::Request, ReplyHandle) {
        within("a request", async {
            loop {
                if let NetworkEvent::Asked {
                    from,
                    request,
                    reply,
                } = self.events.recv().await.unwrap()
                {
                    return (from, request, reply);
                }
            }
        })
        .await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(Duration::from_secs(2), self.tracker.wait())
            .await
            .expect("stops within two seconds");
    }
}

/// Members `0` and `1`, connected; `listen` is where the first one listens.
async fn pair(listen: Multiaddr) -> (TestNode, TestNode) {
    pair_with(listen, NetworkLimits::default(), members(2)).await
}

/// As [`pair`], with limits for the second one.
async fn pair_with(
    listen: Multiaddr,
    limits: NetworkLimits,
    mut members: Vec<MemberPeer>,
) -> (TestNode, TestNode) {
    let first = TestNode::start(NetworkConfig {
        listen: vec![listen],
        ..config(0, &members)
    })
    .await;
    members[0].addresses = vec![first.address.clone()];
    let second = TestNode::start(NetworkConfig {
        limits,
        ..config(1, &members)
    })
    .await;
    first.connected_to(&[1]).await;
    second.connected_to(&[0]).await;
    (first, second)
}

/// A swarm without our loop, for what an honest node never does.
fn hostile(index: u8) -> Swarm<Behaviour> {
    hostile_counted(index, Metrics::default())
}

/// As [`hostile`], with what it sends counted in `metrics`.
fn hostile_counted(index: u8, metrics: Metrics) -> Swarm<Behaviour> {
    let topics = Topics::of(&FEDERATION);
    let mut swarm = behaviour::swarm(
        identity(index),
        &topics,
        false,
        &Admission::default(),
        metrics,
    )
    .unwrap();
    for other in members(4) {
        swarm.behaviour_mut().allowed.allow_peer(other.peer);
    }
    swarm
}

fn with_peer(address: &Multiaddr, index: u8) -> Multiaddr {
    address.clone().with(Protocol::P2p(member(index).peer))
}
