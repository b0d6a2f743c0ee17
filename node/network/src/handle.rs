//! What others hold of the network: the handle to act on it and the events that come out of it.
//!
//! Every channel to the owner is bounded. Those whose senders hold a permit (verdicts, answers)
//! have room for every permit there is, so that a verdict or an answer is never refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::evidence::Evidence;
use ssid_protocol::id::{NodeId, Sha256Hash};
use ssid_protocol::limits::MESSAGE_BYTES;
use ssid_protocol::sync::{Answer, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::config::MemberPeer;
use crate::metrics::Metrics;
use crate::topics::Topic;

/// What the consumer thinks of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New and of use: passed on to other peers.
    Accept,
    /// Nothing new, or not now: not passed on, nobody blamed.
    Ignore,
    /// Nothing but what is past a limit: not passed on, and its signer, where it delivers this
    /// itself, blamed a little.
    Excess,
    /// No honest node passes this on: the peer that delivered it is scored down.
    Reject,
}

/// The right to give one verdict on one delivered message. Dropped unused, it counts as ignored.
#[derive(Debug)]
pub struct Ticket {
    pub(crate) message: MessageId,
    /// Of what was said; see `check::Content::name`.
    pub(crate) name: Sha256Hash,
    pub(crate) source: PeerId,
    /// Whether the deliverer is the signer.
    pub(crate) is_direct: bool,
    pub(crate) topic: Topic,
    /// Gives its bytes back to the budget of undecided batches when the ticket goes.
    pub(crate) _budget: OwnedSemaphorePermit,
}

/// An answer on its way to the owner.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) channel: ResponseChannel<Answer>,
    pub(crate) answer: Answer,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// The right to answer one request. Dropped unused, the asking node sees a failure.
#[derive(Debug)]
pub struct ReplyHandle {
    pub(crate) channel: ResponseChannel<Answer>,
    pub(crate) replies: mpsc::Sender<Reply>,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl ReplyHandle {
    /// Sends the answer; never blocks. One that does not fit a frame is replaced by
    /// [`Answer::Refused`].
    pub fn answer(self, answer: Answer) {
        // room is reserved by the permit; a closed channel is the network shut down, and then
        // nobody waits
        let _ = self.replies.try_send(Reply {
            channel: self.channel,
            answer,
            _permit: self.permit,
        });
    }

    /// Whether the other side still waits.
    pub fn is_open(&self) -> bool {
        self.channel.is_open()
    }
}

/// What the network tells its consumer, over one bounded channel.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A batch whose signature holds, of a signer that may sign its kind, on the topic of its kind.
    /// Every ticket wants a [`Network::verdict`] soon: gossip forgets an undecided message after
    /// about five seconds.
    Batch {
        /// The member that delivered it; not always its signer.
        from: NodeId,
        /// The batch, its signature checked.
        batch: Arc<VerifiedBatch>,
        /// For the verdict.
        ticket: Ticket,
        /// Where it came.
        topic: Topic,
    },
    /// Evidence that proves something. Its ticket wants a verdict as that of a batch does.
    Evidence {
        /// The member that delivered it.
        from: NodeId,
        /// What it is.
        evidence: Box<Evidence>,
        /// For the verdict.
        ticket: Ticket,
    },
    /// A member is connected and receives gossip; comes once per connection, and also if it was
    /// never away for long.
    Connected(NodeId),
    /// The last connection to a member is gone.
    Disconnected(NodeId),
    /// A member asks; an answer is expected within [`Network::request`]'s time limit.
    Asked {
        /// The member that asks.
        from: NodeId,
        /// What it asks for.
        request: Request,
        /// For the answer.
        reply: ReplyHandle,
    },
    /// Addresses at which a member was reached or says it listens: to be remembered across
    /// restarts.
    Addresses {
        /// The member that it is about.
        node: NodeId,
        /// Its libp2p identity, under which they are given back at the next start.
        peer: PeerId,
        /// All that are known, at most 16, the ones that worked first.
        addresses: Vec<Multiaddr>,
    },
}

