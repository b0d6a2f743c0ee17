//! One node: its process, its commands, its API.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

use crate::command::{isolate, ssid_command, wait};
use crate::http::{Reply, request};
use crate::{Organisation, Outcome, SOON, eventually, ssid_binary, ssid_in};

/// Lines of a log that are shown.
const TAIL: usize = 25;
/// Longest list a test asks for.
const ALL: &str = "1000000";

/// A member's node. Its process ends when this is dropped.
#[derive(Debug)]
pub struct Node {
    /// Whose it is, and where.
    pub org: Organisation,
    child: Option<Child>,
}

impl Node {
    /// The node of an organisation, not running.
    pub fn of(org: Organisation) -> Self {
        Self { org, child: None }
    }

    /// A file in its data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.org.data.join(name)
    }

    /// Its data directory, as an argument.
    ///
    /// # Panics
    /// If its path is no text.
    pub fn data(&self) -> &str {
        self.org.data.to_str().unwrap()
    }

    /// Starts `ssid run`.
    ///
    /// # Panics
    /// If it runs already, or cannot be started.
    pub fn start(&mut self) {
        let command = ssid_command(&self.org.data);
        self.spawn(command);
    }

    /// Starts `ssid run` for a governance repository, and waits until its API answers.
    ///
    /// # Panics
    /// If it runs already, ends instead, or does not answer in time.
    pub fn start_for(&mut self, repository: &Path) {
        let mut command = ssid_command(&self.org.data);
        command.env("SSID_REPO", repository);
        self.spawn(command);
        self.wait_answering();
    }

    /// Starts `ssid run` so that [`limit_files`](Self::limit_files) is told to it by errors, not by
    /// a signal, and does not concern its log.
    ///
    /// # Panics
    /// If it runs already, or cannot be started.
    pub fn start_to_be_limited(&mut self) {
        let mut shell = Command::new("bash");
        isolate(&mut shell, &self.org.data);
        let script = "trap '' XFSZ; exec \"$0\" \"$@\" 2> >(exec cat)";
        shell.arg("-c").arg(script).arg(ssid_binary());
        self.spawn(shell);
    }

    /// Starts `ssid run` with standard error closed at the other end, as after
    /// `ssid run 2>&1 | head`.
    ///
    /// # Panics
    /// If it runs already, or cannot be started.
    pub fn start_unheard(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.org.name);
        let mut command = ssid_command(&self.org.data);
        command
            .args(["run", "--data", self.data()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        self.child = Some(child);
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "{} runs already", self.org.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        command
            .args(["run", "--data", self.data()])
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// From now on none of its files grows beyond `bytes`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn limit_files(&self, bytes: u64) {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        prlimit(
            Some(Pid::from_child(self.child.as_ref().unwrap())),
            Resource::Fsize,
            limit,
        )
        .unwrap();
    }

    /// Starts it and waits until its API answers.
    ///
    /// # Panics
    /// If it ends instead, or does not answer in time.
    pub fn start_answering(&mut self) {
        self.start();
        self.wait_answering();
    }

    /// Waits until its API answers.
    ///
    /// # Panics
    /// If it ends instead, or does not answer in time.
    pub fn wait_answering(&mut self) {
        let name = self.org.name.clone();
        eventually(&format!("{name} answers"), SOON, || {
            assert!(
                self.is_running(),
                "{name} ended at its start:\n{}",
                self.log_tail()
            );
            self.try_get("/healthz").map_err(|e| e.to_string())
        });
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether its process is there.
    ///
    /// # Panics
    /// If the system cannot say.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Sends its process a signal.
    ///
    /// # Panics
    /// If it has none.
    pub fn signal(&self, signal: Signal) {
        // the child is not collected yet, so that its number is still its own
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "{} had ended before: {status}\n{}",
            self.org.name,
            self.log_tail()
        );
    }

    /// Asks it to end; how it did and how long it took.
    ///
    /// # Panics
    /// If it does not run, or does not end.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait_ended();
        (status, asked.elapsed())
    }

    /// Waits until its process ends by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let status = wait(&mut child, SOON);
        status.unwrap_or_else(|| panic!("{} does not end:\n{}", self.org.name, self.log_tail()))
    }

    /// Runs `ssid --data <its directory>` with more arguments.
    pub fn ssid(&self, args: &[&str]) -> Outcome {
        ssid_in(&self.org.data, &[&["--data", self.data()], args].concat())
    }

    /// The same, with `--json`, expected to end well; its document.
    ///
    /// # Panics
    /// If it does not end well.
    #[track_caller]
    pub fn ssid_json(&self, args: &[&str]) -> Value {
        self.ssid(&[&["--json"], args].concat()).well().json()
    }

    /// Approves a proposed change of members, once the proposal has arrived.
    ///
    /// # Panics
    /// If it is not approved in time.
    pub fn approve(&self, manifest_hash: &str) {
        eventually("the proposal is approved", SOON, || {
            let approved = self.ssid(&["membership", "approve", &manifest_hash[..12]]);
            if approved.code == Some(0) {
                Ok(())
            } else {
                Err(approved.stderr)
            }
        });
    }

    /// `ssid run` in the foreground, expected to end by itself.
    pub fn ssid_run(&self) -> Outcome {
        self.ssid(&["run"])
    }

    /// Asks its API.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn try_get(&self, path: &str) -> std::io::Result<Reply> {
        request(&self.file("api.sock"), "GET", path, b"")
    }

    /// Asks its API.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.try_get(path)
            .unwrap_or_else(|e| panic!("{} does not answer GET {path}: {e}", self.org.name))
    }

    /// Where its API is.
    pub fn address(&self) -> Address {
        Address(self.file("api.sock"))
    }

    /// Whether every node that is connected to it has told it that its start is over.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn knows_nobody_to_be_starting(&self) -> bool {
        let nodes = self.get("/v1/nodes").json();
        let mut connected = nodes["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["connected"] == true);
        connected.all(|node| !node["can_sign"].is_null() && node["can_sign"] != "starting")
    }

    /// Its status.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.get("/v1/status").json()
    }

    /// How many subjects it holds certificates for; 0 if it does not answer.
    pub fn certified_count(&self) -> u64 {
        self.try_get("/v1/status")
            .ok()
            .and_then(|reply| reply.json()["statistics"]["certified"].as_u64())
            .unwrap_or(0)
    }

    /// Every consensus record it has, the latest first.
    #[track_caller]
    pub fn history(&self) -> Vec<Value> {
        self.ssid_json(&["consensus", "history", "--limit", ALL])["items"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// What it holds certified: subject, event hash and content digest of each.
    #[track_caller]
    pub fn certified_set(&self) -> BTreeSet<[String; 3]> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |r: &Value| {
            [
                text(&r["subject_id"]),
                text(&r["consensus_hash"]),
                text(&r["content_digest"]),
            ]
        };
        self.history().iter().map(of).collect()
    }

    /// One of its counters, added up over every label set that contains `label`.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.get("/metrics").body;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// All it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        // beside the data directory: the log of a node whose directory is full is still wanted
        let place = self.org.data.parent().unwrap_or(Path::new("/tmp"));
        place.join(format!("{}.log", self.org.name))
    }
}

/// Where a node's API is: usable while the node itself is killed and started.
#[derive(Clone, Debug)]
pub struct Address(PathBuf);

impl Address {
    /// Sends the API something.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn post(&self, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        request(&self.0, "POST", path, body)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // it may have ended by itself; what matters is that it has
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
