//! `ssid conflicts`: what could not be decided, and choosing.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use ssid_node::conflicts::FIELDS;
use ssid_node::view::{CandidateVotes, ConflictView, DivergenceView, NodeView, Operated, Page};
use ssid_protocol::id::{Choice, NodeId, Round};
use ssid_protocol::vote::Phase;

use super::by_commit;
use crate::client::Client;
use crate::context::Context;
use crate::output::{Output, Tone, clean, seconds, short, when};
use crate::table::{Cell, named, prose, whole};

/// Show and resolve what could not be decided and waits for people
#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsCommand {
    /// List them, and apart from them the decisions that this node's registry contradicts
    ///
    /// Example:
    ///   ssid conflicts list --json
    #[command(verbatim_doc_comment)]
    List {
        /// How many are shown at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one: its candidates side by side, and who voted what
    ///
    /// Where no subject id begins so, the one with a candidate of a commit that does; several of
    /// them are listed.
    ///
    /// Examples:
    ///   ssid conflicts show 8c41
    ///   ssid conflicts show 3dd05d9               a commit, 7 digits or more
    #[command(verbatim_doc_comment)]
    Show {
        /// The beginning of its subject id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        subject: String,
    },
    /// Choose a candidate: this node prevotes it, and a quorum of operators decides for all
    ///
    /// The choice stands for up to ten rounds. A node that is locked on another candidate prevotes
    /// its lock until a later quorum of prevotes releases it, and says so.
    ///
    /// Example:
    ///   ssid conflicts resolve 8c41 --choose 17973e79 --reason 'the tag was moved by mistake'
    #[command(verbatim_doc_comment)]
    Resolve {
        /// The beginning of its subject id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        subject: String,
        /// The beginning of the candidate's event hash or digest; HASH:DIGEST where one hash has
        /// two contents
        #[arg(long, value_name = "HASH", value_parser = NonEmptyStringValueParser::new())]
        choose: String,
        #[command(flatten)]
        said: SaidArgs,
    },
}

/// Why an operator decides, and who that is.
#[derive(Debug, Args)]
pub(crate) struct SaidArgs {
    /// Why, in one line; it is kept with the decision
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who decided it, recorded beside the operating system's user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
}

impl SaidArgs {
    /// The same as the API takes it.
    pub(crate) fn document(&self) -> serde_json::Value {
        serde_json::json!({ "reason": self.reason, "by": self.by })
    }
}

pub(crate) async fn run(command: ConflictsCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        ConflictsCommand::List { limit } => {
            let conflicts: Page<ConflictView> =
                // two kinds of disagreement, and both need people
                client.list(&["v1", "conflicts"], &[], limit).await?;
            let divergences: Page<DivergenceView> =
                client.list(&["v1", "divergences"], &[], limit).await?;
            let listed = Listed {
                items: conflicts.items,
                next: conflicts.next,
                divergences: divergences.items,
            };
            out.show(&listed, |listed| {
                list(&listed.items, out) + &diverging(&listed.divergences, out)
            })?;
        }
        ConflictsCommand::Show { subject } => {
            let conflict = match find(&client, &subject).await? {
                Found::One(conflict) => conflict,
                Found::Several(found) => {
                    out.show(&found, |found| list(&found.items, out))?;
                    return Ok(());
                }
            };
            // names are for people; a document has ids
            let nodes = if out.is_json() {
                Page::whole(Vec::new())
            } else {
                client.get(&["v1", "nodes"], &[]).await?
            };
            let names = names(nodes);
            out.show(&*conflict, |conflict| page_with(conflict, &names, out))?;
        }
        ConflictsCommand::Resolve {
            subject,
            choose,
            said,
        } => {
            let path = ["v1", "conflicts", &subject, "resolution"];
            let mut body = said.document();
            body["choice"] = choose.into();
            let done: Operated = client.post_json(&path, &[], &body).await?;
            out.show(&done, |done| decision(done, out))?;
        }
    }
    Ok(())
}

/// What a name means.
enum Found {
    One(Box<ConflictView>),
    /// Conflicts about one commit.
    Several(Page<ConflictView>),
}

/// The conflict whose subject id begins so, else those about a commit that does.
async fn find(client: &Client, name: &str) -> Result<Found> {
    let missing = match client.get(&["v1", "conflicts", name], &[]).await {
        Ok(conflict) => return Ok(Found::One(Box::new(conflict))),
        Err(missing) => missing,
    };
    let mut found = by_commit::conflicts(client, name, missing).await?;
    Ok(match (found.items.pop(), found.items.is_empty()) {
        (Some(conflict), true) => Found::One(Box::new(conflict)),
        (last, _) => {
            found.items.extend(last);
            Found::Several(found)
        }
    })
}

