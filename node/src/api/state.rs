//! What the API needs of the rest of the node, filled in by whoever starts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::trust::TrustRules;
use ssid_storage::Store;
use tokio::sync::{mpsc, oneshot, watch};

use crate::anchor::task::AnchorDesk;
use crate::engine::EngineHandle;
use crate::git::GitHandle;
use crate::legacy::PlainHandle;
use crate::telemetry::task::TelemetryHandle;
use crate::view::AppliedView;

/// Everything the API reads and commands. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// This node's id in the federation.
    pub node_id: NodeId,
    /// The epochs that the node knows, as it enters others.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// The handle to the engine, which decides.
    pub engine: EngineHandle,
    /// What is remembered.
    pub store: Store,
    /// What the network last reported, as it changes.
    pub peers: watch::Receiver<Arc<Peers>>,
    /// Who writes certified events to the registry's own log; `None` without a registry.
    pub applier: Option<Applier>,
    /// Who anchors on IPFS.
    pub anchors: Option<AnchorDesk>,
    /// Who tells people what happens; `None` without a telemetry configuration.
    pub telemetry: Option<TelemetryHandle>,
    /// Git as the other road.
    pub git: GitHandle,
    /// Members without a key.
    pub plain: Option<PlainHandle>,
    /// What `/metrics` shows.
    pub metrics: Arc<Mutex<Registry>>,
    /// What it says of the configuration.
    pub settings: Arc<ApiSettings>,
    /// Since when the node runs.
    pub started_at: UnixMillis,
}

impl ApiState {
    /// The epoch that the node has entered.
    pub fn epoch(&self) -> Arc<EpochContext> {
        self.epochs.borrow().current().clone()
    }
}

/// The settings that the API shows or fills in.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The setting `federation.enabled`.
    pub enabled: bool,
    /// The setting `federation.mode`, as a word.
    pub mode: String,
    /// The setting `sync_settings.interval_minutes`, in minutes.
    pub sync_interval_minutes: u64,
    /// `security.max_event_age_days`: what is older is endorsed by no other node, unless it has it
    /// too.
    pub max_event_age_days: u64,
    /// `trust_settings`: how points are counted.
    pub trust: TrustRules,
    /// `compliance.anonymize_node_data`: whether reports show ids instead of names.
    pub anonymize: bool,
    /// What an offered event is given where it says nothing.
    pub defaults: EventDefaults,
}

/// What an offered event is given where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDefaults {
    /// The blueprint in force.
    pub blueprint: String,
    /// State of the registry's root lock.
    pub root_24_lock: String,
    /// The registry's compliance score; `unknown` claims nothing.
    pub compliance_score: String,
    /// The tool that events of this node name.
    pub emitted_by: String,
}

impl Default for EventDefaults {
    fn default() -> Self {
        Self {
            blueprint: "v4.4".to_owned(),
            root_24_lock: "active".to_owned(),
            compliance_score: "unknown".to_owned(),
            emitted_by: "ssid".to_owned(),
        }
    }
}

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

/// The way to whoever writes the registry's log.
pub type Applier = mpsc::Sender<ApplyRequest>;

/// Asks for every certified event to be written to the registry's log.
#[derive(Debug)]
pub struct ApplyRequest {
    /// What was done, or why it could not be, in words.
    pub reply: oneshot::Sender<Result<AppliedView, String>>,
}
