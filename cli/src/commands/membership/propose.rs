//! `ssid membership propose`: one change in a few words, or an edited manifest.

mod args;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use ssid_node::membership::edit::{Edit, EditError, edited, in_words};
use ssid_node::view::ProposedView;
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Status;

pub(crate) use self::args::{AddArgs, ProposeArgs, RemoveArgs, RoleArgs, SuspendArgs};
use self::args::{How, NodeArgs, ProposedChange, ReplaceArgs, SetArgs};
use super::invite;
use super::page::said;
use crate::client::Client;
use crate::commands::written::write;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::names::find_member;
use crate::setup::{self, read_document};

pub(super) async fn run(args: ProposeArgs, context: &Context) -> Result<()> {
    match args.change {
        None => from(args.from.as_deref(), &args.how, context).await,
        Some(ProposedChange::Add(args)) => add(&args, context).await,
        Some(ProposedChange::Remove(args)) => remove(&args, context).await,
        Some(ProposedChange::Suspend(args)) => suspend(&args, context).await,
        Some(ProposedChange::Resume(args)) => status(&args, Status::Active, context).await,
        Some(ProposedChange::Role(args)) => role(&args, context).await,
        Some(ProposedChange::Set(args)) => set(&args, context).await,
        Some(ProposedChange::Replace(args)) => replace(&args, context).await,
    }
}

async fn from(file: Option<&Path>, how: &How, context: &Context) -> Result<()> {
    let Some(file) = file else {
        return Err(CliError::usage("nothing is proposed: give a change, or --from F").into());
    };
    let bytes = read_document(file, "write one with: ssid membership draft -o next.json")?;
    // found here, it is named by its file
    let named = |e| CliError::usage(format!("{}: {e}", file.display()));
    let manifest = Manifest::parse(&bytes).map_err(named)?;
    let client = context.client()?;
    post(&client, &manifest, how, context).await?;
    Ok(())
}

/// Proposes that the node of a card becomes a member.
pub(crate) async fn add(args: &AddArgs, context: &Context) -> Result<()> {
    let card = Box::new(setup::read_card(&args.card)?);
    let name = card.member.node_name.clone();
    let edits = |_: &Manifest| {
        Ok(vec![Edit::Add {
            card: card.clone(),
            role: args.role,
            weight: args.weight,
        }])
    };
    let proposed = change(context, edits, Some(&args.given.reason), &args.given.how).await?;
    invite_to(&proposed, &name, args.invite.as_deref(), context).await
}

/// Writes what the newcomer joins with, unless nothing was proposed.
async fn invite_to(
    proposed: &ProposedView,
    name: &str,
    file: Option<&Path>,
    context: &Context,
) -> Result<()> {
    if proposed.dry_run {
        return Ok(());
    }
    let client = context.client()?;
    let text = invite::text(&client, Some(proposed.manifest_hash.to_string())).await?;
    let usual = PathBuf::from(invite::file_name(name));
    write(&text, Some(file.unwrap_or(&usual)), context.out)
}

/// Proposes that a member leaves.
pub(crate) async fn remove(args: &RemoveArgs, context: &Context) -> Result<()> {
    let edits = |draft: &Manifest| Ok(vec![Edit::Remove(member(draft, &args.node)?)]);
    change(context, edits, Some(&args.given.reason), &args.given.how).await?;
    Ok(())
}

/// Proposes that a member does not vote.
pub(crate) async fn suspend(args: &SuspendArgs, context: &Context) -> Result<()> {
    status(&args.node, Status::Suspended, context).await
}

async fn status(args: &NodeArgs, status: Status, context: &Context) -> Result<()> {
    let edits = |draft: &Manifest| Ok(vec![Edit::Status(member(draft, &args.node)?, status)]);
    let (reason, how) = (args.given.reason.as_deref(), &args.given.how);
    change(context, edits, reason, how).await?;
    Ok(())
}

