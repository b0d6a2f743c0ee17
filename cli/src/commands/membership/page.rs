//! Changes of members on a page: who votes, what is proposed, what follows.

use std::collections::BTreeMap;

use ssid_node::view::{MembershipView, Operated, ProposalView, ProposedView, ReplacedKeyView};
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
        lines.push(page(proposal, &names, out));
    }
    lines.join("\n")
}

pub(super) fn page(
    proposal: &ProposalView,
    names: &BTreeMap<NodeId, String>,
    out: Output,
) -> String {
    let hash = short(&proposal.manifest_hash);
    let mut lines = vec![
        format!(
            "Proposal {hash} for epoch {}, of {}",
            proposal.epoch,
            clean(&proposal.created_at)
        ),
        indented(&format!("Why: {}", clean(&proposal.reason)), out),
    ];
    lines.extend(consequences(&proposal.consequences, out));
    lines.extend(replaced(&proposal.replaced_keys, out));
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
    let names = proposal.not_ready.iter().map(|node| clean(&node.node_name));
    let waits_for = names.collect::<Vec<_>>().join(", ");
    lines.push(if proposal.approved_here && waits_for.is_empty() {
        "  This node has approved it.".to_owned()
    } else if proposal.approved_here {
        format!("  This node has approved it; it waits for {waits_for} to be ready.")
    } else {
        let command = approve(&hash, &proposal.replaced_keys);
        format!("  Approve it with:\n    {command}")
    });
    lines.join("\n")
}

/// The command that approves it.
pub(crate) fn approve(hash: &str, replaced_keys: &[ReplacedKeyView]) -> String {
    let lost = replaced_keys.iter().filter(|key| !key.handed_over);
    // never the digits themselves: they are to be heard from the organisation
    let confirm = " --confirm DIGITS".repeat(lost.count());
    format!("ssid membership approve {hash}{confirm}")
}

/// Each key that takes the place of another; in red where that one did not say so.
fn replaced(keys: &[ReplacedKeyView], out: Output) -> Vec<String> {
    let one = |key: &ReplacedKeyView| {
        let (name, former) = (clean(&key.node_name), short(&key.former_node_id));
        if key.handed_over {
            let words = format!("The key of {name} is replaced; the old key {former} signed this.");
            return indented(&words, out);
        }
        let words = format!(
            "! The key of {name} is replaced as lost: the old key {former} did NOT sign this. Approve it only with \
             what its organisation says, on another channel, of the first 8 digits of its new key."
        );
        out.paint(Tone::Bad, &indented(&words, out))
    };
    keys.iter().map(one).collect()
}

fn consequences(lines: &[String], out: Output) -> impl Iterator<Item = String> {
    lines.iter().map(move |line| indented(&clean(line), out))
}

/// A paragraph two columns in.
fn indented(text: &str, out: Output) -> String {
    format!("  {}", out.paragraph(text, 4))
}

pub(in crate::commands) fn said(proposed: &ProposedView, out: Output) -> String {
    let hash = short(&proposed.manifest_hash);
    let mut lines = vec![format!("Proposal {hash} for epoch {}", proposed.epoch)];
    lines.extend(consequences(&proposed.consequences, out));
    lines.extend(replaced(&proposed.replaced_keys, out));
    lines.push(if proposed.dry_run {
        out.paragraph("Nothing is changed by this. Without --dry-run it is announced, and counts as your approval.", 0)
    } else {
        let done = out.paint(Tone::Good, "Proposed");
        let command = approve(&hash, &proposed.replaced_keys);
        format!("{done}. The others approve it with:\n  {command}")
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

#[cfg(test)]
mod tests {
    use ssid_protocol::id::{Epoch, ManifestHash};

    use super::*;
    use crate::args::Color;

    fn proposed(replaced_keys: Vec<ReplacedKeyView>) -> ProposedView {
        ProposedView {
            manifest_hash: ManifestHash([0x4b; 32]),
            epoch: Epoch(4),
            expires_at: "2026-12-13T00:00:00Z".into(),
            replaced_keys,
            dry_run: false,
            consequences: vec!["+ Oslo (Eksempel AS) joins".into()],
        }
    }

    fn lost_key() -> ReplacedKeyView {
        ReplacedKeyView {
            node_id: NodeId([0x3f; 32]),
            former_node_id: NodeId([0x91; 32]),
            node_name: "Rome".into(),
            handed_over: false,
        }
    }

    #[test]
    fn a_lost_key_is_said_in_red_and_its_new_digits_are_not_in_the_command() {
        let red = Output::new(false, false, Color::Always);
        let text = said(&proposed(vec![lost_key()]), red);
        assert!(text.contains("\u{1b}[31m"), "{text:?}");
        assert!(
            text.contains("did NOT") && text.contains("919191919191"),
            "{text}"
        );
        assert!(
            text.contains("approve 4b4b4b4b4b4b --confirm DIGITS"),
            "{text}"
        );
        assert!(!text.contains("3f3f3f3f"), "{text}");
        let text = said(&proposed(vec![]), red);
        assert!(
            !text.contains("--confirm") && !text.contains("\u{1b}[31m"),
            "{text:?}"
        );
    }

    #[test]
    fn a_page_fits_its_line() {
        let out = Output::of_width(80);
        let mut long = proposed(vec![lost_key()]);
        long.consequences = vec!["Then all of these have to be there, or nothing. ".repeat(9)];
        let text = said(&long, out);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
