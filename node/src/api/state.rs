//! What the API needs of the rest of the node, filled in by whoever starts it.

use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;

use crate::anchor::task::AnchorHandle;
use crate::legacy::PlainHandle;
use crate::query::Knowledge;
use crate::registry::task::Applier;
use crate::telemetry::task::TelemetryHandle;

/// Everything the API reads and commands. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// What the node knows.
    pub known: Knowledge,
    /// Who writes certified events to the registry's own log; `None` without a registry.
    pub applier: Option<Applier>,
    /// Who anchors on IPFS.
    pub anchors: Option<AnchorHandle>,
    /// Who tells people what happens; `None` without a telemetry configuration.
    pub telemetry: Option<TelemetryHandle>,
    /// Members without a key.
    pub plain: Option<PlainHandle>,
    /// What `/metrics` shows.
    pub metrics: Arc<Mutex<Registry>>,
    /// What an offered event is given where it says nothing.
    pub defaults: Arc<EventDefaults>,
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
