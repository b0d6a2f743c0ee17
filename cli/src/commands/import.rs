//! `ssid events import`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use futures::StreamExt as _;
use ssid_engine::NodeEvent;
use ssid_node::view::ImportView;

use crate::client::{Client, StreamItem};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::named_file;
use crate::output::{Output, Tone, clean, counted};
use crate::progress::Progress;

/// Bytes of the largest file that is imported at once.
const FILE_BYTES: u64 = 128 << 20;

/// Offer every event of a registry log, as found in the wild
///
/// Prose, pretty-printed and one-line objects, CRLF and a byte-order mark are read; what is no
/// event is reported with its lines. Importing a file twice changes nothing. Exit 1 if there is no
/// event in the file. Exit 4 if an event's subject is certified for another event or, with --wait,
/// in conflict or not decided in time; exit 1 if events were refused.
///
/// Examples:
///   ssid events import registry_events.log --wait
///   ssid events import - < registry_events.log
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// The log; - for standard input
    file: PathBuf,
    /// Wait until every event's subject is decided
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "wait")]
    timeout: u64,
}

pub(crate) async fn run(args: ImportArgs, context: &Context) -> Result<()> {
    let body = read(&args.file)?;
    let client = context.client()?;
    let query = if args.wait {
        vec![
            ("wait", "certified".to_owned()),
            ("timeout_seconds", args.timeout.to_string()),
        ]
    } else {
        Vec::new()
    };
    let bar = context.out.progress(None, "certified");
    let counting = tokio::spawn(count_certified(client.clone(), bar.clone()));
    let view = client.post(&["v1", "events", "import"], &query, body).await;
    counting.abort();
    bar.finish_and_clear();
    let view: ImportView = view?;
    context
        .out
        .show(&view, |view| text(view, args.wait, context.out))?;
    verdict(&view, &args)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let read = if file.as_os_str() == "-" {
        named_file::read_input(FILE_BYTES)
    } else {
        named_file::read(file, FILE_BYTES)
    };
    read.map_err(|e| {
        let error = CliError::usage(format!("cannot read {}: {e}", file.display()));
        match e.kind() {
            ErrorKind::FileTooLarge => {
                error.hint("split it between two events and import the parts")
            }
            _ => error,
        }
        .into()
    })
}

/// Moves the bar with what the node certifies; best effort.
async fn count_certified(client: Client, bar: Progress) {
    let Ok(stream) = client.stream().await else {
        return;
    };
    let mut stream = Box::pin(stream);
    while let Some(Ok(item)) = stream.next().await {
        match item {
            StreamItem::Event(NodeEvent::Certified { .. }) => bar.inc(1),
            StreamItem::Lagged { missed } => bar.inc(missed),
            StreamItem::Event(_) => {}
        }
    }
}

fn text(view: &ImportView, waited: bool, out: Output) -> String {
    let mut parts = vec![counted(view.events, "event", "events")];
    let mut part = |count: u64, words: &str| {
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    };
    part(view.accepted, "accepted");
    part(view.known, "known already");
    part(view.certified, "certified already");
    part(
        view.certified_differently,
        "certified already for another event",
    );
    part(view.refused, "refused");
    part(
        view.skipped,
        if view.skipped == 1 {
            "part that is no event"
        } else {
            "parts that are no events"
        },
    );
    let mut text = parts.join(", ");
    // only who waited knows how they ended
    if waited {
        let mut parts =
            vec![out.paint(Tone::Good, &format!("{} certified now", view.now_certified))];
        let mut part = |count: u64, words: &str| {
            if count > 0 {
                parts.push(out.paint(Tone::Bad, &format!("{count} {words}")));
            }
        };
        part(
            view.now_certified_differently,
            "certified for another event",
        );
        part(view.now_in_conflict, "in conflict");
        part(view.still_open, "still open");
        text = format!("{text}\n{}", parts.join(", "));
    }
    for (count, why) in [
        (view.old, "older than max_event_age_days"),
        (view.ahead, "more than 5 minutes ahead of this node's clock"),
    ] {
        // nobody else endorses these by itself: without a word they would seem to hang
        if count > 0 {
            let told = format!(
                "{} {why}: a node that has them not in its own registry asks its people, who take \
                 them over with: ssid events endorse --untimely --from NODE",
                counted(count, "is", "are")
            );
            text = format!("{text}\n{}", out.paint(Tone::Warn, &told));
        }
    }
    for note in &view.notes {
        let lines = if note.line == note.last_line {
            note.line.to_string()
        } else {
            format!("{}–{}", note.line, note.last_line)
        };
        text = format!("{text}\n  line {lines}: {}", clean(&note.reason));
    }
    text
}

fn verdict(view: &ImportView, args: &ImportArgs) -> Result<()> {
    // a wrong file would pass for one that is imported already
    if view.events == 0 {
        let message = format!("there is no event in {}", args.file.display());
        return Err(CliError::new(Code::Failed, message)
            .hint("is it a registry log?")
            .into());
    }
    // the gravest first: a script sees one exit code
    let differently =
        view.certified_differently + view.now_certified_differently + view.now_in_conflict;
    if differently > 0 {
        let events = counted(differently, "event has a subject", "events have subjects");
        let message = format!("{events} certified for another event, or in conflict");
        return Err(CliError::new(Code::NoConsensus, message)
            .hint("see: ssid conflicts list")
            .into());
    }
    if args.wait && view.still_open > 0 {
        let events = counted(view.still_open, "event is", "events are");
        let message = format!("{events} not decided in time, kept, and being voted on");
        return Err(CliError::new(Code::NoConsensus, message)
            .hint("see: ssid status")
            .into());
    }
    if view.refused > 0 {
        let message = format!(
            "{} refused",
            counted(view.refused, "event was", "events were")
        );
        return Err(CliError::new(Code::Failed, message)
            .hint("the reasons stand above, by line")
            .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_without_events_is_no_success_and_counts_have_their_noun() {
        let args = |wait| ImportArgs {
            file: "README.md".into(),
            wait,
            timeout: 1,
        };
        let none = ImportView {
            skipped: 3,
            ..ImportView::default()
        };
        for wait in [false, true] {
            let refused = verdict(&none, &args(wait)).unwrap_err();
            assert_eq!(
                refused.downcast_ref::<CliError>().unwrap().code,
                Code::Failed
            );
            assert!(
                refused
                    .to_string()
                    .contains("there is no event in README.md"),
                "{refused}"
            );
        }
        let one = ImportView {
            events: 1,
            accepted: 1,
            skipped: 1,
            ..ImportView::default()
        };
        assert!(verdict(&one, &args(false)).is_ok());
        let out = Output::new(false, false, crate::args::Color::Never);
        assert_eq!(
            text(&one, false, out),
            "1 event, 1 accepted, 1 part that is no event"
        );
    }
    #[test]
    fn events_that_others_may_not_vote_for_by_themselves_are_counted_by_why() {
        let view = ImportView {
            events: 4,
            accepted: 4,
            old: 1,
            ahead: 2,
            ..ImportView::default()
        };
        let told = text(&view, false, Output::of_width(80));
        assert!(
            told.contains("\n1 is older than max_event_age_days: a node"),
            "{told}"
        );
        assert!(
            told.contains("\n2 are more than 5 minutes ahead of this node's clock: a node"),
            "{told}"
        );
        let timely = ImportView {
            old: 0,
            ahead: 0,
            ..view
        };
        assert!(!text(&timely, false, Output::of_width(80)).contains("endorse"));
    }
}
