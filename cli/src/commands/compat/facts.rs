//! Where the scripts' facts come from: the running node, else the repository's files.

use anyhow::Result;
use serde::Serialize;
use ssid_node::config::Config;
use ssid_node::registry::manifest::{
    FederationManifest, HistoryRecord, ManifestNode, ManifestStatistics,
};
use ssid_node::view::{NodeView, Page, RecordView, StatusView};

use crate::client::Client;
use crate::context::Context;
use crate::deployment::{Deployment, repository};
use crate::error::{CliError, Code, OrCode as _};

/// The facts of one federation.
pub(super) struct Facts {
    /// The node, if it runs, with what it says of itself.
    pub(super) node: Option<(Client, StatusView)>,
    /// What stands in the deployment's files.
    pub(super) deployment: Deployment,
}

/// The scripts' status block.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) enabled: bool,
    pub(super) mode: String,
    /// The threshold of the votes, in percent.
    pub(super) consensus_threshold: f64,
    pub(super) sync_interval_minutes: u64,
    pub(super) last_sync: Option<String>,
    pub(super) statistics: ManifestStatistics,
}

/// With the repository that the scripts would have found, for the commands that their names stand
/// for.
pub(super) fn in_repository(context: &Context) -> Context {
    Context {
        repo: repository(context),
        ..context.clone()
    }
}

impl Facts {
    /// Asks the node, and reads the manifest.
    pub(super) async fn gather(context: &Context) -> Result<Self> {
        let deployment = Deployment::read(context)?;
        let client = context.client()?;
        let node = match client.get::<StatusView>(&["v1", "status"], &[]).await {
            Ok(status) => Some((client, status)),
            Err(error) if is_unreachable(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { node, deployment })
    }

    pub(super) fn status(&self) -> Result<Status> {
        // a node knows better than its projection, which it writes later
        if let Some((_, status)) = &self.node {
            let counts = &status.statistics;
            return Ok(Status {
                enabled: status.federation.enabled,
                mode: status.federation.mode.clone(),
                consensus_threshold: status.federation.threshold_percent,
                sync_interval_minutes: status.transport.sync_interval_minutes,
                last_sync: status.transport.last_sync.clone(),
                statistics: ManifestStatistics {
                    total_nodes: counts.total_nodes,
                    active_nodes: counts.active_nodes,
                    total_syncs: counts.total_syncs,
                    successful_syncs: counts.successful_syncs,
                    failed_syncs: counts.failed_syncs,
                    consensus_agreements: counts.consensus_agreements,
                    consensus_disagreements: counts.consensus_disagreements,
                    last_consensus_check: None,
                },
            });
        }
        let manifest = self.deployment.manifest()?;
        // the configuration decides, whatever the manifest says of it
        let settings = Config::load_or_default(&self.deployment.paths.federation_config)
            .or_usage()?
            .settings;
        let last = manifest.text("federation.last_sync");
        Ok(Status {
            enabled: settings.federation.enabled,
            mode: settings.federation.mode.as_str().to_owned(),
            consensus_threshold: f64::from(settings.consensus_settings.threshold_bp()) / 100.0,
            sync_interval_minutes: settings.sync_settings.interval_minutes,
            last_sync: Some(last).filter(|at| !at.is_empty()),
            statistics: manifest.statistics(),
        })
    }

    /// The other nodes: the members that the node knows, and those without a key that the manifest
    /// has.
    pub(super) async fn nodes(&self) -> Result<Vec<ManifestNode>> {
        let without_keys = self.deployment.without_keys.iter().cloned();
        let Some((client, _)) = &self.node else {
            let with_keys = self
                .deployment
                .manifest()?
                .known_nodes()
                .into_iter()
                .filter(ManifestNode::has_key);
            return Ok(with_keys.chain(without_keys).collect());
        };
        let members: Page<NodeView> = client.get(&["v1", "nodes"], &[]).await?;
        let members = members.items;
        Ok(members
            .iter()
            .filter(|member| !member.is_self)
            .map(as_node)
            .chain(without_keys)
            .collect())
    }

    /// The latest decisions, the oldest first.
    pub(super) async fn history(&self, limit: usize) -> Result<Vec<HistoryRecord>> {
        let of_before = |manifest: &FederationManifest| -> Vec<_> {
            manifest.history().into_iter().flatten().collect()
        };
        let Some((client, _)) = &self.node else {
            let mut all = of_before(self.deployment.manifest()?);
            all.drain(..all.len().saturating_sub(limit));
            return Ok(all);
        };
        let records: Page<RecordView> = client.list(&["v1", "consensus"], &[], limit).await?;
        let mut records = records.items;
        records.reverse();
        let before = self
            .deployment
            .manifest
            .iter()
            .flat_map(of_before)
            .filter(|record| record.subject_id.is_none());
        let mut all: Vec<_> = before
            .chain(records.iter().map(HistoryRecord::from))
            .collect();
        all.drain(..all.len().saturating_sub(limit));
        Ok(all)
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<CliError>()
        .is_some_and(|error| error.code == Code::Unreachable)
}

/// A member in the scripts' words.
fn as_node(view: &NodeView) -> ManifestNode {
    ManifestNode {
        node_id: view.node_id.to_string(),
        node_name: view.node_name.clone(),
        organization: view.organization.clone(),
        git_remote: view.git_remote.clone(),
        api_endpoint: view.api_endpoint.clone(),
        public_key_fingerprint: String::new(),
        added_at: None,
        last_seen: view.last_seen.clone(),
        status: view.status.clone(),
        compliance_score: view
            .compliance_score
            .clone()
            .map(Into::into)
            .unwrap_or_default(),
        blueprint_version: view
            .blueprint
            .clone()
            .filter(|b| !b.is_empty())
            .unwrap_or_else(|| "unknown".to_owned()),
        trust_score: Some(i64::from(view.trust_score)),
    }
}
