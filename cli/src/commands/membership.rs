//! `ssid membership`: who counts, and how that changes: proposed in words, approved by people, in
//! force once a quorum has decided it.

mod invite;
pub(super) mod page;
pub(super) mod propose;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::view::{MembershipView, Operated, ProposalView};

pub(super) use self::page::approve;
use self::page::{list, names, operated, page};
use super::conflicts::SaidArgs;
use super::written::write;
use crate::context::Context;

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
    Propose(propose::ProposeArgs),
    /// Write what a newcomer joins with: the federation, the manifest in force, and members to ask
    ///
    /// Membership propose add writes one by itself. Read the newcomer the pin by voice: federation
    /// join shows it.
    ///
    /// Examples:
    ///   ssid membership invite -o oslo.invite.json
    ///   ssid membership invite 4be1 -o oslo.invite.json
    #[command(verbatim_doc_comment)]
    Invite {
        /// The beginning of the hash of what admits it [default: the only proposal, if there is one]
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: Option<String>,
        /// Where to write it [default: standard output]
        #[arg(short, long, value_name = "F")]
        output: Option<PathBuf>,
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
    /// It waits until its new voters say that they are ready, unless --not-ready is given: a voter
    /// that is not there counts all the same, and too many of them stop the federation.
    ///
    /// A key that replaces a lost one is confirmed by its first 8 digits, as its organisation says
    /// them on another channel: whoever made the proposal could have put any key into it.
    ///
    /// Examples:
    ///   ssid membership approve 4be1 --reason 'as agreed on 12 March'
    ///   ssid membership approve 4be1 --confirm 3f7a21c0
    #[command(verbatim_doc_comment)]
    Approve {
        /// The beginning of its manifest's hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
        /// First 8 digits of a key that replaces a lost one, or more (repeatable)
        #[arg(long, value_name = "DIGITS", value_parser = NonEmptyStringValueParser::new())]
        confirm: Vec<String>,
        /// Do not wait until its new voters say that they are ready
        #[arg(long)]
        not_ready: bool,
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
        MembershipCommand::Propose(args) => propose::run(args, context).await?,
        MembershipCommand::Invite { hash, output } => {
            let text = invite::text(&client, hash).await?;
            write(&text, output.as_deref(), out)?;
        }
        MembershipCommand::Show { hash } => {
            let path = ["v1", "membership", "proposals", &hash];
            let proposal: ProposalView = client.get(&path, &[]).await?;
            let all: MembershipView = client.get(&["v1", "membership"], &[]).await?;
            out.show(&proposal, |proposal| page(proposal, &names(&all), out))?;
        }
        MembershipCommand::Approve {
            hash,
            confirm,
            not_ready,
            said,
        } => {
            let path = ["v1", "membership", "proposals", &hash, "approve"];
            let mut body = said.document();
            body["confirm"] = confirm.into();
            body["not_ready"] = not_ready.into();
            let done: Operated = client.post_json(&path, &[], &body).await?;
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
