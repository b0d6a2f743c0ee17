//! What the network knows of the members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{NodeId, UnixMillis};

/// What the network knows of the members, published as it changes.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Multiaddresses this node listens on.
    pub listening: Vec<String>,
    /// Every member heard of since the start, this node not among them.
    pub members: BTreeMap<NodeId, PeerInfo>,
}

/// What the network knows of one member.
#[derive(Clone, Debug, Default)]
pub struct PeerInfo {
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: Option<UnixMillis>,
    /// Its latest heartbeat, and when that came.
    pub heartbeat: Option<(Arc<Heartbeat>, UnixMillis)>,
    /// How long the latest ping took, there and back; `None` unless it is connected.
    pub round_trip: Option<Duration>,
}
