//! `ssid telemetry test`.

use std::time::Duration;

use anyhow::Result;
use ssid_node::clock;
use ssid_node::telemetry::channels::Senders;
use ssid_node::telemetry::trial::{TrialView, try_out};
use ssid_node::view::Page;

use super::setting::{places, secrets, source};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, counted};
use crate::table::{named, prose, whole};

pub(super) async fn run(context: &Context, only: Option<&str>, wait: Duration) -> Result<()> {
    run_as(context, only, wait, |trials| table(trials, context.out)).await
}

/// The same, told as `page` has it.
pub(crate) async fn run_as(
    context: &Context,
    only: Option<&str>,
    wait: Duration,
    page: impl FnOnce(&Vec<TrialView>) -> String,
) -> Result<()> {
    let places = places(context)?;
    // nothing is kept in the outbox: a trial that fails is told here and forgotten
    let mut senders = Senders::configured(&places.config, &secrets(&places), &places.paths);
    senders
        .usable
        .retain(|sender| only.is_none_or(|name| sender.channel().as_str() == name));
    senders
        .unusable
        .retain(|(channel, _)| only.is_none_or(|name| channel.as_str() == name));
    if senders.usable.is_empty() && senders.unusable.is_empty() {
        let file = places.paths.telemetry_config.display();
        let error = CliError::usage(format!(
            "no channel{} is switched on",
            only.map_or(String::new(), |n| format!(" {n}"))
        ));
        return Err(error
            .hint(format!(
                "set notifications.slack.enabled (or another's) to true in {file}"
            ))
            .into());
    }
    let trials = try_out(
        &senders.usable,
        source(context, &places),
        wait,
        clock::now(),
    )
    .await;
    let trials = Page::whole(trials);
    context.out.show(&trials, |trials| page(&trials.items))?;
    let trials = trials.items;
    // asked for and not possible: more important than those that were tried and failed
    if let Some((channel, why)) = senders.unusable.first() {
        return Err(CliError::usage(format!("{} cannot be used: {why}", channel.as_str())).into());
    }
    let failed = trials.iter().filter(|trial| !trial.delivered).count();
    if failed > 0 {
        return Err(CliError::new(
            Code::Failed,
            format!(
                "not reached: {failed} of {}",
                counted(trials.len() as u64, "channel", "channels")
            ),
        )
        .into());
    }
    Ok(())
}

fn table(trials: &[TrialView], out: Output) -> String {
    let rows = trials.iter().map(|trial| {
        let (tone, word) = if trial.delivered {
            (Tone::Good, "delivered")
        } else {
            (Tone::Bad, "failed")
        };
        vec![
            out.plain(trial.channel.as_str()),
            out.cell(tone, word),
            out.plain(trial.attempts),
            out.plain(format!("{:.1} s", trial.seconds)),
            out.plain(clean(&trial.place)),
            out.plain(clean(trial.reason.as_deref().unwrap_or_default())),
        ]
    });
    out.table(
        &[
            whole("CHANNEL"),
            whole("RESULT"),
            whole("ATTEMPTS").goes(1),
            whole("TIME").goes(2),
            named("TO", 12),
            prose("REASON"),
        ],
        rows,
    )
}
