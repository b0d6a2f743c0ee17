//! Changes of members on a page: who votes, what is proposed, what follows.

use std::collections::BTreeMap;

use ssid_node::view::{MembershipView, Operated, ProposalView, ProposedView, SuccessionView};
use ssid_protocol::id::NodeId;

use crate::output::{Output, Tone, clean, short};

pub(super) fn names(view: &MembershipView) -> BTreeMap<NodeId, String> {
    let voters = view.voter_list.iter();
    voters
        .map(|voter| (voter.node_id, clean(&voter.node_name)))
        .collect()
}

fn listed(nodes: &[NodeId], names: &BTreeMap<NodeId, String>) -> String {
    if nodes.is_empty() {
        return "nobody".to_owned();
    }
    let named = nodes
        .iter()
        .map(|node| names.get(node).cloned().unwrap_or_else(|| short(node)));
    named.collect::<Vec<_>>().join(", ")
}

pub(super) fn list(view: &MembershipView, out: Output) -> String {
    let names = names(view);
    let voters: Vec<_> = view.voter_list.iter().map(|voter| voter.node_id).collect();
    let mut lines = vec![
        format!(
            "Epoch {}, manifest {}",
            view.epoch,
            short(&view.manifest_hash)
        ),
        format!("Voters: {}", listed(&voters, &names)),
        format!(
            "Weight {} decides, {} may lie; {} may be away.",
            view.quorum, view.tolerated_weight, view.may_fail
        ),
    ];
    if let Some(change) = &view.change {
        let counted = change.closes.iter().filter(|close| close.counted).count();
        lines.push(out.paint(
            Tone::Warn,
            &format!(
                "Epoch {} has ended: manifest {} comes into force; {counted} voters' closes are counted.",
                change.ending_epoch,
                short(&change.manifest_hash)
            ),
        ));
    }
    if view.proposals.is_empty() {
        lines.push("Nothing is proposed. Begin with: ssid membership propose --help".to_owned());
    }
    for proposal in &view.proposals {
        lines.push(String::new());
        lines.push(page(proposal, &names));
    }
    lines.join("\n")
}

pub(super) fn page(proposal: &ProposalView, names: &BTreeMap<NodeId, String>) -> String {
    let head = format!(
        "Proposal {} for epoch {}, of {}",
        short(&proposal.manifest_hash),
        proposal.epoch,
        clean(&proposal.created_at)
    );
    let mut lines = vec![head, format!("  Why: {}", clean(&proposal.reason))];
    let words = proposal.consequences.iter();
    lines.extend(words.map(|line| format!("  {}", clean(line))));
    lines.extend(proposal.successions.iter().map(succession));
    lines.push(format!(
        "  Approved by: {}",
        listed(&proposal.approved_by, names)
    ));
    if !proposal.refused_by.is_empty() {
        lines.push(format!("  Not by: {}", listed(&proposal.refused_by, names)));
    }
    if !proposal.waits_for.is_empty() {
        lines.push(format!(
            "  Waits for: {}",
            listed(&proposal.waits_for, names)
        ));
    }
    let hash = short(&proposal.manifest_hash);
    lines.push(if proposal.approved_here {
        "  This node has approved it.".to_owned()
    } else {
        format!("  Approve it with: ssid membership approve {hash}")
    });
    lines.join("\n")
}

/// Whether the key that is replaced said so itself.
fn succession(one: &SuccessionView) -> String {
    let (name, former) = (clean(&one.node_name), short(&one.former_id));
    if one.handed_over {
        format!("  The key of {name} that is replaced, {former}, signed for that.")
    } else {
        format!(
            "  The key of {name} that is replaced, {former}, did NOT sign for that: hear the new key, {}, from \
             its organisation by another way before you approve it.",
            short(&one.node_id)
        )
    }
}

pub(in crate::commands) fn said(proposed: &ProposedView, out: Output) -> String {
    let words = proposed.consequences.iter().map(|line| clean(line));
    let mut lines: Vec<String> = words.collect();
    let hash = short(&proposed.manifest_hash);
    lines.push(if proposed.dry_run {
        "Nothing is changed by this. Without --dry-run it is announced, and counts as your approval.".to_owned()
    } else {
        let done = out.paint(Tone::Good, "proposed");
        format!("{done}: the others approve it with: ssid membership approve {hash}")
    });
    lines.join("\n")
}

pub(super) fn operated(what: &str, done: &Operated, out: Output) -> String {
    format!(
        "{}: {}",
        out.paint(Tone::Good, what),
        clean(&done.explanation)
    )
}
