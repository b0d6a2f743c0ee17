//! `ssid membership propose`: one change in a few words, or an edited manifest.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::Value;
use ssid_node::membership::edit::{Edit, EditError, edited, in_words};
use ssid_node::view::ProposedView;
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::{Manifest, TieBreak};
use ssid_protocol::member::{Role, Status};

use super::page::said;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::names::find_member;
use crate::setup::{self, read_document};

/// Propose a change of members to the others, and approve it; first say what would follow
///
/// NODE is a member's name, or the beginning of its id. Several changes at once are an edited
/// draft: one change stops decisions for seconds, three do so three times.
///
/// Examples:
///   ssid membership propose add oslo.card.json --reason 'joins as agreed' --dry-run
///   ssid membership propose suspend Rome
///   ssid membership propose --from next.json
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct ProposeArgs {
    #[command(subcommand)]
    change: Option<ProposedChange>,
    /// An edited manifest: ssid membership draft writes today's
    #[arg(long, value_name = "F", required = true)]
    from: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// One change of members.
#[derive(Debug, Subcommand)]
enum ProposedChange {
    Add(AddArgs),
    Remove(RemoveArgs),
    Suspend(SuspendArgs),
    /// Let a suspended or inactive member take part again
    ///
    /// Example:
    ///   ssid membership propose resume Rome
    #[command(verbatim_doc_comment)]
    Resume(NodeArgs),
    Role(RoleArgs),
    Set(SetArgs),
    Replace(ReplaceArgs),
}

/// Whether and as whom it is proposed.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Say what would follow, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Who decided it, recorded beside the operating system's user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
}

/// Propose that the node of a card becomes a member
///
/// Its card is checked against its key; that the key is its organisation's, people say: compare it
/// by voice, as ssid card says it.
///
/// Example:
///   ssid membership propose add oslo.card.json --role observer --reason 'joins as agreed'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddArgs {
    /// The member card, from: ssid card
    card: PathBuf,
    /// participant, observer or coordinator [default: what the card says]
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// What its vote weighs where votes weigh by trust, 1 to 100 [default: what the card says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    weight: Option<u64>,
    /// Why, for those who approve it and who read it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    how: How,
}

/// Propose that a member leaves
///
/// Its own node may propose it, too. It goes on serving what it has until the others have entered
/// the next epoch.
///
/// Example:
///   ssid membership propose remove Rome --reason 'has left the project'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RemoveArgs {
    /// The member
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// Why, for those who approve it and who read it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    how: How,
}

/// Propose that a member does not vote for a while; it stays connected and verifies
///
/// Example:
///   ssid membership propose suspend Rome --reason 'its machine is rebuilt'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// A member, and why it changes.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The member
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// Why [default: what changes, in words]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Propose that a member does something else
///
/// Example:
///   ssid membership propose role Rome coordinator
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RoleArgs {
    /// The member
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// participant, observer or coordinator
    role: Role,
    /// Why [default: what changes, in words]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Propose what holds for a member, or rules of the federation
///
/// Examples:
///   ssid membership propose set Rome --status inactive --reason 'away until May'
///   ssid membership propose set Rome --address /dns4/rome.example/tcp/4170
///   ssid membership propose set --threshold 70
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[group(id = "what", multiple = true, required = true, args = [
    "status", "weight", "addresses", "threshold", "min_participating", "tie_breaking", "auto_resolve",
])]
struct SetArgs {
    /// The member whose status, weight or addresses change
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: Option<String>,
    /// inactive: it takes no part, by its own wish; active: it does again
    #[arg(long, requires = "node", value_parser = ["active", "inactive"])]
    status: Option<String>,
    /// What its vote weighs where votes weigh by trust, 1 to 100
    #[arg(long, value_name = "N", requires = "node", value_parser = clap::value_parser!(u64).range(1..=100))]
    weight: Option<u64>,
    /// Where it is reached from now on (repeatable)
    #[arg(long = "address", value_name = "MULTIADDR", requires = "node")]
    addresses: Vec<String>,
    /// Share of all votes that decides, in percent; never less than safety needs
    #[arg(long, value_name = "PERCENT")]
    threshold: Option<f64>,
    /// Fewest members that have to take part in a decision
    #[arg(long, value_name = "N")]
    min_participating: Option<u32>,
    /// How conflicts are settled where they are settled automatically
    #[arg(long, value_name = "STRATEGY")]
    tie_breaking: Option<TieBreak>,
    /// Whether conflicts are settled automatically: true or false
    #[arg(long, value_name = "BOOL")]
    auto_resolve: Option<bool>,
    /// Why [default: what changes, in words]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Propose that another key takes the place of a member's lost one, for good
///
/// The member's card says what its new key is; the old one did not sign that, so each who approves
/// confirms the key by what the organisation says of it on another channel.
///
/// Example:
///   ssid membership propose replace Rome rome.card.json --lost --reason 'its disk burnt'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct ReplaceArgs {
    /// The member whose key is lost
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    node: String,
    /// The card of the new key
    card: PathBuf,
    /// The old key is lost and cannot sign that it is replaced
    #[arg(long, required = true)]
    lost: bool,
    /// Why, for those who approve it and who read it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    how: How,
}

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
    let proposed = post(&client, &manifest, how).await?;
    show(&proposed, context)
}

