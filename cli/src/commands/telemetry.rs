//! `ssid telemetry`: checks, channels, history and outbox.

pub(super) mod check;
mod history;
mod outbox;
pub(super) mod trial;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use ssid_node::config::{self, Channel, Config};
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::telemetry::config::TelemetryConfig;
use ssid_node::telemetry::look::Places;
use ssid_node::telemetry::message::Source;
use ssid_node::telemetry::secret::Secrets;
use ssid_node::telemetry::service::TelemetryService;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::setup;

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

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// At most so many rows, the latest
    #[arg(long, default_value_t = 40, value_name = "N")]
    limit: usize,
    /// Draw all of it into this file
    #[arg(long, value_name = "F")]
    svg: Option<PathBuf>,
}

/// What waits to be delivered, and what was given up
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// List it, oldest first
    ///
    /// Example:
    ///   ssid telemetry outbox list --json
    #[command(verbatim_doc_comment)]
    List,
    /// Send one again at once
    ///
    /// Example:
    ///   ssid telemetry outbox retry 17
    #[command(verbatim_doc_comment)]
    Retry {
        /// Its number, as the list shows it
        id: u64,
    },
    /// Forget one
    ///
    /// Example:
    ///   ssid telemetry outbox drop 17
    #[command(verbatim_doc_comment)]
    Drop {
        /// Its number, as the list shows it
        id: u64,
    },
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
    let path = RegistryPaths::choose(context.repo.as_deref(), context.home.root()).telemetry_config;
    let config = TelemetryConfig::load_or_default(&path).or_usage()?;
    let findings: Vec<_> = config.findings.iter().map(ToString::to_string).collect();
    let answer = serde_json::json!({ "file": path.display().to_string(), "findings": findings });
    context.out.show(&answer, |_| match &findings[..] {
        [] => format!("{}: valid", path.display()),
        _ => findings.join("\n"),
    })?;
    Ok(())
}

impl WaitArgs {
    fn time(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// Where things are, by the flags.
pub(super) fn places(context: &Context) -> Result<Places, CliError> {
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let config = TelemetryConfig::load_or_default(&paths.telemetry_config).or_usage()?;
    for finding in &config.findings {
        context.out.remark(&finding.to_string());
    }
    Ok(Places { config, paths })
}

/// Who tells people where no node runs.
pub(super) fn service(context: &Context) -> Result<TelemetryService> {
    let places = places(context)?;
    let wanted = federation(context, &places)?.settings.notifications;
    let secrets = secrets(&places);
    let source = source(context, &places);
    Ok(TelemetryService::without_node(places, wanted, &secrets)
        .or_code(Code::Failed)?
        .of(source))
}

/// Which node of which federation the data directory is of; `None` where it is of none, as in a
/// repository alone.
pub(super) fn source(context: &Context, places: &Places) -> Option<Source> {
    let manifest = setup::read_genesis(&context.home.genesis()).ok()?;
    let node = setup::read_card(&context.home.card()).ok()?.member.node_id;
    let anonymize = federation(context, places)
        .ok()?
        .settings
        .compliance
        .anonymize_node_data;
    Some(Source::new(&manifest, node, anonymize))
}

fn secrets(places: &Places) -> Secrets {
    Secrets::find(
        |name| std::env::var(name).ok(),
        &places.paths.telemetry_config,
    )
}

/// The node's own configuration, for what it says of notifications.
fn federation(context: &Context, places: &Places) -> Result<Config, CliError> {
    Config::effective(&places.paths, &context.home, config::environment()).or_usage()
}
