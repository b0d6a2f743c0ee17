//! `ssid trust`.

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::api::view::TrustView;

use crate::context::Context;
use crate::output::{Output, Tone, clean, seconds, short};

/// This node's trust in the members
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// List every member's score
    List,
    /// Show one member's score and every point of it with its cause
    ///
    /// Example:
    ///   ssid trust show Berlin
    #[command(verbatim_doc_comment)]
    Show {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

pub(crate) async fn run(command: TrustCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        TrustCommand::List => {
            let all: Vec<TrustView> = client.get(&["v1", "trust"], &[]).await?;
            out.show(&all, |all| table(all, out))?;
        }
        TrustCommand::Show { id } => {
            let one: TrustView = client.get(&["v1", "trust", &id], &[]).await?;
            out.show(&one, |one| page(one, out))?;
        }
    }
    Ok(())
}

fn tone(score: i32) -> Tone {
    match score {
        50.. => Tone::Good,
        25..50 => Tone::Warn,
        _ => Tone::Bad,
    }
}

fn table(all: &[TrustView], out: Output) -> String {
    let row = |t: &TrustView| {
        vec![
            out.plain(short(&t.node_id)),
            out.plain(clean(&t.node_name)),
            out.plain(clean(&t.organization)),
            out.cell(tone(t.score), t.score),
            out.cell(tone(t.score), &t.label),
        ]
    };
    out.table(&["NODE", "NAME", "ORGANIZATION", "SCORE", "TRUST"], all.iter().map(row))
}

fn page(trust: &TrustView, out: Output) -> String {
    let row = |change: &ssid_node::api::view::TrustChangeView| {
        vec![
            out.plain(seconds(&change.at)),
            out.cell(if change.points < 0 { Tone::Bad } else { Tone::Good }, format!("{:+}", change.points)),
            out.plain(change.score),
            out.plain(&change.reason),
            out.plain(clean(&change.reference).chars().take(40).collect::<String>()),
        ]
    };
    let score = out.paint(tone(trust.score), &format!("{} {}", trust.score, trust.label));
    let title = format!("{} of {}: {score}", clean(&trust.node_name), clean(&trust.organization));
    if trust.changes.is_empty() {
        return format!("{title}\nno changes: where every member starts");
    }
    format!("{title}\n{}", out.table(&["AT", "POINTS", "SCORE", "REASON", "ABOUT"], trust.changes.iter().map(row)))
}
