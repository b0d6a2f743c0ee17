//! `ssid consensus`: how events were decided, verified and exported.

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::view::{ConsensusCheck, Page, RecordView, StatusView, VerifyProgress, VerifyView};

use super::conflicts::{self, Names, name, names};
use super::emit::summary;
use super::export;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, counted, short, when};
use crate::table::{named, whole};

/// Show how events were decided; verify and export certificates
#[derive(Debug, Subcommand)]
pub(crate) enum ConsensusCommand {
    /// Show the latest decisions
    ///
    /// Example:
    ///   ssid consensus history --limit 20 --json
    #[command(verbatim_doc_comment)]
    History {
        /// How many are shown at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// Only those before this entry of the log: what --json calls next
        #[arg(long, value_name = "ENTRY")]
        before: Option<String>,
    },
    /// Show how an event's subject was decided, or how far it is
    ///
    /// Exit 4 unless it is certified for exactly this event.
    ///
    /// Example:
    ///   ssid consensus check 17973e79
    #[command(verbatim_doc_comment)]
    Check {
        /// The beginning of its event hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
    },
    /// Verify every certificate of this node again, and the log's tree; exit 5 if one does not hold
    ///
    /// Example:
    ///   ssid consensus verify
    #[command(verbatim_doc_comment)]
    Verify,
    Export(export::ExportArgs),
}

pub(crate) async fn run(command: ConsensusCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        ConsensusCommand::History { limit, before } => {
            let records: Page<RecordView> = client
                .list(&["v1", "consensus"], &page_before(before), limit)
                .await?;
            let names = if out.is_json() {
                Names::new()
            } else {
                names(client.get(&["v1", "nodes"], &[]).await?)
            };
            out.show(&records, |records| table(&records.items, &names, out))?;
            if !out.is_json() {
                let left = records
                    .next
                    .as_ref()
                    .map(|next| format!("older ones: --before {next}, or a higher --limit"));
                left.iter().for_each(|text| out.remark(text));
                // the history ends where voting still goes on: it would look as if nothing had
                // happened since
                undecided(&client.get(&["v1", "status"], &[]).await?, out);
            }
        }
        ConsensusCommand::Check { hash } => {
            let check: ConsensusCheck = client.get(&["v1", "consensus", &hash], &[]).await?;
            out.show(&check, |check| checked(check, out))?;
            // shown in any case; a script asks whether this event was certified
            if !check.certified_as_asked {
                return Err(not_certified(&check).into());
            }
        }
        ConsensusCommand::Verify => {
            let view = verify(&client, out).await?;
            out.show(&view, |view| verified(view, out))?;
            if !view.ok {
                let message = "the log does not verify";
                let hint = "stop the node and keep its data directory for inspection; peers hold the certificates";
                return Err(CliError::new(Code::Verification, message).hint(hint).into());
            }
        }
        ConsensusCommand::Export(args) => export::run(args, context).await?,
    }
    Ok(())
}

