//! `ssid key`: this node's two keys, and how they are replaced.

mod cancel;
mod export;
mod rotate;
mod show;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

/// Show this node's keys, and replace them
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Show(show::ShowArgs),
    #[command(name = "export-public")]
    ExportPublic(export::ExportArgs),
    Rotate(rotate::RotateArgs),
}

pub(crate) async fn run(command: KeyCommand, context: &Context) -> Result<()> {
    match command {
        KeyCommand::Show(args) => show::run(&args, context),
        KeyCommand::ExportPublic(args) => export::run(&args, context),
        KeyCommand::Rotate(args) => rotate::run(args, context).await,
    }
}
