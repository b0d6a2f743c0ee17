//! `ssid telemetry check` and `watch`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use ssid_node::clock;
use ssid_node::telemetry::message::{Names, Severity};
use ssid_node::telemetry::service::TelemetryService;
use ssid_node::telemetry::trend::number;
use ssid_node::telemetry::view::CheckView;

use super::setting::{places, service};
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, counted};
use crate::process::Interruption;

/// How long the first deliveries of `watch` may take before the next check is waited for.
const FIRST: Duration = Duration::from_secs(1);

/// Who checks: the running node, or this command.
enum Checker {
    Node,
    Here(Box<TelemetryService>),
}

impl Checker {
    /// The running node if there is one. Its first check is done.
    async fn find(context: &Context) -> Result<(Self, CheckView)> {
        match by_node(context).await {
            Ok(view) => Ok((Self::Node, view)),
            Err(error) if is_unreachable(&error) => {
                let mut service = service(context)?;
                let view = check_here(&mut service).await?;
                Ok((Self::Here(Box::new(service)), view))
            }
            Err(error) => Err(error),
        }
    }

    async fn again(&mut self, context: &Context) -> Result<CheckView> {
        match self {
            Self::Node => by_node(context).await,
            Self::Here(service) => check_here(service).await,
        }
    }

    /// Delivers for at most `time`, if that is up to this command.
    async fn deliver(&mut self, time: Duration) {
        if let Self::Here(service) = self {
            service.deliver(clock::now().after(time)).await;
        }
    }

    /// How many wait and how many are given up, now.
    fn count(&mut self, view: &mut CheckView) {
        if let Self::Here(service) = self {
            let rows: Vec<_> = service
                .delivery()
                .queue()
                .rows()
                .map(|(_, entry)| entry.dead)
                .collect();
            view.dead = rows.iter().filter(|dead| **dead).count() as u64;
            view.waiting = rows.len() as u64 - view.dead;
        }
    }
}

async fn by_node(context: &Context) -> Result<CheckView> {
    context
        .client()?
        .post(&["v1", "telemetry", "check"], &[], Vec::new())
        .await
}

async fn check_here(service: &mut TelemetryService) -> Result<CheckView> {
    // who the members are only a node knows
    Ok(service
        .check(None, Names::default(), clock::now())
        .await
        .or_code(Code::Failed)?)
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<CliError>()
        .is_some_and(|error| error.code == Code::Unreachable)
}

pub(super) async fn once(context: &Context, wait: Duration) -> Result<()> {
    once_as(context, wait, |view| page(view, context.out)).await
}

/// One check, told as `page` has it.
pub(crate) async fn once_as(
    context: &Context,
    wait: Duration,
    page: impl Fn(&CheckView) -> String,
) -> Result<()> {
    let (mut checker, mut view) = Checker::find(context).await?;
    checker.deliver(wait).await;
    checker.count(&mut view);
    context.out.show(&view, page)?;
    if let Some(first) = view.unusable.first() {
        let why = format!("{}: {}", first.channel.as_str(), first.reason);
        return Err(CliError::usage(why).into());
    }
    let undelivered = view.waiting + view.dead;
    if matches!(checker, Checker::Here(_)) && undelivered > 0 {
        let error = CliError::new(
            Code::Failed,
            format!(
                "{} not delivered",
                counted(undelivered, "notification is", "notifications are")
            ),
        );
        return Err(error
            .hint("kept, and tried again; see: ssid telemetry outbox list")
            .into());
    }
    Ok(())
}

pub(super) async fn watch(context: &Context) -> Result<()> {
    watch_as(context, |view| page(view, context.out)).await
}

/// Checks again and again, each told as `page` has it.
pub(crate) async fn watch_as(context: &Context, page: impl Fn(&CheckView) -> String) -> Result<()> {
    let every = Duration::from_secs(places(context)?.config.settings.check_interval_seconds);
    crate::progress::hide_command();
    // before the first check: whoever has read its line can end this
    let mut interruption = Interruption::listen()?;
    let watching = async {
        let (mut checker, mut view) = Checker::find(context).await?;
        loop {
            let begun = tokio::time::Instant::now();
            checker.deliver(FIRST.min(every)).await;
            checker.count(&mut view);
            context.out.item(&view, &page)?;
            // what is not delivered yet goes on until the next check
            checker.deliver(every.saturating_sub(begun.elapsed())).await;
            tokio::time::sleep_until(begun + every).await;
            view = checker.again(context).await?;
        }
    };
    tokio::select! {
        ended = watching => ended,
        () = interruption.comes() => Ok(()),
    }
}

fn page(view: &CheckView, out: Output) -> String {
    let unknown = || "unknown".to_owned();
    let score = view
        .score
        .map_or_else(unknown, |score| format!("{}/100", number(score)));
    let trend = view
        .trend
        .as_ref()
        .map(|trend| format!(" ({trend})"))
        .unwrap_or_default();
    let channels: Vec<_> = view
        .channels
        .iter()
        .map(|channel| channel.as_str())
        .collect();
    let mut page = out.fields(&[
        ("Checked", view.checked_at.clone()),
        ("Compliance Score", format!("{score}{trend}")),
        (
            "Violations",
            view.violations
                .map_or_else(unknown, |count| count.to_string()),
        ),
        (
            "Channels",
            if channels.is_empty() {
                "none is switched on".to_owned()
            } else {
                channels.join(", ")
            },
        ),
        (
            "Outbox",
            format!("{} waiting, {} given up", view.waiting, view.dead),
        ),
    ]);
    for message in &view.messages {
        let tone = match message.severity {
            Severity::Info => Tone::Good,
            Severity::Warning => Tone::Warn,
            Severity::Critical => Tone::Bad,
        };
        let _ = writeln!(
            page,
            "{}: {}",
            out.paint(tone, message.severity.as_str()),
            clean(&message.title)
        );
        page.extend(
            message
                .lines
                .iter()
                .map(|line| format!("  {}\n", clean(line))),
        );
    }
    // said, or nobody could tell a quiet check from one that did nothing
    if view.messages.is_empty() {
        page += "Nothing new.\n";
    }
    page.extend(
        view.notes
            .iter()
            .map(|note| out.paint(Tone::Dim, &format!("note: {}\n", clean(note)))),
    );
    // last, so that it stands above the prompt
    for unusable in &view.unusable {
        let text = format!(
            "{} cannot be used: {}\n",
            unusable.channel.as_str(),
            clean(&unusable.reason)
        );
        page += &out.paint(Tone::Warn, &text);
    }
    page
}