/// How often a verification under way is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Verifies everything, and shows meanwhile how far it is.
async fn verify(client: &Client, out: Output) -> Result<VerifyView> {
    let path = ["v1", "consensus", "verify"];
    let mut verified = std::pin::pin!(client.get_slowly(&path));
    let bar = out.progress(Some(0), "verifying");
    loop {
        tokio::select! {
            view = &mut verified => {
                bar.finish_and_clear();
                return view;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Ok(seen) = client
            .get::<VerifyProgress>(&["v1", "consensus", "verify", "progress"], &[])
            .await
        else {
            continue;
        };
        bar.set_length(seen.total);
        bar.set_position(seen.verified);
    }
}

/// What no record stands for yet, because it waits for people.
fn undecided(status: &StatusView, out: Output) {
    let review = status.voting.awaiting_review;
    let conflicts = status.statistics.conflicts;
    if review > 0 {
        out.remark(&format!(
            "not among them: {review} waiting for your review: ssid events list --state review"
        ));
    }
    if conflicts > 0 {
        out.remark(&format!(
            "not among them: {conflicts} in conflict: ssid conflicts list"
        ));
    }
}

/// The cursor of a page, as the API takes it.
pub(super) fn page_before(before: Option<String>) -> Vec<(&'static str, String)> {
    before
        .into_iter()
        .map(|cursor| ("before", cursor))
        .collect()
}

fn table(records: &[RecordView], names: &Names, out: Output) -> String {
    let row = |r: &RecordView| {
        let disagreeing: Vec<_> = r
            .disagreeing_nodes
            .iter()
            .map(|node| name(node, names))
            .collect();
        // who differs observed something else; the rest of those who observed agree
        let agreeing = r.node_hashes.len().saturating_sub(disagreeing.len());
        let tone = if disagreeing.is_empty() {
            Tone::Good
        } else {
            Tone::Warn
        };
        vec![
            out.plain(r.sequence.map_or(String::new(), |n| n.to_string())),
            out.plain(r.consensus_hash.as_ref().map_or(String::new(), short)),
            out.plain(clean(&r.event_type)),
            out.plain(clean(&r.event_version)),
            out.plain(r.completed_at.as_deref().map_or(String::new(), when)),
            out.cell(tone, format!("{agreeing} of {}", r.eligible_nodes)),
            out.cell(Tone::Warn, disagreeing.join(", ")),
            out.plain(&r.resolution),
            out.plain(&r.transport),
        ]
    };
    let columns = [
        whole("LOG"),
        whole("HASH"),
        named("EVENT", 10),
        named("VERSION", 8),
        whole("CERTIFIED"),
        whole("OBSERVED"),
        named("DIFFERING", 9).goes(1),
        whole("RESOLUTION").goes(3),
        whole("BY").goes(2),
    ];
    out.table(&columns, records.iter().map(row))
}

fn checked(check: &ConsensusCheck, out: Output) -> String {
    let record = &check.record;
    let what = format!(
        "{} {}",
        clean(&record.event_type),
        clean(&record.event_version)
    );
    match &check.open {
        Some(open) => conflicts::page(open, out),
        None if check.certified_as_asked => {
            format!(
                "{} {what}\n{}",
                out.paint(Tone::Good, "certified"),
                summary(record, out)
            )
        }
        None => format!(
            "{} {what} for another event\n{}",
            out.paint(Tone::Bad, "certified"),
            summary(record, out)
        ),
    }
}

fn not_certified(check: &ConsensusCheck) -> CliError {
    let subject = check.record.subject_id;
    match &check.open {
        None => CliError::new(
            Code::NoConsensus,
            "the subject is certified for another event",
        ),
        Some(open) if open.in_conflict => {
            CliError::new(Code::NoConsensus, "the subject is in conflict")
                .hint(format!("see: ssid conflicts show {subject}"))
        }
        Some(_) => CliError::new(Code::NoConsensus, "not certified yet")
            .hint("see what the node waits for: ssid status"),
    }
}

fn verified(view: &VerifyView, out: Output) -> String {
    let mut text = format!(
        "{} verified in {:.1} s",
        counted(
            view.certificates - view.failures,
            "certificate",
            "certificates"
        ),
        view.milliseconds as f64 / 1000.0
    );
    for failed in &view.failed {
        text = format!(
            "{text}\n{}",
            out.paint(
                Tone::Bad,
                &format!("entry {}: {}", failed.sequence, clean(&failed.reason))
            )
        );
    }
    let root = if view.root_matches {
        out.paint(Tone::Good, "the log's tree is whole")
    } else {
        out.paint(Tone::Bad, "the log's tree does not match its head")
    };
    format!("{text}\n{root}, root {}", view.root)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssid_protocol::id::MerkleHash;

    use super::*;
    use crate::table::width_of;

    const HASH: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    fn record() -> Value {
        let node = |byte: &str| byte.repeat(32);
        json!({
            "event_hash": HASH, "event_type": "blueprint_tagged", "event_version": "v1",
            "initiated_at": "2025-10-11T20:00:00Z", "completed_at": "2025-10-11T20:00:02Z",
            "participating_nodes": [node("04"), node("05")],
            "node_hashes": { node("04"): HASH, node("05"): "03".repeat(32) },
            "endorsing_nodes": {}, "silent_nodes": [node("06")], "consensus_hash": HASH,
            "agreement_percentage": 50.0, "consensus_achieved": true,
            "disagreeing_nodes": [node("05")], "found_later": null,
            "resolution": "consensus_achieved", "subject_id": "01".repeat(32), "epoch": 0,
            "round": 0, "eligible_nodes": 3, "quorum": 2, "transport": "live",
            "content_digest": "03".repeat(32), "sequence": 7,
        })
    }

    fn check(certified_as_asked: bool, open: &Value) -> ConsensusCheck {
        serde_json::from_value(json!({
            "record": record(), "certified_as_asked": certified_as_asked, "open": open,
        }))
        .unwrap()
    }

    fn open(in_conflict: bool) -> Value {
        json!({
            "subject_id": "01".repeat(32), "subject": null, "epoch": 0, "round": 1,
            "since": "2025-10-11T20:00:00Z", "in_conflict": in_conflict, "awaiting_review": false,
            "review": null, "locked": null, "standing": null, "no_choice_because": null,
            "quorum": 2, "next_step": "wait", "candidates": [], "votes": [],
        })
    }

    #[test]
    fn whatever_is_not_certified_as_asked_ends_with_its_code_and_the_next_command() {
        for (check, message, hint) in [
            (
                check(false, &Value::Null),
                "certified for another event",
                None,
            ),
            (
                check(false, &open(true)),
                "in conflict",
                Some("ssid conflicts show 0101"),
            ),
            (
                check(false, &open(false)),
                "not certified yet",
                Some("ssid status"),
            ),
        ] {
            let error = not_certified(&check);
            assert_eq!(error.code, Code::NoConsensus);
            assert!(error.message.contains(message), "{error}");
            match hint {
                Some(hint) => assert!(error.hint.unwrap().contains(hint)),
                None => assert_eq!(error.hint, None),
            }
        }
    }

    #[test]
    fn a_decision_is_told_with_who_saw_what() {
        let out = Output::of_width(80);
        let certified = checked(&check(true, &Value::Null), out);
        assert!(
            certified.starts_with("certified blueprint_tagged v1\n"),
            "{certified}"
        );
        assert!(certified.contains("50.00%: 1 of 3 observed it, 1 differs, 1 silent"));
        assert!(
            certified.contains("disagreeing: 050505050505"),
            "{certified}"
        );
        let other = checked(&check(false, &Value::Null), out);
        assert!(other.starts_with("certified blueprint_tagged v1 for another event\n"));
    }

    #[test]
    fn the_history_names_who_differs_and_fits_its_line() {
        let record: RecordView = serde_json::from_value(record()).unwrap();
        let names = Names::from([(record.disagreeing_nodes[0], "Oslo".to_owned())]);
        let wide = table(std::slice::from_ref(&record), &names, Output::of_width(140));
        assert!(wide.contains("Oslo") && wide.contains("1 of 3"), "{wide}");
        assert!(wide.contains("consensus_achieved"), "{wide}");
        let narrow = table(&[record], &names, Output::of_width(80));
        assert!(narrow.lines().all(|line| width_of(line) <= 80), "{narrow}");
        assert!(!narrow.contains("consensus_achieved"), "{narrow}");
        assert!(narrow.contains("1 of 3"), "what matters stays: {narrow}");
    }

    #[test]
    fn a_verification_names_each_entry_that_failed_and_says_whether_the_tree_is_whole() {
        let mut view = VerifyView {
            ok: false,
            certificates: 3,
            failures: 1,
            failed: vec![ssid_node::view::FailedCertificate {
                sequence: 2,
                reason: "a signature does not hold".into(),
            }],
            root_matches: false,
            root: MerkleHash([9; 32]),
            milliseconds: 1500,
        };
        let text = verified(&view, Output::of_width(80));
        assert!(
            text.starts_with("2 certificates verified in 1.5 s\n"),
            "{text}"
        );
        assert!(
            text.contains("entry 2: a signature does not hold"),
            "{text}"
        );
        assert!(
            text.contains("does not match its head, root 0909"),
            "{text}"
        );
        view.failures = 2;
        view.failed.clear();
        view.root_matches = true;
        let text = verified(&view, Output::of_width(80));
        assert!(text.starts_with("1 certificate verified"), "{text}");
        assert!(text.contains("the log's tree is whole"), "{text}");
    }
}
