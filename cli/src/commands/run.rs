//! `ssid run`: runs the node in the foreground.

use anyhow::Result;
use clap::Args;
use ssid_node::node::{self, NodeError, RunOptions};

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::process;
use crate::setup;

/// Run the node in the foreground, until Ctrl-C or SIGTERM
///
/// SIGHUP changes nothing: a node outlives the terminal that it was started on, and reads its
/// configuration when it starts. Log lines go to standard error; -v says more, --log-format json is for machines. A passphrase
/// comes from SSID_KEY_PASSPHRASE, or is asked for on a terminal.
///
/// Examples:
///   ssid run
///   ssid run --data /var/lib/ssid --repo /srv/governance --log-format json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RunArgs {}

pub(crate) async fn run(_: RunArgs, context: &Context) -> Result<()> {
    context.home.check().or_usage()?;
    if let Some(repo) = context.repo.as_ref().filter(|repo| !repo.is_dir()) {
        let error = CliError::usage(format!(
            "--repo {}: there is no such directory",
            repo.display()
        ));
        return Err(error
            .hint("name the governance repository, or leave it out to use the data directory")
            .into());
    }
    let passphrase = setup::passphrase_for(&context.home)?;
    let shutdown = process::stop_on_signals()?;
    let options = RunOptions {
        home: context.home.clone(),
        repo: context.repo.clone(),
        passphrase,
    };
    let code = |error: &NodeError| {
        if error.is_usage() {
            Code::Usage
        } else {
            Code::Failed
        }
    };
    Ok(node::run(options, shutdown)
        .await
        .map_err(|error| CliError::new(code(&error), error))?)
}