/// Proposes that a member does something else.
pub(crate) async fn role(args: &RoleArgs, context: &Context) -> Result<()> {
    let NodeArgs { node, given } = &args.node;
    let edits = |draft: &Manifest| Ok(vec![Edit::Role(member(draft, node)?, args.role)]);
    change(context, edits, given.reason.as_deref(), &given.how).await?;
    Ok(())
}

async fn replace(args: &ReplaceArgs, context: &Context) -> Result<()> {
    let card = Box::new(setup::read_card(&args.card)?);
    let name = card.member.node_name.clone();
    let edits = |draft: &Manifest| {
        Ok(vec![Edit::ReplaceLost {
            former: member(draft, &args.node)?,
            card: card.clone(),
        }])
    };
    let proposed = change(context, edits, Some(&args.given.reason), &args.given.how).await?;
    invite_to(&proposed, &name, args.invite.as_deref(), context).await
}

async fn set(args: &SetArgs, context: &Context) -> Result<()> {
    let threshold = args.threshold.map(setup::basis_points).transpose()?;
    let addresses = setup::multiaddrs("--address", &args.addresses)?;
    let edits = |draft: &Manifest| {
        let mut edits = Vec::new();
        if let Some(node) = &args.node {
            let id = member(draft, node)?;
            let status = args.status.as_deref().map(str::parse).transpose();
            edits.extend(status.or_usage()?.map(|it| Edit::Status(id, it)));
            edits.extend(args.weight.map(|it| Edit::Weight(id, it)));
            let moved = (!addresses.is_empty()).then(|| addresses.clone());
            edits.extend(moved.map(|it| Edit::Addresses(id, it)));
        }
        edits.extend(threshold.map(Edit::Threshold));
        edits.extend(args.min_participating.map(Edit::MinParticipating));
        edits.extend(args.tie_breaking.map(Edit::TieBreaking));
        edits.extend(args.auto_resolve.map(Edit::AutoResolve));
        Ok(edits)
    };
    let (reason, how) = (args.given.reason.as_deref(), &args.given.how);
    change(context, edits, reason, how).await?;
    Ok(())
}

fn member(draft: &Manifest, name: &str) -> Result<NodeId, CliError> {
    let place = find_member(&draft.members, name)?;
    Ok(draft.members[place].node_id)
}

/// Proposes today's draft with these changes, and shows what follows from them.
async fn change(
    context: &Context,
    edits: impl FnOnce(&Manifest) -> Result<Vec<Edit>, CliError>,
    reason: Option<&str>,
    how: &How,
) -> Result<ProposedView> {
    let client = context.client()?;
    let draft: Value = client.get(&["v1", "membership", "draft"], &[]).await?;
    let draft = Manifest::parse(draft.to_string().as_bytes()).or_code(Code::Failed)?;
    let edits = edits(&draft)?;
    let words = in_words(&draft, &edits);
    let mut next = edited(draft, &edits).map_err(|error| refused(&error))?;
    if let Some(change) = &mut next.change {
        reason.unwrap_or(&words).clone_into(&mut change.reason);
    }
    post(&client, &next, how, context).await
}

fn refused(error: &EditError) -> CliError {
    let code = match error {
        EditError::Card { .. } => Code::Verification,
        _ => Code::Usage,
    };
    CliError::new(code, error)
}

/// Proposes a manifest, and shows what follows from it.
async fn post(
    client: &Client,
    manifest: &Manifest,
    how: &How,
    context: &Context,
) -> Result<ProposedView> {
    let body: Value = serde_json::from_str(&manifest.to_json().to_jcs())?;
    let mut query = vec![("dry_run", how.dry_run.to_string())];
    query.extend(how.by.clone().map(|by| ("by", by)));
    let path = ["v1", "membership", "proposals"];
    let proposed = client.post_json(&path, &query, &body).await?;
    let out = context.out;
    out.show(&proposed, |proposed| said(proposed, out))?;
    Ok(proposed)
}
