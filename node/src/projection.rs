//! Keeps `federation_manifest.json` what it says it is: the node's own state in the registry's
//! schema. A small task looks every few seconds; a file that would say the same again is not
//! touched, and times and counters alone are written no more often than the node syncs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::legacy::carry_over;
use crate::place::Place;
use crate::query::{Knowledge, QueryError};
use crate::registry::manifest::{
    FederationManifest, HISTORY_RECORDS, HistoryRecord, ManifestFileError, ManifestNode,
    ManifestStatistics, legacy_id,
};
use crate::registry::paths::RegistryPaths;
use crate::view::{NodeView, RecordView, StatusView};

/// How often the node's state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the manifest is written, and what stands in it that only the configuration knows.
#[derive(Clone, Debug)]
pub struct Target {
    /// The manifest's file.
    pub path: Place,
    /// How often it may be written for times and counters alone.
    pub quiet: Duration,
}

impl Target {
    /// The manifest's place; none in a repository that is no governance repository: nothing new is
    /// put at its root.
    pub fn choose(paths: &RegistryPaths, interval_minutes: u64) -> Option<Self> {
        let quiet = Duration::from_secs(interval_minutes.saturating_mul(60));
        paths.keeps_manifest().then(|| Self {
            path: paths.federation_manifest.clone(),
            quiet,
        })
    }
}

/// The node's state as far as the manifest tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The federation status block.
    pub status: StatusView,
    /// The members as the node sees them.
    pub nodes: Vec<NodeView>,
    /// The latest decisions, the oldest first.
    pub history: Vec<HistoryRecord>,
    /// When the federation was made.
    pub created_at: String,
    /// This node's repository and API as its card says.
    pub own: Option<NodeView>,
}

impl Facts {
    /// Reads them. Blocks.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn of(known: &Knowledge) -> Result<Self, QueryError> {
        let nodes = known.nodes()?;
        let mut records = known.store.records_latest(HISTORY_RECORDS, None)?;
        records.reverse();
        let history = records
            .iter()
            .map(|(n, record)| HistoryRecord::from(&RecordView::of(record, *n)))
            .collect();
        let own = nodes.iter().find(|node| node.is_self).cloned();
        Ok(Self {
            status: known.status(),
            nodes,
            history,
            created_at: known.epoch().manifest().created_at.clone(),
            own,
        })
    }

    /// The same without what changes all the time and is worth no rewrite.
    fn without_times(&self) -> Self {
        let mut facts = self.clone();
        // what is left is worth a rewrite: the file is in Git, and each one shows as a change
        let status = &mut facts.status;
        status.transport.last_sync = None;
        status.transport.connected_peers = 0;
        status.transport.listening.clear();
        status.voting.connected_voters.clear();
        status.voting.missing_voters.clear();
        status.voting.waiting_for.clear();
        status.voting.starting = None;
        status.voting.has_quorum = false;
        status.statistics.open = 0;
        status.statistics.total_syncs = 0;
        status.statistics.successful_syncs = 0;
        status.statistics.failed_syncs = 0;
        for node in facts.nodes.iter_mut().chain(&mut facts.own) {
            node.last_seen = None;
            node.connected = false;
            node.certified_count = None;
            node.log_size = None;
            node.open_count = None;
            node.heartbeat_delay_ms = None;
            node.round_trip_ms = None;
        }
        facts
    }

    /// Puts the facts into `manifest`. `before` are the counts that stood there when this process
    /// began: its own count from zero.
    pub fn put(&self, manifest: &mut FederationManifest, before: &ManifestStatistics, at: &str) {
        // once, before anything is overwritten: what stood there before the first start
        carry_over(manifest, at);
        let status = &self.status;
        manifest.set("federation.enabled", &json!(status.federation.enabled));
        manifest.set("federation.mode", &json!(status.federation.mode));
        manifest.set(
            "federation.consensus_threshold",
            &json!(status.federation.threshold_percent / 100.0),
        );
        manifest.set(
            "federation.sync_interval_minutes",
            &json!(status.transport.sync_interval_minutes),
        );
        if let Some(last) = &status.transport.last_sync {
            manifest.set("federation.last_sync", &json!(last));
        }
        manifest.set(
            "ssid.federation_id",
            &json!(status.federation.federation_id.to_string()),
        );
        // others' keys stay as they are
        self.put_local_node(manifest);
        self.put_nodes(manifest);
        manifest.add_history(&self.history);
        // after nodes and history, of which it counts
        manifest.set_statistics(&self.statistics(manifest, before));
    }

    fn put_local_node(&self, manifest: &mut FederationManifest) {
        let node = &self.status.node;
        let mut set =
            |key: &str, value: &str| manifest.set(&format!("local_node.{key}"), &json!(value));
        set("node_id", &node.node_id.to_string());
        set("node_name", &node.node_name);
        set("organization", &node.organization);
        set("registered_at", &self.created_at);
        if let Some(own) = &self.own {
            set("git_remote", &own.git_remote);
            set("api_endpoint", &own.api_endpoint);
            set("status", &own.status);
        }
    }

    /// The other members, each in the place of the node without a key that had its repository.
    fn put_nodes(&self, manifest: &mut FederationManifest) {
        let known = manifest.known_nodes();
        for view in self.nodes.iter().filter(|node| !node.is_self) {
            let id = view.node_id.to_string();
            // the same organisation under its old id: its entry becomes the member's, and is not
            // there twice
            let was = known.iter().find(|node| {
                !view.git_remote.is_empty() && !node.has_key() && node.git_remote == view.git_remote
            });
            let there = was.or_else(|| known.iter().find(|node| node.node_id == id));
            // the scripts' id of it: records from before name it so
            if !view.git_remote.is_empty() {
                manifest.set(
                    &format!("ssid.legacy_ids.{id}"),
                    &json!(legacy_id(&view.git_remote)),
                );
            }
            let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let node = ManifestNode {
                node_id: id,
                node_name: view.node_name.clone(),
                organization: view.organization.clone(),
                git_remote: view.git_remote.clone(),
                api_endpoint: view.api_endpoint.clone(),
                public_key_fingerprint: there
                    .map(|n| n.public_key_fingerprint.clone())
                    .unwrap_or_default(),
                added_at: there
                    .and_then(|n| n.added_at.clone())
                    .or_else(|| Some(self.created_at.clone())),
                last_seen: view
                    .last_seen
                    .clone()
                    .or_else(|| there.and_then(|n| n.last_seen.clone())),
                status: view.status.clone(),
                // what a member does not say stays what the scripts found
                compliance_score: said(&view.compliance_score)
                    .map(Value::from)
                    .or_else(|| there.map(|n| n.compliance_score.clone()))
                    .unwrap_or_default(),
                blueprint_version: said(&view.blueprint)
                    .or_else(|| there.map(|n| n.blueprint_version.clone()))
                    .unwrap_or_else(|| "unknown".to_owned()),
                trust_score: Some(i64::from(view.trust_score)),
            };
            manifest.put_node(&node, was.map(|node| node.node_id.as_str()));
        }
    }

    fn statistics(
        &self,
        manifest: &FederationManifest,
        before: &ManifestStatistics,
    ) -> ManifestStatistics {
        let own = &self.status.statistics;
        let carried = manifest.carried_over().unwrap_or_default().statistics;
        // those with a key are the federation's members, counted already
        let keyless: Vec<_> = manifest
            .known_nodes()
            .into_iter()
            .filter(|node| !node.has_key())
            .collect();
        let last = self
            .history
            .iter()
            .filter_map(|record| record.completed_at.clone())
            .max();
        ManifestStatistics {
            total_nodes: own.total_nodes + keyless.len() as u64,
            active_nodes: own.active_nodes
                + keyless.iter().filter(|node| node.is_active()).count() as u64,
            // this process counts from 0: what earlier ones counted stands in the file
            total_syncs: before.total_syncs + own.total_syncs,
            successful_syncs: before.successful_syncs + own.successful_syncs,
            failed_syncs: before.failed_syncs + own.failed_syncs,
            consensus_agreements: carried.consensus_agreements + own.consensus_agreements,
            consensus_disagreements: carried.consensus_disagreements + own.consensus_disagreements,
            last_consensus_check: last.or(carried.last_consensus_check),
        }
    }
}

