//! `ssid compat federation-sync-manager`.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_node::legacy::plain::{NodeReport, PlainSyncReport, Skipped, public_remote};
use ssid_node::registry::manifest::{ManifestNode, legacy_id};
use ssid_node::view::SyncOutcome;

use super::facts::{Facts, Status};
use super::paper::Paper;
use crate::commands::{plain_sync, sync as live_sync};
use crate::context::Context;
use crate::deployment::{put_in_manifest, remember, repository};
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean};
use crate::setup;

/// federation_sync_manager.py: nodes, status and synchronization of the federation
///
/// Unlike the script, a sync that is not due yet is exit 0, and what another node's log says is
/// appended only if a quorum of all active nodes has it.
///
/// Examples:
///   ssid compat federation-sync-manager --check-status
///   ssid compat federation-sync-manager --add-node https://git.example/north.git --node-name North
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, arg_required_else_help = true)]
pub(crate) struct SyncManagerArgs {
    #[command(flatten)]
    what: What,
    /// Name of the node to add [default: the repository's]
    #[arg(
        long,
        value_name = "N",
        requires = "add_node",
        default_value = "",
        hide_default_value = true
    )]
    node_name: String,
    /// The organisation of the node to add
    #[arg(
        long,
        value_name = "O",
        requires = "add_node",
        default_value = "Unknown"
    )]
    organization: String,
    /// Sync although the last sync was a moment ago
    #[arg(long, requires = "sync")]
    force: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Synchronize with all nodes
    #[arg(long)]
    sync: bool,
    /// Add a node of which only the repository is known
    #[arg(long, value_name = "GIT_URL", allow_hyphen_values = true)]
    add_node: Option<String>,
    /// Remove a node without a key
    #[arg(long, value_name = "NODE_ID")]
    remove_node: Option<String>,
    /// List the nodes
    #[arg(long)]
    list_nodes: bool,
    /// Show the federation's status
    #[arg(long)]
    check_status: bool,
}

pub(crate) async fn run(args: &SyncManagerArgs, context: &Context) -> Result<()> {
    let out = context.out;
    match &args.what {
        What { sync: true, .. } => sync(args.force, context).await,
        What {
            add_node: Some(url),
            ..
        } => add(context, url, args).await,
        What {
            remove_node: Some(id),
            ..
        } => remove(context, id).await,
        What {
            list_nodes: true, ..
        } => {
            let nodes = Facts::gather(context).await?.nodes().await?;
            Ok(out.show(&nodes, |nodes| list_text(nodes, out))?)
        }
        What { .. } => {
            let status = Facts::gather(context).await?.status()?;
            Ok(out.show(&status, |status| status_text(status, out))?)
        }
    }
}

async fn add(context: &Context, url: &str, args: &SyncManagerArgs) -> Result<()> {
    let facts = Facts::gather(context).await?;
    // as in the scripts: without a manifest nothing can be added to
    facts.deployment.manifest()?;
    // refused here already: a sync would fail with the same words days later
    let remote = setup::git_remote(&context.home, repository(context).as_deref(), url)?;
    let public = remote.public();
    let name = if args.node_name.is_empty() {
        of_repository(&public)
    } else {
        &args.node_name
    };
    setup::check_name("--node-name", name)?;
    setup::check_name("--organization", &args.organization)?;
    if facts
        .nodes()
        .await?
        .iter()
        .any(|node| public_remote(&node.git_remote) == public)
    {
        return Err(CliError::new(
            Code::Failed,
            format!("Node already exists: {}", legacy_id(&public)),
        )
        .into());
    }
    if public != remote.secret() {
        // the manifest is in Git, where nothing is secret: the whole address is kept in the data
        // directory
        context.home.create().or_usage()?;
        remember(context, &remote, name, &args.organization)?;
    }
    let node = put_in_manifest(&facts.deployment.paths, &remote, name, &args.organization)?;
    context.out.show(&node, |node| {
        let mut paper = Paper::new(context.out);
        paper.heading("Adding Federated Node");
        paper.painted(Tone::Good, "OK Node added successfully");
        paper.line(&format!("  Node ID: {}", node.node_id));
        paper.line(&format!("  Name: {}", clean(&node.node_name)));
        paper.line(&format!("  Git Remote: {}", clean(&node.git_remote)));
        paper.finish()
    })?;
    Ok(())
}

/// What a node is called that has no name: as the last part of its address, of which nothing is
/// secret.
fn of_repository(public: &str) -> &str {
    let name = public.trim_end_matches('/').rsplit(['/', ':']).next();
    name.unwrap_or_default().trim_end_matches(".git")
}

