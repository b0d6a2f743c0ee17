//! `ssid federation`: creates, joins and shows a federation.

mod join;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use ssid_node::config::write_atomic;
use ssid_node::home::Home;
use ssid_node::invited;
use ssid_protocol::card::MemberCard;
use ssid_protocol::id::FederationId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::quorum::VoterSet;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, clean, counted, is_standard_output, short};
use crate::setup::{self, NewFederation};
use crate::table::{named, whole};

/// Create, join and show a federation
#[derive(Debug, Subcommand)]
pub(crate) enum FederationCommand {
    Create(CreateArgs),
    Join(join::JoinArgs),
    /// Show the rules and members of a federation, and how many of them may fail or lie
    ///
    /// Examples:
    ///   ssid federation show
    ///   ssid federation show genesis.json --json
    #[command(verbatim_doc_comment)]
    Show {
        /// The genesis file [default: the one this node joined]
        genesis: Option<PathBuf>,
    },
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

pub(crate) fn run(command: FederationCommand, context: &Context) -> Result<()> {
    match command {
        FederationCommand::Create(args) => create(&args, context),
        FederationCommand::Join(args) => join::run(&args, context),
        FederationCommand::Show { genesis } => {
            let manifest = match genesis {
                Some(path) => setup::read_genesis(&path)?,
                None => own_genesis(&context.home)?,
            };
            show(&manifest, manifest.federation_id(), context.out)
        }
    }
}

/// The genesis manifest of the federation that the node joined, or is invited to.
fn own_genesis(home: &Home) -> Result<Manifest> {
    let path = home.genesis();
    if !path.exists()
        && let Some(invite) = invited::read(home).or_usage()?
    {
        return Ok(invite.genesis);
    }
    setup::read_genesis(&path)
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

/// Shows a manifest; a federation's id is the hash of its first one.
fn show(manifest: &Manifest, id: FederationId, out: Output) -> Result<()> {
    let voters = manifest.voters().or_usage()?;
    let member = |m: &ssid_protocol::member::Member| {
        json!({
            "node_id": m.node_id, "peer_id": m.peer_id, "node_name": m.node_name, "organization": m.organization,
            "role": m.role, "status": m.status, "weight": m.weight, "addresses": m.addresses,
            "git_remote": m.git_remote, "api_endpoint": m.api_endpoint,
        })
    };
    let answer = json!({
        "federation_name": manifest.name,
        "federation_id": id,
        "epoch": manifest.epoch,
        "created_at": manifest.created_at,
        "threshold_percent": f64::from(manifest.threshold_bp) / 100.0,
        "quorum": voters.quorum(),
        "total_weight": voters.total(),
        "voters": voters.len(),
        "may_fail": voters.may_fail(),
        "tolerated_weight": voters.max_faulty(),
        "fewest_that_break_safety": voters.heaviest_exceeding_faulty(),
        "members": manifest.members.iter().map(member).collect::<Vec<_>>(),
    });
    out.show(&answer, |_| text(manifest, id, &voters, out))?;
    // a slip in an address is found now, while cards can still be made anew
    for member in &manifest.members {
        for address in &member.addresses {
            if let Some(why) = ssid_network::undialable(address) {
                out.remark(&format!(
                    "nobody can dial {} of {}: {}",
                    clean(address),
                    clean(&member.node_name),
                    clean(&why)
                ));
            }
        }
    }
    Ok(())
}

fn text(manifest: &Manifest, id: FederationId, voters: &VoterSet, out: Output) -> String {
    let members = manifest.members.iter().map(|m| {
        let cells = [
            short(&m.node_id),
            clean(&m.node_name),
            clean(&m.organization),
            m.role.to_string(),
            m.status.to_string(),
        ];
        let mut row: Vec<_> = cells.iter().map(|text| out.plain(text)).collect();
        row.push(out.plain(clean(&m.addresses.join(" "))));
        row
    });
    let threshold = f64::from(manifest.threshold_bp) / 100.0;
    let columns = [
        whole("NODE"),
        named("NAME", 8),
        named("ORGANIZATION", 10).goes(2),
        whole("ROLE"),
        whole("STATUS").goes(1),
        named("ADDRESSES", 16),
    ];
    format!(
        "Federation {} (epoch {})\n  id         {}\n  quorum     {} of {} ({threshold:.1}% asked for)\n  tolerates  {}\n\n{}",
        clean(&manifest.name),
        manifest.epoch,
        id,
        voters.quorum(),
        voters.total(),
        out.paragraph(&tolerance(voters), 13),
        out.table(&columns, members),
    )
}

/// How many members may fail or lie, in words.
fn tolerance(voters: &VoterSet) -> String {
    let members = |n: usize| counted(n as u64, "member", "members");
    let failing = match voters.may_fail() {
        0 => "no member may be away for decisions to go on".to_owned(),
        n => format!("{} may be away and decisions go on", members(n)),
    };
    let lying = match voters.max_faulty() {
        0 => "if one member lied, two contradicting certificates would be possible".to_owned(),
        f => format!(
            "members with {f} of {} votes may lie, and no two certificates contradict each other",
            voters.total()
        ),
    };
    // with equal votes the number of members says more than their weight
    let enough = if voters.max_faulty() == 0 {
        ". Four members with equal votes would exclude that"
    } else {
        ""
    };
    format!("{failing}; {lying}{enough}")
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn what_a_federation_tolerates_is_said_as_it_is() {
        let of = |n| tolerance(&testing::federation(n).2);
        assert!(of(2).starts_with("no member may be away"));
        assert!(of(3).contains("if one member lied") && of(3).contains("Four members"));
        assert!(of(4).starts_with("1 member may be away"));
        assert!(of(4).contains("members with 1 of 4 votes may lie") && !of(4).contains("Four"));
        assert!(of(7).starts_with("2 members may be away"));
    }
}
