//! `ssid import-legacy`: takes over a deployment of the scripts.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use ssid_node::clock;
use ssid_node::legacy::{Action, LogSurvey, Survey, SurveyError, SurveyedNode, carry_over};
use ssid_node::registry::manifest::{CarriedOver, FederationManifest};
use ssid_node::registry::paths::RegistryPaths;
use ssid_protocol::trust::TrustLabel;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, counted, seconds, short};
use crate::progress;
use crate::setup;

/// Rows of a list in the survey; the rest is counted.
const ROWS: usize = 20;

/// Take over a deployment of the scripts: nodes, trust scores, history, statistics
///
/// Shows what is there, what would be carried over, and what is skipped and why; then asks, or does
/// it with --yes. Only federation_manifest.json is changed: it keeps everything that stands in it,
/// and notes once what was there before, so that a second time finds nothing to do. The registry
/// log, the configuration and registry/events/ stay as they are; ssid run reads the log itself.
///
/// Nodes without a key are observed only: what their logs say never counts to a quorum, a
/// certificate or trust. Give --data as well and members with keys are recognised by their
/// repositories.
///
/// Examples:
///   ssid import-legacy --repo /srv/governance
///   ssid import-legacy --repo /srv/governance --yes --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportLegacyArgs {
    /// Do it without asking first
    #[arg(long)]
    yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// What was found, and whether it was done.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    survey: Survey,
    /// Whether it was carried over just now.
    done: bool,
}

pub(crate) fn run(args: &ImportLegacyArgs, context: &Context) -> Result<()> {
    let Some(repo) = &context.repo else {
        let error = CliError::usage("which repository is to be carried over?");
        return Err(error.hint("name it with --repo DIR").into());
    };
    // before a node joined there is nobody to compare members with
    let genesis = context.home.genesis();
    let federation = if genesis.exists() {
        Some(setup::read_genesis(&genesis)?)
    } else {
        None
    };
    let at = clock::now().iso();
    let surveyed = Survey::of(repo, federation.as_ref(), &at).map_err(|error| match error {
        // what the caller can put right, and what a disk did
        SurveyError::NoRegistry(_) | SurveyError::Config(_) => CliError::usage(error),
        other => CliError::new(Code::Failed, other),
    });
    let survey = surveyed?;
    let out = context.out;
    let has_something = survey.carries.is_some();
    // what would be done stands above the question
    if !out.is_json() {
        out.line(&text(&survey, out))?;
    }
    let done = has_something && !args.dry_run && (args.yes || asked(out)?);
    if done {
        let path = RegistryPaths::in_repository(repo).federation_manifest;
        // the same step as a node takes at its start: whoever comes first does it
        let update = FederationManifest::update(&path, &at, |manifest| {
            carry_over(manifest, &at);
        });
        update.or_code(Code::Failed)?;
    }
    out.show(&Answer { survey, done }, |answer| {
        verdict(&answer.survey, done, out)
    })?;
    Ok(())
}