/// Why a message was not taken for publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefused {
    /// More is waiting than fits; offer less for a while.
    #[error("the publish queue is full")]
    QueueFull,
    /// Longer than a gossip message may be.
    #[error("a message of {size} bytes exceeds message_bytes = {limit}")]
    TooLarge {
        /// The message's length in bytes.
        size: usize,
        /// The most that a message may have, in bytes.
        limit: usize,
    },
    /// The network is shut down.
    #[error("the network is shut down")]
    Closed,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not connected, or not a member.
    #[error("node {0} is not connected")]
    NotConnected(NodeId),
    /// Too many requests of this node are under way.
    #[error("too many requests are under way")]
    Busy,
    /// No answer in time.
    #[error("no answer within the time limit")]
    Timeout,
    /// The connection went, or the other side dropped the request.
    #[error("the connection broke off before the answer: {0}")]
    Broken(String),
    /// The answer was no answer: too long, truncated, not decodable. Counts against the peer.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// The network is shut down.
    #[error("the network is shut down")]
    Closed,
}

/// A message on its way to be published.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) data: Vec<u8>,
    pub(crate) _budget: OwnedSemaphorePermit,
}

/// What the owner is asked to do, beside publishing.
#[derive(Debug)]
pub(crate) enum Command {
    /// Ask a member.
    Request {
        node: NodeId,
        request: Request,
        reply: oneshot::Sender<Result<Answer, RequestError>>,
    },
    /// What a member answered does not hold.
    BadAnswer { node: NodeId },
    /// Addresses of a member.
    AddAddress {
        node: NodeId,
        addresses: Vec<Multiaddr>,
    },
}

/// The handle: cheap to clone, none of its methods blocks.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    pub(crate) outgoing_bytes: Arc<Semaphore>,
    pub(crate) verdicts: mpsc::Sender<(Ticket, Verdict)>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) members: Arc<watch::Sender<Vec<MemberPeer>>>,
    pub(crate) connected: watch::Receiver<Arc<BTreeSet<NodeId>>>,
    pub(crate) round_trips: watch::Receiver<Arc<BTreeMap<NodeId, Duration>>>,
    pub(crate) listening: watch::Receiver<Arc<BTreeSet<Multiaddr>>>,
    pub(crate) metrics: Metrics,
}