/// Writes the manifest as the node's state changes, and once more at the end.
pub async fn follow(known: Knowledge, target: Target, shutdown: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut writer = Writer {
        known,
        target,
        before: None,
        written: None,
        reported: String::new(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => {
                writer.look(true);
                return;
            }
            _ = look.tick() => writer.look(false),
        }
    }
}

struct Writer {
    known: Knowledge,
    target: Target,
    /// The counts that stood in the file when this process began.
    before: Option<ManifestStatistics>,
    /// What was written last, without times, and when.
    written: Option<(Facts, Instant)>,
    /// The last problem that was reported, so that it is reported once.
    reported: String,
}

impl Writer {
    fn look(&mut self, in_any_case: bool) {
        let written = tokio::task::block_in_place(|| self.write(in_any_case));
        if let Err(problem) = written
            && self.reported != problem
        {
            tracing::warn!("the federation manifest is not up to date: {problem}");
            self.reported = problem;
        }
    }

    fn write(&mut self, in_any_case: bool) -> Result<(), String> {
        let facts = Facts::of(&self.known).map_err(|error| error.to_string())?;
        let lasting = facts.without_times();
        let is_due = |(written, at): &(Facts, Instant)| {
            *written != lasting || at.elapsed() >= self.target.quiet
        };
        // times and counters alone wait: a rewrite each two seconds would wear out disks and
        // readers
        if !in_any_case && !self.written.as_ref().is_none_or(is_due) {
            return Ok(());
        }
        let failed = |error: ManifestFileError| error.to_string();
        // read once: later this process's own counts are in the file
        let before = match &self.before {
            Some(before) => before.clone(),
            None => FederationManifest::read(&self.target.path)
                .map_err(failed)?
                .map(|m| m.statistics())
                .unwrap_or_default(),
        };
        let at = clock::now().iso();
        FederationManifest::update(&self.target.path, &at, |manifest| {
            facts.put(manifest, &before, &at);
        })
        .map_err(failed)?;
        // only after it was written: a failure must not count them twice
        self.before = Some(before);
        self.written = Some((lasting, Instant::now()));
        self.reported.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
