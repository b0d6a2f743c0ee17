//! `ssid membership`: who counts, and how that changes: proposed in words, approved by people, in
//! force once a quorum has decided it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::config::write_atomic;
use ssid_node::view::{MembershipView, Operated, ProposalView, ProposedView, SuccessionView};
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;

use super::conflicts::SaidArgs;
use crate::context::Context;
use crate::error::{Code, OrCode as _};
use crate::output::{Output, Tone, clean, is_standard_output, short};
use crate::setup::read_document;

/// Show who votes, and change who is a member, with which role, weight and rules
#[derive(Debug, Subcommand)]
pub(crate) enum MembershipCommand {
    /// Show who votes now, how far a change is, and what is proposed
    ///
    /// Example:
    ///   ssid membership list
    #[command(verbatim_doc_comment)]
    List,
    /// Write the next epoch's manifest with nothing changed, to be edited and proposed
    ///
    /// Members, their roles, status and weights, and the federation's rules may be changed; "reason"
    /// says why, for those who approve it and who read it later.
    ///
    /// Example:
    ///   ssid membership draft -o next.json
    #[command(verbatim_doc_comment)]
    Draft {
        /// Where to write it [default: standard output]
        #[arg(short, long, value_name = "F")]
        output: Option<PathBuf>,
    },
    /// Propose an edited manifest to the others, and approve it; first say what would follow
    ///
    /// Example:
    ///   ssid membership propose next.json --dry-run
    #[command(verbatim_doc_comment)]
    Propose {
        /// The edited manifest
        file: PathBuf,
        /// Say what would follow, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Who decided it, recorded beside the operating system's user
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        by: Option<String>,
    },
    /// Show one proposal: what it changes, what follows, and who has approved it
    ///
    /// Example:
    ///   ssid membership show 4be1
    #[command(verbatim_doc_comment)]
    Show {
        /// The beginning of its manifest's hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
    },
    /// Approve a proposal; it is in force once a quorum of voters has
    ///
    /// Example:
    ///   ssid membership approve 4be1 --reason 'as agreed on 12 March'
    #[command(verbatim_doc_comment)]
    Approve {
        /// The beginning of its manifest's hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
        #[command(flatten)]
        said: SaidArgs,
    },
    /// Refuse what is proposed
    ///
    /// Example:
    ///   ssid membership reject 4be1 --reason 'not agreed'
    #[command(verbatim_doc_comment)]
    Reject {
        /// The beginning of its manifest's hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
        #[command(flatten)]
        said: SaidArgs,
    },
}

pub(crate) async fn run(command: MembershipCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        MembershipCommand::List => {
            let view: MembershipView = client.get(&["v1", "membership"], &[]).await?;
            out.show(&view, |view| list(view, out))?;
        }
        MembershipCommand::Draft { output } => {
            let draft: serde_json::Value = client.get(&["v1", "membership", "draft"], &[]).await?;
            let text = format!("{}\n", serde_json::to_string_pretty(&draft)?);
            write(&text, output.as_deref(), out)?;
        }
        MembershipCommand::Propose { file, dry_run, by } => {
            let hint = "write one with: ssid membership draft -o next.json";
            let bytes = read_document(&file, hint)?;
            // found here, it is named by its file
            Manifest::parse(&bytes).or_code(Code::Usage)?;
            let body: serde_json::Value = serde_json::from_slice(&bytes)?;
            let mut query = vec![("dry_run", dry_run.to_string())];
            query.extend(by.map(|by| ("by", by)));
            let path = ["v1", "membership", "proposals"];
            let proposed: ProposedView = client.post_json(&path, &query, &body).await?;
            out.show(&proposed, |proposed| said(proposed, out))?;
        }
        MembershipCommand::Show { hash } => {
            let path = ["v1", "membership", "proposals", &hash];
            let proposal: ProposalView = client.get(&path, &[]).await?;
            let all: MembershipView = client.get(&["v1", "membership"], &[]).await?;
            out.show(&proposal, |proposal| page(proposal, &names(&all)))?;
        }
        MembershipCommand::Approve { hash, said } => {
            let path = ["v1", "membership", "proposals", &hash, "approve"];
            let done: Operated = client.post_json(&path, &[], &said.document()).await?;
            out.show(&done, |done| operated("approved", done, out))?;
        }
        MembershipCommand::Reject { hash, said } => {
            let path = ["v1", "membership", "proposals", &hash, "reject"];
            let done: Operated = client.post_json(&path, &[], &said.document()).await?;
            out.show(&done, |done| operated("refused", done, out))?;
        }
    }
    Ok(())
}

/// Writes a document to a file, or to standard output.
pub(super) fn write(text: &str, output: Option<&Path>, out: Output) -> Result<()> {
    match output.filter(|path| !is_standard_output(path)) {
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            out.remark(&format!("wrote {}", path.display()));
        }
        None => out.document(text.trim_end())?,
    }
    Ok(())
}

fn names(view: &MembershipView) -> BTreeMap<NodeId, String> {
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

fn list(view: &MembershipView, out: Output) -> String {
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
        lines
            .push("Nothing is proposed. Begin with: ssid membership draft -o next.json".to_owned());
    }
    for proposal in &view.proposals {
        lines.push(String::new());
        lines.push(page(proposal, &names));
    }
    lines.join("\n")
}

fn page(proposal: &ProposalView, names: &BTreeMap<NodeId, String>) -> String {
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

pub(super) fn said(proposed: &ProposedView, out: Output) -> String {
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

fn operated(what: &str, done: &Operated, out: Output) -> String {
    format!(
        "{}: {}",
        out.paint(Tone::Good, what),
        clean(&done.explanation)
    )
}
