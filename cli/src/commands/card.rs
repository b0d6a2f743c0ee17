//! `ssid card`: prints this node's signed member card.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ssid_node::text::spoken;

use super::written::write;
use crate::context::Context;
use crate::error::OrCode as _;
use crate::setup;

/// Write this node's signed member card, for whoever creates the federation or admits this node
///
/// Its key is said beside it, in 8 groups of 4 hex digits, to be read to whoever takes the card:
/// a file may be exchanged on its way.
///
/// Examples:
///   ssid card -o berlin.card.json
///   ssid card > berlin.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CardArgs {
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "F")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &CardArgs, context: &Context) -> Result<()> {
    let card = setup::read_card(&context.home.card())?;
    card.verify().or_usage()?;
    write(&card.to_pretty(), args.output.as_deref(), context.out)?;
    let key = spoken(&card.member.node_id);
    let remark = format!("its key is {key}: read this to whoever admits you");
    context.out.remark(&remark);
    Ok(())
}