/// Asks on a terminal; elsewhere nothing is done without `--yes`.
fn asked(out: Output) -> Result<bool> {
    if out.is_json() || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(false);
    }
    progress::hide_command();
    write!(io::stdout(), "Carry this over? [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

fn verdict(survey: &Survey, done: bool, out: Output) -> String {
    match (&survey.carried, &survey.carries) {
        (Some(carried), _) => format!(
            "Carried over before, {}: nothing to do.",
            seconds(&carried.at)
        ),
        (None, None) => "There is nothing to carry over.".to_owned(),
        (None, Some(_)) if done => {
            out.paint(Tone::Good, "Carried over, in federation_manifest.json.")
        }
        (None, Some(_)) => "Nothing is changed. Do it with: --yes".to_owned(),
    }
}

fn text(survey: &Survey, out: Output) -> String {
    let mut parts = vec![format!(
        "Repository {}\n{}",
        survey.repository,
        files(survey, out)
    )];
    if !survey.nodes.is_empty() {
        parts.push(format!("Nodes\n{}", indented(&nodes(&survey.nodes, out))));
    }
    if let Some(carried) = survey.carried.as_ref().or(survey.carries.as_ref()) {
        parts.push(format!("Counts\n{}", indented(&counts(carried, out))));
    }
    parts.join("\n\n") + "\n"
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn files(survey: &Survey, out: Output) -> String {
    let missing = || out.paint(Tone::Dim, "not there");
    let mut lines = vec![
        (
            "Manifest",
            if survey.has_manifest {
                format!("{} nodes", survey.nodes.len())
            } else {
                missing()
            },
        ),
        (
            "Configuration",
            survey
                .config
                .as_ref()
                .map_or_else(missing, |findings| configuration(survey, findings, out)),
        ),
        (
            "Telemetry",
            if survey.has_telemetry_config {
                "kept as it is".to_owned()
            } else {
                missing()
            },
        ),
        (
            "Registry log",
            survey
                .log
                .as_ref()
                .map_or_else(missing, |log| log_in_words(log, out)),
        ),
    ];
    if !survey.apart.is_empty() {
        let told = format!(
            "{} events in registry/events/ are not in the log",
            survey.apart.len()
        );
        lines.push(("Events apart", out.paint(Tone::Warn, &told)));
    }
    // numbers first; what they are made of, some lines of it, below
    let mut text = out.fields(&lines);
    let quarantined = survey
        .log
        .iter()
        .flat_map(|log| &log.examples)
        .map(|line| format!("skipped, {line}"));
    let apart = survey.apart.iter().map(|(file, hash)| {
        format!(
            "{file}: {} – offer it with: ssid events import",
            short(hash)
        )
    });
    let records = survey
        .unreadable_records
        .iter()
        .map(|why| format!("a decision of the history cannot be read: {why}"));
    let differing = survey.disagreements.iter().cloned();
    // what people have to decide about comes before what is merely odd
    let notes: Vec<_> = differing
        .chain(quarantined)
        .chain(records)
        .chain(apart)
        .map(|note| clean(&note))
        .collect();
    for note in notes.iter().take(ROWS) {
        text = format!("{text}  {}\n", out.paint(Tone::Warn, note));
    }
    if notes.len() > ROWS {
        text = format!("{text}  and {} more\n", notes.len() - ROWS);
    }
    indented(&text)
}

fn configuration(survey: &Survey, findings: &[String], out: Output) -> String {
    let name = if survey.local_node.is_empty() {
        "no name".to_owned()
    } else {
        clean(&survey.local_node)
    };
    let look = format!(", {} findings: ssid config check", findings.len());
    format!(
        "of {name}{}",
        if findings.is_empty() {
            String::new()
        } else {
            out.paint(Tone::Warn, &look)
        }
    )
}

fn log_in_words(log: &LogSurvey, out: Output) -> String {
    let mut text = format!(
        "{} events, {} of them with their hash",
        log.events, log.with_hash
    );
    if log.quarantined > 0 {
        text += &out.paint(
            Tone::Warn,
            &format!(
                ", {}",
                counted(
                    log.quarantined,
                    "part that is no event",
                    "parts that are no events"
                )
            ),
        );
    }
    if log.is_cut_off {
        text += &out.paint(Tone::Warn, ", the last object is cut off");
    }
    text
}

fn nodes(nodes: &[SurveyedNode], out: Output) -> String {
    let row = |surveyed: &SurveyedNode| {
        let (tone, word) = match surveyed.action {
            Action::ObservationsOnly => (Tone::Good, "observed only"),
            Action::Member => (Tone::Good, "member"),
            Action::Skipped => (Tone::Warn, "skipped"),
        };
        let of = |text: fn(&ssid_node::registry::manifest::ManifestNode) -> String| {
            surveyed
                .node
                .as_ref()
                .map(text)
                .map_or_else(String::new, |text| clean(&text))
        };
        vec![
            out.plain(of(|node| short(&node.node_id))),
            out.plain(of(|node| node.node_name.clone())),
            out.plain(of(|node| node.organization.clone())),
            out.plain(of(|node| {
                node.trust_score.map_or_else(|| "–".to_owned(), trust)
            })),
            out.cell(tone, word),
            out.plain(clean(&surveyed.why)),
        ]
    };
    let table = out.table(
        &["NODE", "NAME", "ORGANIZATION", "TRUST", "BECOMES", "WHY"],
        nodes.iter().take(ROWS).map(row),
    );
    if nodes.len() > ROWS {
        format!("{table}\nand {} more", nodes.len() - ROWS)
    } else {
        table
    }
}

fn trust(score: i64) -> String {
    format!(
        "{score} {}",
        TrustLabel::of(i32::try_from(score).unwrap_or_default()).as_str()
    )
}

fn counts(carried: &CarriedOver, out: Output) -> String {
    let counts = &carried.statistics;
    out.fields(&[
        (
            "Decisions",
            format!("{} in the history", carried.consensus_records),
        ),
        (
            "Syncs",
            format!(
                "{}: {} successful, {} failed",
                counts.total_syncs, counts.successful_syncs, counts.failed_syncs
            ),
        ),
        (
            "Agreements",
            format!(
                "{}, disagreements {}",
                counts.consensus_agreements, counts.consensus_disagreements
            ),
        ),
        (
            "Trust scores",
            format!(
                "{}, as recorded; they count for nothing",
                carried.trust_scores.len()
            ),
        ),
    ])
}
