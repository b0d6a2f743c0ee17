//! Members without a key in a federation whose members have keys: where `security.allow_unsigned_members` says so, their
//! plain logs are read every sync interval. What they say is recorded in the federation manifest, unsigned, and nowhere
//! else.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::plain::{PlainSyncOptions, PlainSyncReport, allows_unsigned, sync};
use crate::config::Settings;
use crate::git::PlainLogs;
use crate::registry::manifest::ManifestNode;
use crate::registry::paths::RegistryPaths;

/// What the task needs.
#[derive(Clone, Debug)]
pub struct PlainMembers {
    /// Where the registry's files are.
    pub paths: RegistryPaths,
    /// The configuration.
    pub settings: Settings,
    /// Where mirrors of their repositories are kept.
    pub mirrors: PathBuf,
}

impl PlainMembers {
    /// Those of a node with a key; none where plain logs are not allowed.
    pub fn allowed(paths: &RegistryPaths, settings: &Settings, mirrors: PathBuf) -> Option<Self> {
        let has_keys = true;
        allows_unsigned(settings, has_keys).then(|| Self { paths: paths.clone(), settings: settings.clone(), mirrors })
    }

    /// Reads them every `sync_settings.interval_minutes`, until the end.
    pub async fn follow(self, shutdown: CancellationToken) {
        let interval = Duration::from_secs(self.settings.sync_settings.interval_minutes.saturating_mul(60));
        let mut look = tokio::time::interval(interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = look.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                read = self.read(&shutdown) => tell(read),
            }
        }
    }

    /// Reads them once.
    async fn read(&self, shutdown: &CancellationToken) -> Result<PlainSyncReport, String> {
        let logs = PlainLogs::new(&self.settings, self.mirrors.clone(), true, shutdown.clone()).await;
        let logs = &logs.map_err(|error| error.to_string())?;
        let fetch = |node: ManifestNode| async move { logs.log_of(&node).await.map_err(|error| error.to_string()) };
        let options = PlainSyncOptions { force: true, apply: false, has_keys: true };
        sync(&self.paths, &self.settings, options, fetch).await.map_err(|error| error.to_string())
    }
}

fn tell(read: Result<PlainSyncReport, String>) {
    let report = match read {
        Ok(report) => report,
        Err(error) => return tracing::warn!("the plain logs of members without a key were not read: {error}"),
    };
    for node in &report.nodes {
        match (&node.error, node.comparison) {
            (Some(error), _) => tracing::warn!(node = node.node_name, "its plain log was not read: {error}"),
            (None, Some(found)) => tracing::debug!(node = node.node_name, ?found, "plain log read"),
            (None, None) => {}
        }
    }
}
