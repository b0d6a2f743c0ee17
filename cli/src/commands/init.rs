//! `ssid init`: makes a node in a data directory.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_protocol::id::NodeId;

use crate::context::Context;
use crate::error::CliError;
use crate::output::clean;
use crate::progress;
use crate::setup::{self, NewNode};

/// Make a node: its keys, an empty vote history, its configuration and its member card
///
/// The keys are readable by you only. They are encrypted if SSID_KEY_PASSPHRASE is set, or with
/// --passphrase, which asks on the terminal.
///
/// Examples:
///   ssid init --name Berlin --organization 'Example e.V.' --address /dns4/berlin.example/tcp/4170
///   ssid card > berlin.json      hand this to whoever creates the federation
///
/// After the disk of a member is lost, on a new one: ssid init --succeeds ID, with the id that it
/// had, and the same name and organisation.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct InitArgs {
    /// The node's name, as the other members see it
    #[arg(long, value_name = "N")]
    name: String,
    /// The organisation that it belongs to
    #[arg(long, value_name = "O")]
    organization: String,
    /// Its Git repository: https://… or git@…
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        allow_hyphen_values = true
    )]
    git_remote: String,
    /// Address at which the others reach it, for example /dns4/berlin.example/tcp/4170 (repeatable)
    #[arg(long = "address", value_name = "MULTIADDR")]
    addresses: Vec<String>,
    /// Address to listen on (repeatable) [default: the port of --address on every interface, else
    /// 4170]
    #[arg(long = "listen", value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Receive and verify, but do not vote
    #[arg(long)]
    observer: bool,
    /// The member whose key is lost, by its whole id: this node is to take its place
    #[arg(long, value_name = "ID")]
    succeeds: Option<NodeId>,
    /// Encrypt the keys with a passphrase, asked on the terminal
    #[arg(long)]
    passphrase: bool,
}

pub(crate) fn run(args: &InitArgs, context: &Context) -> Result<()> {
    // asked twice, as what is mistyped once encrypts a key for nobody
    let passphrase = if args.passphrase {
        Some(ask_twice()?)
    } else {
        setup::passphrase_from_env()
    };
    let node = NewNode {
        name: args.name.clone(),
        organization: args.organization.clone(),
        git_remote: args.git_remote.clone(),
        addresses: args.addresses.clone(),
        listen: args.listen.clone(),
        observer: args.observer,
        // found by its neighbours without any configuration; a cluster's nodes know each other
        mdns: true,
    };
    let card = setup::init_node(
        &context.home,
        context.repo.as_deref(),
        &node,
        passphrase.as_deref(),
    )?;
    let data = context.home.root().display().to_string();
    let answer = json!({
        "node_id": card.member.node_id,
        "peer_id": card.member.peer_id,
        "node_name": card.member.node_name,
        "data": data,
        "card": context.home.card().display().to_string(),
        "encrypted": passphrase.is_some(),
        "succeeds": args.succeeds,
    });
    context.out.show(&answer, |_| {
        let member = &card.member;
        let name = clean(&member.node_name);
        let reach = if member.addresses.is_empty() { "\nThe card names no address: others must find it by mDNS, or you add --address." } else { "" };
        let file = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let (then, join) = match &args.succeeds {
            None => (String::new(), "ssid federation join genesis.json"),
            Some(former) => (
                format!(
                    "\n      a member proposes:     ssid membership propose replace {former} {file}.json --lost\n      \
                     tell those who approve your new key: ssid key show --data {data}"
                ),
                "ssid federation join genesis.json --epochs epochs.jsonl",
            ),
        };
        format!(
            "Node {name} of {}\n  id    {}\n  peer  {}\n  data  {data}{reach}\n\nNext: hand over its card:  \
             ssid card --data {data} > {file}.json{then}\n      then join:             {join} --data {data}",
            clean(&member.organization),
            member.node_id,
            member.peer_id,
        )
    })?;
    Ok(())
}

fn ask_twice() -> Result<String> {
    progress::hide_command();
    let first = rpassword::prompt_password("Passphrase: ")?;
    if first.is_empty() {
        return Err(CliError::usage("an empty passphrase protects nothing").into());
    }
    if rpassword::prompt_password("The same again: ")? != first {
        return Err(CliError::usage("the two passphrases differ").into());
    }
    Ok(first)
}
