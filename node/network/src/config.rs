//! What the network is started with, and why it may refuse to start.

use std::sync::Arc;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::NodeId;
use ssid_protocol::identity::VerifyKey;
use tokio::sync::watch;

/// One member of the current epoch, as the network needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPeer {
    /// Its name: the voting key.
    pub node: NodeId,
    /// The same key, parsed.
    pub key: VerifyKey,
    /// Its libp2p identity, under which it may connect.
    pub peer: PeerId,
    /// The manifest's addresses for it; may be empty.
    pub addresses: Vec<Multiaddr>,
    /// Whether it may sign events, votes, proposals and closes; others may only send heartbeats.
    pub is_voter: bool,
    /// Whether it is no member yet: a voter of a proposed manifest (SPEC §10, *Guests*). Nothing
    /// that it passes on by gossip is taken, and it may ask for what is certified alone.
    pub is_guest: bool,
}

/// What [`start`](crate::start) needs.
///
/// ```
/// use std::sync::Arc;
///
/// use libp2p::identity::Keypair;
/// use ssid_network::{MemberPeer, NetworkConfig, NetworkError, NetworkLimits};
/// use ssid_protocol::epoch::{EpochContext, Epochs};
/// use ssid_protocol::identity::VerifyKey;
///
/// let (manifest, _, _, keys) = ssid_protocol::testing::federation(2);
/// let identity = Keypair::generate_ed25519();
/// let this = MemberPeer {
///     node: keys[0].node_id(),
///     key: VerifyKey::parse(keys[0].node_id())?,
///     peer: identity.public().to_peer_id(),
///     addresses: Vec::new(),
///     is_voter: true,
///     is_guest: false,
/// };
/// let epochs = Epochs::new(EpochContext::genesis(manifest).unwrap());
/// let config = NetworkConfig {
///     identity,
///     listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
///     bootstrap: vec!["/dns4/berlin.example/tcp/4170".parse()?],
///     mdns: false,
///     members: vec![this],
///     epochs: tokio::sync::watch::channel(Arc::new(epochs)).1,
///     local_node: keys[1].node_id(),
///     remembered: Vec::new(),
///     limits: NetworkLimits::default(),
/// };
/// // nothing is started for a node that is not among its own members
/// let refused = ssid_network::start(config, &Default::default(), Default::default());
/// assert!(matches!(refused, Err(NetworkError::NotAMember(node)) if node == keys[1].node_id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// This node's libp2p key; never the voting key.
    pub identity: Keypair,
    /// Addresses to listen on, TCP (`/ip4/…/tcp/PORT`) and QUIC (`/ip4/…/udp/PORT/quic-v1`); port 0
    /// lets the system choose. None: this node only dials.
    pub listen: Vec<Multiaddr>,
    /// Addresses to try beside those of the members; with or without `/p2p/…`.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for members on the local network by multicast.
    pub mdns: bool,
    /// All members of the epoch, this node included.
    pub members: Vec<MemberPeer>,
    /// The epochs that the node knows, as it enters others: the federation is part of every topic
    /// and of everything signed, and evidence is checked against the current one before it is
    /// passed on.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// This node's own name among the members.
    pub local_node: NodeId,
    /// Addresses that [`NetworkEvent::Addresses`](crate::NetworkEvent::Addresses) reported in
    /// earlier runs.
    pub remembered: Vec<(PeerId, Vec<Multiaddr>)>,
    /// Bounds; the default fits federations of 2 to 100 members.
    pub limits: NetworkLimits,
}

/// Bounds on what peers may cost this node, and on its own queues.
///
/// ```
/// use ssid_network::NetworkLimits;
///
/// let limits = NetworkLimits {
///     publish_per_second: 50.0,
///     ..NetworkLimits::default()
/// };
/// // one signer's flood must not use up what those who pass it on have for others
/// assert!(limits.signer_messages_per_second < limits.peer_messages_per_second);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkLimits {
    /// Events waiting for the consumer.
    pub event_queue: usize,
    /// Bytes of batches handed to the consumer and not yet answered with a verdict.
    pub undecided_bytes: usize,
    /// Messages waiting to be published.
    pub publish_queue: usize,
    /// Bytes waiting to be published.
    pub publish_queue_bytes: usize,
    /// Messages published per second, sustained; bursts of as many are let through.
    pub publish_per_second: f64,
    /// Gossip messages accepted per second that one peer passes on for others, sustained; bursts of
    /// twice as many.
    pub peer_messages_per_second: f64,
    /// Gossip messages accepted per second of one signer, whoever delivers them, sustained; bursts
    /// of four times as many. Above what a node publishes, and well below what it passes on: one
    /// signer's flood must not use up what those who pass it on have for others.
    pub signer_messages_per_second: f64,
    /// Gossip bytes accepted per second from one delivering peer, sustained; bursts of twice as
    /// many.
    pub peer_bytes_per_second: f64,
    /// Statements accepted per second of one signer, sustained; bursts of four times as many.
    pub signer_statements_per_second: f64,
    /// Sync requests answered per second and peer, sustained; bursts of four times as many.
    pub peer_requests_per_second: f64,
    /// Weighted misdeeds, halved every minute, past which a peer is disconnected and blocked. An
    /// invalid message weighs 10, so that the tenth in a row is one too many.
    pub offence_limit: f64,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            event_queue: 4096,
            undecided_bytes: 32 << 20,
            publish_queue: 1024,
            publish_queue_bytes: 32 << 20,
            publish_per_second: 400.0,
            peer_messages_per_second: 2000.0,
            signer_messages_per_second: 500.0,
            peer_bytes_per_second: f64::from(32 << 20),
            signer_statements_per_second: 50_000.0,
            peer_requests_per_second: 50.0,
            offence_limit: 95.0,
        }
    }
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Another program listens there.
    #[error(
        "cannot listen on {address}: the port is in use; stop what uses it or set another address in network.listen"
    )]
    AddressInUse {
        /// The address as configured.
        address: Multiaddr,
    },
    /// Not an address of this machine, no permission, or not a transport of this node.
    #[error(
        "cannot listen on {address}: {reason}; network.listen takes /ip4/…/tcp/PORT and /ip4/…/udp/PORT/quic-v1"
    )]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The transports or behaviours could not be built.
    #[error("cannot set up the network: {0}")]
    Setup(String),
    /// This node is not in the list of members.
    #[error(
        "this node ({0}) is not a member of the epoch's manifest; ask a coordinator to admit its member card"
    )]
    NotAMember(NodeId),
    /// The key given is not the one the members expect this node to connect with.
    #[error(
        "the network key's peer id is {own}, the manifest binds this node to {manifest}; use the key of the member card"
    )]
    WrongPeer {
        /// What the key gives.
        own: Box<PeerId>,
        /// What the manifest says.
        manifest: Box<PeerId>,
    },
}