/// Open conflicts, and apart from them what the own registry says against decisions.
#[derive(Debug, Serialize)]
struct Listed {
    items: Vec<ConflictView>,
    next: Option<String>,
    divergences: Vec<DivergenceView>,
}

/// Decisions that the own registry contradicts; nothing if there are none.
fn diverging(divergences: &[DivergenceView], out: Output) -> String {
    if divergences.is_empty() {
        return String::new();
    }
    let row = |divergence: &DivergenceView| {
        vec![
            out.plain(divergence.sequence),
            out.plain(clean(&divergence.event_type)),
            out.plain(clean(&divergence.event_version)),
            out.plain(short(&divergence.certified_hash)),
            out.plain(short(&divergence.own_hash)),
            out.plain(seconds(&divergence.found_at)),
        ]
    };
    let table = out.table(
        &[
            "LOG",
            "EVENT",
            "VERSION",
            "CERTIFIED",
            "IN THE FILE",
            "FOUND",
        ],
        divergences.iter().map(row),
    );
    let words = "The registry file contradicts these decisions, and was found to when it could no longer be voted for. \
                 A decision stands:\nif the file is right, record a correction as a new event; if it is wrong, nothing \
                 has to be done.";
    format!(
        "\n\n{}\n{words}\n{table}",
        out.paint(Tone::Warn, "Divergences")
    )
}

fn list(conflicts: &[ConflictView], out: Output) -> String {
    if conflicts.is_empty() {
        return "no conflicts".to_owned();
    }
    let row = |c: &ConflictView| {
        vec![
            out.plain(short(&c.subject_id)),
            out.plain(
                c.subject
                    .as_ref()
                    .map_or(String::new(), |s| clean(&s.event)),
            ),
            out.plain(
                c.subject
                    .as_ref()
                    .map_or(String::new(), |s| clean(&s.version)),
            ),
            out.plain(c.candidates.len()),
            out.plain(c.round),
            out.plain(when(&c.since)),
        ]
    };
    let columns = [
        whole("SUBJECT"),
        named("EVENT", 10),
        named("VERSION", 8),
        whole("CANDIDATES").goes(1),
        whole("ROUND").goes(2),
        whole("SINCE"),
    ];
    out.table(&columns, conflicts.iter().map(row))
}

/// What members are called.
pub(super) type Names = BTreeMap<NodeId, String>;

pub(super) fn names(nodes: Page<NodeView>) -> Names {
    nodes
        .items
        .into_iter()
        .map(|node| (node.node_id, clean(&node.node_name)))
        .collect()
}

/// What the node says about an operator's decision.
pub(super) fn decision(done: &Operated, out: Output) -> String {
    let word = if done.certified {
        out.paint(Tone::Good, "certified")
    } else {
        out.paint(Tone::Good, "recorded")
    };
    out.paragraph(&format!("{word}: {}", clean(&done.explanation)), 2)
}

/// An open subject with its candidates side by side.
pub(super) fn page(conflict: &ConflictView, out: Output) -> String {
    page_with(conflict, &Names::new(), out)
}

fn page_with(conflict: &ConflictView, names: &Names, out: Output) -> String {
    let what = conflict.subject.as_ref().map_or("?".to_owned(), |s| {
        format!("{} {}", clean(&s.event), clean(&s.version))
    });
    let word = if conflict.in_conflict {
        out.paint(Tone::Bad, "in conflict")
    } else {
        out.paint(Tone::Warn, "being voted on")
    };
    let mut lines = vec![
        ("Subject", conflict.subject_id.to_string()),
        (
            "State",
            format!(
                "{word}, epoch {}, round {}, since {}",
                conflict.epoch,
                conflict.round,
                seconds(&conflict.since)
            ),
        ),
    ];
    // why nothing happens, before what could be done
    if let Some(review) = &conflict.review {
        lines.push(("Waits", clean(&review.explanation)));
    }
    if let Some(lock) = &conflict.locked {
        let what = label(conflict, Some(lock.choice));
        let round = lock.round;
        lines.push((
            "Lock",
            format!(
                "this node precommitted {what} in round {round}; it prevotes nothing else until a later quorum of \
                 prevotes for another candidate releases it"
            ),
        ));
    }
    if let Some(choice) = conflict.standing {
        lines.push(("Your choice", label(conflict, Some(choice))));
    }
    for decision in &conflict.decisions {
        let what = label(conflict, Some(decision.choice));
        let by = clean(&decision.by);
        let word = decision.decision.word();
        let why = if decision.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", clean(&decision.reason))
        };
        lines.push((
            "Decided",
            format!("{} {by} {word} {what}{why}", seconds(&decision.at)),
        ));
    }
    lines.push(("Next step", clean(&conflict.next_step)));
    // last, being the widest
    let sides = side_by_side(&conflict.candidates, names, out);
    format!(
        "{what}\n{}\n{sides}\n\n{}",
        out.fields(&lines),
        votes(conflict, names, out)
    )
}

