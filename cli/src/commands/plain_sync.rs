//! Syncing where no node runs: a deployment without keys, from its repository's files. `ssid sync`
//! and `ssid compat` share it.

use std::time::Duration;

use anyhow::Result;
use ssid_node::clock;
use ssid_node::config::{self, Config};
use ssid_node::legacy::PlainPlaces;
use ssid_node::legacy::Teller;
use ssid_node::legacy::plain::{
    NodeReport, PlainSyncError, PlainSyncOptions, PlainSyncReport, Skipped, messages,
};
use ssid_node::registry::manifest::FederationManifest;
use ssid_node::registry::paths::RegistryPaths;
use tokio_util::sync::CancellationToken;

use super::telemetry;
use crate::context::Context;
use crate::deployment::repository;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean};
use crate::process::Interruption;
use crate::table::{named, prose, whole};

/// How long a sync waits for its notifications to be delivered; what is not goes out with the next
/// check.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Syncs with every node that has no key: those of the manifest, and those of `ssid nodes observe`.
pub(crate) async fn run(
    context: &Context,
    paths: &RegistryPaths,
    force: bool,
) -> Result<PlainSyncReport> {
    context.home.create().or_usage()?;
    let places = places(context, paths)?;
    let (manifest, _) = places.members("").map_err(refused)?;
    let members = manifest.iter().flat_map(FederationManifest::known_nodes);
    // with keys there are votes, and plain logs decide nothing
    let has_keys =
        context.home.genesis().exists() || members.into_iter().any(|node| node.has_key());
    let options = PlainSyncOptions {
        force,
        apply: false,
        has_keys,
    };
    let bar = context.out.progress(None, "syncing");
    let out = context.out;
    // a line in the middle of the bar would be overwritten by it
    let told = bar.clone();
    let teller = Teller::new(move |words| told.suspend(|| out.remark(&clean(words))));
    let shutdown = CancellationToken::new();
    // Ctrl-C ends it between two steps: each file is written whole or not at all
    let report = unless_signalled(places.sync(options, &shutdown, Some(teller))).await?;
    bar.finish_and_clear();
    let report = report.map_err(refused)?;
    // skipped, there is nothing to tell of
    if report.skipped.is_none() && places.settings.notifications.enabled {
        tell(
            context,
            &report,
            places.settings.compliance.anonymize_node_data,
        )
        .await;
    }
    Ok(report)
}

/// Waits for what runs Git, or for a signal to end: Git's children are in process groups of their
/// own, and end when what they are run for is dropped.
pub(crate) async fn unless_signalled<T>(work: impl Future<Output = T>) -> Result<T> {
    let mut interruption = Interruption::listen()?;
    tokio::select! {
        done = work => Ok(done),
        () = interruption.comes() => Err(CliError::new(Code::Failed, "broken off").into()),
    }
}

/// Notifies as `notifications` and telemetry_config.json say. What cannot be told is no reason
/// against the sync.
async fn tell(context: &Context, report: &PlainSyncReport, anonymize: bool) {
    let at = clock::now();
    let told = async {
        let here = Context {
            repo: repository(context),
            ..context.clone()
        };
        let mut service = telemetry::setting::service(&here)?;
        service.tell(&messages(report, at, anonymize), at).await?;
        service.deliver(at.after(TOLD_WITHIN)).await;
        anyhow::Ok(())
    };
    if let Err(error) = told.await {
        context
            .out
            .remark(&format!("nobody was told of this sync: {error}"));
    }
}

/// Where plain logs and their nodes are, with the configuration that holds.
pub(crate) fn places(context: &Context, paths: &RegistryPaths) -> Result<PlainPlaces> {
    let config = Config::effective(paths, &context.home, config::environment()).or_usage()?;
    Ok(PlainPlaces {
        paths: paths.clone(),
        settings: config.settings,
        mirrors: context.home.plain_mirrors(),
        known_members: context.home.known_members(),
    })
}

fn refused(error: PlainSyncError) -> CliError {
    CliError::new(Code::Failed, error)
}

/// The command's end: exit 1 if there were nodes and none could be reached.
pub(crate) fn verdict(report: &PlainSyncReport) -> Result<(), CliError> {
    let is_lost = !report.nodes.is_empty() && report.nodes.iter().all(|node| node.error.is_some());
    if is_lost {
        Err(CliError::new(
            Code::Failed,
            "no node's registry log could be fetched",
        ))
    } else {
        Ok(())
    }
}

/// Why nothing was done, in words.
pub(crate) fn why(skipped: &Skipped) -> String {
    match skipped {
        Skipped::NotEnabled => {
            "Federation is not enabled: federation.enabled is false in federation_config.json".to_owned()
        }
        Skipped::Recent(at) => format!("Recent sync detected: {at}; use --force to sync anyway"),
        Skipped::NoNodes => "No federated nodes configured".to_owned(),
        Skipped::NotAllowed => {
            "Members have keys, and security.allow_unsigned_members does not allow the plain logs of others".to_owned()
        }
    }
}

