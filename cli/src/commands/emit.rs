//! `ssid events emit`.

use anyhow::Result;
use clap::Args;
use ssid_engine::EmitOutcome;
use ssid_node::view::{EmitView, EventDraft, EventState, RecordView, StatusView};
use ssid_protocol::timeliness::Untimely;

use super::near_type;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean};

/// Offer one event to the federation
///
/// Returns when the event is signed and on this node's disk; with --wait when it is certified, with
/// the certificate's summary. The same fact again – type, version, blueprint and commit – is exit
/// 0: it says which entry has it. Exit 4 if another event is certified for this type and version,
/// if they are in conflict, or not decided in time.
///
/// Examples:
///   ssid events emit --event blueprint_tagged --version v4.4.0 --commit 3dd05d9
///   ssid events emit --event audit --version 2026-Q3 --commit 3dd05d9 --wait --timeout 10
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, disable_version_flag = true)]
pub(crate) struct EmitArgs {
    /// The event type
    #[arg(long, value_name = "E")]
    event: String,
    /// The version that the event is about
    #[arg(long, value_name = "V")]
    version: String,
    /// The Git commit, 7 to 64 hex digits
    #[arg(long, value_name = "H")]
    commit: String,
    /// The blueprint in force [default: the registry's]
    #[arg(long, value_name = "B")]
    blueprint: Option<String>,
    /// When it happened, YYYY-MM-DDThh:mm:ssZ [default: now]
    #[arg(long, value_name = "T")]
    timestamp: Option<String>,
    /// State of the root lock
    #[arg(long, value_name = "TEXT")]
    root_24_lock: Option<String>,
    /// The compliance score
    #[arg(long, value_name = "TEXT")]
    compliance_score: Option<String>,
    /// The tool that emits it
    #[arg(long, value_name = "TEXT")]
    emitted_by: Option<String>,
    /// Wait until it is certified
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout: u64,
}

pub(crate) async fn run(args: EmitArgs, context: &Context) -> Result<()> {
    near_type::remark(&args.event, context).await;
    let draft = EventDraft {
        timestamp: args.timestamp,
        event: args.event,
        version: args.version,
        commit_hash: args.commit,
        blueprint: args.blueprint,
        root_24_lock: args.root_24_lock,
        compliance_score: args.compliance_score,
        emitted_by: args.emitted_by,
        event_hash: None,
    };
    let query = if args.wait {
        vec![
            ("wait", "certified".to_owned()),
            ("timeout_seconds", args.timeout.to_string()),
        ]
    } else {
        Vec::new()
    };
    let view: EmitView = context
        .client()?
        .post_json(&["v1", "events"], &query, &draft)
        .await?;
    let out = context.out;
    out.show(&view, |view| match untimely(view) {
        Some(why) => text(view, out) + "\n  " + &out.paint(Tone::Warn, &why),
        None => text(view, out),
    })?;
    // what it became is shown before any error
    verdict(&view)?;
    // accepted is a success, but not what was waited for
    if args.wait && view.state == Some(EventState::Open) {
        return Err(undecided(context, &view).await?.into());
    }
    Ok(())
}

fn text(view: &EmitView, out: Output) -> String {
    let hash = view.event_hash;
    let what = format!(
        "{} {}",
        clean(&view.event.event),
        clean(&view.event.version)
    );
    match (&view.record, &view.outcome) {
        (Some(record), EmitOutcome::Certified { sequence, .. }) if view.is_certified() => {
            let words = format!("certified already, entry {sequence}");
            format!(
                "{}: {what}\n{}",
                out.paint(Tone::Good, &words),
                summary(record, out)
            )
        }
        (Some(record), _) if view.is_certified() => {
            format!(
                "{} {what}\n{}",
                out.paint(Tone::Good, "certified"),
                summary(record, out)
            )
        }
        (Some(record), _) => {
            let words = out.paint(
                Tone::Bad,
                &format!("certified already with {}", differing(view)),
            );
            format!("{what} is {words}\n{}", summary(record, out))
        }
        (None, EmitOutcome::Kept { reason, .. }) => {
            let kept = out.paint(Tone::Warn, "kept");
            let why = clean(reason);
            format!(
                "{kept}      {what}\n  event hash  {hash}\n  it is signed and sent once this node may sign: {why}"
            )
        }
        (None, EmitOutcome::Known { .. }) => format!("known     {what}\n  event hash  {hash}"),
        (None, _) => format!("accepted  {what}\n  event hash  {hash}"),
    }
}

