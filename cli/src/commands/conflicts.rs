//! `ssid conflicts`.

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::api::view::{CandidateVotes, ConflictView};
use ssid_protocol::event::Event;

use crate::context::Context;
use crate::output::{Output, Tone, clean, seconds, short};

/// Subjects that could not be decided and wait for people
#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsCommand {
    /// List them
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one: its candidates side by side, and who voted what
    ///
    /// Example:
    ///   ssid conflicts show 8c41
    #[command(verbatim_doc_comment)]
    Show {
        /// The beginning of its subject id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        subject: String,
    },
}

pub(crate) async fn run(command: ConflictsCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        ConflictsCommand::List { limit } => {
            let conflicts: Vec<ConflictView> = client.list(&["v1", "conflicts"], &[], limit).await?;
            out.show(&conflicts, |conflicts| list(conflicts, out))?;
        }
        ConflictsCommand::Show { subject } => {
            let conflict: ConflictView = client.get(&["v1", "conflicts", &subject], &[]).await?;
            out.show(&conflict, |conflict| page(conflict, out))?;
        }
    }
    Ok(())
}

fn list(conflicts: &[ConflictView], out: Output) -> String {
    if conflicts.is_empty() {
        return "no conflicts".to_owned();
    }
    let row = |c: &ConflictView| {
        vec![
            out.plain(short(&c.subject_id)),
            out.plain(c.subject.as_ref().map_or(String::new(), |s| clean(&s.event))),
            out.plain(c.subject.as_ref().map_or(String::new(), |s| clean(&s.version))),
            out.plain(c.candidates.len()),
            out.plain(c.round),
            out.plain(seconds(&c.since)),
        ]
    };
    out.table(&["SUBJECT", "EVENT", "VERSION", "CANDIDATES", "ROUND", "SINCE"], conflicts.iter().map(row))
}

/// An open subject with its candidates side by side.
pub(super) fn page(conflict: &ConflictView, out: Output) -> String {
    let what =
        conflict.subject.as_ref().map_or("?".to_owned(), |s| format!("{} {}", clean(&s.event), clean(&s.version)));
    let word = if conflict.in_conflict {
        out.paint(Tone::Bad, "in conflict")
    } else {
        out.paint(Tone::Warn, "being voted on")
    };
    let lines = [
        ("Subject", conflict.subject_id.to_string()),
        (
            "State",
            format!("{word}, epoch {}, round {}, since {}", conflict.epoch, conflict.round, seconds(&conflict.since)),
        ),
    ];
    format!("{what}\n{}\n{}", out.fields(&lines), side_by_side(&conflict.candidates, out))
}

/// A field's name, and how to take it from an event.
type Field = (&'static str, fn(&Event) -> &String);

fn side_by_side(candidates: &[CandidateVotes], out: Output) -> String {
    const FIELDS: [Field; 8] = [
        ("timestamp", |e| &e.timestamp),
        ("event", |e| &e.event),
        ("version", |e| &e.version),
        ("commit_hash", |e| &e.commit_hash),
        ("blueprint", |e| &e.blueprint),
        ("root_24_lock", |e| &e.root_24_lock),
        ("compliance_score", |e| &e.compliance_score),
        ("emitted_by", |e| &e.emitted_by),
    ];
    let mut rows = Vec::new();
    for (name, field) in FIELDS {
        let values: Vec<_> =
            candidates.iter().map(|c| c.event.as_ref().map_or("?".to_owned(), |e| clean(field(e)))).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        let mut row = vec![out.plain(name)];
        row.extend(values.iter().map(|v| if differ { out.cell(Tone::Warn, v) } else { out.plain(v) }));
        rows.push(row);
    }
    let mut row = |name: &str, value: &dyn Fn(&CandidateVotes) -> String| {
        let mut row = vec![out.plain(name)];
        row.extend(candidates.iter().map(|c| out.plain(value(c))));
        rows.push(row);
    };
    row("event_hash", &|c| short(&c.event_hash));
    row("digest", &|c| short(&c.content_digest));
    row("announced by", &|c| c.announced_by.as_ref().map_or("?".to_owned(), short));
    row("own", &|c| if c.own { "yes".to_owned() } else { String::new() });
    row("prevoted by", &|c| c.prevoted_by.iter().map(short).collect::<Vec<_>>().join(" "));
    let headers: Vec<String> = (1..=candidates.len()).map(|n| format!("CANDIDATE {n}")).collect();
    let headers: Vec<&str> = std::iter::once("").chain(headers.iter().map(String::as_str)).collect();
    out.table(&headers, rows)
}