/// How it went, as `ssid sync` tells it.
pub(crate) fn text(report: &PlainSyncReport, out: Output) -> String {
    if let Some(skipped) = &report.skipped {
        return format!(
            "Nothing was done. {}",
            out.paint(Tone::Warn, &clean(&why(skipped)))
        );
    }
    let row = |node: &NodeReport| {
        // a log that was not read has nothing in common with the own one
        let found = node.comparison.unwrap_or_default();
        let (tone, word) = match (&node.error, node.is_unusable) {
            (None, _) => (Tone::Good, "read"),
            // the repository was; what stands there is no log, and WHY says what it is
            (Some(_), true) => (Tone::Bad, "read"),
            (Some(_), false) => (Tone::Bad, "failed"),
        };
        let skipped = match node.quarantined {
            0 => String::new(),
            count => format!("{count} stretches of it could not be read"),
        };
        let why = node.error.clone().unwrap_or(skipped);
        vec![
            out.plain(clean(&node.node_name)),
            out.cell(tone, word),
            out.plain(found.same),
            out.plain(found.new),
            out.plain(found.missing_there),
            out.plain(found.divergent),
            out.plain(clean(&why)),
        ]
    };
    let columns = [
        named("NAME", 8),
        whole("LOG"),
        whole("SAME"),
        whole("NEW"),
        whole("MISSING"),
        whole("DIVERGENT"),
        prose("WHY"),
    ];
    let table = out.table(&columns, report.nodes.iter().map(row));
    let observed = "Plain logs, unsigned: observed, never counted to a certificate or trust.";
    // nothing is decided: numbers of decisions would say otherwise
    if report.observed_only {
        return format!("{table}\n{observed}");
    }
    format!(
        "{table}\n{} events have a quorum of all nodes, {} of them appended; {} have not, {} too few nodes know\n{observed}",
        report.achieved, report.applied, report.failed, report.insufficient
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(observed_only: bool, errors: [Option<&str>; 2]) -> PlainSyncReport {
        let node = |(name, error): (&str, Option<&str>)| {
            json!({ "node_id": name, "node_name": name, "quarantined": 4, "error": error,
                "is_unusable": false,
                "comparison": { "same": 5, "new": 6, "missing_there": 7, "divergent": 8 } })
        };
        let nodes: Vec<_> = ["Oslo", "Wien"].into_iter().zip(errors).map(node).collect();
        serde_json::from_value(json!({
            "skipped": null, "nodes": nodes, "observed_only": observed_only,
            "achieved": 3, "failed": 1, "insufficient": 2, "applied": 3, "changed": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_sync_fails_only_if_there_were_nodes_and_none_could_be_reached() {
        let fails = |report: &PlainSyncReport| verdict(report).is_err();
        assert!(!fails(&PlainSyncReport::default()));
        assert!(!fails(&report(false, [None, Some("no route")])));
        assert!(fails(&report(false, [Some("no route"), Some("no route")])));
    }

    #[test]
    fn each_log_is_compared_and_what_plain_logs_decide_is_said_only_where_they_may() {
        let out = Output::of_width(100);
        let decided = text(&report(false, [None, Some("no route")]), out);
        let row = |name: &str| {
            decided
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap()
        };
        for part in ["read", "5", "6", "7", "8", "4 stretches of it"] {
            assert!(row("Oslo").contains(part), "{part}: {decided}");
        }
        assert!(row("Wien").contains("failed") && row("Wien").contains("no route"));
        assert!(decided.contains("3 events have a quorum of all nodes, 3 of them appended"));
        let observed = text(&report(true, [None, None]), out);
        assert!(!observed.contains("quorum of all nodes"), "{observed}");
        assert!(
            observed.ends_with("never counted to a certificate or trust."),
            "{observed}"
        );
    }

    #[test]
    fn why_nothing_was_done_names_the_key_or_option_that_changes_it() {
        for (skipped, names) in [
            (Skipped::NotEnabled, "federation.enabled"),
            (Skipped::Recent("10:00".into()), "--force"),
            (Skipped::NotAllowed, "security.allow_unsigned_members"),
        ] {
            assert!(why(&skipped).contains(names), "{skipped:?}");
            let report = PlainSyncReport {
                skipped: Some(skipped),
                ..PlainSyncReport::default()
            };
            let text = text(&report, Output::of_width(80));
            assert!(text.starts_with("Nothing was done. "), "{text}");
            assert!(text.contains(names), "{text}");
        }
    }
}
