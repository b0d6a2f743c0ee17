//! `ssid compat auto-ipfs-anchor`.

use anyhow::Result;
use clap::Args;
use ssid_node::anchor::error::ProviderError;

use super::facts::in_repository;
use crate::commands::anchor::{self, AnchorCommand};
use crate::context::Context;
use crate::error::{CliError, Code};

/// auto_ipfs_anchor.py: anchor governance artifacts on IPFS
///
/// As ssid anchor run and verify. Unlike the script, a file whose content changed is anchored again, and what is
/// verified is the content. Web3.Storage switched off the API that --web3-storage used: it is exit 1.
///
/// Example:
///   ssid compat auto-ipfs-anchor --verify
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AnchorArgs {
    /// Verify what is anchored
    #[arg(long, conflicts_with = "web3_storage")]
    verify: bool,
    /// Upload with Web3.Storage
    #[arg(long)]
    web3_storage: bool,
}

pub(crate) async fn run(args: &AnchorArgs, context: &Context) -> Result<()> {
    if args.web3_storage {
        let error = CliError::new(Code::Failed, ProviderError::Web3);
        return Err(error.into());
    }
    let command = if args.verify { AnchorCommand::verify_all() } else { AnchorCommand::Run };
    anchor::run(command, &in_repository(context)).await
}
