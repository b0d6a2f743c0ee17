//! `ssid status`: how the node and its federation stand.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use ssid_node::view::{OutboxStatus, StatusView};

use crate::context::Context;
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
    let status: StatusView = context.client()?.get(&["v1", "status"], &[]).await?;
    context
        .out
        .show(&status, |status| block(status, context.out))?;
    Ok(())
}

/// The registry's own status block.
pub(crate) fn block(status: &StatusView, out: Output) -> String {
    let (federation, transport, counts) =
        (&status.federation, &status.transport, &status.statistics);
    let id: String = federation
        .federation_id
        .to_string()
        .chars()
        .take(6)
        .collect();
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| {
        // writing to a String does not fail
        let _ = writeln!(text, "{parts}");
    };
    line(format_args!("Federation Status"));
    line(format_args!(
        "  Federation: {} ({id}…)   Epoch: {}",
        clean(&federation.name),
        federation.epoch
    ));
    line(format_args!(
        "  {:<24} {:<26} Mode: {}",
        format!("Enabled: {}", federation.enabled),
        format!("Role: {}", clean(&status.role)),
        federation.mode,
    ));
    let threshold = format!(
        "Consensus Threshold: {:.1}% ({} of {})",
        federation.threshold_percent, federation.quorum, federation.total_weight
    );
    line(format_args!(
        "  {threshold:<51} Voters: {}",
        federation.voters
    ));
    let connected = format!(
        "Transport: {}, {} of {} peers connected",
        transport.kind, transport.connected_peers, transport.peers
    );
    line(format_args!(
        "  {connected:<51} Sync Interval: {} minutes",
        transport.sync_interval_minutes
    ));
    line(format_args!(
        "  Last Sync: {}",
        transport
            .last_sync
            .as_deref()
            .map_or("never".to_owned(), seconds)
    ));
    line(format_args!("Statistics:"));
    line(format_args!(
        "  Total Nodes: {}   Active Nodes: {}",
        counts.total_nodes, counts.active_nodes
    ));
    line(format_args!(
        "  Total Syncs: {}   Successful: {}   Failed: {}",
        counts.total_syncs, counts.successful_syncs, counts.failed_syncs
    ));
    line(format_args!(
        "  Consensus Agreements: {}   Consensus Disagreements: {}",
        counts.consensus_agreements, counts.consensus_disagreements
    ));
    // those in conflict are open too, and counted once here
    let open = counts.open.saturating_sub(counts.conflicts);
    line(format_args!(
        "  Certified: {}   Open: {open}   Conflicts: {}",
        counts.certified, counts.conflicts
    ));
    if transport.rewritten_histories > 0 {
        let look = format!(
            "{} Git histories were rewritten: ssid evidence list",
            transport.rewritten_histories
        );
        line(format_args!("{}", out.paint(Tone::Bad, &look)));
    }
    if let Some(why) = &transport.own_branch_error {
        let look = format!("The own Git branch is not published: {}", clean(why));
        line(format_args!("{}", out.paint(Tone::Bad, &look)));
    }
    for reason in &status.voting.waiting_for {
        let waiting = out.paragraph(&format!("Waiting for {}", clean(reason)), 2);
        line(format_args!("{}", out.paint(Tone::Warn, &waiting)));
    }
    if let Some(clock) = clock(status.voting.clock_offset_seconds) {
        line(format_args!("{}", out.paint(Tone::Warn, &clock)));
    }
    if counts.kept_offers > 0 {
        let kept = format!(
            "{} events are kept and sent once this node may sign",
            counts.kept_offers
        );
        line(format_args!("{}", out.paint(Tone::Warn, &kept)));
    }
    if counts.divergences > 0 {
        let noun = if counts.divergences == 1 {
            "decision"
        } else {
            "decisions"
        };
        let look = format!(
            "The registry contradicts {} {noun}: ssid conflicts list",
            counts.divergences
        );
        line(format_args!("{}", out.paint(Tone::Bad, &look)));
    }
    if status.voting.awaiting_review > 0 {
        let review = format!(
            "{} for your review: ssid events list --state review",
            waits(status.voting.awaiting_review)
        );
        line(format_args!("{}", out.paint(Tone::Warn, &review)));
    }
    let members = &status.members;
    if members.own_equivocation {
        let loud = "THIS NODE'S OWN KEY IS PROVEN TO HAVE EQUIVOCATED: ssid evidence list";
        line(format_args!("{}", out.paint(Tone::Bad, loud)));
    } else if members.evidence > 0 {
        let look = format!(
            "Evidence of equivocation: {}: ssid evidence list",
            members.evidence
        );
        line(format_args!("{}", out.paint(Tone::Bad, &look)));
    }
    if !members.flagged.is_empty() {
        let names: Vec<_> = members
            .flagged
            .iter()
            .map(|node| clean(&node.node_name))
            .collect();
        let look = format!(
            "Low trust, flagged for review: {}: ssid trust list",
            names.join(", ")
        );
        line(format_args!("{}", out.paint(Tone::Warn, &look)));
    }
    if let Some(waiting) = waiting(&status.outbox) {
        line(format_args!(
            "{}",
            out.paint(Tone::Warn, &out.paragraph(&waiting, 2))
        ));
    }
    if counts.conflicts > 0 {
        let look = format!("{} in conflict: ssid conflicts list", counts.conflicts);
        line(format_args!("{}", out.paint(Tone::Bad, &look)));
    }
    text
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