impl Network {
    /// Offers an encoded batch to all peers. Publishing is paced; what is taken can still be lost
    /// on the way, which rule 9 makes good.
    ///
    /// # Errors
    /// If the queue is full, the message too long, or the network shut down.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use libp2p::identity::Keypair;
    /// # use ssid_network::{MemberPeer, NetworkConfig, NetworkLimits};
    /// # use ssid_protocol::epoch::{EpochContext, Epochs};
    /// # use ssid_protocol::identity::VerifyKey;
    /// # let (manifest, _, _, keys) = ssid_protocol::testing::federation(2);
    /// # let identities = [1, 2].map(|seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap());
    /// # let members: Vec<_> = keys.iter().zip(&identities).map(|(key, identity)| MemberPeer {
    /// #     node: key.node_id(),
    /// #     key: VerifyKey::parse(key.node_id()).unwrap(),
    /// #     peer: identity.public().to_peer_id(),
    /// #     addresses: Vec::new(),
    /// #     is_voter: true,
    /// #     is_guest: false,
    /// # }).collect();
    /// # let epochs = Epochs::new(EpochContext::genesis(manifest).unwrap());
    /// # let config = NetworkConfig {
    /// #     identity: identities[0].clone(),
    /// #     listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
    /// #     bootstrap: Vec::new(),
    /// #     mdns: false,
    /// #     members,
    /// #     epochs: tokio::sync::watch::channel(Arc::new(epochs)).1,
    /// #     local_node: keys[0].node_id(),
    /// #     remembered: Vec::new(),
    /// #     limits: NetworkLimits::default(),
    /// # };
    /// # use ssid_network::{PublishRefused, RequestError, Topic};
    /// # use tokio_util::{sync::CancellationToken, task::TaskTracker};
    /// # let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # runtime.block_on(async {
    /// # let (network, _events) = ssid_network::start(config, &tracker, stop.clone())?;
    /// assert_eq!(network.publish(Topic::Events, vec![0; 100]), Ok(()));
    /// let refused = network.publish(Topic::Events, vec![0; 9 << 20]).unwrap_err();
    /// assert!(matches!(refused, PublishRefused::TooLarge { size, .. } if size == 9 << 20));
    /// # stop.cancel();
    /// # tracker.close();
    /// # tracker.wait().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish(&self, topic: Topic, data: Vec<u8>) -> Result<(), PublishRefused> {
        let size = data.len();
        if size > MESSAGE_BYTES {
            return Err(PublishRefused::TooLarge {
                size,
                limit: MESSAGE_BYTES,
            });
        }
        let bytes = u32::try_from(size).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.outgoing_bytes).try_acquire_many_owned(bytes);
        let budget = taken.map_err(|_| PublishRefused::QueueFull)?;
        self.outgoing
            .try_send(Outgoing {
                topic,
                data,
                _budget: budget,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => PublishRefused::QueueFull,
                mpsc::error::TrySendError::Closed(_) => PublishRefused::Closed,
            })
    }

    /// Says what became of a delivered batch; only then is it passed on, or its deliverer blamed.
    pub fn verdict(&self, ticket: Ticket, verdict: Verdict) {
        // room is reserved by the ticket's budget; a closed channel is the network shut down
        let _ = self.verdicts.try_send((ticket, verdict));
    }

    /// Asks a connected member and awaits its answer, at most ten seconds.
    ///
    /// # Errors
    /// If it is not connected, does not answer, or answers what is no answer.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use libp2p::identity::Keypair;
    /// # use ssid_network::{MemberPeer, NetworkConfig, NetworkLimits};
    /// # use ssid_protocol::epoch::{EpochContext, Epochs};
    /// # use ssid_protocol::identity::VerifyKey;
    /// # let (manifest, _, _, keys) = ssid_protocol::testing::federation(2);
    /// # let identities = [1, 2].map(|seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap());
    /// # let members: Vec<_> = keys.iter().zip(&identities).map(|(key, identity)| MemberPeer {
    /// #     node: key.node_id(),
    /// #     key: VerifyKey::parse(key.node_id()).unwrap(),
    /// #     peer: identity.public().to_peer_id(),
    /// #     addresses: Vec::new(),
    /// #     is_voter: true,
    /// #     is_guest: false,
    /// # }).collect();
    /// # let epochs = Epochs::new(EpochContext::genesis(manifest).unwrap());
    /// # let config = NetworkConfig {
    /// #     identity: identities[0].clone(),
    /// #     listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
    /// #     bootstrap: Vec::new(),
    /// #     mdns: false,
    /// #     members,
    /// #     epochs: tokio::sync::watch::channel(Arc::new(epochs)).1,
    /// #     local_node: keys[0].node_id(),
    /// #     remembered: Vec::new(),
    /// #     limits: NetworkLimits::default(),
    /// # };
    /// # use ssid_network::{PublishRefused, RequestError, Topic};
    /// # use tokio_util::{sync::CancellationToken, task::TaskTracker};
    /// # let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # runtime.block_on(async {
    /// # let other = config.members[1].node;
    /// # let (network, _events) = ssid_network::start(config, &tracker, stop.clone())?;
    /// use ssid_protocol::sync::Request;
    ///
    /// let answer = network.request(other, Request::Status).await;
    /// assert_eq!(answer, Err(RequestError::NotConnected(other)));
    /// # stop.cancel();
    /// # tracker.close();
    /// # tracker.wait().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn request(&self, node: NodeId, request: Request) -> Result<Answer, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .try_send(Command::Request {
                node,
                request,
                reply,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RequestError::Busy,
                mpsc::error::TrySendError::Closed(_) => RequestError::Closed,
            })?;
        answer.await.unwrap_or(Err(RequestError::Closed))
    }

    /// Says that what a member answered to [`Self::request`] does not hold: it is counted, and the
    /// member blamed. Under load it may be dropped.
    pub fn bad_answer(&self, node: NodeId) {
        let _ = self.commands.try_send(Command::BadAnswer { node });
    }

    /// The members connected now, without this node.
    pub fn connected(&self) -> watch::Receiver<Arc<BTreeSet<NodeId>>> {
        self.connected.clone()
    }

    /// How long the latest ping to each connected member took, there and back. Each is measured when
    /// it connects and every few seconds; one that is gone has no entry.
    pub fn round_trips(&self) -> watch::Receiver<Arc<BTreeMap<NodeId, Duration>>> {
        self.round_trips.clone()
    }

    /// The addresses listened on now, with the ports the system chose.
    pub fn listening(&self) -> watch::Receiver<Arc<BTreeSet<Multiaddr>>> {
        self.listening.clone()
    }

    /// The counters, for registration.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Addresses of a member learned elsewhere, for example from its heartbeat. A hint: under load
    /// it may be dropped.
    pub fn add_address(&self, node: NodeId, addresses: Vec<Multiaddr>) {
        let _ = self
            .commands
            .try_send(Command::AddAddress { node, addresses });
    }

    /// The members of a new epoch: who is no longer among them is disconnected.
    pub fn set_members(&self, members: Vec<MemberPeer>) {
        self.members.send_replace(members);
    }
}
