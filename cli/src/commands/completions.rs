//! `ssid completions`: prints completions for a shell.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::context::Context;

/// Print shell completions
///
/// Example:
///   ssid completions bash > ~/.local/share/bash-completion/completions/ssid
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// The shell that they are for
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, context: &Context, mut interface: Command) -> Result<()> {
    // into memory first: clap_complete panics where it cannot write, a closed pipe for example
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut interface, "ssid", &mut script);
    if context.out.is_json() {
        let answer = serde_json::json!({ "shell": args.shell.to_string(), "script": String::from_utf8(script)? });
        return Ok(context.out.show(&answer, |_| String::new())?);
    }
    crate::progress::hide_command();
    io::stdout().lock().write_all(&script)?;
    Ok(())
}
