//! `ssid telemetry history`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use ssid_node::clock;
use ssid_node::config::write_atomic;
use ssid_node::telemetry::chart;
use ssid_node::telemetry::checks::day_of;
use ssid_node::telemetry::dashboard::Row;
use ssid_node::telemetry::trend::{anomaly, number};
use ssid_node::view::Page;

use super::setting::places;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean};

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

/// One row of the dashboard.
#[derive(Debug, Serialize)]
struct HistoryRow {
    date: String,
    quarter: String,
    score: Option<f64>,
    change: Option<f64>,
    violations: Option<u64>,
    anomaly: Option<String>,
}

pub(super) fn run(context: &Context, args: &HistoryArgs) -> Result<()> {
    let places = places(context)?;
    let found = places
        .dashboard()
        .map_err(|error| CliError::new(Code::Failed, error))?;
    let Some((file, dashboard)) = found else {
        let tried: Vec<_> = places
            .config
            .dashboard_places(&places.paths)
            .iter()
            .map(|p| p.display().to_string())
            .collect();
        let error = CliError::new(
            Code::Failed,
            format!("there is no dashboard; tried {}", tried.join(" and ")),
        );
        return Err(error
            .hint("name it with dashboard_csv in telemetry_config.json")
            .into());
    };
    // beside the table and not instead of it: most rows of a damaged file are good
    dashboard.problems.iter().for_each(|problem| {
        context
            .out
            .remark(&format!("{}: {problem}", file.display()));
    });
    // rows of days to come are plans
    let rows = dashboard.until(day_of(clock::now()));
    if let Some(path) = &args.svg {
        let picture = chart::svg(rows, &places.config.settings.thresholds);
        write_atomic(path, picture.as_bytes())
            .with_context(|| format!("cannot write '{}'", path.display()))?;
        context
            .out
            .remark(&format!("drawn into {}", path.display()));
    }
    let history = history(rows);
    // the latest: what is unusual was judged by all before it
    let shown = &history[history.len().saturating_sub(args.limit)..];
    context
        .out
        .show(&Page::whole(shown.iter().collect()), |rows| {
            table(&rows.items, context.out)
        })?;
    Ok(())
}

fn history(rows: &[Row]) -> Vec<HistoryRow> {
    let mut known: Vec<f64> = Vec::new();
    let row = |row: &Row| {
        let change = row
            .score
            .zip(known.last().copied())
            .map(|(score, before)| score - before);
        let anomaly = row.score.and_then(|score| anomaly(&known, score));
        known.extend(row.score);
        HistoryRow {
            date: row.date.to_string(),
            quarter: row.quarter.clone(),
            score: row.score,
            change,
            violations: row.violations,
            anomaly,
        }
    };
    rows.iter().map(row).collect()
}

fn table(rows: &[&HistoryRow], out: Output) -> String {
    let unknown = || "unknown".to_owned();
    let rows = rows.iter().map(|row| {
        let change = row.change.map_or_else(String::new, |c| {
            format!("{}{}", if c > 0.0 { "+" } else { "" }, number(c))
        });
        vec![
            out.plain(&row.date),
            out.plain(clean(&row.quarter)),
            out.plain(row.score.map_or_else(unknown, number)),
            out.cell(
                if row.change.is_some_and(|c| c < 0.0) {
                    Tone::Warn
                } else {
                    Tone::Good
                },
                change,
            ),
            out.plain(
                row.violations
                    .map_or_else(unknown, |count| count.to_string()),
            ),
            out.plain(row.anomaly.as_deref().map_or("", |_| "unusual")),
        ]
    });
    out.table(
        &["DATE", "QUARTER", "SCORE", "CHANGE", "VIOLATIONS", ""],
        rows,
    )
}
