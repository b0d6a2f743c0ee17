//! `ssid federation join`: takes a genesis file or an invite into the data directory.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use ssid_node::invited;
use ssid_node::text::spoken;
use ssid_protocol::card::MemberCard;
use ssid_protocol::invite::{self, Invite};

use super::show;
use crate::commands::offline::{self, refused};
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, short};
use crate::progress;
use crate::setup;

/// Take a genesis file or an invite into this node's data directory
///
/// By a genesis file joins who is a member in it; who became a member later gives the chain of
/// epochs, too, which a member exports with: ssid epochs export
///
/// By an invite joins who is to become a member. Pin and key are shown, to be compared by voice with
/// the member that sent the invite, and it is asked whether they agree.
///
/// Examples:
///   ssid federation join genesis.json
///   ssid federation join genesis.json --epochs epochs.jsonl
///   ssid federation join oslo.invite.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct JoinArgs {
    /// The genesis file, or the invite
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The chain of epochs up to one in which this node is a member
    #[arg(long, value_name = "F")]
    epochs: Option<PathBuf>,
    /// Of an invite: pin and key were compared; do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &JoinArgs, context: &Context) -> Result<()> {
    if let Some(invite) = read_invite(&args.file)? {
        if args.epochs.is_some() {
            let error = CliError::usage("--epochs goes with a genesis file, this is an invite");
            return Err(error.hint("the chain is fetched from members").into());
        }
        return by_invite(&invite, args.yes, context);
    }
    let Some(epochs) = &args.epochs else {
        let manifest = setup::join(&context.home, &args.file)?;
        return show(&manifest, manifest.federation_id(), context.out);
    };
    let (chain, bytes) = offline::chain(&args.file, epochs)?;
    let manifest = setup::join_later(&context.home, &args.file, &chain, &bytes)?;
    show(&manifest, chain.federation_id(), context.out)
}

/// The invite in a file; nothing if it says that it is something else.
fn read_invite(path: &Path) -> Result<Option<Invite>> {
    let bytes = setup::read_document(path, "a member writes one with: ssid membership invite")?;
    let document: Result<Value, _> = serde_json::from_slice(&bytes);
    let format = document.ok().and_then(|it| it.get("format").cloned());
    if format != Some(Value::from(invite::FORMAT)) {
        return Ok(None);
    }
    Ok(Some(Invite::parse(&bytes).map_err(|e| refused(path, &e))?))
}

fn by_invite(invite: &Invite, yes: bool, context: &Context) -> Result<()> {
    context.home.check().or_usage()?;
    let card = setup::read_card(&context.home.card())?;
    card.verify().or_usage()?;
    let out = context.out;
    let compared = || page(invite, &card, out);
    if !yes && !asked(&compared(), out)? {
        let error = CliError::new(
            Code::Failed,
            "nothing is taken: pin and key are to be compared",
        );
        let hint =
            "compare them with the member that sent the invite, then answer y, or give --yes";
        return Err(error.hint(hint).into());
    }
    invited::store(&context.home, invite).or_usage()?;
    let peers: Vec<_> = invite.peers.iter().map(|peer| &peer.node_name).collect();
    let answer = json!({
        "federation_name": invite.genesis.name,
        "federation_id": invite.federation_id,
        "epoch": invite.epoch,
        "manifest_hash": invite.manifest_hash,
        "proposal": invite.proposal,
        "node_id": card.member.node_id,
        "peers": peers,
        "invite": context.home.invite().display().to_string(),
    });
    out.show(&answer, |_| {
        let done = out.paint(Tone::Good, "The invite is taken.");
        let text = format!("{done} Start the node with: ssid run");
        if yes {
            format!("{}\n\n{text}", compared())
        } else {
            text
        }
    })?;
    Ok(())
}

/// What two people compare by voice.
fn page(invite: &Invite, card: &MemberCard, out: Output) -> String {
    let asks: Vec<_> = invite.peers.iter().map(|it| clean(&it.node_name)).collect();
    let proposal = invite
        .proposal
        .map_or("none yet".to_owned(), |it| short(&it));
    let fields = out.fields(&[
        ("Federation", clean(&invite.genesis.name)),
        ("Id", invite.federation_id.to_string()),
        ("Epoch", invite.epoch.to_string()),
        ("Proposal", proposal),
        ("Asks", asks.join(", ")),
        ("Pin", out.paint(Tone::Warn, &spoken(&invite.manifest_hash))),
        (
            "Your key",
            out.paint(Tone::Warn, &spoken(&card.member.node_id)),
        ),
    ]);
    let words = "Compare both by voice with the member that sent this: they read you the pin, as \
        ssid federation show says it there, and you read them your key.";
    format!("{fields}\n{}", out.paragraph(words, 0))
}

/// Asks on a terminal; elsewhere nothing is done without `--yes`.
fn asked(page: &str, out: Output) -> Result<bool> {
    if out.is_json() || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(false);
    }
    progress::hide_command();
    write!(io::stdout(), "{page}\nDo both agree? [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}
