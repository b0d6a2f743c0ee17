//! `ssid compat governance-telemetry`.

use anyhow::Result;
use clap::Args;

use crate::error::{CliError, Code};

/// governance_telemetry.py: check governance metrics and notify
///
/// Not built yet: every call is exit 1 and sends nothing.
///
/// Example:
///   ssid compat governance-telemetry --test
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TelemetryArgs {
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

pub(crate) fn run(args: &TelemetryArgs) -> Result<()> {
    let what = match args {
        TelemetryArgs { test: true, .. } => "sending test messages",
        TelemetryArgs { watch: true, .. } => "watching governance metrics",
        TelemetryArgs { check_config: true, .. } => "checking telemetry_config.json",
        TelemetryArgs { .. } => "checking governance metrics",
    };
    let error = CliError::new(Code::Failed, format!("{what} is not built into this version of ssid yet"));
    Err(error.hint("nothing was sent; telemetry_config.json is as it was").into())
}
