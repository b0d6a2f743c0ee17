//! `ssid compat consensus-validator`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use ssid_node::registry::manifest::{HistoryRecord, ManifestNode};
use ssid_node::registry::parse::{ParsedLog, SkipReason};
use ssid_node::registry::stream::read_all;
use ssid_node::view::VerifyView;
use ssid_protocol::event::Event;
use ssid_protocol::trust::TrustLabel;

use super::facts::Facts;
use super::paper::Paper;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, seconds};

/// consensus_validator.py: verify the registry's events, show decisions and trust
///
/// Unlike the script, --verify reads every form of the log, compares the hashes that stand in it,
/// and is exit 5 if one is wrong or a certificate does not hold; --check-event tells how the event
/// was really decided, and is exit 4 if it was not.
///
/// Examples:
///   ssid compat consensus-validator --verify
///   ssid compat consensus-validator --show-history --limit 20
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, arg_required_else_help = true)]
pub(crate) struct ValidatorArgs {
    #[command(flatten)]
    what: What,
    /// How many decisions --show-history shows
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// How this event was decided
    #[arg(long, value_name = "HASH")]
    check_event: Option<String>,
    /// Verify all events of the registry log, and the node's certificates
    #[arg(long)]
    verify: bool,
    /// Show the latest decisions
    #[arg(long)]
    show_history: bool,
    /// Show the nodes by trust
    #[arg(long)]
    analyze_trust: bool,
}

pub(crate) async fn run(args: &ValidatorArgs, context: &Context) -> Result<()> {
    let facts = Facts::gather(context).await?;
    let out = context.out;
    match &args.what {
        What {
            check_event: Some(hash),
            ..
        } => check_event(&facts, hash, out).await,
        What { verify: true, .. } => verify(&facts, out).await,
        What {
            show_history: true, ..
        } => {
            let history = facts.history(args.limit).await?;
            Ok(out.show(&history, |history| history_text(history, args.limit, out))?)
        }
        What { .. } => {
            let mut nodes = facts.nodes().await?;
            nodes.sort_by_key(|node| std::cmp::Reverse(node.trust_score));
            Ok(out.show(&nodes, |nodes| trust_text(nodes, out))?)
        }
    }
}

/// What `--verify` found.
#[derive(Debug, Serialize)]
struct Verified {
    log: String,
    events: Vec<VerifiedEvent>,
    valid: u64,
    invalid: u64,
    /// What is no event, by line.
    skipped: Vec<String>,
    /// The node's certificates, if one runs.
    certificates: Option<VerifyView>,
}

#[derive(Debug, Serialize)]
struct VerifiedEvent {
    event: String,
    version: String,
    timestamp: String,
    event_hash: String,
}

async fn verify(facts: &Facts, out: Output) -> Result<()> {
    let path = &facts.deployment.paths.registry_log;
    // beside the file, whose hashes prove nothing to anybody else
    let certificates: Option<VerifyView> = match &facts.node {
        Some((client, _)) => Some(client.get_slowly(&["v1", "consensus", "verify"]).await?),
        None => None,
    };
    let mut verified = Verified {
        log: path.display().to_string(),
        events: Vec::new(),
        valid: 0,
        invalid: 0,
        skipped: Vec::new(),
        certificates,
    };
    if read_all(path, |part| verified.add(&part))
        .or_code(Code::Failed)?
        .is_none()
    {
        return Err(CliError::new(
            Code::Failed,
            format!("Registry log not found: {}", path.display()),
        )
        .into());
    }
    out.show(&verified, |verified| verified_text(verified, out))?;
    // shown first: which ones are bad is what people look for
    let broken = verified.certificates.as_ref().is_some_and(|view| !view.ok);
    if verified.invalid > 0 || broken {
        return Err(CliError::new(Code::Verification, "not everything verified").into());
    }
    Ok(())
}

