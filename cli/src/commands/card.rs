//! `ssid card`: prints this node's signed member card.

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::error::OrCode as _;
use crate::setup;

/// Print this node's signed member card (JSON), to hand over to whoever creates the federation
///
/// Example:
///   ssid card > berlin.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CardArgs {}

pub(crate) fn run(_: &CardArgs, context: &Context) -> Result<()> {
    let card = setup::read_card(&context.home.card())?;
    card.verify().or_usage()?;
    context.out.document(card.to_pretty().trim_end())?;
    Ok(())
}
