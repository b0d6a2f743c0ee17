//! `ssid cluster`: a local federation of real processes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ssid_node::view::{Page, StatusView};

use crate::cluster::{Cluster, ClusterSpec};
use crate::context::Context;
use crate::error::CliError;
use crate::output::{Output, Tone, clean};
use crate::process::Interruption;
use crate::table::{named, whole};

/// Run a local test federation of real processes
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    Up(UpArgs),
    /// Show which nodes run, and how far they are
    ///
    /// Example:
    ///   ssid cluster status --dir ~/fed
    #[command(verbatim_doc_comment)]
    Status(Place),
    /// End a node at once, as a power cut would (SIGKILL)
    ///
    /// Example:
    ///   ssid cluster kill 2 --dir ~/fed
    #[command(verbatim_doc_comment)]
    Kill(Which),
    /// Start a node again; stops it first if it runs
    ///
    /// Example:
    ///   ssid cluster restart 2 --dir ~/fed
    #[command(verbatim_doc_comment)]
    Restart(Which),
    /// Stop every node that the directory says is running
    ///
    /// Example:
    ///   ssid cluster down --dir ~/fed
    #[command(verbatim_doc_comment)]
    Down(Place),
}

/// Start a federation on this machine: ports chosen free, data under DIR/node-0, DIR/node-1, …
///
/// A directory that holds a cluster is started as it is. Without --detach the nodes are stopped at
/// Ctrl-C.
///
/// Examples:
///   ssid cluster up --nodes 4 --dir ~/fed
///   ssid cluster up --nodes 4 --dir ~/fed --detach && ssid --data ~/fed/node-0 status
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct UpArgs {
    /// How many nodes [default: as many as DIR holds, else 4]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    #[command(flatten)]
    place: Place,
    /// Return as soon as every node is ready and connected
    #[arg(long)]
    detach: bool,
    /// How many seconds the nodes may take to be ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// An event type of which each timestamp is an event of its own (repeatable; for a new cluster)
    #[arg(long = "recurring", value_name = "EVENT")]
    recurring: Vec<String>,
}

/// The directory of the cluster that is meant.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The cluster's directory
    #[arg(long, value_name = "D", default_value = "./ssid-cluster")]
    dir: PathBuf,
}

/// Which node of which cluster.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its number, from 0
    index: usize,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: ClusterCommand, context: &Context) -> Result<()> {
    let out = context.out;
    match command {
        ClusterCommand::Up(args) => up(args, out).await?,
        ClusterCommand::Status(place) => {
            let mut cluster = Cluster::open(&place.dir)?;
            let nodes = Page::whole(describe(&mut cluster).await?);
            out.show(&nodes, |nodes| table(&nodes.items, out))?;
        }
        ClusterCommand::Kill(which) => {
            // killed, not stopped: a node has to survive it
            let killed = Cluster::open(&which.place.dir)?.kill(which.index).await?;
            if !killed {
                return Err(CliError::usage(format!("node {} is not running", which.index)).into());
            }
            out.show(
                &json!({ "node_index": which.index, "killed": true }),
                |_| format!("node {} killed", which.index),
            )?;
        }
        ClusterCommand::Restart(which) => {
            let mut cluster = Cluster::open(&which.place.dir)?;
            cluster.restart(which.index).await?;
            // until it answers: the next command of a script finds it there
            cluster
                .wait_answering(which.index, Duration::from_mins(1))
                .await?;
            let pid = cluster.pid(which.index);
            out.show(&json!({ "node_index": which.index, "pid": pid }), |_| {
                format!("node {} started", which.index)
            })?;
        }
        ClusterCommand::Down(place) => {
            let stopped = Cluster::open(&place.dir)?.down().await?;
            out.show(&json!({ "stopped": stopped }), |_| {
                format!("{stopped} nodes stopped")
            })?;
        }
    }
    Ok(())
}

