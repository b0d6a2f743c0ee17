//! `ssid events`: offers, lists, shows and follows events.

mod watch;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use ssid_node::view::{AppliedView, EventState, EventView, Operated, Page};

use super::{by_commit, conflicts, emit, import, untimely};
use crate::client::Client;
use crate::context::Context;
use crate::output::{Output, Tone, clean, seconds, short, when};
use crate::table::{named, whole};

/// Offer, list, import and follow registry events
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    Emit(emit::EmitArgs),
    Import(import::ImportArgs),
    /// List events: those being voted on, then certified ones, the latest first
    ///
    /// Examples:
    ///   ssid events list --limit 100
    ///   ssid events list --state conflict --json
    ///   ssid events list --event blueprint_tagged --since 2026-10-01 --until 2026-11-01
    ///   ssid events list --commit 3dd05d9
    #[command(verbatim_doc_comment, disable_version_flag = true)]
    List {
        /// How many are shown at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Only those in this state
        ///
        /// `review`: those that wait for you to endorse or refuse them
        #[arg(long, value_name = "STATE", value_parser = ["certified", "open", "conflict", "review"])]
        state: Option<String>,
        #[command(flatten)]
        search: SearchArgs,
    },
    /// Show one event with both its hashes and where it stands
    ///
    /// Where no event hash begins so, the event of a commit that does; several of them are listed.
    ///
    /// Examples:
    ///   ssid events show 17973e79
    ///   ssid events show 3dd05d9                  a commit, 7 digits or more
    #[command(verbatim_doc_comment)]
    Show {
        /// The beginning of its event hash; HASH:DIGEST where one hash has two contents
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
    },
    /// Follow what happens, until Ctrl-C
    ///
    /// Example:
    ///   ssid events watch --json | jq -c 'select(.type == "certified")'
    #[command(verbatim_doc_comment)]
    Watch,
    /// Confirm an event that others announced: this node prevotes it
    ///
    /// For event types whose policy asks a person, and for events that wait for one for another
    /// reason; see them with ssid events list --state review
    ///
    /// What a member's old log has is too old for the others to endorse by themselves
    /// (security.max_event_age_days); --untimely endorses all of that at once, after it has shown
    /// the list.
    ///
    /// Examples:
    ///   ssid events endorse 17973e79
    ///   ssid events endorse --untimely --from Berlin --until 2025-01-01
    #[command(verbatim_doc_comment)]
    Endorse {
        /// The beginning of its event hash; HASH:DIGEST where one hash has two contents
        #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "untimely",
              conflicts_with = "untimely")]
        hash: Option<String>,
        #[command(flatten)]
        many: untimely::UntimelyArgs,
        #[command(flatten)]
        said: conflicts::SaidArgs,
    },
    /// Refuse an event that others announced: this node prevotes nil for its subject
    ///
    /// Example:
    ///   ssid events refuse 17973e79 --reason 'never heard of it'
    #[command(verbatim_doc_comment)]
    Refuse {
        /// The beginning of its event hash; HASH:DIGEST where one hash has two contents
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
        #[command(flatten)]
        said: conflicts::SaidArgs,
    },
    /// Write every certified event to the repository's registry log
    ///
    /// Only needed where consensus_settings leave it to people (auto_apply_consensus false).
    ///
    /// Example:
    ///   ssid events apply
    #[command(verbatim_doc_comment)]
    Apply,
}

/// Which events are listed; all of them have to hold.
#[derive(Debug, Default, Args)]
pub(crate) struct SearchArgs {
    /// Only those of this event type
    #[arg(long, value_name = "E")]
    event: Option<String>,
    /// Only those of this version
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Only those of a commit that begins so
    #[arg(long, value_name = "H")]
    commit: Option<String>,
    /// Only those that this member's registry has, or that it announced
    #[arg(long, value_name = "NODE")]
    member: Option<String>,
    /// Only those that happened then or later: 2026-10-01, or with a time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that happened before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Go on where a page ended: what --json calls next; an entry of the log where that was a
    /// certified event
    #[arg(long, value_name = "NEXT")]
    before: Option<String>,
}

