//! `ssid federation`: creates, joins and shows a federation.

mod join;
mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use ssid_node::config::write_atomic;
use ssid_protocol::card::MemberCard;

use self::show::show;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::is_standard_output;
use crate::setup::{self, NewFederation};

/// Create, join and show a federation
#[derive(Debug, Subcommand)]
pub(crate) enum FederationCommand {
    Create(CreateArgs),
    Join(join::JoinArgs),
    Show(show::ShowArgs),
}

/// Make a genesis file from member cards
///
/// Everybody who is handed the file can check that it holds the cards they know; its hash, the
/// federation id, is in every signature. At least one member is a coordinator.
///
/// Example:
///   ssid federation create --name demo --card berlin.json --card paris.json --card rome.json \
///     --coordinator Berlin -o genesis.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CreateArgs {
    /// The federation's name
    #[arg(long, value_name = "X")]
    name: String,
    /// A member's card (repeatable)
    #[arg(long = "card", value_name = "FILE", required = true, num_args = 1..)]
    cards: Vec<PathBuf>,
    /// A coordinator, by name or the beginning of its id (repeatable)
    #[arg(long = "coordinator", value_name = "NODE", required = true, num_args = 1..)]
    coordinators: Vec<String>,
    /// Where to write the genesis file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Share of all votes that decides, in percent; never less than safety needs
    #[arg(long, value_name = "PERCENT", default_value_t = 66.0)]
    threshold: f64,
    /// Fewest members that have to take part in a decision
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_participating: u32,
    /// How conflicts are settled where they are settled automatically
    #[arg(long, value_name = "STRATEGY", default_value = "timestamp_priority")]
    tie_breaking: String,
    /// Settle conflicts automatically
    #[arg(long)]
    auto_resolve: bool,
    /// An event type of which each timestamp is an event of its own (repeatable)
    #[arg(long = "recurring", value_name = "EVENT")]
    recurring: Vec<String>,
}

pub(crate) async fn run(command: FederationCommand, context: &Context) -> Result<()> {
    match command {
        FederationCommand::Create(args) => create(&args, context),
        FederationCommand::Join(args) => join::run(&args, context),
        FederationCommand::Show(args) => show::run(&args, context).await,
    }
}

fn create(args: &CreateArgs, context: &Context) -> Result<()> {
    let threshold_bp = setup::basis_points(args.threshold)?;
    // each signed by its own key: nobody is made a member with words of somebody else
    let cards = args
        .cards
        .iter()
        .map(|path| verified_card(path))
        .collect::<Result<Vec<_>>>()?;
    let manifest = setup::create_federation(&NewFederation {
        name: args.name.clone(),
        cards,
        coordinators: args.coordinators.clone(),
        threshold_bp,
        min_participating_nodes: args.min_participating,
        tie_breaking: args.tie_breaking.parse().or_usage()?,
        auto_resolve_conflicts: args.auto_resolve,
        recurring: args.recurring.clone(),
    })?;
    if is_standard_output(&args.output) {
        return Ok(context.out.document(manifest.to_pretty().trim_end())?);
    }
    // a genesis file that members have joined by must not be lost to a second one
    if args.output.exists() {
        let message = format!("{} exists and is not overwritten", args.output.display());
        return Err(CliError::usage(message)
            .hint("choose another file with -o")
            .into());
    }
    write_atomic(&*args.output, manifest.to_pretty().as_bytes()).map_err(|e| {
        CliError::new(
            Code::Failed,
            format!("cannot write {}: {e}", args.output.display()),
        )
    })?;
    show(&manifest, manifest.federation_id(), context.out)
}

/// A card that its own key signed; the file is named if it is not.
fn verified_card(path: &std::path::Path) -> Result<MemberCard> {
    let card = setup::read_card(path)?;
    card.verify()
        .map_err(|e| CliError::new(Code::Verification, format!("{}: {e}", path.display())))?;
    Ok(card)
}
