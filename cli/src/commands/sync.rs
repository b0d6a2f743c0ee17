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
    #[arg(long, value_enum, default_value_t = Transport::Auto, value_name = "TRANSPORT")]
    transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
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
    let transport = match args.transport {
        Transport::Auto => "auto",
        Transport::Live => "live",
        Transport::Git => "git",
    };
    let query = [
        ("force", args.force.to_string()),
        ("transport", transport.to_owned()),
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
    if context.home.voting_key().exists() || args.transport == Transport::Live || !has_nodes {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An outcome of Git with these counts; the state is of two members and one without a remote.
    fn outcome(fetched: u64, failed: u64, own_published: Option<bool>) -> SyncOutcome {
        let member = |name: &str, remote: Option<&str>, failures: u64| {
            json!({ "node_id": "04".repeat(32), "node_name": name, "remote": remote,
                "commit": null, "last_sync": null, "failures": failures, "error": null,
                "bytes": 0, "lines": 3, "bad_lines": 0, "bad_example": null, "rewritten": [] })
        };
        serde_json::from_value(json!({
            "done": true, "remarks": ["Oslo: cannot be reached"], "live_asked": 2,
            "git_fetched": fetched, "git_failed": failed, "own_published": own_published,
            "plain": null,
            "state": {
                "transport": "live", "uses_git": true, "running": false, "last_sync": null,
                "successful": 0, "failed": 0,
                "own": { "remote": null, "branch": "b", "commit": null, "lines": 0, "error": null },
                "members": [
                    member("Berlin", Some("https://git.example/a"), 0),
                    member("Oslo", Some("https://git.example/b"), 2),
                    member("Wien", None, 0),
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_sync_fails_if_nothing_could_be_fetched_or_the_own_branch_not_published() {
        let code = |outcome: &SyncOutcome| verdict(outcome).err().map(|error| error.code);
        assert_eq!(code(&outcome(0, 0, None)), None, "there was nothing to do");
        assert_eq!(code(&outcome(3, 2, Some(true))), None, "one was reached");
        assert_eq!(code(&outcome(3, 3, Some(true))), Some(Code::Failed));
        assert_eq!(code(&outcome(3, 0, Some(false))), Some(Code::Failed));
    }

    #[test]
    fn the_text_counts_who_was_reached_and_says_how_each_fared() {
        let text = text(&outcome(2, 1, None), Output::of_width(80));
        let first =
            "Synced: 2 members asked over the live network, 1 of 2 branches fetched over Git";
        assert_eq!(text.lines().next(), Some(first));
        let row = |name: &str| {
            text.lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap()
        };
        assert!(row("Berlin").contains("fetched"), "{text}");
        assert!(row("Oslo ").contains("failed"), "{text}");
        assert!(row("Wien").contains("no remote"), "{text}");
        assert_eq!(text.lines().last(), Some("Oslo: cannot be reached"));
    }

    #[test]
    fn nothing_done_is_said_with_the_reason_and_without_a_table() {
        let recent = SyncOutcome {
            done: false,
            remarks: vec!["the last sync is recent".into()],
            ..outcome(0, 0, None)
        };
        let text = text(&recent, Output::of_width(80));
        assert_eq!(text, "Nothing was done.\nthe last sync is recent");
    }
}
