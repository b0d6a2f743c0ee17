//! `ssid report`: writes the compliance report of a month.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use ssid_node::clock;
use ssid_node::config::write_atomic;
use ssid_node::report::{self, ComplianceReport, Month};

use super::telemetry::setting::places;
use crate::context::Context;
use crate::error::CliError;

/// Write the compliance report of a month, as the running node holds it
///
/// Markdown on standard output, JSON with --json; with -o both into files. What is not known is
/// called unknown.
///
/// Examples:
///   ssid report --month 2026-10
///   ssid report --month 2026-10 -o 05_documentation/reports/compliance_2026-10.md
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ReportArgs {
    /// The month [default: the current one]
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<String>,
    /// Write Markdown into this file, and JSON beside it
    #[arg(short, long, value_name = "F")]
    output: Option<PathBuf>,
}

fn month(text: &str) -> Result<String, String> {
    Month::parse(text).map(|month| month.to_string())
}

pub(crate) async fn run(args: ReportArgs, context: &Context) -> Result<()> {
    let query: Vec<_> = args
        .month
        .map(|month| ("month", month))
        .into_iter()
        .collect();
    let report: ComplianceReport = context.client()?.get(&["v1", "report"], &query).await?;
    // of this machine, not the node's: the report goes without what is not there
    let dashboard = places(context)?.dashboard().unwrap_or_else(|error| {
        context.out.remark(&error);
        None
    });
    let report = report.with_dashboard(
        dashboard.as_ref().map(|(_, dashboard)| dashboard),
        clock::now(),
    );
    let Some(path) = args.output else {
        if context.out.is_json() {
            return Ok(context.out.show(&report, |_| String::new())?);
        }
        // a document, written also with --quiet
        return Ok(context.out.line(report::page(&report).trim_end())?);
    };
    // both in any case: one for people, one for programs, and they say the same
    let page = path.with_extension("md");
    let data = path.with_extension("json");
    if path
        .extension()
        .is_none_or(|extension| extension != "md" && extension != "json")
    {
        return Err(CliError::usage(format!(
            "'{}' should end in .md or .json; both are written",
            path.display()
        ))
        .into());
    }
    let mut document = serde_json::to_vec_pretty(&report)?;
    document.push(b'\n');
    put(&page, report::page(&report).as_bytes())?;
    put(&data, &document)?;
    context.out.show(&report, |_| {
        format!("{}\n{}", page.display(), data.display())
    })?;
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, bytes).with_context(|| format!("cannot write '{}'", path.display()))
}
