//! `ssid federation show`: who counts, by which rules, and what that tolerates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_node::home::Home;
use ssid_node::invited;
use ssid_node::text::spoken;
use ssid_node::view::{EpochView, MembershipView};
use ssid_protocol::id::FederationId;
use ssid_protocol::manifest::{Manifest, TieBreak, Weighting};
use ssid_protocol::member::Member;
use ssid_protocol::quorum::VoterSet;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, clean, counted, short};
use crate::setup;
use crate::table::{named, whole};

/// Show who counts now, by which rules, and how many may fail or lie
///
/// The node is asked. If none answers, what is shown is the genesis file, as the federation began.
///
/// Examples:
///   ssid federation show
///   ssid federation show genesis.json --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ShowArgs {
    /// A genesis file [default: this node's federation]
    genesis: Option<PathBuf>,
}

pub(super) async fn run(args: &ShowArgs, context: &Context) -> Result<()> {
    if let Some(path) = &args.genesis {
        let manifest = setup::read_genesis(path)?;
        return show(&manifest, manifest.federation_id(), context.out);
    }
    match of_node(context).await {
        Ok((manifest, id)) => show(&manifest, id, context.out),
        Err(error) if is_unreachable(&error) => {
            let manifest = own_genesis(&context.home)?;
            show(&manifest, manifest.federation_id(), context.out)?;
            let remark = "as it began: no node answers that knows what changed since";
            context.out.remark(remark);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    let known = error.downcast_ref::<CliError>();
    known.is_some_and(|known| known.code == Code::Unreachable)
}

/// The manifest in force as the node says it, and the federation.
async fn of_node(context: &Context) -> Result<(Manifest, FederationId)> {
    let client = context.client()?;
    let now: MembershipView = client.get(&["v1", "membership"], &[]).await?;
    let epoch = async |number: &str| -> Result<Manifest> {
        let view: EpochView = client.get(&["v1", "epochs", number], &[]).await?;
        let document = view.manifest.unwrap_or_default().to_string();
        Ok(Manifest::parse(document.as_bytes()).or_code(Code::Failed)?)
    };
    let manifest = epoch(&now.epoch.to_string()).await?;
    Ok((manifest, epoch("0").await?.federation_id()))
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

/// Shows a manifest; a federation's id is the hash of its first one.
pub(super) fn show(manifest: &Manifest, id: FederationId, out: Output) -> Result<()> {
    let voters = manifest.voters().or_usage()?;
    let member = |m: &Member| {
        json!({
            "node_id": m.node_id, "peer_id": m.peer_id, "node_name": m.node_name, "organization": m.organization,
            "role": m.role, "status": m.status, "weight": m.weight, "addresses": m.addresses,
            "git_remote": m.git_remote, "api_endpoint": m.api_endpoint, "keys": keys(m),
        })
    };
    let answer = json!({
        "federation_name": manifest.name,
        "federation_id": id,
        "epoch": manifest.epoch,
        "manifest_hash": manifest.hash(),
        "created_at": manifest.created_at,
        "rules": manifest.rules.names().collect::<Vec<_>>(),
        "min_participating_nodes": manifest.min_participating_nodes,
        "vote_weighting": manifest.vote_weighting,
        "tie_breaking_strategy": manifest.tie_breaking_strategy,
        "auto_resolve_conflicts": manifest.auto_resolve_conflicts,
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
    let columns = [
        whole("NODE"),
        named("NAME", 8),
        named("ORGANIZATION", 10).goes(2),
        whole("ROLE"),
        whole("STATUS").goes(1),
        named("ADDRESSES", 16),
    ];
    let mut fields = vec![
        ("id", id.to_string()),
        ("pin", spoken(&manifest.hash())),
        ("quorum", quorum(manifest, voters)),
        ("tolerates", tolerance(voters)),
        ("conflicts", conflicts(manifest)),
        ("rules", rules(manifest)),
    ];
    let with_keys = manifest.members.iter().filter_map(|member| {
        let purposes = keys(member).into_keys().collect::<Vec<_>>().join(", ");
        (!purposes.is_empty()).then(|| format!("{} for {purposes}", clean(&member.node_name)))
    });
    let with_keys: Vec<_> = with_keys.collect();
    if !with_keys.is_empty() {
        fields.push(("keys", with_keys.join("; ")));
    }
    let fields = fields.into_iter().map(|(name, value)| {
        let value = out.paragraph(&value, 13);
        format!("  {name:<10} {value}\n")
    });
    let fields: String = fields.collect();
    format!(
        "Federation {} (epoch {})\n{fields}\n{}",
        clean(&manifest.name),
        manifest.epoch,
        out.table(&columns, members),
    )
}

fn keys(member: &Member) -> BTreeMap<String, String> {
    let keys = member.keys.iter();
    keys.map(|(purpose, key)| (purpose.to_owned(), key.to_owned()))
        .collect()
}

fn quorum(manifest: &Manifest, voters: &VoterSet) -> String {
    let threshold = f64::from(manifest.threshold_bp) / 100.0;
    let weighs = match manifest.vote_weighting {
        Weighting::Equal => "each vote weighs the same",
        Weighting::Trust => "votes weigh as the manifest says",
    };
    format!(
        "{} of {} ({threshold:.1}% asked for); {weighs}, and at least {} have to sign",
        voters.quorum(),
        voters.total(),
        voters.min_signers()
    )
}

fn conflicts(manifest: &Manifest) -> String {
    match (
        manifest.auto_resolve_conflicts,
        manifest.tie_breaking_strategy,
    ) {
        (false, _) | (_, TieBreak::ManualReview) => "settled by people".to_owned(),
        (true, how) => format!("settled automatically, by {how}"),
    }
}

fn rules(manifest: &Manifest) -> String {
    let names: Vec<_> = manifest.rules.names().collect();
    if names.is_empty() {
        "those of the protocol, and no further ones".to_owned()
    } else {
        names.join(", ")
    }
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