async fn remove(context: &Context, id: &str) -> Result<()> {
    let facts = Facts::gather(context).await?;
    let nodes = facts.nodes().await?;
    let fitting: Vec<_> = nodes
        .iter()
        .filter(|node| !id.is_empty() && node.node_id.starts_with(id))
        .collect();
    let [node] = fitting[..] else {
        let message = format!("Node not found: {}", clean(id));
        let hint = "see their ids with: ssid compat federation-sync-manager --list-nodes";
        return Err(CliError::new(Code::Failed, message).hint(hint).into());
    };
    facts.deployment.forget(context, node)?;
    context.out.show(&json!({ "removed": node.node_id }), |_| {
        context.out.paint(
            Tone::Good,
            &format!("OK Node removed: {}", clean(&node.node_id)),
        )
    })?;
    Ok(())
}

fn list_text(nodes: &[ManifestNode], out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading(&format!("Federated Nodes ({})", nodes.len()));
    if nodes.is_empty() {
        paper.painted(Tone::Warn, "No federated nodes configured");
    }
    for node in nodes {
        let tone = if node.is_active() {
            Tone::Good
        } else {
            Tone::Bad
        };
        let status = paper.paint(tone, &clean(&node.status));
        paper.line(&format!("Node ID: {}", clean(&node.node_id)));
        paper.line(&format!("  Name: {}", clean(&node.node_name)));
        paper.line(&format!("  Organization: {}", clean(&node.organization)));
        paper.line(&format!("  Status: {status}"));
        paper.line(&format!("  Git Remote: {}", clean(&node.git_remote)));
        paper.line(&format!(
            "  Trust Score: {}/100",
            node.trust_score.unwrap_or_default()
        ));
        paper.line(&format!(
            "  Last Seen: {}",
            clean(node.last_seen.as_deref().unwrap_or("Never"))
        ));
        paper.line(&format!("  Blueprint: {}", clean(&node.blueprint_version)));
        paper.line("");
    }
    paper.finish()
}

fn status_text(status: &Status, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading("Federation Status");
    let (tone, word) = if status.enabled {
        (Tone::Good, "True")
    } else {
        (Tone::Bad, "False")
    };
    let enabled = paper.paint(tone, word);
    let counts = &status.statistics;
    paper.line(&format!("  Enabled: {enabled}"));
    paper.line(&format!("  Mode: {}", clean(&status.mode)));
    paper.line(&format!(
        "  Consensus Threshold: {:.1}%",
        status.consensus_threshold
    ));
    paper.line(&format!(
        "  Sync Interval: {} minutes",
        status.sync_interval_minutes
    ));
    paper.line(&format!(
        "  Last Sync: {}",
        clean(status.last_sync.as_deref().unwrap_or("Never"))
    ));
    paper.line("");
    paper.line("Statistics:");
    paper.line(&format!("  Total Nodes: {}", counts.total_nodes));
    paper.line(&format!("  Active Nodes: {}", counts.active_nodes));
    paper.line(&format!("  Total Syncs: {}", counts.total_syncs));
    paper.line(&format!("  Successful: {}", counts.successful_syncs));
    paper.line(&format!("  Failed: {}", counts.failed_syncs));
    paper.line(&format!(
        "  Consensus Agreements: {}",
        counts.consensus_agreements
    ));
    paper.line(&format!(
        "  Consensus Disagreements: {}",
        counts.consensus_disagreements
    ));
    paper.finish()
}

/// A running node syncs itself; without one the repository's files are synced with the nodes' plain
/// logs.
async fn sync(force: bool, context: &Context) -> Result<()> {
    let facts = Facts::gather(context).await?;
    let out = context.out;
    let own;
    let client = match &facts.node {
        Some((client, _)) => Some(client),
        // a node that should answer and does not is no reason to do without it
        None if context.home.voting_key().exists() => {
            own = context.client()?;
            Some(&own)
        }
        None => None,
    };
    if let Some(client) = client {
        let query = [
            ("force", force.to_string()),
            ("transport", "auto".to_owned()),
        ];
        let outcome: SyncOutcome = client.post(&["v1", "sync"], &query, Vec::new()).await?;
        out.show(&outcome, |outcome| synced_text(outcome, out))?;
        return Ok(live_sync::verdict(&outcome)?);
    }
    facts.deployment.manifest()?;
    let inactive = facts
        .nodes()
        .await?
        .into_iter()
        .filter(|node| !node.is_active())
        .map(|node| node.node_name);
    let inactive: Vec<_> = inactive.collect();
    let report = plain_sync::run(context, &facts.deployment.paths, force).await?;
    out.show(&report, |report| report_text(report, &inactive, out))?;
    Ok(plain_sync::verdict(&report)?)
}

