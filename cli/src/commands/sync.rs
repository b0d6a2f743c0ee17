//! `ssid sync`: syncs now, live and over Git.

use anyhow::Result;
use clap::{Args, ValueEnum};
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::view::{MemberSync, SyncOutcome};

use super::plain_sync;
use crate::context::Context;
use crate::deployment::repository;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, when};
use crate::table::{named, prose, whole};

/// Sync now: ask the connected members, fetch the others' Git branches, publish the own
///
/// In a governance repository whose nodes have no keys yet, and where none was made here, their
/// plain registry logs are fetched and compared instead; what a quorum of all of them has is
/// appended if the configuration says so.
///
/// Without --force nothing is done if the last sync is less than sync_settings.interval_minutes
/// ago. With it the own branch is published again if somebody has removed it. Exit 1 if no member's
/// branch could be fetched, or the own one was not published.
///
/// Examples:
///   ssid sync --force
///   ssid sync --force --transport git --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SyncArgs {
    /// Sync although the last sync was a moment ago
    #[arg(long)]
    force: bool,
    /// Over which transport
    #[arg(long, value_enum, default_value_t = Road::Auto, value_name = "TRANSPORT")]
    transport: Road,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Road {
    /// Every transport that there is
    Auto,
    /// Ask the connected members
    Live,
    /// Fetch the members' Git branches
    Git,
}

pub(crate) async fn run(args: &SyncArgs, context: &Context) -> Result<()> {
    if plain(args, context).await? {
        return Ok(());
    }
    let road = match args.transport {
        Road::Auto => "auto",
        Road::Live => "live",
        Road::Git => "git",
    };
    let query = [
        ("force", args.force.to_string()),
        ("transport", road.to_owned()),
    ];
    let bar = context.out.progress(None, "syncing");
    let outcome = context
        .client()?
        .post::<SyncOutcome>(&["v1", "sync"], &query, Vec::new())
        .await;
    bar.finish_and_clear();
    let outcome = outcome?;
    context
        .out
        .show(&outcome, |outcome| text(outcome, context.out))?;
    Ok(verdict(&outcome)?)
}

/// Exit 1 if there were branches and none could be fetched, or if the own one was to be published
/// and was not.
pub(super) fn verdict(outcome: &SyncOutcome) -> Result<(), CliError> {
    if outcome.own_published == Some(false) {
        return Err(CliError::new(
            Code::Failed,
            "the own branch was not published",
        ));
    }
    if outcome.git_fetched > 0 && outcome.git_failed == outcome.git_fetched {
        return Err(CliError::new(
            Code::Failed,
            "no member's branch could be fetched",
        ));
    }
    Ok(())
}

/// Where there is no node to ask, and a repository whose nodes have no keys: their plain logs.
async fn plain(args: &SyncArgs, context: &Context) -> Result<bool> {
    let repo = repository(context);
    let paths = RegistryPaths::choose(repo.as_deref(), context.home.root());
    let has_nodes = repo.is_some() && paths.federation_manifest.exists()
        || context.home.known_members().exists();
    if context.home.voting_key().exists() || args.transport == Road::Live || !has_nodes {
        return Ok(false);
    }
    let report = plain_sync::run(context, &paths, args.force).await?;
    context
        .out
        .show(&report, |report| plain_sync::text(report, context.out))?;
    plain_sync::verdict(&report)?;
    Ok(true)
}

fn text(outcome: &SyncOutcome, out: Output) -> String {
    let mut lines = Vec::new();
    if outcome.done {
        lines.push(format!(
            "Synced: {} members asked over the live network, {} of {} branches fetched over Git",
            outcome.live_asked,
            outcome.git_fetched - outcome.git_failed.min(outcome.git_fetched),
            outcome.git_fetched
        ));
        if outcome.state.uses_git {
            lines.push(table(&outcome.state.members, out));
        }
    } else {
        lines.push("Nothing was done.".to_owned());
    }
    if let Some(plain) = &outcome.plain {
        lines.push(format!(
            "Members without a key\n{}",
            plain_sync::text(plain, out)
        ));
    }
    lines.extend(
        outcome
            .remarks
            .iter()
            .map(|remark| out.paint(Tone::Warn, &clean(remark))),
    );
    lines.join("\n")
}

fn table(members: &[MemberSync], out: Output) -> String {
    let row = |member: &MemberSync| {
        let (tone, word) = match (&member.remote, member.failures) {
            (None, _) => (Tone::Warn, "no remote"),
            (_, 0) => (Tone::Good, "fetched"),
            (_, _) => (Tone::Bad, "failed"),
        };
        vec![
            out.plain(clean(&member.node_name)),
            out.cell(tone, word),
            out.plain(member.last_sync.as_deref().map_or("never".to_owned(), when)),
            out.plain(member.lines),
            out.plain(member.bad_lines),
            out.plain(member.rewritten.len()),
        ]
    };
    out.table(
        &[
            named("NAME", 8),
            prose("STATE"),
            whole("LAST SYNC"),
            whole("LINES"),
            whole("BAD"),
            whole("REWRITTEN"),
        ],
        members.iter().map(row),
    )
}
