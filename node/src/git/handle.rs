//! Git as the rest of the node sees it: syncs on demand, and how it stands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::state::{SyncOutcome, SyncState};

/// Asked syncs waiting for their turn.
pub(super) const REQUESTS: usize = 8;

/// By which transport to sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncTransport {
    /// Every one that there is.
    #[default]
    Auto,
    /// Ask the connected members.
    Live,
    /// Fetch the members' branches and publish the own.
    Git,
}

/// An asked sync.
#[derive(Debug)]
pub(super) struct SyncRequest {
    pub(super) force: bool,
    pub(super) transport: SyncTransport,
    pub(super) reply: oneshot::Sender<SyncOutcome>,
}

/// A cheap, cloneable way to the task.
#[derive(Clone, Debug)]
pub struct GitHandle {
    pub(super) requests: mpsc::Sender<SyncRequest>,
    pub(super) state: watch::Receiver<Arc<SyncState>>,
}

impl GitHandle {
    /// Syncs now, unless that was done within the interval and is not forced. `None` if the node is
    /// ending.
    pub async fn sync(&self, force: bool, transport: SyncTransport) -> Option<SyncOutcome> {
        let (reply, outcome) = oneshot::channel();
        self.requests
            .send(SyncRequest {
                force,
                transport,
                reply,
            })
            .await
            .ok()?;
        outcome.await.ok()
    }

    /// How it stands.
    pub fn state(&self) -> Arc<SyncState> {
        self.state.borrow().clone()
    }

    /// One for tests of what stands around it: it syncs nothing.
    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        Self {
            requests: mpsc::channel(1).0,
            state: watch::channel(Arc::new(SyncState::unused())).1,
        }
    }
}
