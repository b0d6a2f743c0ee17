//! Starts telemetry beside the rest, where a telemetry configuration asks for it. What is wrong
//! with it is said loudly and holds nothing else up: a node that cannot tell people still votes.

use super::shared::Shared;
use crate::config::Config;
use crate::registry::paths::RegistryPaths;
use crate::telemetry::config::TelemetryConfig;
use crate::telemetry::hook::{self, Hook};
use crate::telemetry::look::Places;
use crate::telemetry::outbox_store::OutboxStore;
use crate::telemetry::secret::{SecretUrl, Secrets};
use crate::telemetry::service::{TelemetryError, TelemetryService};
use crate::telemetry::task::{self, Context, TelemetryHandle};

/// The way to the task; `None` where there is no `telemetry_config.json`, or one that cannot be
/// used.
pub(super) fn start(shared: &Shared) -> Option<TelemetryHandle> {
    if !shared.paths.telemetry_config.exists() {
        return None;
    }
    let store = OutboxStore::Node {
        engine: shared.engine.clone(),
        store: shared.store.clone(),
    };
    let opened = tokio::task::block_in_place(|| open(&shared.config, &shared.paths, store));
    let service = opened
        .inspect_err(|error| tracing::error!(%error, "telemetry does not run"))
        .ok()?;
    let (handle, requests) = task::requests();
    let context = Context {
        engine: shared.engine.clone(),
        store: shared.store.clone(),
        epochs: shared.epochs.clone(),
        anonymize: shared.settings().compliance.anonymize_node_data,
        node: shared.node_id,
        shutdown: shared.end.clone(),
    };
    shared
        .tracker
        .spawn(task::follow(service, requests, context));
    Some(handle)
}

/// Tells `advanced.webhook_on_consensus` what is certified; without it, what waits from before is
/// forgotten.
pub(super) fn start_hook(url: Option<SecretUrl>, shared: &Shared) {
    let (engine, store) = (shared.engine.clone(), shared.store.clone());
    let Some(url) = url else {
        shared.tracker.spawn(async move {
            if let Err(error) = hook::forget(&engine, &store).await {
                tracing::warn!(%error, "which entry advanced.webhook_on_consensus is told next is still kept");
            }
        });
        return;
    };
    let secret = Secrets::in_environment()
        .variable("SSID_WEBHOOK_SECRET")
        .cloned();
    let hook = Hook {
        url,
        secret,
        federation: shared.federation_id,
        node: shared.node_id,
        engine,
        store,
        pace: hook::PACE,
    };
    shared.tracker.spawn(hook.follow(shared.end.clone()));
}

fn open(
    config: &Config,
    paths: &RegistryPaths,
    store: OutboxStore,
) -> Result<TelemetryService, TelemetryError> {
    let telemetry = TelemetryConfig::load_or_default(&paths.telemetry_config)?;
    for finding in &telemetry.findings {
        tracing::warn!("{finding}");
    }
    let secrets = Secrets::find(|name| std::env::var(name).ok(), &paths.telemetry_config);
    let places = Places {
        config: telemetry,
        paths: paths.clone(),
    };
    TelemetryService::open(
        places,
        config.settings.notifications.clone(),
        &secrets,
        store,
    )
}
