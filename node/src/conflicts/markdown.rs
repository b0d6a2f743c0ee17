//! A conflict report for people. Everything in it that came from others is escaped: an event cannot
//! write the page.

use std::fmt::Write as _;

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, NodeId};
use ssid_protocol::vote::Phase;

use super::{ConflictReport, ReportState};
use crate::text::is_unseen;
use crate::view::CandidateVotes;

/// The whole page.
pub(super) fn page(report: &ConflictReport) -> String {
    let conflict = &report.conflict;
    // events come from members: nothing in them may begin a line, a link or a table's cell
    let what = conflict.subject.as_ref().map_or_else(
        || "unknown subject".to_owned(),
        |s| format!("{} {}", safe(&s.event), safe(&s.version)),
    );
    let state = match (report.state, &report.resolution) {
        (ReportState::Resolved, Some(end)) => format!(
            "resolved ({}) in round {} at {}",
            safe(&end.record.resolution),
            end.record.round,
            end.record.completed_at.as_deref().unwrap_or("?")
        ),
        _ => format!(
            "in conflict, epoch {}, round {}",
            conflict.epoch, conflict.round
        ),
    };
    let mut text = format!(
        "# Conflict: {what}\n\n- State: {state}\n- Open since: {}\n- Subject: `{}`\n- Federation: `{}`\n\
         - Reported by: {}, {}\n\n## Candidates\n\n",
        conflict.since,
        conflict.subject_id,
        report.federation_id,
        node(report, &report.reported_by),
        report.written_at
    );
    text += &candidates(report);
    text += "\n## Votes\n\n";
    text += &votes(report);
    text += "\n## This node\n\n";
    let label = |choice: &Choice| candidate_label(report, Some(*choice));
    // said in full: who chooses otherwise would wonder why the node does not follow
    let lock = conflict.locked.map_or_else(
        || "not locked".to_owned(),
        |lock| {
            format!(
                "locked on {} since round {} of epoch {}: it prevotes nothing else until a later quorum of prevotes \
                 for another candidate releases it",
                label(&lock.choice),
                lock.round,
                lock.epoch
            )
        },
    );
    let standing = conflict
        .standing
        .as_ref()
        .map_or_else(|| "none".to_owned(), label);
    let decisions = decisions(report);
    // writing to a String does not fail
    let _ = write!(
        text,
        "- Lock: {lock}\n- Operator's choice: {standing}\n- Next step: {}\n{decisions}",
        safe(&conflict.next_step)
    );
    if let Some(end) = &report.resolution {
        let signers: Vec<_> = end.signed_by.iter().map(|id| node(report, id)).collect();
        let certified = end
            .record
            .consensus_hash
            .map_or_else(String::new, |hash| hash.to_string());
        let _ = write!(
            text,
            "\n## Resolution\n\n- Certified: event `{certified}`\n- How: {}, round {}\n- Certificate signed by: {}\n",
            safe(&end.record.resolution),
            end.record.round,
            signers.join(", ")
        );
    }
    text
}

/// What this node's operator decided, when, who it was and why.
fn decisions(report: &ConflictReport) -> String {
    let mut text = String::new();
    for decision in &report.conflict.decisions {
        let why = if decision.reason.is_empty() {
            "no reason given".to_owned()
        } else {
            safe(&decision.reason)
        };
        let what = candidate_label(report, Some(decision.choice));
        // writing to a String does not fail
        let _ = writeln!(
            text,
            "- {}: {} {} {what}: {why}",
            decision.at,
            safe(&decision.by),
            decision.decision.word()
        );
    }
    text
}

/// A field's name, and how to take it from an event.
pub type Field = (&'static str, fn(&Event) -> &String);

/// The fields of an event in the order in which people read them.
pub const FIELDS: [Field; 8] = [
    ("timestamp", |e| &e.timestamp),
    ("event", |e| &e.event),
    ("version", |e| &e.version),
    ("commit_hash", |e| &e.commit_hash),
    ("blueprint", |e| &e.blueprint),
    ("root_24_lock", |e| &e.root_24_lock),
    ("compliance_score", |e| &e.compliance_score),
    ("emitted_by", |e| &e.emitted_by),
];

/// The candidates side by side; what differs is bold.
fn candidates(report: &ConflictReport) -> String {
    let all = &report.conflict.candidates;
    let mut text = String::from("| |");
    for number in 1..=all.len() {
        let _ = write!(text, " Candidate {number} |");
    }
    text += "\n|---|";
    text += &"---|".repeat(all.len());
    text.push('\n');
    // what is equal needs no attention: with eight fields the one that differs is easily missed
    let mut row = |name: &str, value: &dyn Fn(&CandidateVotes) -> String| {
        let values: Vec<_> = all.iter().map(value).collect();
        let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
        let cells: Vec<_> = values
            .into_iter()
            .map(|value| {
                if differs && !value.is_empty() {
                    format!("**{value}**")
                } else {
                    value
                }
            })
            .collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    for (name, field) in FIELDS {
        row(name, &|c| {
            c.event
                .as_ref()
                .map_or_else(|| "?".to_owned(), |event| safe(field(event)))
        });
    }
    row("event hash", &|c| format!("`{}`", c.event_hash));
    row("content digest", &|c| format!("`{}`", c.content_digest));
    row("announced by", &|c| {
        c.announced_by
            .map_or_else(|| "?".to_owned(), |id| node(report, &id))
    });
    row("in this node's registry", &|c| {
        if c.own {
            "yes".to_owned()
        } else {
            String::new()
        }
    });
    row("prevoted in round 0 by", &|c| {
        c.prevoted_by
            .iter()
            .map(|id| node(report, id))
            .collect::<Vec<_>>()
            .join(", ")
    });
    text
}

fn votes(report: &ConflictReport) -> String {
    let mut text = String::from("| Round | Phase | Node | Vote |\n|---|---|---|---|\n");
    for vote in &report.conflict.votes {
        let phase = match vote.phase {
            Phase::Prevote => "prevote",
            Phase::Precommit => "precommit",
        };
        let choice = candidate_label(report, vote.choice);
        let _ = writeln!(
            text,
            "| {} | {phase} | {} | {choice} |",
            vote.round,
            node(report, &vote.node)
        );
    }
    text
}

fn candidate_label(report: &ConflictReport, choice: Option<Choice>) -> String {
    let Some(choice) = choice else {
        return "nil".to_owned();
    };
    let is_it = |c: &CandidateVotes| {
        (c.event_hash, c.content_digest) == (choice.event_hash, choice.content_digest)
    };
    let place = report.conflict.candidates.iter().position(is_it);
    place.map_or_else(
        || format!("event `{}`", choice.event_hash),
        |place| format!("candidate {}", place + 1),
    )
}

/// A node's name with the beginning of its id, or the id where names are not to be shown.
fn node(report: &ConflictReport, id: &NodeId) -> String {
    let short: String = id.to_string().chars().take(12).collect();
    report.names.get(id).map_or_else(
        || format!("`{id}`"),
        |name| format!("{} (`{short}`)", safe(name)),
    )
}

/// Text of others in a Markdown table: on one line, nothing in it means anything.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_unseen(c) => out.push('\u{fffd}'),
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '|' | '`' | '*' | '[' | ']' | '#' | '!' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
