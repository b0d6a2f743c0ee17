//! `ssid compat auto-ipfs-anchor`.

use anyhow::Result;
use clap::Args;

use crate::error::{CliError, Code};

/// auto_ipfs_anchor.py: anchor governance artifacts on IPFS
///
/// Not built yet: every call is exit 1 and changes nothing.
///
/// Example:
///   ssid compat auto-ipfs-anchor --verify
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AnchorArgs {
    /// Verify what is anchored
    #[arg(long)]
    verify: bool,
    /// Upload with Web3.Storage
    #[arg(long)]
    web3_storage: bool,
}

pub(crate) fn run(args: &AnchorArgs) -> Result<()> {
    let what = match args {
        AnchorArgs { verify: true, .. } => "verifying anchors",
        AnchorArgs { web3_storage: true, .. } => "anchoring with Web3.Storage",
        AnchorArgs { .. } => "anchoring on IPFS",
    };
    let error = CliError::new(Code::Failed, format!("{what} is not built into this version of ssid yet"));
    Err(error.hint("nothing was done; ipfs_anchor_manifest.json is as it was").into())
}
