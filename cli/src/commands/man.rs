//! `ssid man`: writes the manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Command};

use crate::context::Context;

/// Write manual pages: ssid.1 and one for each command
///
/// Example:
///   ssid man -o ~/.local/share/man/man1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ManArgs {
    /// Directory to write to; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: &ManArgs, context: &Context, interface: Command) -> Result<()> {
    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make {}", args.output.display()))?;
    clap_mangen::generate_to(interface, &args.output)
        .with_context(|| format!("cannot write to {}", args.output.display()))?;
    let directory = args.output.display().to_string();
    let answer = serde_json::json!({ "directory": directory });
    context
        .out
        .show(&answer, |_| format!("manual pages are in {directory}"))?;
    Ok(())
}
