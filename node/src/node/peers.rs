//! What the API shows of the other members: heartbeats from the engine, connections from the
//! network, in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use ssid_network::Network;
use tokio::sync::watch;

use super::shared::Shared;
use crate::engine::task::Running;
use crate::query::{PeerInfo, Peers};

/// Joins the two as either changes, until the end.
pub(super) fn watch(
    network: &Network,
    running: &Running,
    shared: &Shared,
) -> watch::Receiver<Arc<Peers>> {
    let mut connected = network.connected();
    let mut round_trips = network.round_trips();
    let mut listening = network.listening();
    let mut states = running.peers.clone();
    let (sender, receiver) = watch::channel(Arc::default());
    let end = shared.end.clone();
    shared.tracker.spawn(async move {
        loop {
            // from all of them anew: each of the sources may change without the others
            let mut members: BTreeMap<_, PeerInfo> = BTreeMap::new();
            for (node, state) in states.borrow_and_update().iter() {
                // 0 is "never": such a row has addresses only
                let last_seen = Some(state.row.last_seen).filter(|at| at.0 > 0);
                let heartbeat = state
                    .row
                    .last_heartbeat
                    .clone()
                    .map(|heartbeat| (Arc::new(heartbeat), state.row.last_seen));
                members.insert(
                    *node,
                    PeerInfo {
                        connected: false,
                        last_seen,
                        heartbeat,
                        round_trip: None,
                    },
                );
            }
            for node in connected.borrow_and_update().iter() {
                members.entry(*node).or_default().connected = true;
            }
            for (node, time) in round_trips.borrow_and_update().iter() {
                members.entry(*node).or_default().round_trip = Some(*time);
            }
            let listening_now = listening
                .borrow_and_update()
                .iter()
                .map(ToString::to_string)
                .collect();
            sender.send_replace(Arc::new(Peers {
                listening: listening_now,
                members,
            }));
            // any of the four: each is a value that is replaced, so nothing between two looks is
            // missed for good
            let changed = tokio::select! {
                () = end.cancelled() => return,
                changed = connected.changed() => changed,
                changed = round_trips.changed() => changed,
                changed = listening.changed() => changed,
                changed = states.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    });
    receiver
}
