//! The `ssid` command: starts nodes and local clusters, queries the local node, verifies certificates offline.

mod args;
mod bench;
mod client;
mod cluster;
mod commands;
mod context;
mod demo;
mod error;
mod logging;
mod memory;
mod names;
mod output;
mod setup;

use std::process::ExitCode;

use clap::Parser as _;

use args::Cli;
use context::Context;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return error::report_usage(&refusal),
    };
    let json = cli.global.json;
    match Context::new(&cli.global).and_then(|context| commands::dispatch(cli.command, &context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => error::report(&failure, json),
    }
}
