//! One sync of a deployment without keys, all six phases; how a node's log is fetched is the caller's.

use std::future::Future;

use futures::StreamExt as _;
use serde::Serialize;
use ssid_protocol::event::Event;

use super::{Comparison, Decision, Observer, Outcome, PlainLog, Rules, Verdict, compare, decide, write_down};
use crate::api::view::{iso, now};
use crate::config::Settings;
use crate::registry::file::{Change, FileError, RegistryFile};
use crate::registry::manifest::{FederationManifest, ManifestFileError, ManifestNode};
use crate::registry::paths::RegistryPaths;

/// Why a sync failed as a whole. What fails at one node is told in its report.
#[derive(Debug, thiserror::Error)]
pub enum PlainSyncError {
    /// The manifest is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestFileError),
    /// There is none.
    #[error(
        "there is no federation manifest, and so no nodes to sync with\n  add one with: ssid compat federation-sync-manager --add-node URL"
    )]
    NoManifest,
    /// The own registry log is not usable.
    #[error(transparent)]
    Log(#[from] FileError),
}

/// What a sync is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainSyncOptions {
    /// Also if the last one was a moment ago.
    pub force: bool,
    /// Append what a quorum has, whatever `conflict_resolution.auto_apply_consensus` says.
    pub apply: bool,
    /// Whether this deployment has members with keys: then plain logs are observed, and nothing of them is appended.
    pub has_keys: bool,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// `federation.enabled` is false.
    NotEnabled,
    /// The last sync, at this time, is less than `sync_settings.interval_minutes` ago.
    Recent(String),
    /// No active node has a repository.
    NoNodes,
    /// `security.allow_unsigned_members` is false, or members have keys and it is not set.
    NotAllowed,
}

/// How it went with one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its id.
    pub node_id: String,
    /// Its name.
    pub node_name: String,
    /// Its log compared with the own one; none if it could not be had.
    pub comparison: Option<Comparison>,
    /// Stretches of its log that could not be read.
    pub quarantined: u64,
    /// Why its log could not be had.
    pub error: Option<String>,
}

/// How a sync went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlainSyncReport {
    /// Why nothing was done, if nothing was.
    pub skipped: Option<Skipped>,
    /// The active nodes, highest trust first.
    pub nodes: Vec<NodeReport>,
    /// Events that a quorum has and the own log had not.
    pub achieved: u64,
    /// Events about which enough nodes say something, and no quorum the same.
    pub failed: u64,
    /// Events that too few nodes have said anything about.
    pub insufficient: u64,
    /// How many of those achieved were appended.
    pub applied: u64,
}

/// Whether plain logs are read: as configured, else as long as nobody has a key.
pub fn allows_unsigned(settings: &Settings, has_keys: bool) -> bool {
    settings.security.allow_unsigned_members.unwrap_or(!has_keys)
}

