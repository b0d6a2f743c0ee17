//! `ssid telemetry`: checks, channels, history and outbox.

pub(super) mod check;
mod history;
mod outbox;
pub(super) mod setting;
pub(super) mod trial;

use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use ssid_node::config::Channel;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::telemetry::config::TelemetryConfig;

use crate::context::Context;
use crate::error::OrCode as _;
use history::HistoryArgs;
use outbox::OutboxCommand;

/// How long deliveries are waited for unless `--wait` says.
pub(super) const DELIVERY_SECONDS: u64 = 30;

/// Tell people what changes: scores, violations, releases, what happens in the federation
///
/// Configured in telemetry_config.json. Secrets come from SLACK_WEBHOOK_URL, DISCORD_WEBHOOK_URL,
/// SSID_WEBHOOK_URL, SSID_WEBHOOK_SECRET and SSID_SMTP_PASSWORD. A running node does all of it by
/// itself.
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum TelemetryCommand {
    /// Check once and tell what is new: by the running node, or without one
    ///
    /// Exit 1 if something could not be delivered in time: it waits, and goes out with the next
    /// check or by the node. Exit 2 if a channel is switched on and cannot be used.
    ///
    /// Example:
    ///   ssid telemetry check --repo /srv/governance
    #[command(verbatim_doc_comment)]
    Check(WaitArgs),
    /// Check again and again, every check_interval_seconds, until Ctrl-C
    ///
    /// Example:
    ///   ssid telemetry watch --repo /srv/governance
    #[command(verbatim_doc_comment)]
    Watch,
    /// Send a test message to every channel that is switched on; exit 1 unless all have it
    ///
    /// A receiver that asks to wait is waited for, within --wait. Uses this command's environment,
    /// not the node's.
    ///
    /// Example:
    ///   SLACK_WEBHOOK_URL=https://hooks.slack.com/… ssid telemetry test --channel slack
    #[command(verbatim_doc_comment)]
    Test(TestArgs),
    /// Show the score over time; with --svg draw it
    ///
    /// Example:
    ///   ssid telemetry history --repo /srv/governance --svg score.svg
    #[command(verbatim_doc_comment)]
    History(HistoryArgs),
    #[command(subcommand)]
    Outbox(OutboxCommand),
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Seconds to wait for deliveries
    #[arg(long, default_value_t = DELIVERY_SECONDS, value_name = "SECONDS")]
    wait: u64,
}

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Test only this channel
    #[arg(long, value_parser = PossibleValuesParser::new(Channel::NAMES), value_name = "CHANNEL")]
    channel: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(crate) async fn run(command: TelemetryCommand, context: &Context) -> Result<()> {
    match command {
        TelemetryCommand::Check(args) => check::once(context, args.time()).await,
        TelemetryCommand::Watch => check::watch(context).await,
        TelemetryCommand::Test(args) => {
            trial::run(context, args.channel.as_deref(), args.wait.time()).await
        }
        TelemetryCommand::History(args) => history::run(context, &args),
        TelemetryCommand::Outbox(command) => outbox::run(command, context).await,
    }
}

/// Reads `telemetry_config.json` and says what in it deserves a look; an error if it cannot be
/// used.
pub(super) fn check_config(context: &Context) -> Result<()> {
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let path = paths.telemetry_config;
    let config = TelemetryConfig::load_or_default(&path).or_usage()?;
    let findings: Vec<_> = config.findings.iter().map(ToString::to_string).collect();
    let file = path.display().to_string();
    let answer = serde_json::json!({ "file": file, "findings": findings });
    context.out.show(&answer, |_| match &findings[..] {
        [] => format!("{file}: valid"),
        _ => findings.join("\n"),
    })?;
    Ok(())
}

impl WaitArgs {
    fn time(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}
