//! `ssid compat`: the registry's own scripts by their names, with their flags and the words of
//! their output.

mod anchor;
mod facts;
mod paper;
mod sync_manager;
mod telemetry;
mod trigger;
mod validator;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

/// Do what the registry's scripts did, with their flags and words
///
/// A workflow changes only the command's name. With a running node they ask it; without one they
/// read the repository's files, as the scripts did: that of --repo, else the one they are run in.
/// Each one's help names the differences.
///
/// Examples:
///   ssid compat federation-sync-manager --check-status
///   ssid compat consensus-validator --show-history --limit 20
///   ssid compat registry-event-trigger --event blueprint_tagged --version v4.4.0 --hash 3dd05d9
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum CompatCommand {
    #[command(name = "federation-sync-manager", aliases = ["federation_sync_manager", "federation_sync_manager.py"])]
    SyncManager(sync_manager::SyncManagerArgs),
    #[command(name = "consensus-validator", aliases = ["consensus_validator", "consensus_validator.py"])]
    Validator(validator::ValidatorArgs),
    #[command(name = "auto-ipfs-anchor", aliases = ["auto_ipfs_anchor", "auto_ipfs_anchor.py"])]
    Anchor(anchor::AnchorArgs),
    #[command(name = "governance-telemetry", aliases = ["governance_telemetry", "governance_telemetry.py"])]
    Telemetry(telemetry::TelemetryArgs),
    #[command(name = "registry-event-trigger", aliases = ["registry_event_trigger", "registry_event_trigger.sh"])]
    Trigger(trigger::TriggerArgs),
}

pub(crate) async fn run(command: CompatCommand, context: &Context) -> Result<()> {
    match command {
        CompatCommand::SyncManager(args) => sync_manager::run(&args, context).await,
        CompatCommand::Validator(args) => validator::run(&args, context).await,
        CompatCommand::Anchor(args) => anchor::run(&args, context).await,
        CompatCommand::Telemetry(args) => telemetry::run(&args, context).await,
        CompatCommand::Trigger(args) => trigger::run(args, context).await,
    }
}
