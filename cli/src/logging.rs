//! Log lines on standard error. A node's are written by a thread of their own: whoever reads them
//! and stops – a pager, a terminal at Ctrl-S, a full pipe – stops no vote.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ssid_node::text;
use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};
use crate::output::likes_color;

/// Lines of a node that wait to be written; those that come when there are so many are dropped.
const LINES: usize = 1024;
/// How long the last lines may take to be written when a process ends.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Starts logging. `usual` is the level of this project's own crates without `-v` or `-q`; a node
/// never waits for who reads its lines.
pub(crate) fn start(global: &Global, usual: &str, is_node: bool) {
    let debug =
        std::env::var_os("SSID_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
    let verbosity = if debug { 2 } else { global.verbose };
    let filter = filter(global.quiet && !debug, verbosity, usual);
    let color = io::stderr().is_terminal() && likes_color();
    let is_json = matches!(global.log_format, LogFormat::Json);
    if is_node {
        start_writer(is_json);
    }
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
        match WRITER.get() {
            Some(writer) => writer.write(shown),
            None => io::stderr().lock().write_all(shown.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// The writer of a node's lines.
static WRITER: OnceLock<Writer> = OnceLock::new();

struct Writer {
    lines: SyncSender<Sent>,
    /// How many were dropped and not told of yet.
    dropped: AtomicU64,
}

enum Sent {
    Line(String),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

impl Writer {
    fn write(&self, line: String) {
        if self.lines.try_send(Sent::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn start_writer(is_json: bool) {
    let (lines, written) = sync_channel(LINES);
    let spawned = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&written, is_json));
    if spawned.is_ok() {
        let dropped = AtomicU64::new(0);
        // a second start in one process changes nothing
        let _ = WRITER.set(Writer { lines, dropped });
    }
}

fn write_all(lines: &Receiver<Sent>, is_json: bool) {
    for sent in lines {
        match sent {
            Sent::Line(line) => {
                // standard error closed: there is nobody left to tell
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
            Sent::Flush(done) => {
                // who asked waits no longer
                let _ = done.send(());
            }
        }
        let dropped = WRITER
            .get()
            .map_or(0, |writer| writer.dropped.swap(0, Ordering::Relaxed));
        if dropped > 0 {
            let _ = io::stderr()
                .lock()
                .write_all(gap(dropped, is_json).as_bytes());
        }
    }
}

/// What stands in the log where lines were dropped.
fn gap(dropped: u64, is_json: bool) -> String {
    let message = "log lines were dropped: they were not read as fast as they came";
    if is_json {
        let line = serde_json::json!({ "level": "WARN", "fields": { "message": message, "lines": dropped } });
        format!("{line}\n")
    } else {
        format!(" WARN {message} lines={dropped}\n")
    }
}

/// Waits a moment for the last lines to be written.
pub(crate) fn finish() {
    let Some(writer) = WRITER.get() else {
        return;
    };
    let (done, is_done) = sync_channel(1);
    if writer.lines.try_send(Sent::Flush(done)).is_ok() {
        // who does not read them does not get them
        let _ = is_done.recv_timeout(LAST_LINES);
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
            tracing::warn!(target: "ssid_network::admission", "ours");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
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

    #[test]
    fn lines_that_are_not_read_are_dropped_and_counted() {
        let (lines, unread) = sync_channel(2);
        let writer = Writer {
            lines,
            dropped: AtomicU64::new(0),
        };
        for _ in 0..5 {
            writer.write("line".to_owned());
        }
        assert_eq!(writer.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(unread.try_iter().count(), 2);
        assert!(gap(3, false).contains("lines=3"));
        let line: serde_json::Value = serde_json::from_str(&gap(3, true)).unwrap();
        assert_eq!(line["fields"]["lines"], 3);
    }
}
