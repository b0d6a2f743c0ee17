//! `ssid status`: how the node and its federation stand.

use anyhow::Result;
use clap::Args;
use ssid_node::view::{OutboxStatus, Statistics, StatusView};

use crate::context::Context;
use crate::deployment::or_read_files;
use crate::output::{Output, Tone, clean, seconds};

/// Show the federation status of this node; exit 3 if no node answers
///
/// Examples:
///   ssid status
///   ssid status --json | jq .voting.waiting_for
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: &StatusArgs, context: &Context) -> Result<()> {
    let status = context.client()?.get(&["v1", "status"], &[]).await;
    let status: StatusView =
        status.map_err(|error| or_read_files(error, "--check-status", context))?;
    context
        .out
        .show(&status, |status| block(status, context.out))?;
    Ok(())
}

/// The registry's own status block, and below it what is not as it should be.
pub(crate) fn block(status: &StatusView, out: Output) -> String {
    let mut text = String::new();
    let lines = [heading(status), statistics(&status.statistics)].concat();
    for line in lines.into_iter().chain(remarks(status, out)) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn heading(status: &StatusView) -> Vec<String> {
    let federation = &status.federation;
    let transport = &status.transport;
    let id: String = federation
        .federation_id
        .to_string()
        .chars()
        .take(6)
        .collect();
    // columns as in the scripts' own output, which people know
    let threshold = format!(
        "Consensus Threshold: {:.1}% ({} of {})",
        federation.threshold_percent, federation.quorum, federation.total_weight
    );
    let connected = format!(
        "Transport: {}, {} of {} peers connected",
        transport.kind, transport.connected_peers, transport.peers
    );
    let last_sync = match &transport.last_sync {
        Some(at) => seconds(at),
        None => "never".to_owned(),
    };
    vec![
        "Federation Status".to_owned(),
        format!(
            "  Federation: {} ({id}…)   Epoch: {}",
            clean(&federation.name),
            federation.epoch
        ),
        format!(
            "  {:<24} {:<26} Mode: {}",
            format!("Enabled: {}", federation.enabled),
            format!("Role: {}", clean(&status.role)),
            federation.mode,
        ),
        format!("  {threshold:<51} Voters: {}", federation.voters),
        format!(
            "  {connected:<51} Sync Interval: {} minutes",
            transport.sync_interval_minutes
        ),
        format!("  Last Sync: {last_sync}"),
    ]
}

fn statistics(counts: &Statistics) -> Vec<String> {
    // those in conflict are open too, and counted once here
    let open = counts.open.saturating_sub(counts.conflicts);
    vec![
        "Statistics:".to_owned(),
        format!(
            "  Total Nodes: {}   Active Nodes: {}",
            counts.total_nodes, counts.active_nodes
        ),
        format!(
            "  Total Syncs: {}   Successful: {}   Failed: {}",
            counts.total_syncs, counts.successful_syncs, counts.failed_syncs
        ),
        format!(
            "  Consensus Agreements: {}   Consensus Disagreements: {}",
            counts.consensus_agreements, counts.consensus_disagreements
        ),
        format!(
            "  Certified: {}   Open: {open}   Conflicts: {}",
            counts.certified, counts.conflicts
        ),
    ]
}

/// What the operator should look at, with the command for it; nothing while all is well.
fn remarks(status: &StatusView, out: Output) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut say = |tone, words: &str| remarks.push(out.paint(tone, words));
    let transport = &status.transport;
    let counts = &status.statistics;
    let members = &status.members;
    if transport.rewritten_histories > 0 {
        let count = transport.rewritten_histories;
        say(
            Tone::Bad,
            &format!("{count} Git histories were rewritten: ssid evidence list"),
        );
    }
    if let Some(why) = &transport.own_branch_error {
        say(
            Tone::Bad,
            &format!("The own Git branch is not published: {}", clean(why)),
        );
    }
    for reason in &status.voting.waiting_for {
        let waiting = out.paragraph(&format!("Waiting for {}", clean(reason)), 2);
        say(Tone::Warn, &waiting);
    }
    if let Some(clock) = clock(status.voting.clock_offset_seconds) {
        say(Tone::Warn, &clock);
    }
    if counts.kept_offers > 0 {
        let count = counts.kept_offers;
        say(
            Tone::Warn,
            &format!("{count} events are kept and sent once this node may sign"),
        );
    }
    if counts.divergences > 0 {
        let count = counts.divergences;
        let noun = if count == 1 { "decision" } else { "decisions" };
        say(
            Tone::Bad,
            &format!("The registry contradicts {count} {noun}: ssid conflicts list"),
        );
    }
    if status.voting.awaiting_review > 0 {
        let waiting = waits(status.voting.awaiting_review);
        say(
            Tone::Warn,
            &format!("{waiting} for your review: ssid events list --state review"),
        );
    }
    // of the own key nothing else about evidence matters any more
    if members.own_equivocation {
        let loud = "THIS NODE'S OWN KEY IS PROVEN TO HAVE EQUIVOCATED: ssid evidence list";
        say(Tone::Bad, loud);
    } else if members.evidence > 0 {
        let count = members.evidence;
        say(
            Tone::Bad,
            &format!("Evidence of equivocation: {count}: ssid evidence list"),
        );
    }
    if !members.flagged.is_empty() {
        let names = members.flagged.iter().map(|node| clean(&node.node_name));
        let names = names.collect::<Vec<_>>().join(", ");
        say(
            Tone::Warn,
            &format!("Low trust, flagged for review: {names}: ssid trust list"),
        );
    }
    if let Some(waiting) = waiting(&status.outbox) {
        say(Tone::Warn, &out.paragraph(&waiting, 2));
    }
    if counts.conflicts > 0 {
        let count = counts.conflicts;
        say(
            Tone::Bad,
            &format!("{count} in conflict: ssid conflicts list"),
        );
    }
    remarks
}