impl SearchArgs {
    /// The same as the API takes it.
    pub(crate) fn query(self) -> impl Iterator<Item = (&'static str, String)> {
        let all = [
            ("event_type", self.event),
            ("event_version", self.version),
            ("commit", self.commit),
            ("member", self.member),
            ("since", self.since),
            ("until", self.until),
            ("before", self.before),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

pub(crate) async fn run(command: EventsCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        EventsCommand::Emit(args) => emit::run(args, context).await?,
        EventsCommand::Import(args) => import::run(args, context).await?,
        EventsCommand::List {
            limit,
            state,
            search,
        } => {
            let query = |state: String| match state.as_str() {
                "review" => ("review", "true".to_owned()),
                _ => ("state", state),
            };
            let query: Vec<_> = state.into_iter().map(query).chain(search.query()).collect();
            let events: Page<EventView> = client.list(&["v1", "events"], &query, limit).await?;
            out.show(&events, |events| table(&events.items, out))?;
            // where the page ends, if it does not hold everything
            if let Some(next) = events.next.as_ref().filter(|_| !out.is_json()) {
                out.remark(&format!("more: --before {next}, or a higher --limit"));
            }
        }
        EventsCommand::Show { hash } => {
            show(&client, &hash, out).await?;
        }
        EventsCommand::Watch => watch::run(context).await?,
        // one word for many decisions: shown and asked about first
        EventsCommand::Endorse { many, said, .. } if many.untimely => {
            untimely::run(&many, &said, context).await?;
        }
        EventsCommand::Endorse { hash, said, .. } => {
            decide(context, &hash.unwrap_or_default(), "endorse", &said).await?;
        }
        EventsCommand::Refuse { hash, said } => decide(context, &hash, "refuse", &said).await?,
        EventsCommand::Apply => {
            let applied: AppliedView = client
                .post(&["v1", "events", "apply"], &[], Vec::new())
                .await?;
            out.show(&applied, |a| {
                format!(
                    "{} written to {}, {} stood there already",
                    a.applied, a.file, a.present
                )
            })?;
        }
    }
    Ok(())
}

/// The event of a hash; of a commit, its event, or a list of them.
async fn show(client: &Client, hash: &str, out: Output) -> Result<()> {
    let missing = match client.get::<EventView>(&["v1", "events", hash], &[]).await {
        Ok(event) => return Ok(out.show(&event, |event| page(event, out))?),
        Err(missing) => missing,
    };
    let found = by_commit::events(client, hash, missing).await?;
    if let [event] = &found.items[..] {
        // who announced it, and what it waits for, only its own answer has
        let name = format!("{}:{}", event.event_hash, event.content_digest);
        let event: EventView = client.get(&["v1", "events", &name], &[]).await?;
        return Ok(out.show(&event, |event| page(event, out))?);
    }
    out.show(&found, |found| table(&found.items, out))?;
    Ok(())
}

async fn decide(
    context: &Context,
    hash: &str,
    what: &str,
    said: &conflicts::SaidArgs,
) -> Result<()> {
    let path = ["v1", "events", hash, what];
    let done: Operated = context
        .client()?
        .post_json(&path, &[], &said.document())
        .await?;
    context
        .out
        .show(&done, |done| conflicts::decision(done, context.out))?;
    Ok(())
}

/// The colour of a state.
pub(super) fn tone(state: EventState) -> Tone {
    match state {
        EventState::Certified => Tone::Good,
        EventState::Open => Tone::Warn,
        EventState::Conflict | EventState::Outvoted => Tone::Bad,
    }
}

fn table(events: &[EventView], out: Output) -> String {
    let row = |e: &EventView| {
        vec![
            out.plain(short(&e.event_hash)),
            out.plain(when(&e.event.timestamp)),
            out.plain(clean(&e.event.event)),
            out.plain(clean(&e.event.version)),
            out.plain(e.event.commit_hash.chars().take(7).collect::<String>()),
            out.cell(tone(e.state), e.state.as_str()),
            out.plain(e.sequence.map_or(String::new(), |n| n.to_string())),
        ]
    };
    let columns = [
        whole("HASH"),
        whole("WHEN"),
        named("EVENT", 10),
        named("VERSION", 8),
        whole("COMMIT").goes(1),
        whole("STATE"),
        whole("LOG"),
    ];
    out.table(&columns, events.iter().map(row))
}

fn page(view: &EventView, out: Output) -> String {
    let e = &view.event;
    let place = view
        .sequence
        .map_or(String::new(), |n| format!(", entry {n} of the log"));
    let mut lines = vec![
        ("Event", clean(&e.event)),
        ("Version", clean(&e.version)),
        ("Timestamp", clean(&e.timestamp)),
        ("Commit", clean(&e.commit_hash)),
        ("Blueprint", clean(&e.blueprint)),
        ("Root lock", clean(&e.root_24_lock)),
        ("Compliance", clean(&e.compliance_score)),
        ("Emitted by", clean(&e.emitted_by)),
        ("Event hash", view.event_hash.to_string()),
        ("Digest", view.content_digest.to_string()),
        (
            "Proof anchor",
            view.proof_anchor.clone().unwrap_or_default(),
        ),
        ("Subject", view.subject_id.to_string()),
        (
            "State",
            format!(
                "{}{place}",
                out.paint(tone(view.state), view.state.as_str())
            ),
        ),
    ];
    if let Some(node) = view.announced_by {
        lines.push(("Announced by", node.to_string()));
    }
    if let Some(review) = &view.review {
        let until = review
            .until
            .as_deref()
            .map_or_else(String::new, |at| format!(", until {}", seconds(at)));
        lines.push(("Waits", clean(&review.explanation) + &until));
    }
    out.fields(&lines)
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::{NodeId, SubjectId};
    use ssid_protocol::testing;

    use super::*;
    use crate::table::width_of;

    const SUBJECT: SubjectId = SubjectId([1; 32]);
    const NODE: NodeId = NodeId([4; 32]);

    fn view(number: u64, state: EventState) -> EventView {
        let event = testing::event("compliance_audit", &format!("v{number}.0"));
        EventView {
            event_hash: event.event_hash(),
            content_digest: event.content_digest(),
            proof_anchor: None,
            event,
            subject_id: SUBJECT,
            state,
            sequence: (state == EventState::Certified).then_some(number),
            announced_by: None,
            review: None,
        }
    }

    #[test]
    fn the_list_fits_its_line_and_gives_up_the_commit_before_anything_else() {
        let events = [
            view(1, EventState::Certified),
            view(2, EventState::Conflict),
        ];
        let wide = table(&events, Output::of_width(120));
        assert!(
            wide.contains("COMMIT") && wide.contains("3dd05d9"),
            "{wide}"
        );
        let narrow = table(&events, Output::of_width(64));
        assert!(narrow.lines().all(|line| width_of(line) <= 64), "{narrow}");
        assert!(!narrow.contains("COMMIT"), "{narrow}");
        for event in &events {
            assert!(narrow.contains(&short(&event.event_hash)), "{narrow}");
            assert!(narrow.contains(event.state.as_str()), "{narrow}");
        }
    }

    #[test]
    fn one_event_says_where_it_stands_and_who_announced_it() {
        let certified = page(&view(5, EventState::Certified), Output::of_width(80));
        assert!(
            certified.contains("certified, entry 5 of the log"),
            "{certified}"
        );
        assert!(!certified.contains("Announced by"), "{certified}");
        let open = EventView {
            announced_by: Some(NODE),
            ..view(5, EventState::Open)
        };
        let open = page(&open, Output::of_width(80));
        assert!(open.contains(&NODE.to_string()), "{open}");
        assert!(!open.contains("entry"), "{open}");
    }
}