fn synced_text(outcome: &SyncOutcome, out: Output) -> String {
    let mut paper = Paper::new(out);
    if outcome.done {
        paper.heading("Sync Summary");
        paper.line(&format!(
            "  Successful: {}",
            outcome.live_asked + outcome.git_fetched.saturating_sub(outcome.git_failed)
        ));
        paper.line(&format!("  Failed: {}", outcome.git_failed));
    }
    if let Some(plain) = &outcome.plain {
        paper.line("");
        paper.line(report_text(plain, &[], out).trim_end());
    }
    for remark in &outcome.remarks {
        paper.painted(Tone::Warn, &format!("! {}", clean(remark)));
    }
    paper.finish()
}

/// Why nothing was done, and what to do.
fn in_words(skipped: &Skipped) -> (String, &'static str) {
    match skipped {
        Skipped::NotEnabled => (
            "Federation is not enabled".to_owned(),
            "Enable in: federation.enabled of federation_config.json",
        ),
        Skipped::Recent(at) => (
            format!("Recent sync detected: {at}"),
            "Use --force to sync anyway",
        ),
        Skipped::NoNodes => (
            "No federated nodes configured".to_owned(),
            "Add one with: --add-node GIT_URL",
        ),
        Skipped::NotAllowed => (plain_sync::why(skipped), "Set it to true to observe them"),
    }
}

fn report_text(report: &PlainSyncReport, inactive: &[String], out: Output) -> String {
    let mut paper = Paper::new(out);
    // nothing was done: a summary of zeros would look like a sync
    if let Some(skipped) = &report.skipped {
        let (what, how) = in_words(skipped);
        paper.painted(Tone::Warn, &format!("! {}", clean(&what)));
        paper.line(&format!("  {how}"));
        return paper.finish();
    }
    paper.heading("Federation Synchronization");
    for name in inactive {
        paper.painted(
            Tone::Warn,
            &format!("SKIP Skipping inactive node: {}", clean(name)),
        );
    }
    for node in &report.nodes {
        synced_node(&mut paper, node);
    }
    sync_summary(&mut paper, report);
    paper.finish()
}

fn synced_node(paper: &mut Paper, node: &NodeReport) {
    paper.line(&format!("-> Syncing with: {}", clean(&node.node_name)));
    match (&node.comparison, &node.error) {
        (Some(found), _) if found.new + found.divergent == 0 => {
            paper.line("  No new events to sync");
        }
        (Some(found), _) => {
            paper.line(&format!(
                "  Found {} new event(s), {} divergent",
                found.new, found.divergent
            ));
        }
        (None, error) => paper.painted(
            Tone::Bad,
            &format!("  {}", clean(error.as_deref().unwrap_or_default())),
        ),
    }
    if node.quarantined > 0 {
        paper.painted(
            Tone::Warn,
            &format!("  {} stretch(es) of it could not be read", node.quarantined),
        );
    }
    let (tone, word) = if node.error.is_none() {
        (Tone::Good, "OK Sync successful")
    } else {
        (Tone::Bad, "X Sync failed")
    };
    let word = paper.paint(tone, word);
    paper.line(&format!("  {word}"));
    paper.line("");
}

fn sync_summary(paper: &mut Paper, report: &PlainSyncReport) {
    paper.heading("Sync Summary");
    let failed = report
        .nodes
        .iter()
        .filter(|node| node.error.is_some())
        .count();
    paper.line(&format!("  Successful: {}", report.nodes.len() - failed));
    paper.line(&format!("  Failed: {failed}"));
    // what members have signed decides; plain logs never do beside it
    if report.observed_only {
        paper.line("  Members have keys: plain logs are observed, nothing is decided by them");
        return;
    }
    paper.line(&format!(
        "  Consensus achieved: {}, failed: {}",
        report.achieved, report.failed
    ));
    paper.line(&format!("  Too few nodes have: {}", report.insufficient));
    paper.line(&format!("  Applied {} event(s)", report.applied));
    // decided and not appended is the scripts' way of doing nothing: it is said how to go on
    if report.applied < report.achieved {
        let how =
            "set conflict_resolution.auto_apply_consensus in federation_config.json to append them";
        paper.painted(
            Tone::Warn,
            &format!(
                "! {} event(s) wait: {how}",
                report.achieved - report.applied
            ),
        );
    }
}