fn waits(count: u64) -> String {
    if count == 1 {
        "1 event waits".to_owned()
    } else {
        format!("{count} events wait")
    }
}

/// That this machine's clock is off, and what to do; `None` while it is as right as a network can
/// tell.
fn clock(offset_seconds: Option<i64>) -> Option<String> {
    let offset = offset_seconds.filter(|offset| offset.unsigned_abs() > CLOCK_NOISE_SECONDS)?;
    let side = if offset > 0 { "behind" } else { "ahead of" };
    let seconds = offset.unsigned_abs();
    Some(format!(
        "This machine's clock is {seconds} s {side} the other members': set it, or let NTP do it"
    ))
}

/// What has yet to leave the node, and where to look; `None` if nothing does.
fn waiting(outbox: &OutboxStatus) -> Option<String> {
    let parts = [
        (outbox.anchors, "for IPFS (ssid anchor list)"),
        (
            outbox.notifications,
            "to be delivered, or given up (ssid telemetry outbox list)",
        ),
        (outbox.certified_untold, "for advanced.webhook_on_consensus"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    (!parts.is_empty()).then(|| format!("Waiting to be sent: {}", parts.join(", ")))
}

/// A smaller difference may be the network's delay.
const CLOCK_NOISE_SECONDS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> StatusView {
        let id = "04".repeat(32);
        let node = serde_json::json!({
            "node_id": id, "node_name": "Berlin", "organization": "Beispiel GmbH",
        });
        serde_json::from_value(serde_json::json!({
            "node": node, "role": "participant", "software": "ssid/0.1.0",
            "started_at": "2025-10-11T20:00:00Z",
            "federation": {
                "enabled": true, "mode": "participant", "federation_name": "Test", "federation_id": id,
                "epoch": 2, "threshold_percent": 66.0, "quorum": 3, "total_weight": 4,
                "tolerated_weight": 1, "voters": 4,
            },
            "transport": {
                "kind": "live", "connected_peers": 2, "peers": 3, "listening": [],
                "sync_interval_minutes": 60, "last_sync": null, "rewritten_histories": 0,
                "own_branch_error": null,
            },
            "voting": {
                "has_quorum": true, "able_voters": [], "can_sign": "yes", "can_sign_reason": "",
                "registry": null, "connected_voters": [], "missing_voters": [], "waiting_for": [],
                "abstaining": null, "abstaining_ends": null, "starting": null, "read_only": null,
                "awaiting_review": 0, "clock_offset_seconds": null,
            },
            "members": { "evidence": 0, "own_equivocation": false, "flagged": [] },
            "log": { "log_id": id, "size": 9, "root": id },
            "outbox": OutboxStatus::default(),
            "statistics": Statistics {
                total_nodes: 4,
                active_nodes: 3,
                open: 5,
                conflicts: 0,
                certified: 9,
                ..Statistics::default()
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_node_that_is_well_has_its_block_and_no_remarks() {
        let out = Output::of_width(80);
        assert_eq!(remarks(&status(), out), Vec::<String>::new());
        let block = block(&status(), out);
        assert_eq!(block.lines().count(), 11, "{block}");
        assert!(
            block.lines().all(|line| crate::table::width_of(line) <= 80),
            "{block}"
        );
        for part in [
            "Federation: Test (040404…)   Epoch: 2",
            "Consensus Threshold: 66.0% (3 of 4)",
            "Transport: live, 2 of 3 peers connected",
            "Last Sync: never",
            "Certified: 9   Open: 5   Conflicts: 0",
        ] {
            assert!(block.contains(part), "{part}: {block}");
        }
    }

    /// Makes a status tell of something that is not well.
    type Spoil = Box<dyn Fn(&mut StatusView)>;

    #[test]
    fn each_thing_that_is_not_well_is_a_remark_with_the_command_to_look() {
        let flagged = status().node;
        let cases: [(&str, Spoil); 8] = [
            (
                "2 Git histories were rewritten: ssid evidence list",
                Box::new(|s| s.transport.rewritten_histories = 2),
            ),
            (
                "The own Git branch is not published: no access",
                Box::new(|s| s.transport.own_branch_error = Some("no access".into())),
            ),
            (
                "Waiting for 2 of 4 voters",
                Box::new(|s| s.voting.waiting_for = vec!["2 of 4 voters".into()]),
            ),
            (
                "The registry contradicts 1 decision: ssid conflicts list",
                Box::new(|s| s.statistics.divergences = 1),
            ),
            (
                "1 event waits for your review: ssid events list --state review",
                Box::new(|s| s.voting.awaiting_review = 1),
            ),
            (
                "Evidence of equivocation: 3: ssid evidence list",
                Box::new(|s| s.members.evidence = 3),
            ),
            (
                "Low trust, flagged for review: Berlin: ssid trust list",
                Box::new(move |s| s.members.flagged = vec![flagged.clone()]),
            ),
            (
                "2 in conflict: ssid conflicts list",
                Box::new(|s| s.statistics.conflicts = 2),
            ),
        ];
        for (remark, change) in cases {
            let mut status = status();
            change(&mut status);
            assert_eq!(remarks(&status, Output::of_width(80)), [remark]);
        }
        // the own key's fault is said instead of the evidence for it
        let mut own = status();
        own.members.evidence = 1;
        own.members.own_equivocation = true;
        let said = remarks(&own, Output::of_width(80));
        assert!(said.len() == 1 && said[0].contains("OWN KEY"), "{said:?}");
    }

    #[test]
    fn what_is_in_conflict_is_not_counted_as_open_too() {
        let mut some = status();
        some.statistics.conflicts = 2;
        let lines = statistics(&some.statistics);
        assert_eq!(
            lines.last().unwrap(),
            "  Certified: 9   Open: 3   Conflicts: 2"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        assert_eq!(clock(None), None);
        assert_eq!(clock(Some(-5)), None);
        assert!(clock(Some(28_800)).is_some_and(|line| line.contains("28800 s behind")));
        assert!(clock(Some(-90)).is_some_and(|line| line.contains("90 s ahead of")));
    }

    #[test]
    fn what_waits_to_leave_is_named_with_where_to_look() {
        assert_eq!(waiting(&OutboxStatus::default()), None);
        let outbox = OutboxStatus {
            anchors: 3,
            notifications: 0,
            certified_untold: 7,
        };
        let words = "Waiting to be sent: 3 for IPFS (ssid anchor list), 7 for advanced.webhook_on_consensus";
        assert_eq!(waiting(&outbox).as_deref(), Some(words));
    }
}