pub(super) fn name(node: &NodeId, names: &Names) -> String {
    names
        .get(node)
        .filter(|name| !name.is_empty())
        .cloned()
        .unwrap_or_else(|| short(node))
}

/// A vote's choice as the number of its column.
fn label(conflict: &ConflictView, choice: Option<Choice>) -> String {
    let Some(choice) = choice else {
        return "nil".to_owned();
    };
    let is_it = |c: &CandidateVotes| {
        (c.event_hash, c.content_digest) == (choice.event_hash, choice.content_digest)
    };
    let place = conflict.candidates.iter().position(is_it);
    place.map_or_else(
        || short(&choice.event_hash),
        |place| format!("candidate {}", place + 1),
    )
}

/// Who voted what, a round and phase a line.
fn votes(conflict: &ConflictView, names: &Names, out: Output) -> String {
    let mut lines: BTreeMap<_, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for vote in &conflict.votes {
        let by_choice = lines.entry((vote.round, vote.phase)).or_default();
        by_choice
            .entry(label(conflict, vote.choice))
            .or_default()
            .push(name(&vote.node, names));
    }
    let row = |((round, phase), by_choice): ((Round, Phase), BTreeMap<String, Vec<String>>)| {
        let phase = match phase {
            Phase::Prevote => "prevote",
            Phase::Precommit => "precommit",
        };
        let said: Vec<_> = by_choice
            .iter()
            .map(|(what, who)| format!("{what}: {}", who.join(" ")))
            .collect();
        vec![
            out.plain(round),
            out.plain(phase),
            out.plain(said.join("; ")),
        ]
    };
    out.table(
        &[whole("ROUND"), whole("PHASE"), prose("VOTES")],
        lines.into_iter().map(row),
    )
}

/// The candidates of a table that is too wide for the line, one after another.
fn one_below_the_other(headers: &[String], rows: &[Vec<Cell>], out: Output) -> String {
    let one = |(i, header): (usize, &String)| {
        let cell = |row: &Vec<Cell>, i: usize| {
            row.get(i)
                .map_or_else(String::new, |cell| cell.text.clone())
        };
        let names: Vec<String> = rows.iter().map(|row| cell(row, 0)).collect();
        let values = rows.iter().map(|row| cell(row, i + 1));
        let lines: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        format!("{header}\n{}", out.fields(&lines))
    };
    headers
        .iter()
        .enumerate()
        .map(one)
        .collect::<Vec<_>>()
        .join("\n")
}

fn side_by_side(candidates: &[CandidateVotes], names: &Names, out: Output) -> String {
    let mut rows = Vec::new();
    for (name, field) in FIELDS {
        let values: Vec<_> = candidates
            .iter()
            .map(|c| c.event.as_ref().map_or("?".to_owned(), |e| clean(field(e))))
            .collect();
        // what differs is what the decision is about
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        let mut row = vec![out.plain(name)];
        row.extend(values.iter().map(|v| {
            if differ {
                out.cell(Tone::Warn, v)
            } else {
                out.plain(v)
            }
        }));
        rows.push(row);
    }
    let mut row = |name: &str, value: &dyn Fn(&CandidateVotes) -> String| {
        let mut row = vec![out.plain(name)];
        row.extend(candidates.iter().map(|c| out.plain(value(c))));
        rows.push(row);
    };
    row("event_hash", &|c| short(&c.event_hash));
    row("digest", &|c| short(&c.content_digest));
    row("announced by", &|c| {
        c.announced_by
            .as_ref()
            .map_or("?".to_owned(), |id| name(id, names))
    });
    row("own", &|c| {
        if c.own {
            "yes".to_owned()
        } else {
            String::new()
        }
    });
    row("prevoted by", &|c| {
        c.prevoted_by
            .iter()
            .map(|id| name(id, names))
            .collect::<Vec<_>>()
            .join(" ")
    });
    let headers: Vec<String> = (1..=candidates.len())
        .map(|n| format!("CANDIDATE {n}"))
        .collect();
    // a line that wraps tears the columns apart: then one candidate below the other
    let fits = |line: &str| crate::table::width_of(line) <= out.width();
    let columns: Vec<_> = std::iter::once("")
        .chain(headers.iter().map(String::as_str))
        .map(whole)
        .collect();
    let table = out.table(&columns, rows.iter().cloned());
    if table.lines().all(fits) {
        table
    } else {
        one_below_the_other(&headers, &rows, out)
    }
}
