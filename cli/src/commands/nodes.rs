//! `ssid nodes`.

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::api::view::NodeView;

use crate::context::Context;
use crate::output::{Output, Tone, clean, seconds, short};

/// The members of the federation, as this node sees them
#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// List the members
    List,
    /// Show one member
    ///
    /// Examples:
    ///   ssid nodes show Berlin
    ///   ssid nodes show 3f9a          any unique beginning of its id
    #[command(verbatim_doc_comment)]
    Show {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

pub(crate) async fn run(command: NodesCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    match command {
        NodesCommand::List => {
            let nodes: Vec<NodeView> = client.get(&["v1", "nodes"], &[]).await?;
            context.out.show(&nodes, |nodes| table(nodes, context.out))?;
        }
        NodesCommand::Show { id } => {
            let node: NodeView = client.get(&["v1", "nodes", &id], &[]).await?;
            context.out.show(&node, |node| page(node, context.out))?;
        }
    }
    Ok(())
}

fn state(node: &NodeView) -> (Tone, &'static str) {
    match (node.is_self, node.connected) {
        (true, _) => (Tone::Good, "this node"),
        (_, true) => (Tone::Good, "connected"),
        (_, false) => (Tone::Warn, "not connected"),
    }
}

fn last_seen(node: &NodeView) -> String {
    match (&node.last_seen, node.is_self) {
        (_, true) => "now".to_owned(),
        (Some(at), _) => seconds(at),
        (None, _) => "never".to_owned(),
    }
}

fn table(nodes: &[NodeView], out: Output) -> String {
    let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
    let row = |node: &NodeView| {
        let (tone, word) = state(node);
        vec![
            out.plain(short(&node.node_id)),
            out.plain(clean(&node.node_name)),
            out.plain(clean(&node.organization)),
            out.plain(&node.role),
            out.cell(tone, word),
            out.plain(last_seen(node)),
            out.plain(format!("{} {}", node.trust_score, node.trust_label)),
            out.plain(number(node.certified_count)),
        ]
    };
    let headers = ["NODE", "NAME", "ORGANIZATION", "ROLE", "STATE", "LAST SEEN", "TRUST", "CERTIFIED"];
    out.table(&headers, nodes.iter().map(row))
}

fn page(node: &NodeView, out: Output) -> String {
    let (tone, word) = state(node);
    let or = |text: &Option<String>| text.as_deref().filter(|t| !t.is_empty()).map_or("–".to_owned(), clean);
    let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
    let round_trip = node.round_trip_ms.map_or(String::new(), |ms| format!(", {ms:.1} ms away"));
    let lines = [
        ("Node", node.node_id.to_string()),
        ("Name", clean(&node.node_name)),
        ("Organization", clean(&node.organization)),
        ("Role", format!("{}, {}, weight {}", node.role, node.status, node.weight)),
        ("State", format!("{}{round_trip}", out.paint(tone, word))),
        ("Last seen", last_seen(node)),
        ("Peer", clean(&node.peer_id)),
        ("Addresses", clean(&node.addresses.join(", "))),
        ("Git remote", or(&Some(node.git_remote.clone()))),
        ("Trust", format!("{} {}", node.trust_score, node.trust_label)),
        ("Software", or(&node.software)),
        ("Blueprint", or(&node.blueprint)),
        ("Compliance", or(&node.compliance_score)),
        (
            "Certified",
            format!(
                "{}, log of {}, {} open",
                number(node.certified_count),
                number(node.log_size),
                number(node.open_count)
            ),
        ),
    ];
    out.fields(&lines)
}