impl Verified {
    fn add(&mut self, part: &ParsedLog) {
        let is_wrong = |reason: &SkipReason| matches!(reason, SkipReason::WrongHash { .. });
        self.events
            .extend(part.entries.iter().map(|entry| VerifiedEvent {
                event: entry.event.event.clone(),
                version: entry.event.version.clone(),
                timestamp: entry.event.timestamp.clone(),
                event_hash: entry.event.event_hash().to_string(),
            }));
        self.valid += part.entries.len() as u64;
        self.invalid += part
            .quarantined()
            .filter(|skipped| is_wrong(&skipped.reason))
            .count() as u64;
        let quarantined = part.quarantined();
        let lines =
            quarantined.map(|s| format!("lines {}-{}: {}", s.first_line, s.last_line, s.reason));
        self.skipped.extend(lines);
        let cut_off = part
            .incomplete
            .as_ref()
            .map(|range| format!("bytes {}-{}: cut off", range.start, range.end));
        self.skipped.extend(cut_off);
    }
}

fn verified_text(verified: &Verified, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading("Local Event Verification");
    if verified.events.is_empty() && verified.skipped.is_empty() {
        paper.painted(Tone::Warn, "No events found in registry");
        return paper.finish();
    }
    paper.line(&format!("Verifying {} event(s)...", verified.events.len()));
    paper.line("");
    for event in &verified.events {
        paper.line(&format!(
            "Event: {} ({})",
            clean(&event.event),
            clean(&event.version)
        ));
        paper.line(&format!("  Timestamp: {}", clean(&event.timestamp)));
        paper.line(&format!("  Hash: {}...", beginning(&event.event_hash, 16)));
        let valid = paper.paint(Tone::Good, "OK Valid");
        paper.line(&format!("  {valid}\n"));
    }
    for skipped in &verified.skipped {
        paper.painted(Tone::Warn, &format!("! Skipped {}", clean(skipped)));
    }
    paper.rule();
    paper.line(&format!("Valid: {}", verified.valid));
    let tone = if verified.invalid == 0 {
        Tone::Good
    } else {
        Tone::Bad
    };
    let invalid = paper.paint(tone, &verified.invalid.to_string());
    paper.line(&format!("Invalid: {invalid}"));
    paper.line(&format!(
        "Skipped: {}",
        verified.skipped.len() as u64 - verified.invalid
    ));
    if let Some(view) = &verified.certificates {
        paper.line(&format!(
            "Certificates: {} valid, {} invalid",
            view.certificates - view.failures,
            view.failures
        ));
    }
    paper.finish()
}

async fn check_event(facts: &Facts, hash: &str, out: Output) -> Result<()> {
    let wanted = hash.trim().to_ascii_lowercase();
    let found: Vec<_> = facts
        .history(usize::MAX)
        .await?
        .into_iter()
        .filter(|r| r.event_hash.starts_with(&wanted))
        .collect();
    let Some(record) = found.last().filter(|_| !wanted.is_empty()) else {
        return Err(undecided(facts, &wanted)?.into());
    };
    out.show(record, |record| checked_text(record, out))?;
    if record.consensus_achieved {
        return Ok(());
    }
    Err(CliError::new(
        Code::NoConsensus,
        format!("Consensus failed: {}", clean(&record.resolution)),
    )
    .into())
}

/// What there is to say of an event that no decision is about.
fn undecided(facts: &Facts, wanted: &str) -> Result<CliError> {
    let mut found = None;
    // the log is read in parts and may be large: only the first that fits is kept
    read_all(&facts.deployment.paths.registry_log, |part| {
        let is_it = |event: &Event| {
            !wanted.is_empty() && event.event_hash().to_string().starts_with(wanted)
        };
        found = found.take().or_else(|| {
            part.entries
                .into_iter()
                .map(|entry| entry.event)
                .find(is_it)
        });
    })
    .or_code(Code::Failed)?;
    let shown = clean(beginning(wanted, 64));
    Ok(match found {
        Some(event) => {
            let what = format!(
                "{} {} stands in the local registry",
                clean(&event.event),
                clean(&event.version)
            );
            CliError::new(
                Code::NoConsensus,
                format!("No consensus record of {shown}: {what}, and was not voted on"),
            )
        }
        None => CliError::new(
            Code::NoConsensus,
            format!("Event not found in local registry: {shown}"),
        )
        .hint("see: ssid compat consensus-validator --show-history"),
    })
}

