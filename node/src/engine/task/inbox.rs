//! What arrives at the engine's task, from where, and in which order it is taken.

use ssid_engine::Inbound;
use ssid_network::NetworkEvent;
use tokio::sync::mpsc;

use crate::engine::Call;

/// The task's three bounded channels.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) network: mpsc::Receiver<NetworkEvent>,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) local: mpsc::Receiver<Inbound>,
}

/// Something that arrived.
#[derive(Debug)]
pub(super) enum Arrived {
    Network(NetworkEvent),
    Call(Call),
    Local(Inbound),
}

impl Inbox {
    /// Waits for what comes next; `None` once a channel has ended.
    pub(super) async fn next(&mut self) -> Option<Arrived> {
        tokio::select! {
            event = self.network.recv() => event.map(Arrived::Network),
            call = self.calls.recv() => call.map(Arrived::Call),
            input = self.local.recv() => input.map(Arrived::Local),
        }
    }

    /// Answers of peers first, then the network, then people: what is under way ends before more
    /// begins.
    pub(super) fn try_next(&mut self) -> Option<Arrived> {
        let local = self.local.try_recv().ok().map(Arrived::Local);
        let network = || self.network.try_recv().ok().map(Arrived::Network);
        local
            .or_else(network)
            .or_else(|| self.calls.try_recv().ok().map(Arrived::Call))
    }
}
