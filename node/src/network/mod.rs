//! The live network between the members of one federation (SPEC §10, §12): who may connect, what is passed on, how a
//! peer is asked. It carries signed batches and knows nothing of voting.
//!
//! One task, started by [`start`], owns the libp2p swarm. Everybody else holds a cheap [`Network`] to act on it and
//! reads one bounded channel of [`NetworkEvent`]s. No input of a peer can stall that task, make it panic or grow its
//! memory without bound; each limit is in [`NetworkLimits`] or among the constants of `tuning`.

mod config;
mod handle;
mod metrics;
mod tuning;

pub use config::{MemberPeer, NetworkConfig, NetworkError, NetworkLimits};
pub use handle::{
    Network, NetworkEvent, PublishRefused, ReplyHandle, RequestError, Ticket, Topic, Verdict,
};
pub use metrics::Metrics;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts listening, dialing and the task that owns the swarm; call it inside a tokio runtime.
///
/// The task is spawned on `tracker` and ends within two seconds of `shutdown` being cancelled: it hands what is still
/// to be published to its peers, closes the connections, and then the event channel.
///
/// # Errors
/// If an address cannot be listened on, or the transports cannot be set up.
pub fn start(
    config: NetworkConfig,
    tracker: &TaskTracker,
    shutdown: CancellationToken,
) -> Result<(Network, mpsc::Receiver<NetworkEvent>), NetworkError> {
    let _ = (config, tracker, shutdown);
    todo!()
}
