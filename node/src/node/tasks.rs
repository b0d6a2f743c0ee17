//! The tasks beside engine and network, each started by one function (see [`Shared`]).

use std::sync::Arc;

use libp2p::PeerId;
use ssid_engine::Inbound;
use ssid_network::Network;
use ssid_protocol::member::Member;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::members::{self, Invited};
use super::open::trust_rules;
use super::shared::Shared;
use super::succession;
use crate::anchor::task::{self as anchoring, AnchorHandle, Anchorer};
use crate::conflicts::{self, Reports};
use crate::git::{GitHandle, GitMetrics, Plan, task as git};
use crate::home::Home;
use crate::legacy::{self, PlainHandle, PlainPlaces};
use crate::projection;
use crate::query::Knowledge;
use crate::registry::file::RegistryFile;
use crate::registry::task::{self as registry, Applier};

/// Requests to write the registry file, waiting.
const APPLY_REQUESTS: usize = 4;

/// The engine names in its heartbeats where this node listens.
pub(super) fn own_addresses(network: &Network, shared: &Shared) {
    let mut listening = network.listening();
    let (node, inputs, end) = (shared.node_id, shared.inputs.clone(), shared.end.clone());
    shared.tracker.spawn(async move {
        loop {
            let addresses = listening
                .borrow_and_update()
                .iter()
                .map(ToString::to_string)
                .collect();
            if inputs
                .send(Inbound::Addresses { node, addresses })
                .await
                .is_err()
            {
                return;
            }
            tokio::select! {
                () = end.cancelled() => return,
                changed = listening.changed() => if changed.is_err() { return },
            }
        }
    });
}

/// The network goes by the members of the epoch that the node has entered, of the next once that is
/// decided, whom the node's invite names, and the guests that the engine lets in.
pub(super) fn network_members(
    network: &Network,
    mut guests: watch::Receiver<Arc<Vec<Member>>>,
    invited: Option<Invited>,
    shared: &Shared,
) {
    let observers = shared.settings().network.observers;
    let (network, own, end) = (network.clone(), shared.node_id, shared.end.clone());
    let mut epochs = shared.epochs.clone();
    shared.tracker.spawn(async move {
        loop {
            let known = epochs.borrow_and_update().clone();
            let new = guests.borrow_and_update().clone();
            let all = members::admitted(&known, &new, invited.as_ref(), own, observers);
            network.set_members(all);
            tokio::select! {
                () = end.cancelled() => return,
                changed = epochs.changed() => if changed.is_err() { return },
                changed = guests.changed() => if changed.is_err() { return },
            }
        }
    });
}

/// Looks whether an epoch that is entered replaces a key of this node by one that waits: says so by
/// `next_key`.
pub(super) fn next_keys(home: &Home, peer: PeerId, next_key: &CancellationToken, shared: &Shared) {
    let (home, node, peer) = (home.clone(), shared.node_id, peer.to_string());
    let (next_key, end) = (next_key.clone(), shared.end.clone());
    let mut epochs = shared.epochs.clone();
    shared.tracker.spawn(async move {
        loop {
            let known = epochs.borrow_and_update().clone();
            if tokio::task::block_in_place(|| succession::is_due(&home, &known, &node, &peer)) {
                next_key.cancel();
                return;
            }
            tokio::select! {
                () = end.cancelled() => return,
                changed = epochs.changed() => if changed.is_err() { return },
            }
        }
    });
}

/// Writes reports of conflicts, where they are configured.
pub(super) fn conflict_reports(shared: &Shared) {
    let reports = Reports::configured(
        shared.settings(),
        &shared.paths,
        &shared.epochs,
        shared.node_id,
        &shared.store,
    );
    if let Some(reports) = reports {
        let (engine, end) = (shared.engine.clone(), shared.end.clone());
        shared
            .tracker
            .spawn(conflicts::follow(reports, engine, end));
    }
}

/// Follows the registry's log, and appends to it what is certified: at once if `applies`, else when
/// asked. `looks` are those that the engine wants.
pub(super) fn registry_log(
    file: RegistryFile,
    applies: bool,
    looks: watch::Receiver<u64>,
    shared: &Shared,
) -> Applier {
    let (applier, apply) = mpsc::channel(APPLY_REQUESTS);
    let appends = registry::Appends::of(shared.settings(), applies);
    let context = registry::Context {
        store: shared.store.clone(),
        inputs: shared.inputs.clone(),
        looks,
        filters: shared.settings().event_filters.clone(),
        apply,
        shutdown: shared.end.clone(),
    };
    shared
        .tracker
        .spawn(registry::follow(file, appends, context));
    applier
}

/// Anchors on IPFS what is certified.
pub(super) fn anchors(shared: &Shared) -> AnchorHandle {
    let anchorer = Anchorer {
        settings: shared.settings().anchoring.clone(),
        hosts: shared.config.secret_hosts(),
        documents: shared.settings().advanced.ipfs_federation.clone(),
        paths: shared.paths.clone(),
        store: shared.store.clone(),
        engine: shared.engine.clone(),
        pace: anchoring::PACE,
    };
    let (handle, task) = anchoring::prepare(anchorer, shared.end.clone());
    shared.tracker.spawn(task);
    handle
}

/// Publishes over Git, and fetches the others' branches.
pub(super) fn git_branches(plan: Plan, metrics: GitMetrics, shared: &Shared) -> GitHandle {
    let context = git::Context {
        engine: shared.engine.clone(),
        inputs: shared.inputs.clone(),
        store: shared.store.clone(),
        epochs: shared.epochs.clone(),
        trust: trust_rules(&shared.settings().trust_settings),
        metrics,
        shutdown: shared.end.clone(),
    };
    git::start(plan, context, &shared.tracker)
}

/// Reads the logs of members without a key, where that is allowed.
pub(super) fn plain_logs(home: &Home, shared: &Shared) -> PlainHandle {
    let places = PlainPlaces {
        paths: shared.paths.clone(),
        settings: shared.settings().clone(),
        mirrors: home.plain_mirrors(),
        known_members: home.known_members(),
    };
    let (handle, task) = legacy::prepare(places, shared.end.clone());
    shared.tracker.spawn(task);
    handle
}

/// Keeps the federation manifest what it says it is, where one is kept.
pub(super) fn manifest_file(known: &Knowledge, shared: &Shared) {
    let interval = shared.settings().sync_settings.interval_minutes;
    if let Some(target) = projection::Target::choose(&shared.paths, interval) {
        let end = shared.end.clone();
        shared
            .tracker
            .spawn(projection::follow(known.clone(), target, end));
    }
}
