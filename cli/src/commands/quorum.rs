//! `ssid quorum`: the federation's health in words, as this node sees it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use ssid_node::view::{NodeView, Page, RecordView, StatusView};
use ssid_protocol::id::NodeId;

use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, seconds, short};
use crate::table::{named, prose, whole};

/// Decisions that are looked at for who disagreed.
const LOOKED_AT: usize = 100;

/// A heartbeat may be this much older than the certificates it should tell of: those were still
/// under way.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(5);

/// Show who agrees, is delayed, disagrees or is missing, and how many more may fail
///
/// Exit 4 without a quorum. Of each voter the worst that holds is shown: it is missing (not connected), cannot sign (it
/// starts, abstains, is read-only, or cannot read its registry), disagrees (its registry says
/// something else than one of the last 100 decisions, or than any that it found later), is delayed
/// (it holds fewer certificates than this node), else it agrees.
///
/// Examples:
///   ssid quorum
///   ssid quorum --json | jq .may_fail
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct QuorumArgs {}

/// What a voter is to the federation now; the worst that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Agrees,
    Delayed,
    Disagrees,
    /// Connected, and signs no votes.
    Unable,
    Missing,
}

impl Health {
    fn word(self) -> (Tone, &'static str) {
        match self {
            Self::Agrees => (Tone::Good, "agrees"),
            Self::Delayed => (Tone::Warn, "delayed"),
            Self::Disagrees => (Tone::Warn, "disagrees"),
            Self::Unable => (Tone::Bad, "cannot sign"),
            Self::Missing => (Tone::Bad, "missing"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct VoterHealth {
    node_id: NodeId,
    node_name: String,
    organization: String,
    weight: u64,
    health: Health,
    why: String,
}

/// The federation's health: weights are those of the epoch's manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct FederationHealth {
    has_quorum: bool,
    /// The weight that decides, of `total_weight`.
    quorum: u64,
    total_weight: u64,
    /// Of the voters that are there and sign.
    available_weight: u64,
    /// How many of those may fail, whichever they are, while the others are a quorum.
    may_fail: usize,
    /// The weight that may lie (F) while no two certificates can differ.
    tolerated_weight: u64,
    /// How many voters there are.
    voters: usize,
    /// Each of them.
    voter_list: Vec<VoterHealth>,
}

pub(crate) async fn run(_: &QuorumArgs, context: &Context) -> Result<()> {
    let client = context.client()?;
    let status: StatusView = client.get(&["v1", "status"], &[]).await?;
    let nodes: Page<NodeView> = client.get(&["v1", "nodes"], &[]).await?;
    let records: Page<RecordView> = client.list(&["v1", "consensus"], &[], LOOKED_AT).await?;
    let quorum = judge(&status, &nodes.items, &records.items);
    context
        .out
        .show(&quorum, |quorum| page(quorum, context.out))?;
    if !quorum.has_quorum {
        let message = format!(
            "no quorum: weight {} can sign, {} decides",
            quorum.available_weight, quorum.quorum
        );
        let hint = "nothing is lost: events wait, and are decided when enough voters are back";
        return Err(CliError::new(Code::NoConsensus, message).hint(hint).into());
    }
    Ok(())
}

fn judge(status: &StatusView, nodes: &[NodeView], records: &[RecordView]) -> FederationHealth {
    let voters: Vec<VoterHealth> = nodes
        .iter()
        // observers sign nothing and count for nothing
        .filter(|node| node.weight > 0)
        .map(|node| voter(status, node, records))
        .collect();
    let mut weights: Vec<u64> = voters
        .iter()
        // who disagrees or is behind signs all the same
        .filter(|v| !matches!(v.health, Health::Missing | Health::Unable))
        .map(|v| v.weight)
        .collect();
    let available_weight: u64 = weights.iter().sum();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = available_weight;
    let quorum = status.federation.quorum;
    // the heaviest first: so many may fail whichever they are
    let may_fail = weights
        .iter()
        .take_while(|weight| {
            left -= **weight;
            left >= quorum
        })
        .count();
    FederationHealth {
        has_quorum: available_weight >= quorum,
        quorum,
        total_weight: status.federation.total_weight,
        available_weight,
        may_fail,
        tolerated_weight: status.federation.tolerated_weight,
        voters: voters.len(),
        voter_list: voters,
    }
}

fn voter(status: &StatusView, node: &NodeView, records: &[RecordView]) -> VoterHealth {
    let (health, why) = missing(status, node)
        .or_else(|| unable(node))
        .or_else(|| disagrees(node, records))
        .or_else(|| delayed(status, node, records))
        .unwrap_or((Health::Agrees, String::new()));
    VoterHealth {
        node_id: node.node_id,
        node_name: node.node_name.clone(),
        organization: node.organization.clone(),
        weight: node.weight,
        health,
        why,
    }
}

fn missing(status: &StatusView, node: &NodeView) -> Option<(Health, String)> {
    let voting = &status.voting;
    let connected: BTreeSet<_> = voting
        .connected_voters
        .iter()
        .map(|voter| voter.node_id)
        .collect();
    if node.is_self || connected.contains(&node.node_id) {
        return None;
    }
    let since = node
        .last_seen
        .as_deref()
        .map_or("never seen".to_owned(), |at| {
            format!("last seen {}", seconds(at))
        });
    Some((Health::Missing, format!("not connected, {since}")))
}

/// It is there and signs no votes, as its heartbeat says.
fn unable(node: &NodeView) -> Option<(Health, String)> {
    let can_sign = node
        .can_sign
        .as_deref()
        .filter(|can_sign| *can_sign != "yes")?;
    let why = node.can_sign_reason.as_deref().unwrap_or_default();
    Some((
        Health::Unable,
        format!("{}: {}", clean(can_sign).replace('_', "-"), clean(why)),
    ))
}

fn disagrees(node: &NodeView, records: &[RecordView]) -> Option<(Health, String)> {
    if let Some(count) = node.divergences.filter(|count| *count > 0) {
        let noun = if count == 1 { "decision" } else { "decisions" };
        return Some((
            Health::Disagrees,
            format!("its registry contradicts {count} {noun}"),
        ));
    }
    let mut differing = records
        .iter()
        .filter(|record| record.disagreeing_nodes.contains(&node.node_id));
    // newest first
    let latest = differing.next()?;
    let count = 1 + differing.count();
    let of = records.len();
    let what = format!(
        "{} {}",
        clean(&latest.event_type),
        clean(&latest.event_version)
    );
    Some((
        Health::Disagrees,
        format!("in {count} of the last {of} decisions, the latest {what}"),
    ))
}

/// It holds fewer certificates than this node held when its latest heartbeat came.
fn delayed(
    status: &StatusView,
    node: &NodeView,
    records: &[RecordView],
) -> Option<(Health, String)> {
    if node.is_self {
        return None;
    }
    let Some((held, seen)) = node.certified_count.zip(node.last_seen.as_deref()) else {
        return Some((Health::Delayed, "connected, no heartbeat yet".to_owned()));
    };
    // what was certified just before that heartbeat may not have reached it by then
    let told_of = seen.parse::<Timestamp>().ok()? - UNDER_WAY;
    let is_later = |record: &&RecordView| {
        record
            .completed_at
            .as_deref()
            .and_then(|at| at.parse::<Timestamp>().ok())
            .is_none_or(|at| at > told_of)
    };
    let later = records.iter().filter(is_later).count();
    if later == LOOKED_AT {
        return None; // more was decided since than is looked at
    }
    // compared with what this node held at that time, not with what it holds now
    let behind = status
        .statistics
        .certified
        .saturating_sub(later as u64)
        .checked_sub(held)
        .filter(|behind| *behind > 0)?;
    Some((
        Health::Delayed,
        format!("{behind} certificates behind as of {}", seconds(seen)),
    ))
}

fn page(quorum: &FederationHealth, out: Output) -> String {
    let count = |health| {
        quorum
            .voter_list
            .iter()
            .filter(|voter| voter.health == health)
            .count()
    };
    // the answer first: everything below explains it
    let mut text = String::new();
    let (tone, word) = if quorum.has_quorum {
        (Tone::Good, "yes")
    } else {
        (Tone::Bad, "no")
    };
    let FederationHealth {
        available_weight,
        total_weight,
        ..
    } = quorum;
    // writing to a String does not fail
    let _ = writeln!(
        text,
        "Quorum: {}, weight {available_weight} of {total_weight} can sign, {} decides",
        out.paint(tone, word),
        quorum.quorum
    );
    let _ = writeln!(
        text,
        "{} agree, {} delayed, {} disagree, {} cannot sign, {} missing",
        count(Health::Agrees),
        count(Health::Delayed),
        count(Health::Disagrees),
        count(Health::Unable),
        count(Health::Missing)
    );
    let lying = match quorum.tolerated_weight {
        0 => "if one lied, two contradicting certificates would be possible".to_owned(),
        weight => format!(
            "members with {weight} of {total_weight} votes may lie, and no two certificates contradict"
        ),
    };
    let _ = writeln!(
        text,
        "{}\n",
        out.paragraph(&format!("{} more may fail; {lying}", quorum.may_fail), 2)
    );
    let row = |voter: &VoterHealth| {
        let (tone, word) = voter.health.word();
        vec![
            out.plain(short(&voter.node_id)),
            out.plain(clean(&voter.node_name)),
            out.plain(clean(&voter.organization)),
            out.plain(voter.weight),
            out.cell(tone, word),
            out.plain(&voter.why),
        ]
    };
    let columns = [
        whole("NODE"),
        named("NAME", 8),
        named("ORGANIZATION", 10).goes(2),
        whole("WEIGHT").goes(1),
        whole("HEALTH"),
        prose("WHY"),
    ];
    text + &out.table(&columns, quorum.voter_list.iter().map(row))
}