async fn up(args: UpArgs, out: Output) -> Result<()> {
    let dir = &args.place.dir;
    // a cluster that is there is started as it is, whatever its number of nodes
    let there = Cluster::open(dir).map(|cluster| cluster.len()).ok();
    let mut spec = ClusterSpec::new(args.nodes.or(there).unwrap_or(4));
    spec.recurring = args.recurring;
    // before the nodes start: Ctrl-C meanwhile has to stop them too
    let mut interruption = Interruption::listen()?;
    let bar = out.progress(None, "waiting until every node is ready and connected");
    let cluster = Cluster::up(dir, &spec, Duration::from_secs(args.timeout)).await;
    bar.finish_and_clear();
    let mut cluster = cluster?;
    let nodes = describe(&mut cluster).await?;
    let answer = json!({
        "dir": cluster.dir().display().to_string(),
        "genesis": cluster.genesis().display().to_string(),
        "nodes": nodes,
    });
    let shown = out.show(&answer, |_| {
        let dir = dir.display();
        let next = if args.detach {
            format!("stop it with: ssid cluster down --dir {dir}")
        } else {
            "stop it with Ctrl-C".to_owned()
        };
        format!(
            "{}\n\nask a node with: ssid --data {dir}/node-0 status\n{next}",
            table(&nodes, out)
        )
    });
    // they go on without this process; `down` finds them by their files
    if args.detach {
        return Ok(shown?);
    }
    if shown.is_ok() {
        interruption.comes().await;
    }
    out.remark("stopping");
    cluster.stop_children().await?;
    Ok(shown?)
}

/// What is known of every node.
async fn describe(cluster: &mut Cluster) -> Result<Vec<Value>> {
    let manifest = cluster.manifest()?;
    let mut nodes = Vec::new();
    for (index, member) in manifest.members.iter().enumerate().take(cluster.len()) {
        let pid = cluster.pid(index);
        let status: Option<StatusView> = match pid {
            Some(_) => cluster
                .client(index)?
                .get(&["v1", "status"], &[])
                .await
                .ok(),
            None => None,
        };
        nodes.push(json!({
            "node_index": index,
            "node_id": member.node_id,
            "node_name": member.node_name,
            "data": cluster.home(index).root().display().to_string(),
            "address": member.addresses.first(),
            "pid": pid,
            "answers": status.is_some(),
            "has_quorum": status.as_ref().map(|s| s.voting.has_quorum),
            "can_sign": status.as_ref().map(|s| &s.voting.can_sign),
            "connected_peers": status.as_ref().map(|s| s.transport.connected_peers),
            "certified": status.as_ref().map(|s| s.statistics.certified),
        }));
    }
    Ok(nodes)
}

fn table(nodes: &[Value], out: Output) -> String {
    let text = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => clean(text),
        other => other.to_string(),
    };
    let row = |node: &Value| {
        let (runs, can_sign) = (!node["pid"].is_null(), node["can_sign"].as_str());
        let state = match (runs, can_sign, node["has_quorum"].as_bool()) {
            (false, ..) => out.cell(Tone::Bad, "stopped"),
            (_, None | Some("starting"), _) => out.cell(Tone::Warn, "starting"),
            // a full disk, a vote history that is lost: it votes no more until somebody mends it
            (_, Some(other), _) if other != "yes" => {
                out.cell(Tone::Bad, clean(other).replace('_', "-"))
            }
            (_, _, Some(true)) => out.cell(Tone::Good, "ready"),
            _ => out.cell(Tone::Warn, "waiting for a quorum"),
        };
        let mut row: Vec<_> = ["node_index", "node_name", "pid"]
            .iter()
            .map(|key| out.plain(text(&node[*key])))
            .collect();
        row.push(state);
        row.extend(
            ["connected_peers", "certified", "address", "data"]
                .iter()
                .map(|key| out.plain(text(&node[*key]))),
        );
        row
    };
    out.table(
        &[
            whole("NODE"),
            named("NAME", 8),
            whole("PID"),
            whole("STATE"),
            whole("PEERS").goes(1),
            whole("CERTIFIED").goes(2),
            whole("ADDRESS").goes(3),
            whole("DATA").goes(4),
        ],
        nodes.iter().map(row),
    )
}
