//! `ssid restore`: a node that was restored from an older copy takes part again.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_node::old_copy::{self, OldCopyError};
use ssid_node::{clock, keyfile};

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};

/// Let a node that abstains, as it was restored from an older copy, take part again
///
/// Only its operator can know that no other copy of it runs: two of one key contradict each other,
/// and are convicted for it. On the stopped node this is written into its vote history, and its
/// database is set aside to be filled again from the others. After the next start it asks the other
/// voters, and votes again from the federation's next epoch on. Until then, and at once with a new
/// key: ssid init --succeeds.
///
/// Example:
///   ssid restore --old-copy-is-gone
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RestoreArgs {
    /// No other copy of this node runs, or ever will
    #[arg(long, required = true)]
    old_copy_is_gone: bool,
}

pub(crate) fn run(_: &RestoreArgs, context: &Context) -> Result<()> {
    let home = &context.home;
    home.check().or_usage()?;
    let node = keyfile::public(&home.voting_key()).or_usage()?;
    let restored = old_copy::is_gone(home, node, clock::now()).map_err(|error| {
        let code = match error {
            OldCopyError::Storage(_) | OldCopyError::Io(_) => Code::Failed,
            _ => Code::Usage,
        };
        CliError::new(code, error)
    })?;
    let aside = restored.set_aside.map(|path| path.display().to_string());
    let answer = json!({ "node_id": node, "set_aside": aside });
    context.out.show(&answer, |_| {
        let aside = aside.as_ref().map_or(String::new(), |path| {
            format!("\nThe older database is set aside as {path}; remove it when you need it no more.")
        });
        format!(
            "This node takes part again from the federation's next epoch on.{aside}\n\
             Start it with: ssid run. When a change of members is in force it votes; see: ssid status"
        )
    })?;
    Ok(())
}
