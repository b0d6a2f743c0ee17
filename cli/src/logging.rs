//! Log lines on standard error.

use std::io::{self, IsTerminal as _, Write};

use ssid_node::text;
use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};
use crate::output::likes_color;

/// Starts logging. `usual` is the level of this project's own crates without `-v` or `-q`.
pub(crate) fn start(global: &Global, usual: &str) {
    let debug =
        std::env::var_os("SSID_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
    let verbosity = if debug { 2 } else { global.verbose };
    let filter = match (global.quiet && !debug, verbosity) {
        (true, _) => "error".to_owned(),
        (_, 0) => format!("warn,{}", ours(usual)),
        (_, 1) => format!("warn,{}", ours("debug")),
        (_, _) => format!("info,libp2p=debug,{}", ours("trace")),
    };
    let color = io::stderr().is_terminal() && likes_color();
    let is_json = matches!(global.log_format, LogFormat::Json);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || Cleaned { is_json, color })
        // it would tell standard error that standard error is gone, and panic: a node outlives the
        // reader of its log
        .log_internal_errors(false)
        .with_ansi(color)
        .with_target(verbosity > 0);
    // a second start in one process changes nothing
    let _ = match global.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}

/// Standard error, for whole log lines: what of others' text in them could steer a terminal is
/// replaced.
struct Cleaned {
    is_json: bool,
    color: bool,
}

impl Write for Cleaned {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let line_text = String::from_utf8_lossy(line);
        let shown = if self.is_json {
            text::printable_json(&line_text)
        } else {
            text::printable(&line_text, self.color)
        };
        io::stderr().lock().write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

fn ours(level: &str) -> String {
    [
        "ssid",
        "ssid_node",
        "ssid_network",
        "ssid_storage",
        "ssid_protocol",
    ]
    .map(|name| format!("{name}={level}"))
    .join(",")
}