fn checked_text(record: &HistoryRecord, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.line(&format!(
        "Checking consensus for event: {}...",
        beginning(&record.event_hash, 16)
    ));
    paper.line("");
    paper.heading("Consensus Validation");
    paper.line("Hash Distribution:");
    let total = record.node_hashes.len();
    // in order of their hashes: the same record is always shown the same
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for hash in record.node_hashes.values() {
        *counts.entry(hash).or_default() += 1;
    }
    for (hash, count) in counts {
        let share = count as f64 * 100.0 / total.max(1) as f64;
        paper.line(&format!(
            "  {}... : {count}/{total} ({share:.1}%)",
            clean(beginning(hash, 12))
        ));
    }
    paper.line("");
    let share = record.agreement_percentage;
    if record.consensus_achieved {
        paper.painted(
            Tone::Good,
            &format!("OK Consensus achieved: {share:.1}% agreement"),
        );
    } else {
        paper.painted(
            Tone::Bad,
            &format!(
                "X Consensus failed: {share:.1}%, {}",
                clean(&record.resolution)
            ),
        );
    }
    if !record.disagreeing_nodes.is_empty() {
        paper.painted(
            Tone::Warn,
            &format!(
                "! Disagreeing nodes: {}",
                clean(&record.disagreeing_nodes.join(", "))
            ),
        );
    }
    paper.finish()
}

fn history_text(history: &[HistoryRecord], limit: usize, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading(&format!("Consensus History (Last {limit})"));
    if history.is_empty() {
        paper.painted(Tone::Warn, "No consensus records found");
    }
    for record in history {
        let (tone, word) = if record.consensus_achieved {
            (Tone::Good, "ACHIEVED")
        } else {
            (Tone::Bad, "FAILED")
        };
        let status = paper.paint(tone, word);
        paper.line(&format!(
            "Event Hash: {}...",
            clean(beginning(&record.event_hash, 16))
        ));
        paper.line(&format!("  Type: {}", clean(&record.event_type)));
        paper.line(&format!("  Status: {status}"));
        paper.line(&format!("  Agreement: {:.1}%", record.agreement_percentage));
        paper.line(&format!(
            "  Participating Nodes: {}",
            record.participating_nodes.len()
        ));
        paper.line(&format!(
            "  Disagreeing Nodes: {}",
            record.disagreeing_nodes.len()
        ));
        let completed = record
            .completed_at
            .as_deref()
            .map_or("N/A".to_owned(), |at| seconds(&clean(at)));
        paper.line(&format!("  Completed: {completed}"));
        paper.line("");
    }
    paper.finish()
}

fn trust_text(nodes: &[ManifestNode], out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading("Node Trust Analysis");
    if nodes.is_empty() {
        paper.painted(Tone::Warn, "No nodes configured");
        return paper.finish();
    }
    for node in nodes {
        let score = node.trust_score.unwrap_or_default();
        let label = TrustLabel::of(i32::try_from(score).unwrap_or_default());
        let tone = match score {
            50.. => Tone::Good,
            25..50 => Tone::Warn,
            _ => Tone::Bad,
        };
        let trust = paper.paint(tone, &format!("{score}/100 ({})", label.as_str()));
        paper.line(&format!("Node: {}", clean(&node.node_name)));
        paper.line(&format!("  ID: {}", clean(&node.node_id)));
        paper.line(&format!(
            "  Trust Score: {trust}{}",
            if node.has_key() { "" } else { ", as recorded" }
        ));
        paper.line(&format!("  Status: {}", clean(&node.status)));
        paper.line(&format!("  Organization: {}", clean(&node.organization)));
        paper.line("");
    }
    let sum: i64 = nodes.iter().filter_map(|node| node.trust_score).sum();
    paper.rule();
    paper.line(&format!(
        "Average Trust Score: {:.1}/100",
        sum as f64 / nodes.len() as f64
    ));
    paper.finish()
}

/// The first characters of a text.
fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices()
        .nth(characters)
        .map_or(text, |(end, _)| &text[..end])
}
