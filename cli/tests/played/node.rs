//! A node that answers what the test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// What it says to a request: a status and a body.
pub(super) type Answer = (u16, String);

/// A node on the socket of its data directory; it ends with the test.
pub(super) struct Played {
    dir: TempDir,
}

/// What a command left behind.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Played {
    /// Answers each request, `GET /v1/status` with its query, with what `answer` says of it.
    /// `answer` may wait: every request has a thread. A stream is held open.
    pub(super) fn new(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(dir.path().join("api.sock")).unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answer.clone();
                thread::spawn(move || serve(&stream.unwrap(), &*answer));
            }
        });
        Self { dir }
    }

    /// `ssid` with these arguments, asking this node.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = ssid(args);
        command.arg("--data").arg(self.dir.path());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// `ssid` with these arguments, and nothing of this process's settings.
pub(super) fn ssid(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    let is_setting = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("SSID_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// A command under way, and its lines.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) out: BufReader<ChildStdout>,
    pub(super) err: BufReader<ChildStderr>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // where the test failed half way; else it has ended
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads up to the line that `is_it`; the lines before it are skipped.
pub(super) fn line_of(lines: &mut impl std::io::BufRead, is_it: impl Fn(&str) -> bool) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended: {seen}");
        if is_it(&line) {
            return line;
        }
        seen.push_str(&line);
    }
}

/// That there is no such thing.
pub(super) fn missing(what: &str) -> Answer {
    let problem = json!({ "type": "urn:ssid:problem:not_found", "title": "Not found", "status": 404,
        "detail": format!("there is no {what}") });
    (404, problem.to_string())
}

/// A page of a list.
pub(super) fn page(items: &[Value]) -> Answer {
    (200, json!({ "items": items, "next": null }).to_string())
}

/// An event as the API shows it, certified.
pub(super) fn event(event_type: &str, version: &str, commit: &str) -> Value {
    json!({
        "timestamp": "2026-11-30T10:00:00Z", "event_type": event_type, "event_version": version,
        "commit_hash": commit, "blueprint": "v4.4", "root_24_lock": "active",
        "compliance_score": "1.0", "emitted_by": "test",
        "event_hash": "ab".repeat(32), "content_digest": "cd".repeat(32), "proof_anchor": null,
        "subject_id": "ef".repeat(32), "state": "certified", "sequence": 7,
        "announced_by": null, "review": null,
    })
}

fn serve(mut stream: &UnixStream, answer: &(impl Fn(&str) -> Answer + ?Sized)) {
    let mut lines = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if lines.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).unwrap();
        let request = first.trim_end().trim_end_matches(" HTTP/1.1");
        let (status, body) = answer(request);
        if request == "GET /v1/stream" {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            // whoever went away was not to be told anything
            if stream
                .write_all(format!("{head}{body}").as_bytes())
                .is_err()
            {
                return;
            }
            // held open until the other end goes
            lines.read_to_end(&mut Vec::new()).ok();
            return;
        }
        let head = format!(
            "HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(format!("{head}{body}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}