/// Syncs with every active node without a key. `fetch` gives the bytes of a node's registry log, or why it cannot.
///
/// # Errors
/// If there is no manifest, or the registry's own files cannot be read or written.
pub async fn sync<F, Fut>(
    paths: &RegistryPaths,
    settings: &Settings,
    options: PlainSyncOptions,
    fetch: F,
) -> Result<PlainSyncReport, PlainSyncError>
where
    F: Fn(ManifestNode) -> Fut,
    Fut: Future<Output = Result<Vec<u8>, String>>,
{
    let began = now();
    let manifest = FederationManifest::read(&paths.federation_manifest)?.ok_or(PlainSyncError::NoManifest)?;
    let nodes = partners(&manifest, settings);
    if let Some(skipped) = why_not(&manifest, settings, options, &nodes) {
        return Ok(PlainSyncReport { skipped: Some(skipped), ..PlainSyncReport::default() });
    }
    let parallel = if settings.performance.parallel_sync { settings.performance.max_parallel_syncs } else { 1 };
    let fetching = nodes.into_iter().map(|node| {
        let log = fetch(node.clone());
        async move { (node, log.await.map(|bytes| PlainLog::read(&bytes))) }
    });
    let fetched: Vec<_> =
        futures::stream::iter(fetching).buffered(usize::try_from(parallel).unwrap_or(1).max(1)).collect().await;

    let mut file = RegistryFile::open(&paths.registry_log)?;
    let own = own_log(&mut file)?;
    let own_id = Some(manifest.text("local_node.node_id")).filter(|id| !id.is_empty());
    let own_id = own_id.unwrap_or_else(|| "local_node".to_owned());
    let observers: Vec<_> =
        fetched.iter().map(|(node, log)| Observer { id: &node.node_id, log: log.as_ref().ok() }).collect();
    let decisions = decide(&own, &own_id, &observers, &Rules::of(settings, began));

    let mut report = report(&own, &fetched, &decisions);
    let applies = options.apply || settings.conflict_resolution.auto_apply_consensus;
    if applies && !options.has_keys {
        let achieved = decisions.iter().filter(|decision| decision.verdict == Verdict::Achieved);
        let events: Vec<Event> = achieved.map(|decision| decision.event.clone()).collect();
        report.applied = file.append(&events)? as u64;
    }
    let by_outcome = |reached: bool| {
        fetched.iter().filter(|(_, log)| log.is_ok() == reached).map(|(node, _)| node.node_id.clone()).collect()
    };
    let outcome =
        Outcome { reached: by_outcome(true), failed: by_outcome(false), decisions, has_keys: options.has_keys };
    let at = iso(now());
    FederationManifest::update(&paths.federation_manifest, &at, |manifest| {
        write_down(manifest, &outcome, &iso(began), &at);
    })?;
    Ok(report)
}

/// Active nodes without a key, highest trust first; of equals in the manifest's order.
fn partners(manifest: &FederationManifest, settings: &Settings) -> Vec<ManifestNode> {
    let own = &settings.local_node.git_remote;
    let is_partner = |node: &ManifestNode| {
        node.is_active() && !node.has_key() && !node.git_remote.is_empty() && node.git_remote != *own
    };
    let mut nodes: Vec<_> = manifest.known_nodes().into_iter().filter(is_partner).collect();
    nodes.sort_by_key(|node| std::cmp::Reverse(node.trust_score));
    nodes
}

fn why_not(
    manifest: &FederationManifest,
    settings: &Settings,
    options: PlainSyncOptions,
    nodes: &[ManifestNode],
) -> Option<Skipped> {
    let last = manifest.text("federation.last_sync");
    let minutes = i64::try_from(settings.sync_settings.interval_minutes).unwrap_or(i64::MAX);
    let is_recent = last.parse::<jiff::Timestamp>().is_ok_and(|at| {
        let age = jiff::Timestamp::now().as_second().saturating_sub(at.as_second());
        (0..minutes.saturating_mul(60)).contains(&age)
    });
    match () {
        () if !settings.federation.enabled => Some(Skipped::NotEnabled),
        () if !allows_unsigned(settings, options.has_keys) => Some(Skipped::NotAllowed),
        () if nodes.is_empty() => Some(Skipped::NoNodes),
        () if is_recent && !options.force => Some(Skipped::Recent(last)),
        () => None,
    }
}

fn own_log(file: &mut RegistryFile) -> Result<PlainLog, FileError> {
    let mut log = PlainLog::default();
    while let Change::Appended(part) = file.read_new()? {
        part.entries.into_iter().for_each(|entry| log.add(entry.event));
    }
    Ok(log)
}

fn report(
    own: &PlainLog,
    fetched: &[(ManifestNode, Result<PlainLog, String>)],
    decisions: &[Decision],
) -> PlainSyncReport {
    let node = |(node, log): &(ManifestNode, Result<PlainLog, String>)| NodeReport {
        node_id: node.node_id.clone(),
        node_name: node.node_name.clone(),
        comparison: log.as_ref().ok().map(|log| compare(own, log)),
        quarantined: log.as_ref().map(|log| log.quarantined).unwrap_or_default(),
        error: log.as_ref().err().cloned(),
    };
    let count = |verdict| decisions.iter().filter(|decision| decision.verdict == verdict).count() as u64;
    PlainSyncReport {
        skipped: None,
        nodes: fetched.iter().map(node).collect(),
        achieved: count(Verdict::Achieved),
        failed: count(Verdict::Failed),
        insufficient: count(Verdict::Insufficient),
        applied: 0,
    }
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
