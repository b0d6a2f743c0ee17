//! `ssid events endorse --untimely`: takes over what another member's old log has, after people
//! have looked at the list.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use ssid_engine::ReviewReason;
use ssid_node::view::{EventView, NodeView, Operated, Page};

use super::conflicts::SaidArgs;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, clean, counted, seconds, short};
use crate::progress;

/// Events that are listed at most.
const LISTED: usize = 100_000;
/// Of which so many are shown.
const SHOWN: usize = 50;

/// Many events at once: those that wait because of their age.
#[derive(Debug, Args)]
pub(crate) struct UntimelyArgs {
    /// All that wait because their timestamp is too old or ahead: they are listed first
    #[arg(long, requires = "from")]
    pub(super) untimely: bool,
    /// With --untimely: only those that this member announced
    #[arg(long, value_name = "NODE", requires = "untimely", value_parser = NonEmptyStringValueParser::new())]
    from: Option<String>,
    /// With --untimely: only those that happened before this date or time
    #[arg(long, value_name = "DATE", requires = "untimely", value_parser = instant)]
    until: Option<Timestamp>,
    /// With --untimely: do not ask
    #[arg(long, requires = "untimely")]
    yes: bool,
}

/// What was endorsed.
#[derive(Debug, Serialize)]
struct TakenOver {
    items: Vec<EventView>,
    next: Option<String>,
    endorsed: u64,
    certified: u64,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    // a time is read as a date, too, which forgets its hour and its offset: times first
    let time = text.parse::<Timestamp>().ok();
    let of_day = || {
        let day = Some(text).filter(|text| text.len() == "2024-12-31".len())?;
        let day = day.parse::<Date>().ok()?;
        Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    time.or_else(of_day)
        .ok_or_else(|| "expected a date (2024-12-31) or a time in UTC".to_owned())
}

pub(crate) async fn run(args: &UntimelyArgs, said: &SaidArgs, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    let from = args.from.as_deref().unwrap_or_default();
    let node: NodeView = client.get(&["v1", "nodes", from], &[]).await?;
    let query = [("review", "true".to_owned())];
    let waiting: Page<EventView> = client.list(&["v1", "events"], &query, LISTED).await?;
    // of this member, and only what waits for no other reason: each other one is its own decision
    let is_wanted = |event: &EventView| {
        let is_untimely = event
            .review
            .as_ref()
            .is_some_and(|review| review.reason == ReviewReason::Untimely);
        let is_before = args.until.is_none_or(|until| {
            event
                .event
                .timestamp
                .parse::<Timestamp>()
                .is_ok_and(|at| at < until)
        });
        event.announced_by == Some(node.node_id) && is_untimely && is_before
    };
    let events: Vec<EventView> = waiting.items.into_iter().filter(is_wanted).collect();
    // whoever answers the question has to have seen what is asked
    if !out.is_json() {
        out.line(&list(&events, &node, out))?;
    }
    let mut done = TakenOver {
        items: Vec::new(),
        next: None,
        endorsed: 0,
        certified: 0,
    };
    if !events.is_empty() && !args.yes && !asked(out, events.len())? {
        let message = "nothing was endorsed";
        return Err(CliError::new(Code::Failed, message)
            .hint("look at the list, then add --yes")
            .into());
    }
    let bar = out.progress(Some(events.len() as u64), "endorsed");
    // one by one and each with its digest: every one is a decision with a name on it
    for event in &events {
        let name = format!("{}:{}", event.event_hash, event.content_digest);
        let path = ["v1", "events", &name, "endorse"];
        let taken: Operated = client.post_json(&path, &[], &said.document()).await?;
        done.endorsed += 1;
        done.certified += u64::from(taken.certified);
        bar.inc(1);
    }
    bar.finish_and_clear();
    done.items = events;
    out.show(&done, |done| {
        let what = counted(done.endorsed, "event endorsed", "events endorsed");
        format!("{what}, {} certified with it", done.certified)
    })?;
    Ok(())
}

fn list(events: &[EventView], node: &NodeView, out: Output) -> String {
    let name = clean(&node.node_name);
    if events.is_empty() {
        return format!("no event of {name} waits because of its age");
    }
    let row = |event: &EventView| {
        vec![
            out.plain(short(&event.event_hash)),
            out.plain(clean(&event.event.event)),
            out.plain(clean(&event.event.version)),
            out.plain(seconds(&event.event.timestamp)),
            out.plain(event.event.commit_hash.chars().take(12).collect::<String>()),
        ]
    };
    let table = out.table(
        &["HASH", "EVENT", "VERSION", "HAPPENED", "COMMIT"],
        events.iter().take(SHOWN).map(row),
    );
    let more = events.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!("\n… and {more} more: ssid events list --state review")
    } else {
        String::new()
    };
    format!("{table}{more}")
}

/// Asks on a terminal; elsewhere nothing is done without `--yes`.
fn asked(out: Output, count: usize) -> Result<bool> {
    if out.is_json() || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(false);
    }
    let what = counted(count as u64, "event", "events");
    progress::hide_command();
    write!(
        io::stdout(),
        "Endorse {what}: this node then votes that they are right? [y/N] "
    )?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_day_means_its_beginning_in_utc() {
        let of = |text| instant(text).map(|at| at.to_string());
        assert_eq!(of("2024-12-31").unwrap(), "2024-12-31T00:00:00Z");
        assert_eq!(
            of("2024-12-31T10:00:00+02:00").unwrap(),
            "2024-12-31T08:00:00Z"
        );
        for text in ["2024-13-01", "yesterday", "", "2024-12-31T10:00:00"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
