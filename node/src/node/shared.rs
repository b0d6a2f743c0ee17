//! What the tasks of a node share.

use std::sync::Arc;

use ssid_engine::Inbound;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{FederationId, NodeId};
use ssid_storage::Store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Settings};
use crate::engine::EngineHandle;
use crate::registry::paths::RegistryPaths;

/// What each task is started with, beside what is its own. A task is started by one function that
/// takes its own parts and this, spawns on `tracker`, and returns the handle through which others
/// act on it, where there is one.
pub(super) struct Shared {
    /// This node's voting key, by which members know it.
    pub(super) node_id: NodeId,
    /// The federation it is in, for good.
    pub(super) federation_id: FederationId,
    /// The epochs that the node knows, as it enters others.
    pub(super) epochs: watch::Receiver<Arc<Epochs>>,
    /// What is configured.
    pub(super) config: Config,
    /// The registry's files.
    pub(super) paths: RegistryPaths,
    /// What is remembered.
    pub(super) store: Store,
    /// To ask the engine, and to hear what it decides.
    pub(super) engine: EngineHandle,
    /// The way into the engine for what comes from outside.
    pub(super) inputs: mpsc::Sender<Inbound>,
    /// Waits for every task when the node stops.
    pub(super) tracker: TaskTracker,
    /// Cancelled when the node stops.
    pub(super) end: CancellationToken,
}

impl Shared {
    /// The configured settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.config.settings
    }
}
