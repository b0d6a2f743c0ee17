//! A whole node: its parts opened in order, joined, and stopped together (ARCHITECTURE, *Data
//! flow*).

mod error;
mod history;
mod members;
mod open;
mod peers;
mod shared;
mod succession;
mod tasks;
mod telemetry;

use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;
use ssid_engine::{Engine, EngineParts};
use ssid_network::Network;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiError, ApiListen, ApiState, TcpListen};
use crate::clock;
use crate::config::Config;
use crate::engine::EngineMetrics;
use crate::engine::task::{self, Context, Running};
use crate::git::{GitMetrics, Origin};
use crate::query::{Knowledge, ShownSettings};
use crate::registry::file::RegistryFile;
pub use error::NodeError;
pub use open::RunOptions;

use error::SHUTDOWN_AT_MOST;
use open::Opened;
use shared::Shared;

/// Runs a node until `shutdown`, then ends every task within five seconds, the last tick on disk.
/// When an epoch is entered that replaces one of its keys by one that waits it ends everything
/// likewise, and starts with that.
///
/// # Errors
/// If it cannot start; if it had to stop voting because storage failed; or if it does not end in
/// time.
pub async fn run(options: RunOptions, shutdown: CancellationToken) -> Result<(), NodeError> {
    loop {
        let next_key = shutdown.child_token();
        run_with_keys(&options, &shutdown, &next_key).await?;
        if shutdown.is_cancelled() || !next_key.is_cancelled() {
            return Ok(());
        }
        tracing::info!("starting again with the next key");
    }
}

/// Runs it until `shutdown`, or until it is to go over to the `next_key`.
async fn run_with_keys(
    options: &RunOptions,
    shutdown: &CancellationToken,
    next_key: &CancellationToken,
) -> Result<(), NodeError> {
    let origin = Origin::of(options.repo.as_deref()).await;
    let opened = tokio::task::block_in_place(|| Opened::open(options, origin))?;
    let tracker = TaskTracker::new();
    let end = shutdown.child_token();
    let started = start(opened, &tracker, &end, next_key);
    let failed = match started {
        Ok(Started { api, running }) => {
            let served = tokio::select! {
                served = api => served.map_err(NodeError::from),
                () = next_key.cancelled() => Ok(()),
            };
            let read_only = running.failed.borrow().clone();
            served
                .and_then(|()| read_only.map_or(Ok(()), |reason| Err(NodeError::ReadOnly(reason))))
        }
        Err(error) => Err(error),
    };
    end.cancel();
    tracker.close();
    let ended = tokio::time::timeout(SHUTDOWN_AT_MOST, tracker.wait()).await;
    tracing::info!("stopped");
    failed.and(ended.map_err(|_| NodeError::Shutdown))
}

struct Started<F> {
    api: F,
    running: Running,
}

