//! `ssid compat governance-telemetry`.

use anyhow::Result;
use clap::Args;

use super::facts::in_repository;
use crate::commands::telemetry::{self, TelemetryCommand};
use crate::context::Context;

/// governance_telemetry.py: check governance metrics and notify
///
/// As ssid telemetry check, watch and test. Unlike the script, --test sends, and is exit 1 unless every channel that is
/// switched on has the message; what stands is told once.
///
/// Example:
///   ssid compat governance-telemetry --test
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TelemetryArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct What {
    /// Check again and again
    #[arg(long)]
    watch: bool,
    /// Send a test message to every channel
    #[arg(long)]
    test: bool,
    /// Check the configuration only
    #[arg(long)]
    check_config: bool,
}

pub(crate) async fn run(args: &TelemetryArgs, context: &Context) -> Result<()> {
    let here = in_repository(context);
    let command = match args.what {
        What { check_config: true, .. } => return telemetry::check_config(&here),
        What { watch: true, .. } => TelemetryCommand::Watch,
        What { test: true, .. } => TelemetryCommand::test_all(),
        What { .. } => TelemetryCommand::check_once(),
    };
    telemetry::run(command, &here).await
}
