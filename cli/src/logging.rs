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
    let filter = filter(global.quiet && !debug, verbosity, usual);
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

/// Whose lines are shown, by the beginnings of their targets.
fn filter(quiet: bool, verbosity: u8, usual: &str) -> String {
    match (quiet, verbosity) {
        (true, _) => "error".to_owned(),
        (_, 0) => format!("warn,{},{}", network("error"), ours(usual)),
        (_, 1) => format!("warn,{},{}", network("error"), ours("debug")),
        (_, _) => format!("info,{},{}", network("debug"), ours("trace")),
    }
}

/// The libraries that speak with whoever dials: what they warn of is what others do, which this
/// project's own crates count and judge.
fn network(level: &str) -> String {
    [
        "libp2p",
        "multistream_select",
        "yamux",
        "quinn",
        "rustls",
        "hickory",
        "netlink",
        "if_watch",
        "hyper",
    ]
    .map(|name| format!("{name}={level}"))
    .join(",")
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

/// All of this project's crates: their names begin alike.
fn ours(level: &str) -> String {
    format!("ssid={level}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What a filter lets through of one warning each by a library and by this project.
    fn shown(filter: &str) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(line);
                Ok(line.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "libp2p_gossipsub::behaviour", "Message not in cache");
            tracing::warn!(target: "libp2p_swarm", "dialled");
            tracing::warn!(target: "yamux::connection", "broken");
            tracing::warn!(target: "ssid_network::door", "ours");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text
    }

    #[test]
    fn what_libraries_warn_of_hostile_dials_is_for_those_who_debug() {
        for verbosity in [0, 1] {
            let shown = shown(&filter(false, verbosity, "info"));
            assert_eq!(shown.lines().count(), 1, "{shown}");
            assert!(shown.contains("ours"), "{shown}");
        }
        assert_eq!(shown(&filter(false, 2, "info")).lines().count(), 4);
    }
}
