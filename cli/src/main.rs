//! The `ssid` command: starts nodes and local clusters, queries the local node, verifies
//! certificates offline.

mod args;
mod bench;
mod client;
mod cluster;
mod commands;
mod context;
mod demo;
mod deployment;
mod error;
mod logging;
mod memory;
mod named_file;
mod names;
mod output;
mod process;
mod progress;
mod setup;
mod table;
mod tone;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser};

use args::Global;
use commands::Command;
use context::Context;

const EXAMPLES: &str = "\
Examples:
  ssid init --name Berlin --organization 'Example e.V.'
  ssid run                                     the node, in the foreground
  ssid status
  ssid events emit --event blueprint_tagged --version v4.4.0 --commit 3dd05d9 --wait
  ssid cluster up --nodes 4 --dir ~/fed     four nodes on this machine, to try things out

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 node not reachable,
4 no consensus (open, in conflict, certified otherwise, differing, refused, expired),
5 verification failed.";

/// A federation node for governance registries: organisations announce registry events to each
/// other, vote on them, and keep what a quorum certified.
#[derive(Debug, Parser)]
#[command(name = "ssid", version, after_help = EXAMPLES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    process::set_limits();
    let cli = match parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(refusal) => return error::report_usage(&refusal),
    };
    let json = cli.global.json;
    let done = Context::new(&cli.global)
        .and_then(|context| commands::dispatch(cli.command, &context, Cli::command));
    logging::finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => error::report(&failure, json),
    }
}

/// Reads the command line. Help and usage errors, which come before it is read, follow `--color` as
/// well.
fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().color(help_color(&args));
    let mut matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// What `--color` says, wherever it stands.
fn help_color(args: &[OsString]) -> ColorChoice {
    let words: Vec<_> = args
        .iter()
        .take_while(|arg| *arg != "--")
        .filter_map(|arg| arg.to_str())
        .collect();
    let joined = words
        .iter()
        .filter_map(|word| word.strip_prefix("--color="))
        .next_back();
    let apart = words
        .windows(2)
        .filter(|pair| pair[0] == "--color")
        .map(|pair| pair[1])
        .next_back();
    match joined.or(apart) {
        Some("never") => ColorChoice::Never,
        Some("always") => ColorChoice::Always,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_follows_color_wherever_it_stands() {
        let of = |words: &[&str]| help_color(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["ssid", "--help"]), ColorChoice::Auto);
        assert_eq!(
            of(&["ssid", "--color", "never", "--help"]),
            ColorChoice::Never
        );
        assert_eq!(
            of(&["ssid", "nodes", "--help", "--color=never"]),
            ColorChoice::Never
        );
        assert_eq!(
            of(&["ssid", "--color=always", "--help"]),
            ColorChoice::Always
        );
        assert_eq!(of(&["ssid", "--", "--color=always"]), ColorChoice::Auto);
    }
}
