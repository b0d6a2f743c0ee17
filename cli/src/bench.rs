//! `ssid bench`: real processes on this machine, measured from outside.
//!
//! Two phases. *At rest*: events one at a time (or at a steady rate), each timed from the moment it
//! is offered until every node has announced on its stream that it is certified and on disk. *At
//! once*: all events offered together, spread over the nodes; the rate is theirs divided by the
//! time until the last node has certified the last of them.

mod anchor;
mod git;
mod load;
mod machine;
mod median;
mod outside;
mod process;
mod telemetry;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cluster::{Cluster, ClusterSpec};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::Output;
use load::{Latencies, READY_WITHIN};
use machine::Machine;
use process::Usage;

/// Measure a local cluster of real processes
///
/// Latency at rest, throughput, memory, processor time and disk.
/// Use the release build; the figures of a dev build say little.
///
/// Examples:
///   ssid bench --nodes 4 --events 10000
///   ssid bench --nodes 4 --events 2000 --rate 200 --json
///   ssid bench git --members 20 --events 0
///   ssid bench outside --rounds 5
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 4)]
    nodes: usize,
    /// How many events are offered at once
    #[arg(long, value_name = "M", default_value_t = 10_000)]
    events: usize,
    /// How many events are timed one by one before that
    #[arg(long, value_name = "S", default_value_t = 100)]
    samples: usize,
    /// Offer the timed events at this many a second instead of one after the other
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What can be measured instead.
#[derive(Debug, Subcommand)]
enum Instead {
    Git(git::GitArgs),
    Outside(outside::OutsideArgs),
    Anchor(anchor::AnchorArgs),
    Telemetry(telemetry::TelemetryArgs),
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    nodes: usize,
    events: usize,
    lost: u64,
    certified_per_second: f64,
    latency_ms: Latencies,
    samples: usize,
    rate: Option<f64>,
    per_node: Vec<Usage>,
    machine: Machine,
}

pub(crate) async fn run(args: &BenchArgs, context: &Context) -> Result<()> {
    match &args.instead {
        Some(Instead::Git(args)) => return git::run(args, context).await,
        Some(Instead::Outside(args)) => return outside::run(args, context).await,
        Some(Instead::Anchor(args)) => return anchor::run(args, context).await,
        Some(Instead::Telemetry(args)) => return telemetry::run(args, context).await,
        None => {}
    }
    let rate = args.rate.unwrap_or(1.0);
    if args.events == 0 || !(rate.is_finite() && rate > 0.0) {
        return Err(CliError::usage("--events and --rate must be above 0").into());
    }
    let dir = tempfile::Builder::new()
        .prefix("ssid-bench-")
        .tempdir()
        .context("no temporary directory")?;
    // its own directory, gone with this process: a cluster of somebody's is never measured
    let mut cluster = Cluster::up(dir.path(), &ClusterSpec::new(args.nodes), READY_WITHIN).await?;
    let measured = measure(args, context.out, &mut cluster).await;
    // stopped also where measuring failed: no nodes are left behind
    cluster.down().await?;
    let report = measured?;
    context
        .out
        .show(&report, |report| words(report, context.out))?;
    // shown first: what was measured tells where they were lost
    if report.lost > 0 {
        return Err(CliError::new(
            Code::Failed,
            format!("{} of {} events are lost", report.lost, report.events),
        )
        .into());
    }
    Ok(())
}

async fn measure(args: &BenchArgs, out: Output, cluster: &mut Cluster) -> Result<Report> {
    let machine = Machine::here();
    let latency_ms = load::at_rest(cluster, "rest", args.samples, args.rate, out).await?;
    let burst = load::burst(cluster, args.events, out).await?;
    let per_node = (0..cluster.len())
        .map(|index| Usage::of(cluster, index))
        .collect::<Result<_>>()?;
    Ok(Report {
        nodes: cluster.len(),
        events: args.events,
        lost: burst.lost,
        certified_per_second: burst.certified_per_second,
        latency_ms,
        samples: args.samples,
        rate: args.rate,
        per_node,
        machine,
    })
}

fn words(report: &Report, out: Output) -> String {
    let how = report
        .rate
        .map_or("one after the other".to_owned(), |rate| {
            format!("{rate} a second")
        });
    let latency = &report.latency_ms;
    let head = out.fields(&[
        (
            "certified",
            format!(
                "{} of {} on all {} nodes",
                report.events as u64 - report.lost,
                report.events,
                report.nodes
            ),
        ),
        (
            "throughput",
            format!("{} events/s, offered at once", report.certified_per_second),
        ),
        (
            "latency",
            format!(
                "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms ({} events {how})",
                latency.p50, latency.p90, latency.p99, report.samples
            ),
        ),
        ("machine", report.machine.to_string()),
    ]);
    let rows = report.per_node.iter().enumerate().map(|(index, usage)| {
        [
            index.to_string(),
            format!("{:.1}", usage.rss_mib),
            format!("{:.2}", usage.cpu_seconds),
            (usage.disk_bytes / 1024).to_string(),
        ]
        .map(|text| out.plain(text))
        .to_vec()
    });
    format!(
        "{head}\n{}",
        out.table(&["NODE", "RSS MiB", "CPU s", "DISK KiB"], rows)
    )
}