/// Proposes that the node of a card becomes a member.
pub(crate) async fn add(args: &AddArgs, context: &Context) -> Result<()> {
    let card = Box::new(setup::read_card(&args.card)?);
    let edits = |_: &Manifest| {
        Ok(vec![Edit::Add {
            card: card.clone(),
            role: args.role,
            weight: args.weight,
        }])
    };
    let proposed = change(context, edits, Some(&args.reason), &args.how).await?;
    show(&proposed, context)
}

/// Proposes that a member leaves.
pub(crate) async fn remove(args: &RemoveArgs, context: &Context) -> Result<()> {
    let edits = |draft: &Manifest| Ok(vec![Edit::Remove(member(draft, &args.node)?)]);
    let proposed = change(context, edits, Some(&args.reason), &args.how).await?;
    show(&proposed, context)
}

/// Proposes that a member does not vote.
pub(crate) async fn suspend(args: &SuspendArgs, context: &Context) -> Result<()> {
    status(&args.node, Status::Suspended, context).await
}

async fn status(args: &NodeArgs, status: Status, context: &Context) -> Result<()> {
    let edits = |draft: &Manifest| Ok(vec![Edit::Status(member(draft, &args.node)?, status)]);
    let proposed = change(context, edits, args.reason.as_deref(), &args.how).await?;
    show(&proposed, context)
}

/// Proposes that a member does something else.
pub(crate) async fn role(args: &RoleArgs, context: &Context) -> Result<()> {
    let edits = |draft: &Manifest| Ok(vec![Edit::Role(member(draft, &args.node)?, args.role)]);
    let proposed = change(context, edits, args.reason.as_deref(), &args.how).await?;
    show(&proposed, context)
}

async fn replace(args: &ReplaceArgs, context: &Context) -> Result<()> {
    let card = Box::new(setup::read_card(&args.card)?);
    let edits = |draft: &Manifest| {
        Ok(vec![Edit::ReplaceLost {
            former: member(draft, &args.node)?,
            card: card.clone(),
        }])
    };
    let proposed = change(context, edits, Some(&args.reason), &args.how).await?;
    show(&proposed, context)
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
    let proposed = change(context, edits, args.reason.as_deref(), &args.how).await?;
    show(&proposed, context)
}

fn member(draft: &Manifest, name: &str) -> Result<NodeId, CliError> {
    let place = find_member(&draft.members, name)?;
    Ok(draft.members[place].node_id)
}

/// Proposes today's draft with these changes.
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
    post(&client, &next, how).await
}

fn refused(error: &EditError) -> CliError {
    let code = match error {
        EditError::Card { .. } => Code::Verification,
        _ => Code::Usage,
    };
    CliError::new(code, error)
}

async fn post(client: &Client, manifest: &Manifest, how: &How) -> Result<ProposedView> {
    let body: Value = serde_json::from_str(&manifest.to_json().to_jcs())?;
    let mut query = vec![("dry_run", how.dry_run.to_string())];
    query.extend(how.by.clone().map(|by| ("by", by)));
    let path = ["v1", "membership", "proposals"];
    client.post_json(&path, &query, &body).await
}

fn show(proposed: &ProposedView, context: &Context) -> Result<()> {
    let out = context.out;
    out.show(proposed, |proposed| said(proposed, out))?;
    Ok(())
}
