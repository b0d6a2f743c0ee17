//! `ssid epochs`: who counted when, and the chain that proves it to anyone.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use ssid_node::text::spoken;
use ssid_node::view::{EpochView, Page};

use super::written::write;
use crate::context::Context;
use crate::output::{Output, clean, short};

/// Show the epochs of the federation, and export what proves them
#[derive(Debug, Subcommand)]
pub(crate) enum EpochsCommand {
    /// List the epochs from genesis on, with what changed with each
    ///
    /// Example:
    ///   ssid epochs list
    #[command(verbatim_doc_comment)]
    List,
    /// Show one epoch: why it began, what changed with it, and who decided that
    ///
    /// Example:
    ///   ssid epochs show 1
    #[command(verbatim_doc_comment)]
    Show {
        /// Its number; 0 is the first
        #[arg(value_name = "N")]
        epoch: u64,
    },
    /// Write the chain file, with which certificates of later epochs are verified offline
    ///
    /// Example:
    ///   ssid epochs export -o epochs.jsonl
    #[command(verbatim_doc_comment)]
    Export {
        /// Where to write it [default: standard output]
        #[arg(short, long, value_name = "F")]
        output: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: EpochsCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        EpochsCommand::List => {
            let all: Page<EpochView> = client.get(&["v1", "epochs"], &[]).await?;
            out.show(&all, |all| {
                let pages = all.items.iter().map(page);
                pages.collect::<Vec<_>>().join("\n\n")
            })?;
        }
        EpochsCommand::Show { epoch } => {
            let number = epoch.to_string();
            let epoch: EpochView = client.get(&["v1", "epochs", &number], &[]).await?;
            out.show(&epoch, |epoch| whole(epoch, out))?;
        }
        EpochsCommand::Export { output } => {
            let text = client.get_text(&["v1", "epochs", "export"]).await?;
            write(&text, output.as_deref(), out)?;
        }
    }
    Ok(())
}

/// What the list says of it, and all that followed from it.
fn whole(epoch: &EpochView, out: Output) -> String {
    let mut lines = vec![page(epoch)];
    let rest = epoch
        .consequences
        .iter()
        .filter(|line| !is_difference(line));
    lines.extend(rest.map(|line| format!("  {}", out.paragraph(&clean(line), 4))));
    if !epoch.decided_by.is_empty() {
        let names = epoch.decided_by.iter().map(|node| clean(&node.node_name));
        let names = names.collect::<Vec<_>>().join(", ");
        let words = format!("Decided by the votes of {names}.");
        lines.push(format!("  {}", out.paragraph(&words, 4)));
    }
    lines.push(format!("  Pin: {}", spoken(&epoch.manifest_hash)));
    lines.join("\n")
}

fn is_difference(line: &str) -> bool {
    line.starts_with(['+', '-', '~'])
}

fn page(epoch: &EpochView) -> String {
    let head = format!(
        "Epoch {}, manifest {}, of {}",
        epoch.epoch,
        short(&epoch.manifest_hash),
        clean(&epoch.created_at)
    );
    let mut lines = vec![
        head,
        format!("  {} voters, weight {} decides", epoch.voters, epoch.quorum),
    ];
    if !epoch.reason.is_empty() {
        lines.push(format!("  Why: {}", clean(&epoch.reason)));
    }
    let changes = epoch.consequences.iter().filter(|line| is_difference(line));
    lines.extend(changes.map(|line| format!("  {}", clean(line))));
    lines.join("\n")
}
