//! What can be proposed, as it is typed.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::member::Role;

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
    pub(super) change: Option<ProposedChange>,
    /// An edited manifest: ssid membership draft writes today's
    #[arg(long, value_name = "F", required = true)]
    pub(super) from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) how: How,
}

/// One change of members.
#[derive(Debug, Subcommand)]
pub(super) enum ProposedChange {
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
    pub(super) dry_run: bool,
    /// Who decided it, recorded beside the operating system's user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) by: Option<String>,
}

/// What has to be said why.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// Why, for those who approve it and who read it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) how: How,
}

/// What says itself what it is, unless there is more to say.
#[derive(Debug, Args)]
pub(crate) struct GivenOrWords {
    /// Why [default: what changes, in words]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) how: How,
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
    pub(super) card: PathBuf,
    /// participant, observer or coordinator [default: what the card says]
    #[arg(long, value_name = "ROLE")]
    pub(super) role: Option<Role>,
    /// Where to write what it joins with [default: NAME.invite.json]
    #[arg(long, value_name = "F")]
    pub(super) invite: Option<PathBuf>,
    /// What its vote weighs where votes weigh by trust, 1 to 100 [default: what the card says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) weight: Option<u64>,
    #[command(flatten)]
    pub(super) given: Given,
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
    pub(super) node: String,
    #[command(flatten)]
    pub(super) given: Given,
}

/// Propose that a member does not vote for a while; it stays connected and verifies
///
/// Example:
///   ssid membership propose suspend Rome --reason 'its machine is rebuilt'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

/// A member, and why it changes.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The member
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) node: String,
    #[command(flatten)]
    pub(super) given: GivenOrWords,
}

/// Propose that a member does something else
///
/// Example:
///   ssid membership propose role Rome coordinator
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(super) node: NodeArgs,
    /// participant, observer or coordinator
    pub(super) role: Role,
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
pub(super) struct SetArgs {
    /// The member whose status, weight or addresses change
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) node: Option<String>,
    /// inactive: it takes no part, by its own wish; active: it does again
    #[arg(long, requires = "node", value_parser = ["active", "inactive"])]
    pub(super) status: Option<String>,
    /// What its vote weighs where votes weigh by trust, 1 to 100
    #[arg(long, value_name = "N", requires = "node", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) weight: Option<u64>,
    /// Where it is reached from now on (repeatable)
    #[arg(long = "address", value_name = "MULTIADDR", requires = "node")]
    pub(super) addresses: Vec<String>,
    /// Share of all votes that decides, in percent; never less than safety needs
    #[arg(long, value_name = "PERCENT")]
    pub(super) threshold: Option<f64>,
    /// Fewest members that have to take part in a decision
    #[arg(long, value_name = "N")]
    pub(super) min_participating: Option<u32>,
    /// How conflicts are settled where they are settled automatically
    #[arg(long, value_name = "STRATEGY")]
    pub(super) tie_breaking: Option<TieBreak>,
    /// Whether conflicts are settled automatically: true or false
    #[arg(long, value_name = "BOOL")]
    pub(super) auto_resolve: Option<bool>,
    #[command(flatten)]
    pub(super) given: GivenOrWords,
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
pub(super) struct ReplaceArgs {
    /// The member whose key is lost
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) node: String,
    /// The card of the new key
    pub(super) card: PathBuf,
    /// Where to write what the new key's node joins with [default: NAME.invite.json]
    #[arg(long, value_name = "F")]
    pub(super) invite: Option<PathBuf>,
    /// The old key is lost and cannot sign that it is replaced
    #[arg(long, required = true)]
    pub(super) lost: bool,
    #[command(flatten)]
    pub(super) given: Given,
}