fn start(
    opened: Opened,
    tracker: &TaskTracker,
    end: &CancellationToken,
    next_key: &CancellationToken,
) -> Result<Started<impl Future<Output = Result<(), ApiError>> + use<>>, NodeError> {
    let Opened {
        config,
        home,
        paths,
        parts,
        records,
        epochs,
        network: network_config,
        invited,
        git,
        applies,
        hook,
    } = opened;
    let epoch = epochs.borrow().current().clone();
    let (node_id, federation_id) = (parts.key.node_id(), *epoch.federation());
    let peer_id = network_config.identity.public().to_peer_id();
    let store = parts.store.clone();
    // subscribed before the engine owns the sender: no change of members falls between
    let known_epochs = epochs.subscribe();
    // the network first, as the engine's questions at the start need somebody to ask
    let (network, network_events) = ssid_network::start(network_config, tracker, end.clone())?;
    // votes of the life before are read before anything is signed
    let (engine, first) = recover(parts, records)?;
    let context = Context {
        network: network.clone(),
        network_events,
        epochs,
        tracker: tracker.clone(),
        shutdown: end.clone(),
    };
    // from here on the engine decides; what follows only tells it things or delivers
    let running = task::start(engine, first, context);

    let shared = Shared {
        node_id,
        federation_id,
        epochs: known_epochs,
        config,
        paths,
        store,
        engine: running.handle.clone(),
        inputs: running.inputs.clone(),
        tracker: tracker.clone(),
        end: end.clone(),
    };
    tasks::network_members(&network, running.guests.clone(), invited, &shared);
    tasks::own_addresses(&network, &shared);
    tasks::next_keys(&home, peer_id, next_key, &shared);
    tasks::conflict_reports(&shared);
    // a registry that cannot be opened ends the start, rather than a node that endorses blindly
    let file = RegistryFile::open(&shared.paths.registry_log)?;
    let applier = tasks::registry_log(file, applies, running.looks.clone(), &shared);
    let anchors = tasks::anchors(&shared);
    // they read rows that the engine writes: certifying waits for none of them
    let telemetry = telemetry::start(&shared);
    telemetry::start_hook(hook, &shared);
    let git_metrics = GitMetrics::default();
    let git = tasks::git_branches(git, git_metrics.clone(), &shared);
    let plain = tasks::plain_logs(&home, &shared);
    let known = Knowledge {
        node_id,
        epochs: shared.epochs.clone(),
        engine: shared.engine.clone(),
        store: shared.store.clone(),
        peers: peers::watch(&network, &running, &shared),
        git,
        settings: Arc::new(shown_settings(&shared.config)),
        started_at: clock::now(),
    };
    tasks::manifest_file(&known, &shared);
    let state = ApiState {
        known,
        applier: Some(applier),
        anchors: Some(anchors),
        telemetry,
        plain: Some(plain),
        metrics: Arc::new(Mutex::new(metrics(&network, &running, &git_metrics))),
        defaults: Arc::default(),
    };
    // last: whoever can ask finds everything there
    let listen = ApiListen {
        socket: home.api_socket()?,
        tcp: tcp_listen(&shared.config)?,
    };
    tracing::info!(node = %node_id, federation = %federation_id, home = %home.root().display(), "started");
    Ok(Started {
        api: api::serve(state, listen, end.clone()),
        running,
    })
}

fn recover(
    parts: EngineParts,
    records: Vec<ssid_storage::JournalRecord>,
) -> Result<(Engine, ssid_engine::Effects), NodeError> {
    Ok(tokio::task::block_in_place(|| {
        Engine::recover(parts, records, clock::moment())
    })?)
}

fn metrics(network: &Network, running: &Running, git: &GitMetrics) -> Registry {
    let mut registry = Registry::with_prefix("ssid");
    network
        .metrics()
        .register(registry.sub_registry_with_prefix("network"));
    registry.register_collector(Box::new(EngineMetrics::of(&running.handle)));
    git.register(registry.sub_registry_with_prefix("git"));
    registry
}

fn shown_settings(config: &Config) -> ShownSettings {
    let settings = &config.settings;
    ShownSettings {
        enabled: settings.federation.enabled,
        mode: settings.federation.mode.as_str().to_owned(),
        sync_interval_minutes: settings.sync_settings.interval_minutes,
        max_event_age_days: settings.security.max_event_age_days,
        trust: open::trust_rules(&settings.trust_settings),
        anonymize: settings.compliance.anonymize_node_data,
    }
}

fn tcp_listen(config: &Config) -> Result<Option<TcpListen>, NodeError> {
    let Some(address) = config
        .settings
        .api
        .listen
        .as_ref()
        .filter(|address| !address.is_empty())
    else {
        return Ok(None);
    };
    let address = address
        .parse()
        .map_err(|_| NodeError::ApiAddress(address.clone()))?;
    Ok(Some(TcpListen::from_env(
        address,
        &config.settings.api.token_env,
    )?))
}
