//! A whole node: its parts opened in order, joined, and stopped together (ARCHITECTURE, *Data
//! flow*).

mod history;
mod members;
mod open;
mod peers;
mod shared;
mod tasks;
mod telemetry;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use ssid_engine::{Engine, EngineParts};
use ssid_network::{Network, NetworkError};
use ssid_storage::PathError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiError, ApiListen, ApiState, TcpListen};
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::engine::EngineMetrics;
use crate::engine::task::{self, Context, Running};
use crate::git::{GitMetrics, Origin};
use crate::home::{Home, HomeError};
use crate::keyfile::KeyFileError;
use crate::query::{Knowledge, ShownSettings};
use crate::registry::file::{FileError, RegistryFile};
use open::Opened;
use shared::Shared;

/// How long an orderly end may take.
const SHUTDOWN_AT_MOST: Duration = Duration::from_secs(5);

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its data directory.
    pub home: Home,
    /// The governance repository it serves, if it serves one.
    pub repo: Option<PathBuf>,
    /// The passphrase of its key files, if they have one.
    pub passphrase: Option<String>,
}

/// Why a node does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory is not usable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration says that the node takes no part.
    #[error(
        "federation.enabled is false: this node takes no part in its federation\n  set it to true in '{}', or start with SSID_FEDERATION_ENABLED=true",
        .0.display()
    )]
    Disabled(PathBuf),
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is no genesis file: the node belongs to no federation.
    #[error(
        "'{0}' is missing: this node belongs to no federation yet; join one with: ssid federation join genesis.json"
    )]
    NoGenesis(PathBuf),
    /// The genesis file is not usable.
    #[error(
        "'{path}' is no valid genesis manifest: {reason}; get it again from a coordinator and join with: ssid federation join"
    )]
    Genesis {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// An address in the configuration or the manifest is none.
    #[error("{place}: '{value}' is no multiaddress, for example /ip4/192.0.2.7/tcp/4170")]
    Address {
        /// Where it stands.
        place: String,
        /// What stands there.
        value: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Storage cannot be opened, or failed while the node ran.
    #[error(transparent)]
    Storage(#[from] ssid_storage::StorageError),
    /// The network cannot be started.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The API cannot be served.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The registry file cannot be opened.
    #[error(transparent)]
    Registry(#[from] FileError),
    /// `api.listen` is no address.
    #[error("api.listen: '{0}' is no address, for example 127.0.0.1:4171")]
    ApiAddress(String),
    /// Storage failed while the node ran; it has stopped voting.
    #[error("this node ran read-only until it was stopped: {0}")]
    ReadOnly(String),
    /// Something did not end in time.
    #[error("the node's tasks did not end within {} seconds", SHUTDOWN_AT_MOST.as_secs())]
    Shutdown,
}

impl NodeError {
    /// Whether the way it was called or configured is at fault, rather than what happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Home(_)
                | Self::Config(_)
                | Self::Disabled(_)
                | Self::Key(_)
                | Self::NoGenesis(_)
                | Self::Genesis { .. }
                | Self::Address { .. }
                | Self::ApiAddress(_)
                | Self::Network(NetworkError::NotAMember(_) | NetworkError::WrongPeer { .. })
        )
    }
}

/// Runs a node until `shutdown`, then ends every task within five seconds, the last tick on disk.
///
/// # Errors
/// If it cannot start; if it had to stop voting because storage failed; or if it does not end in
/// time.
pub async fn run(options: RunOptions, shutdown: CancellationToken) -> Result<(), NodeError> {
    let origin = Origin::of(options.repo.as_deref()).await;
    let opened = tokio::task::block_in_place(|| Opened::open(&options, origin))?;
    let tracker = TaskTracker::new();
    let end = shutdown.child_token();
    let started = start(opened, &tracker, &end);
    let failed = match started {
        Ok(Started { api, running }) => {
            let served = tokio::select! {
                served = api => served.map_err(NodeError::from),
                () = shutdown.cancelled() => Ok(()),
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
) -> Result<Started<impl Future<Output = Result<(), ApiError>> + use<>>, NodeError> {
    let Opened {
        config,
        home,
        paths,
        parts,
        records,
        epochs,
        network: network_config,
        git,
        applies,
        hook,
    } = opened;
    let epoch = epochs.borrow().current().clone();
    let (node_id, federation_id) = (parts.key.node_id(), *epoch.federation());
    let store = parts.store.clone();
    let known_epochs = epochs.subscribe();
    let (network, network_events) = ssid_network::start(network_config, tracker, end.clone())?;
    let (engine, first) = recover(parts, records)?;
    let context = Context {
        network: network.clone(),
        network_events,
        epochs,
        tracker: tracker.clone(),
        shutdown: end.clone(),
    };
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
    tasks::own_addresses(&network, &shared);
    tasks::conflict_reports(&shared);
    let file = RegistryFile::open(&shared.paths.registry_log)?;
    let applier = tasks::registry_log(file, applies, running.looks.clone(), &shared);
    let anchors = tasks::anchors(&shared);
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
