//! `ssid key rotate`: proposes that another key takes the place of this node's.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use ssid_node::home::Home;
use ssid_node::identity::{NodeKeys, peer_id_of};
use ssid_node::keyfile;
use ssid_node::view::ProposedView;
use ssid_protocol::card::MemberCard;
use ssid_protocol::handover::Handover;
use ssid_protocol::id::NodeId;
use ssid_protocol::identity::VotingKey;
use ssid_protocol::manifest::{Manifest, Succession};
use zeroize::Zeroizing;

use super::cancel;
use crate::client::Client;
use crate::commands::membership;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::short;
use crate::setup;

/// Propose that a new key takes the place of this node's voting key
///
/// The new key is written to voting.next.key, protected like today's, and the old key signs for it.
/// Once a quorum of voters has approved it the running node goes over to the new key by itself, and
/// erases the old one. A try that was interrupted is taken up by the same command.
///
/// Examples:
///   ssid key rotate --reason 'yearly' --dry-run
///   ssid key rotate --network --reason 'the server was replaced'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RotateArgs {
    /// Why, for those who approve it and who read it later
    #[arg(long, value_name = "R", value_parser = NonEmptyStringValueParser::new(), required_unless_present = "cancel")]
    reason: Option<String>,
    /// The network key instead, by which the others know this node's connections
    #[arg(long)]
    network: bool,
    /// Say what would follow, and do nothing
    #[arg(long, conflicts_with = "cancel")]
    dry_run: bool,
    /// Give a rotation up: refuse it here, and erase the new key once nothing can name it any more
    #[arg(long)]
    cancel: bool,
    /// Who decided it, recorded beside the operating system's user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
}

impl RotateArgs {
    /// Where the new key waits.
    fn next_key(&self, home: &Home) -> PathBuf {
        if self.network {
            home.next_network_key()
        } else {
            home.next_voting_key()
        }
    }
}

pub(super) async fn run(args: RotateArgs, context: &Context) -> Result<()> {
    let home = &context.home;
    home.check().or_usage()?;
    let client = context.client()?;
    let path = args.next_key(home);
    if args.cancel {
        return cancel::run(&path, args.reason, args.by, &client, context).await;
    }
    let passphrase = setup::passphrase_for(home)?;
    let passphrase = passphrase.as_deref();
    let keys = NodeKeys::load(home, passphrase).or_usage()?;
    // the same key as before, if an earlier try was interrupted
    let seed = next_seed(&path, passphrase)?;
    let reason = args.reason.unwrap_or_default();
    let draft: Value = client.get(&["v1", "membership", "draft"], &[]).await?;
    let draft = Manifest::parse(draft.to_string().as_bytes()).or_code(Code::Failed)?;
    let body = if args.network {
        network_change(draft, &keys, &seed, reason)?
    } else {
        let genesis = setup::read_genesis(&home.genesis())?;
        voting_change(draft, &genesis, &keys, &seed, reason)?
    };
    // what is refused is refused before the key is written
    let dry = propose(&client, &body, true, args.by.as_ref()).await?;
    let proposed = if args.dry_run {
        dry
    } else {
        if !path.exists() {
            keyfile::write(&path, &seed, passphrase).or_code(Code::Failed)?;
        }
        propose(&client, &body, false, args.by.as_ref()).await?
    };
    let next = VotingKey::from_seed(&seed).node_id();
    let answer = json!({
        "proposed": proposed,
        "next_key": next,
        "path": path.display().to_string(),
    });
    context.out.show(&answer, |_| {
        let mut text = membership::page::said(&proposed, context.out);
        if !args.dry_run {
            text.push('\n');
            text.push_str(&waits(&path, &next));
        }
        text
    })?;
    Ok(())
}

fn waits(path: &Path, next: &NodeId) -> String {
    format!(
        "The next key, {}, waits in {}. Keep this node running: it goes over by itself.",
        short(next),
        path.display()
    )
}

/// The seed of the key that waits, or a new one.
fn next_seed(path: &Path, passphrase: Option<&str>) -> Result<Zeroizing<[u8; 32]>> {
    let seed = if path.exists() {
        keyfile::read(path, passphrase).or_usage()?
    } else {
        keyfile::generate_seed().or_code(Code::Failed)?
    };
    Ok(seed)
}

async fn propose(
    client: &Client,
    body: &Value,
    dry_run: bool,
    by: Option<&String>,
) -> Result<ProposedView> {
    let mut query = vec![("dry_run", dry_run.to_string())];
    query.extend(by.map(|by| ("by", by.clone())));
    let path = ["v1", "membership", "proposals"];
    client.post_json(&path, &query, body).await
}

/// The place of this node's own member in a manifest.
fn own_place(manifest: &Manifest, keys: &NodeKeys) -> Result<usize> {
    let own = keys.node_id();
    let place = manifest.members.iter().position(|it| it.node_id == own);
    let missing = || {
        let message = format!("this node's key, {own}, is no member's in the epoch in force");
        CliError::usage(message).hint("see who is: ssid membership list")
    };
    Ok(place.ok_or_else(missing)?)
}

/// The next manifest with another voting key of this node, and the hand-over by today's.
fn voting_change(
    mut draft: Manifest,
    genesis: &Manifest,
    keys: &NodeKeys,
    seed: &[u8; 32],
    reason: String,
) -> Result<Value> {
    let next = VotingKey::from_seed(seed);
    let place = own_place(&draft, keys)?;
    draft.members[place].node_id = next.node_id();
    let card = MemberCard::sign(draft.members[place].clone(), &next);
    let Some(change) = &mut draft.change else {
        return Err(CliError::new(Code::Failed, "the node's draft has no `previous`").into());
    };
    change.reason = reason;
    change.succeeds = vec![Succession {
        member: next.node_id(),
        former: keys.node_id(),
    }];
    let federation = genesis.federation_id();
    let handover = Handover::sign(federation, change.previous, &keys.voting, card);
    let value = |json: String| serde_json::from_str::<Value>(&json);
    Ok(json!({
        "manifest": value(draft.to_jcs())?,
        "handovers": [value(handover.to_json().to_jcs())?],
    }))
}

/// The next manifest with another network key of this node.
fn network_change(
    mut draft: Manifest,
    keys: &NodeKeys,
    seed: &[u8; 32],
    reason: String,
) -> Result<Value> {
    let place = own_place(&draft, keys)?;
    // both kinds of keys are Ed25519's
    let public = VotingKey::from_seed(seed).node_id();
    draft.members[place].peer_id = peer_id_of(&public).or_code(Code::Failed)?.to_string();
    if let Some(change) = &mut draft.change {
        change.reason = reason;
    }
    Ok(serde_json::from_str(&draft.to_jcs())?)
}
