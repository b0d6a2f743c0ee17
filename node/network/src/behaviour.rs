//! The swarm: transports, behaviours and their settings (SPEC §10).
//!
//! The order of the behaviours is the order in which they are asked about a connection: bounds
//! first, then who it is.

use std::collections::HashSet;

use libp2p::allow_block_list::{self, AllowedPeers, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport as _, identify, mdns, noise, ping, quic, tcp, yamux,
};
use ssid_protocol::id::Sha256Hash;
use ssid_protocol::limits::MESSAGE_BYTES;

use crate::admission::{Admission, LimitedTransport};
use crate::codec::{PROTOCOL, SyncCodec};
use crate::config::NetworkError;
use crate::metrics::Metrics;
use crate::scoring;
use crate::topics::Topics;
use crate::tuning as t;

/// Gossip in which peers can subscribe to the federation's topics only.
pub(crate) type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, gossipsub::WhitelistSubscriptionFilter>;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<BlockedPeers>,
    pub(crate) allowed: allow_block_list::Behaviour<AllowedPeers>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) gossip: Gossip,
    pub(crate) sync: request_response::Behaviour<SyncCodec>,
}

/// The swarm, not yet listening.
pub(crate) fn swarm(
    identity: Keypair,
    topics: &Topics,
    mdns: bool,
    admission: &Admission,
    metrics: Metrics,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let setup = |error: &dyn std::fmt::Display| NetworkError::Setup(error.to_string());
    let behaviour = Behaviour::new(&identity, topics, mdns, metrics.clone())?;
    let transport = transport(&identity).map_err(|error| setup(&error))?;
    // around the secured transport: a connection passes it before a byte of its handshake is
    // answered
    let transport = LimitedTransport::new(transport, admission.clone(), metrics);
    let builder = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_other_transport(|_| transport)
        // names of members resolve when they are dialed, not now: their addresses may change while
        // the node runs
        .map_err(|error| setup(&error))?
        .with_dns()
        .map_err(|error| {
            NetworkError::Setup(format!(
                "no resolver for domain names (/etc/resolv.conf): {error}"
            ))
        })?
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?;
    Ok(builder
        // members stay connected; only ping decides that a link is dead
        .with_swarm_config(|config| config.with_idle_connection_timeout(t::IDLE_CONNECTION))
        .build())
}

/// Noise and yamux over TCP, and QUIC.
fn transport(identity: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(identity)?)
        .multiplex(streams())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic::Config::new(identity))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(quic
        .or_transport(tcp)
        .map(|either, _| either.into_inner())
        .boxed())
}

impl Behaviour {
    fn new(
        identity: &Keypair,
        topics: &Topics,
        mdns: bool,
        metrics: Metrics,
    ) -> Result<Self, NetworkError> {
        // no limit on incoming ones here: `admission` has them, which knows whose address it is
        let limits = ConnectionLimits::default()
            .with_max_pending_outgoing(Some(t::PENDING_OUTGOING))
            // a second where both dialed at once, until one side has closed its own
            .with_max_established_per_peer(Some(t::CONNECTIONS_PER_PEER));
        let agent = format!("ssid/{}", env!("CARGO_PKG_VERSION"));
        let naming =
            identify::Config::new("/ssid/1".into(), identity.public()).with_agent_version(agent);
        let ping = ping::Config::new()
            .with_interval(t::PING_INTERVAL)
            .with_timeout(t::PING_TIMEOUT);
        let sync = request_response::Config::default()
            // what is never answered must give its stream back
            .with_request_timeout(t::SYNC_TIMEOUT)
            .with_max_concurrent_streams(t::SYNC_STREAMS);
        let protocols = [(PROTOCOL, ProtocolSupport::Full)];
        // the first three may refuse a connection: they are asked before others have state for it
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            allowed: allow_block_list::Behaviour::default(),
            identify: identify::Behaviour::new(naming),
            ping: ping::Behaviour::new(ping),
            // a node without multicast runs on: members have configured addresses
            mdns: mdns.then(|| multicast(identity)).flatten().into(),
            gossip: gossip(topics).map_err(NetworkError::Setup)?,
            sync: request_response::Behaviour::with_codec(SyncCodec::new(metrics), protocols, sync),
        })
    }
}

/// Each stream may buffer 256 KiB of what nobody has read yet: their number bounds what a peer can
/// make this node hold.
fn streams() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(t::STREAMS);
    config
}

/// mDNS, or a warning: a machine without multicast still has its configured addresses.
fn multicast(identity: &Keypair) -> Option<mdns::tokio::Behaviour> {
    mdns::tokio::Behaviour::new(mdns::Config::default(), identity.public().to_peer_id())
        .inspect_err(|error| tracing::warn!(%error, "no mDNS on this machine; members are found by their addresses"))
        .ok()
}

pub(crate) fn gossip(topics: &Topics) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        // unsigned and without author or number: the batches inside are signed, and only they count
        .validation_mode(ValidationMode::Anonymous)
        // nothing goes on before this node has found it good: who forwards rubbish is blamed for it
        .validate_messages()
        // the topic too: else bytes sent on a wrong one first would be taken for seen on the right
        // one
        .message_id_fn(|m| {
            MessageId::new(&Sha256Hash::of(&[m.topic.as_str().as_bytes(), b"\0", &m.data]).0)
        })
        // the message has all of its mebibyte; topic and lengths come on top
        .max_transmit_size(MESSAGE_BYTES + t::GOSSIP_ENVELOPE_BYTES)
        .heartbeat_interval(t::GOSSIP_HEARTBEAT)
        .heartbeat_initial_delay(t::GOSSIP_HEARTBEAT)
        // 2 to 12 other members: everybody is in everybody's mesh; at 100, two hops reach all
        .mesh_n(8)
        .mesh_n_low(5)
        .mesh_n_high(12)
        .mesh_outbound_min(2)
        // also outside the mesh: a vote that only a mesh of the slow has waits a heartbeat
        .flood_publish(true)
        .idontwant_on_publish(true)
        .connection_handler_queue_len(t::GOSSIP_SEND_QUEUE)
        // what stalled peers can pile up here is bounded by bytes a second times this
        .publish_queue_duration(t::GOSSIP_SEND_WAIT)
        .forward_queue_duration(t::GOSSIP_SEND_WAIT)
        .build()
        .map_err(|error| error.to_string())?;
    // whoever subscribes to names of their own making must not fill tables here
    let names: HashSet<_> = topics.idents().map(IdentTopic::hash).collect();
    let filter = gossipsub::WhitelistSubscriptionFilter(names);
    let mut gossip =
        Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)?;
    gossip.with_peer_score(scoring::params(topics), scoring::thresholds())?;
    for topic in topics.idents() {
        gossip.subscribe(topic).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}