/// That other nodes wait for people because of an event's time, if they do.
fn untimely(view: &EmitView) -> Option<String> {
    let why = match view.untimely? {
        Untimely::Old => "is older than max_event_age_days",
        Untimely::Ahead => "is more than 5 minutes ahead of this node's clock",
    };
    Some(format!(
        "its timestamp {} {why}: other nodes may not vote for it by themselves, unless their own \
         registries have it; their people take it over with: ssid events endorse {}",
        clean(&view.event.timestamp),
        view.event_hash
    ))
}

/// In what the certified event differs: in what makes it another fact, first.
fn differing(view: &EmitView) -> String {
    let one = view.differences.first();
    one.map_or_else(
        || "other content".to_owned(),
        |d| {
            format!(
                "another {}: {}, not {}",
                d.field,
                clean(&d.certified),
                clean(&d.offered)
            )
        },
    )
}

/// A certified record in a few lines.
pub(super) fn summary(record: &RecordView, out: Output) -> String {
    let disagree = if record.disagreeing_nodes.is_empty() {
        String::new()
    } else {
        let names: Vec<_> = record
            .disagreeing_nodes
            .iter()
            .map(crate::output::short)
            .collect();
        out.paint(Tone::Warn, &format!("; disagreeing: {}", names.join(", ")))
    };
    let hash = record
        .consensus_hash
        .map_or_else(|| "–".to_owned(), |hash| hash.to_string());
    let found = record
        .found_later
        .as_ref()
        .map_or_else(String::new, |found| {
            let words = format!(
                "this node's registry has event {}: ssid conflicts list",
                found.event_hash
            );
            format!("\n  found later {}", out.paint(Tone::Warn, &words))
        });
    format!(
        "  event hash  {hash}\n  log entry   {}\n  decided     epoch {}, round {}, quorum {} of {} voters\n  \
         agreement   {:.2}%: {}{disagree}{found}",
        record
            .sequence
            .map_or_else(|| "–".to_owned(), |n| n.to_string()),
        record.epoch,
        record.round,
        record.quorum,
        record.eligible_nodes,
        record.agreement_percentage,
        record.in_words(),
    )
}

/// What an event that is not certified in time waits for.
async fn undecided(context: &Context, view: &EmitView) -> Result<CliError> {
    let status: StatusView = context.client()?.get(&["v1", "status"], &[]).await?;
    let mut message = "not certified in time; the event is kept and being voted on".to_owned();
    for reason in &status.voting.waiting_for {
        message.push_str("\n  waiting for ");
        message.push_str(&clean(reason));
    }
    // lines after the first are the hint: another one would take their place
    Ok(CliError::new(
        Code::NoConsensus,
        format!("{message}\n  see: ssid consensus check {}", view.event_hash),
    ))
}

/// The exit code: what was asked for, or not.
fn verdict(view: &EmitView) -> Result<()> {
    let certified = view
        .record
        .as_ref()
        .and_then(|record| record.consensus_hash);
    let hash = certified.unwrap_or(view.event_hash);
    let hint = format!("see: ssid consensus check {hash}");
    let message = match view.state {
        Some(EventState::Outvoted) => {
            let what = format!(
                "{} {}",
                clean(&view.event.event),
                clean(&view.event.version)
            );
            format!(
                "{what} is certified for another event, with {}",
                differing(view)
            )
        }
        Some(EventState::Conflict) => "the subject is in conflict".to_owned(),
        _ => return Ok(()),
    };
    Err(CliError::new(Code::NoConsensus, message).hint(hint).into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssid_protocol::testing;

    use super::*;

    fn view(untimely: &Value) -> EmitView {
        let event = testing::event("audit", "v1");
        let mut view = json!({
            "event_hash": event.event_hash(), "content_digest": event.content_digest(),
            "outcome": "accepted", "state": "open", "record": null, "repeats": false,
            "subject_id": "11".repeat(32), "choice": event.choice(),
            "differences": [], "untimely": untimely,
        });
        let fields = serde_json::to_value(&event).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let name = match name.as_str() {
                "event" => "event_type",
                "version" => "event_version",
                name => name,
            };
            view[name] = value.clone();
        }
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn whoever_emits_what_is_not_timely_is_told_what_others_do_with_it() {
        assert_eq!(untimely(&view(&Value::Null)), None);
        for (word, why) in [
            ("old", "is older than max_event_age_days"),
            ("ahead", "is more than 5 minutes ahead of this node's clock"),
        ] {
            let view = view(&json!(word));
            let told = untimely(&view).unwrap();
            let event = &view.event;
            assert!(
                told.starts_with(&format!("its timestamp {} {why}: ", event.timestamp)),
                "{told}"
            );
            assert!(
                told.ends_with(&format!("ssid events endorse {}", view.event_hash)),
                "{told}"
            );
        }
    }
}
