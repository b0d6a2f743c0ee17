//! Phase 6: what people are told of a sync, and the conflict reports that it leaves.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use ssid_protocol::id::UnixMillis;

use super::decide::Verdict;
use super::sync::PlainSyncReport;
use crate::place::Place;
use crate::registry::manifest::HistoryRecord;
use crate::telemetry::message::{Message, Severity, Topic, short_id};

/// What reports are called in their `format`.
const FORMAT: &str = "ssid-plain-conflict-report/1";
/// Characters of a hash in a file's name.
const SHORT_HASH: usize = 12;

/// What a sync is worth telling: of each decision once, of the sync as a whole each time.
/// `anonymize` is `compliance.anonymize_node_data`: then short ids stand for names, and reasons,
/// which may name a node's address, are left out.
pub fn messages(report: &PlainSyncReport, at: UnixMillis, anonymize: bool) -> Vec<Message> {
    of_the_sync(report, at, anonymize)
        .into_iter()
        .chain(
            report
                .changed
                .iter()
                .filter_map(|record| of_decision(record, at)),
        )
        .collect()
}

/// How many logs were read, and which were not.
fn of_the_sync(report: &PlainSyncReport, at: UnixMillis, anonymize: bool) -> Vec<Message> {
    let all = report.nodes.len();
    let failed: Vec<_> = report
        .nodes
        .iter()
        .filter(|node| node.error.is_some())
        .collect();
    let read = all - failed.len();
    // told each time: the time is a part of its cause
    let whole = |topic, severity, what: &str, title: &str| {
        let cause = format!("plain-sync:{what}:{}", at.0);
        Message::new(topic, severity, cause, title, at)
    };
    let mut messages = Vec::new();
    if read > 0 {
        let title = format!("Plain logs of {read} of {all} nodes read");
        messages.push(
            whole(Topic::SyncCompleted, Severity::Info, "read", &title)
                .fact("Appended", report.applied),
        );
    }
    if !failed.is_empty() {
        let title = format!("Plain logs of {} of {all} nodes not read", failed.len());
        let told = whole(Topic::SyncFailed, Severity::Warning, "failed", &title);
        // some by name: the rest stands in the sync's report
        messages.push(
            failed
                .iter()
                .take(10)
                .map(|node| why_not_read(node, anonymize))
                .fold(told, |told, line| told.line(&line)),
        );
    }
    messages
}

fn why_not_read(node: &super::NodeReport, anonymize: bool) -> String {
    if anonymize {
        return format!("{}: not read; see: ssid sync", short_id(&node.node_id));
    }
    let why = node.error.as_deref().unwrap_or_default();
    format!("{}: {why}", node.node_name)
}

/// A decision that says something else than at the last sync; none if too few logs have it.
fn of_decision(record: &HistoryRecord, at: UnixMillis) -> Option<Message> {
    let (topic, severity, word) = match record.resolution.as_str() {
        r if r == Verdict::Achieved.as_str() => (
            Topic::ConsensusAchieved,
            Severity::Info,
            "A quorum of logs has",
        ),
        r if r == Verdict::Failed.as_str() => (
            Topic::ConsensusFailed,
            Severity::Warning,
            "Logs differ about",
        ),
        _ => return None,
    };
    let title = format!("{word}: {} {}", record.event_type, record.event_version);
    // once for each way it fared: read again it is the same message
    let cause = format!("plain:{}:{}", record.event_hash, record.resolution);
    let told = Message::new(topic, severity, cause, &title, at).line("Nothing of it is signed.");
    Some(
        told.fact("Event Hash", &record.event_hash)
            .fact("Agreement", record.agreement_percentage),
    )
}

/// Writes a report of every decision that has just failed, and ends those of decisions that were
/// reached after all.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write_reports(
    directory: &Place,
    changed: &[HistoryRecord],
    at: &str,
) -> std::io::Result<()> {
    for record in changed {
        let path = directory.join(file_name(record));
        let is_conflict = record.resolution == Verdict::Failed.as_str();
        // decided and never in conflict: there is no report to end
        if !is_conflict && !path.with_extension("json").exists() {
            continue;
        }
        directory.make()?;
        let state = if is_conflict {
            "in_conflict"
        } else {
            "resolved"
        };
        let report = json!({ "format": FORMAT, "written_at": at, "state": state, "signed": false, "record": record });
        path.with_extension("json")
            // the text last: a reader finds it only when the data beside it is there
            .replace(format!("{report:#}\n").as_bytes())?;
        path.with_extension("md")
            .replace(markdown(record, state, at).as_bytes())?;
    }
    Ok(())
}

/// Of type, version and the beginning of the hash; what is no plain character of a file's name is
/// replaced.
fn file_name(record: &HistoryRecord) -> PathBuf {
    let hash: String = record.event_hash.chars().take(SHORT_HASH).collect();
    let name = format!(
        "plain-{}-{}-{hash}",
        record.event_type, record.event_version
    );
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
            c
        } else {
            '_'
        }
    };
    // an extension follows: no dot may be taken for the beginning of one
    name.chars().map(plain).collect::<String>().into()
}

fn markdown(record: &HistoryRecord, state: &str, at: &str) -> String {
    let mut text = format!(
        "# {} {}: {}\n\nPlain registry logs, compared {at}. Nothing here is signed.\n\n- Event: `{}`\n- Agreement: {} %\n- \
         Resolution: {}\n\n| node | its log says |\n|---|---|\n",
        record.event_type,
        record.event_version,
        state.replace('_', " "),
        record.event_hash,
        record.agreement_percentage,
        record.resolution
    );
    for (node, hash) in &record.node_hashes {
        // ids of nodes without a key come from a file that people write
        let _ = writeln!(
            text,
            "| {} | `{hash}` |",
            crate::report::markdown::escape(node)
        );
    }
    text + "\nWhoever's log is wrong corrects it; the next sync decides again.\n"
}
