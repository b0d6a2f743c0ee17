//! `ssid demo`: the tour, with real node processes on loopback.
//!
//! Every step waits for a condition and fails at a deadline. Whatever happens, no process is left
//! running; the directory is left only if a step did not hold, or with `--keep`.

mod certificate;
mod report;
mod sample;
mod tour;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use ssid_node::home::Home;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::process::Interruption;
use report::Report;
use tour::Tour;

/// Where the directory goes if the usual place's path is too long for a socket.
const SHORT: &str = "/tmp";

/// Watch a federation decide, on this machine
///
/// Starts real nodes on loopback, gives each a sample registry log, kills and restarts one, and
/// shows what they certified, whom they trust, and a certificate verified offline. Exit 0 only if
/// all of it held.
///
/// Examples:
///   ssid demo
///   ssid demo --nodes 7 --keep
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DemoArgs {
    /// How many organisations; one of them differs and one of them fails, so at least 3
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=16))]
    nodes: u8,
    /// Keep the nodes' directory, to look around in
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: DemoArgs, context: &Context) -> Result<()> {
    let nodes = usize::from(args.nodes);
    let dir = directory(nodes)?;
    let mut report = Report::new(context.out);
    report.begin(nodes)?;
    let mut interruption = Interruption::listen()?;
    let (toured, whole) = tokio::select! {
        toured = Tour::new(dir.path(), nodes, context.out).take(&mut report) => (toured, true),
        () = interruption.comes() => (Err(anyhow::anyhow!("interrupted")), false),
    };
    // found by their directory, so that also a start that was broken off leaves none behind
    let stopped = stop(dir.path()).await;
    let held = toured.and(stopped);
    // what failed is to be looked at; who interrupted it knows why
    let is_worth_keeping = args.keep || held.is_err() && whole;
    let kept: Option<PathBuf> = is_worth_keeping.then(|| dir.keep());
    report.end(nodes, held.is_ok(), kept.as_deref())?;
    held.map_err(|e| not_held(&e, kept.as_deref()).into())
}

/// A new directory with a path short enough for the nodes' sockets.
fn directory(nodes: usize) -> Result<TempDir> {
    let make = |above: &Path| tempfile::Builder::new().prefix("ssid-").tempdir_in(above);
    let above = std::env::temp_dir();
    let dir =
        make(&above).with_context(|| format!("cannot make a directory in {}", above.display()))?;
    if Home::new(dir.path().join(format!("node-{nodes}")))
        .api_socket()
        .is_ok()
    {
        return Ok(dir);
    }
    make(Path::new(SHORT)).context("cannot make a directory in /tmp")
}

async fn stop(dir: &Path) -> Result<()> {
    // no cluster: it was not made yet, so nothing runs
    let Ok(mut cluster) = Cluster::open(dir) else {
        return Ok(());
    };
    cluster.down().await.context("the nodes did not stop")?;
    Ok(())
}

fn not_held(reason: &anyhow::Error, kept: Option<&Path>) -> CliError {
    let hint = reason
        .downcast_ref::<CliError>()
        .and_then(|e| e.hint.clone());
    let place = kept.map(|dir| {
        format!(
            "everything is kept in {}, each node's log in node-N/node.log",
            dir.display()
        )
    });
    let hints: Vec<_> = place.into_iter().chain(hint).collect();
    let error = CliError::new(Code::Failed, format!("{reason:#}"));
    if hints.is_empty() {
        error
    } else {
        error.hint(hints.join("\n"))
    }
}
