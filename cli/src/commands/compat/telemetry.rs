//! `ssid compat governance-telemetry`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ssid_node::telemetry::look::Places;
use ssid_node::telemetry::message::Severity;
use ssid_node::telemetry::trend::number;
use ssid_node::telemetry::trial::TrialView;
use ssid_node::telemetry::view::CheckView;

use super::facts::in_repository;
use super::paper::Paper;
use crate::commands::telemetry::check::{once_as, watch_as};
use crate::commands::telemetry::{self, DELIVERY_SECONDS, trial};
use crate::context::Context;
use crate::output::{Output, Tone, clean};

/// governance_telemetry.py: check governance metrics and notify
///
/// As ssid telemetry check, watch and test. Unlike the script, --test sends, and is exit 1 unless
/// every channel that is switched on has the message; what stands is told once.
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
    let out = here.out;
    let wait = Duration::from_secs(DELIVERY_SECONDS);
    // also where telemetry is off: that is when somebody asks what is wrong with it
    if args.what.check_config {
        return telemetry::check_config(&here);
    }
    let places = telemetry::setting::places(&here)?;
    if !places.config.settings.enabled {
        let answer = serde_json::json!({ "enabled": false });
        let text = "! Telemetry is disabled in configuration";
        return Ok(out.show(&answer, |_| out.paint(Tone::Warn, text))?);
    }
    match args.what {
        What { watch: true, .. } => {
            let every = places.config.settings.check_interval_seconds;
            if !out.is_json() {
                let mut paper = Paper::new(out);
                paper.heading("SSID Governance Telemetry - Watch Mode");
                paper.line(&format!("  Check interval: {every}s"));
                out.line(&paper.finish())?;
            }
            let next = format!("[WAIT] Next check in {every}s... (Ctrl+C to stop)\n");
            watch_as(&here, |view| {
                checked_text(view, root_lock(&places).as_deref(), out) + "\n" + &next
            })
            .await
        }
        What { test: true, .. } => {
            trial::run_as(&here, None, wait, |trials| tried_text(trials, out)).await
        }
        What { .. } => {
            once_as(&here, wait, |view| {
                checked_text(view, root_lock(&places).as_deref(), out)
            })
            .await
        }
    }
}

/// The state of the root lock in the dashboard's present row.
fn root_lock(places: &Places) -> Option<String> {
    let (_, dashboard) = places.dashboard().ok()??;
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    dashboard.until(today).last()?.root_lock.clone()
}

fn checked_text(view: &CheckView, root_lock: Option<&str>, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.line("[CHECK] Checking governance metrics...");
    match view.score {
        None => paper.painted(Tone::Warn, "! No metrics available"),
        Some(score) => {
            paper.line(&format!("  Compliance Score: {}/100", number(score)));
            let violations = view
                .violations
                .map_or_else(|| "unknown".to_owned(), |count| count.to_string());
            paper.line(&format!("  Violations: {violations}"));
            paper.line(&format!(
                "  Root-24-LOCK: {}",
                clean(root_lock.unwrap_or("unknown"))
            ));
            paper.line(&format!(
                "  Trend: {}",
                view.trend.as_deref().unwrap_or("unknown")
            ));
        }
    }
    for message in &view.messages {
        let (tone, mark) = match message.severity {
            Severity::Info => (Tone::Good, "[i]"),
            Severity::Warning => (Tone::Warn, "!"),
            Severity::Critical => (Tone::Bad, "!!"),
        };
        paper.painted(tone, &format!("{mark} {}", clean(&message.title)));
        message
            .lines
            .iter()
            .for_each(|line| paper.line(&format!("  {}", clean(line))));
    }
    // given up ones as well: they are kept and were not delivered
    let waiting = view.waiting + view.dead;
    if waiting > 0 {
        paper.painted(
            Tone::Warn,
            &format!("! {waiting} notification(s) not delivered; they are kept"),
        );
    } else if !view.messages.is_empty() && !view.channels.is_empty() {
        let sent = view.messages.len() * view.channels.len();
        paper.painted(Tone::Good, &format!("OK Sent {sent} notification(s)"));
    } else if !view.messages.is_empty() {
        paper.painted(Tone::Warn, "! No notifications configured or all failed");
    }
    view.notes
        .iter()
        .for_each(|note| paper.line(&format!("  note: {}", clean(note))));
    for unusable in &view.unusable {
        let why = format!(
            "! {} cannot be used: {}",
            unusable.channel.as_str(),
            clean(&unusable.reason)
        );
        paper.painted(Tone::Warn, &why);
    }
    paper.finish()
}

fn tried_text(trials: &[TrialView], out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.painted(Tone::Warn, "[NOTIFY] Test mode: Sending test notification");
    for trial in trials {
        let name = trial.channel.as_str();
        let name =
            name.get(..1).unwrap_or_default().to_uppercase() + name.get(1..).unwrap_or_default();
        if trial.delivered {
            paper.painted(Tone::Good, &format!("OK {name} notification sent"));
        } else {
            let reason = clean(trial.reason.as_deref().unwrap_or_default());
            paper.painted(
                Tone::Bad,
                &format!("X {name} notification failed: {reason}"),
            );
        }
    }
    let sent = trials.iter().filter(|trial| trial.delivered).count();
    if sent > 0 {
        paper.painted(Tone::Good, &format!("OK Sent {sent} notification(s)"));
    } else {
        paper.painted(Tone::Warn, "! No notifications configured or all failed");
    }
    paper.finish()
}
