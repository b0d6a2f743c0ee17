//! `ssid bench telemetry`: how long one check takes, over a dashboard and a registry log of a given
//! length.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use ssid_node::clock;
use ssid_node::config::Notifications;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::telemetry::config::TelemetryConfig;
use ssid_node::telemetry::look::Places;
use ssid_node::telemetry::message::Names;
use ssid_node::telemetry::secret::Secrets;
use ssid_node::telemetry::service::TelemetryService;

use super::machine::Machine;
use super::median::median;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

/// Measure one check of dashboard and registry
///
/// A check as `ssid telemetry check` makes it without a node: both files read, compared with the
/// state, the state written. The first has everything to look at for the first time; the others
/// find a new row and a new event.
///
/// Example:
///   ssid bench telemetry --rows 10000 --events 10000 --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TelemetryArgs {
    /// Rows of the dashboard
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rows: u32,
    /// Events of the registry log
    #[arg(long, value_name = "M", default_value_t = 10_000)]
    events: u32,
    /// Checks that are timed after the first; the middle one counts
    #[arg(long, value_name = "N", default_value_t = 11)]
    rounds: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    rows: u32,
    events: u32,
    rounds: usize,
    first_check_ms: f64,
    check_ms: f64,
    machine: Machine,
}

pub(super) async fn run(args: &TelemetryArgs, context: &Context) -> Result<()> {
    if args.rounds == 0 || args.rows > 1_000_000 || args.events > 1_000_000 {
        return Err(CliError::usage(
            "--rounds must be above 0, --rows and --events at most 1000000",
        )
        .into());
    }
    let dir = tempfile::Builder::new()
        .prefix("ssid-bench-")
        .tempdir()
        .context("no temporary directory")?;
    let report = measure(args, dir.path()).await?;
    context
        .out
        .show(&report, |report| words(report, context.out))?;
    Ok(())
}

async fn measure(args: &TelemetryArgs, dir: &Path) -> Result<Report> {
    let machine = Machine::here();
    let paths = RegistryPaths::in_data_directory(dir);
    let config = TelemetryConfig::load_or_default(&paths.telemetry_config)?;
    let mut service = TelemetryService::without_node(
        Places {
            config,
            paths: paths.clone(),
        },
        Notifications::default(),
        &Secrets::default(),
    )?;
    let mut times = Vec::new();
    // one row and event more each round: a check that finds nothing new is cheap, and is no check
    for round in 0..=u32::try_from(args.rounds)? {
        std::fs::write(&paths.dashboard_csv, dashboard(args.rows + round))?;
        std::fs::write(&paths.registry_log, registry_log(args.events + round))?;
        let start = Instant::now();
        let view = service.check(None, Names::default(), clock::now()).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(
            view.score.is_some(),
            "the check saw no score: {:?}",
            view.notes
        );
    }
    // the first reads everything as new, and happens once in a node's life
    let first_check_ms = times.remove(0);
    let rows = args.rows;
    let events = args.events;
    let rounds = args.rounds;
    Ok(Report {
        rows,
        events,
        rounds,
        first_check_ms,
        check_ms: median(times),
        machine,
    })
}

/// A row a day, backwards from yesterday.
fn dashboard(rows: u32) -> String {
    let mut csv =
        "quarter,date,compliance_score,violations,commits,proof_anchors,hash_valid,root24_status\n"
            .to_owned();
    let first = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(i64::from(rows)));
    for n in 0..rows {
        let date = first.saturating_add(jiff::Span::new().days(i64::from(n)));
        // writing to a String does not fail
        let _ = writeln!(
            csv,
            "2026-Q1,{date},{},{},{n},{n},true,active",
            90 + n % 11,
            u32::from(n % 50 == 0)
        );
    }
    csv
}

/// Objects over many lines, as triggers wrote them.
fn registry_log(events: u32) -> String {
    let mut log = "Registry events initialized.\n".to_owned();
    for n in 0..events {
        let kind = [
            "release",
            "blueprint_tagged",
            "quarterly_release",
            "compliance_audit",
        ][n as usize % 4];
        let _ = writeln!(
            log,
            "{{\n  \"timestamp\": \"2025-10-11T20:00:00Z\",\n  \"event\": \"{kind}\",\n  \"version\": \"v{n}\",\n  \
             \"commit_hash\": \"3dd05d9\",\n  \"blueprint\": \"v4.2\",\n  \"root_24_lock\": \"active\",\n  \
             \"compliance_score\": \"100/100\",\n  \"emitted_by\": \"ssid bench\"\n}}"
        );
    }
    log
}

fn words(report: &Report, out: Output) -> String {
    out.fields(&[
        (
            "looked at",
            format!("{} rows and {} events", report.rows, report.events),
        ),
        ("first check", format!("{:.1} ms", report.first_check_ms)),
        (
            "a check",
            format!("{:.1} ms, the middle of {}", report.check_ms, report.rounds),
        ),
        ("machine", report.machine.to_string()),
    ])
}
