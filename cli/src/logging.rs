//! Log lines on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};
use crate::output::likes_color;

/// Starts logging. `usual` is the level of this project's own crates without `-v` or `-q`.
pub(crate) fn start(global: &Global, usual: &str) {
    let debug = std::env::var_os("SSID_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
    let verbosity = if debug { 2 } else { global.verbose };
    let filter = match (global.quiet && !debug, verbosity) {
        (true, _) => "error".to_owned(),
        (_, 0) => format!("warn,{}", ours(usual)),
        (_, 1) => format!("warn,{}", ours("debug")),
        (_, _) => format!("info,libp2p=debug,{}", ours("trace")),
    };
    let color = std::io::stderr().is_terminal() && likes_color();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        // it would tell standard error that standard error is gone, and panic: a node outlives the reader of its log
        .log_internal_errors(false)
        .with_ansi(color)
        .with_target(verbosity > 0);
    // a second start in one process changes nothing
    let _ = match global.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}

fn ours(level: &str) -> String {
    ["ssid", "ssid_node", "ssid_storage", "ssid_protocol"].map(|name| format!("{name}={level}")).join(",")
}
