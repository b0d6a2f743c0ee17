//! Running `ssid` commands to their end.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ssid_binary;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_mins(4);
/// How often is looked whether it has ended.
const EVERY: Duration = Duration::from_millis(5);

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub command: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// The same, if it ended with `code` and said nothing of a panic.
    ///
    /// # Panics
    /// Otherwise, with all of it.
    #[track_caller]
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// The same, if it ended well.
    ///
    /// # Panics
    /// Otherwise, with all of it.
    #[track_caller]
    #[must_use]
    pub fn well(self) -> Self {
        self.exits(0)
    }

    /// The same, if standard error has every one of `words`.
    ///
    /// # Panics
    /// Otherwise, with all of it.
    #[track_caller]
    #[must_use]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not said by {self:#?}"
            );
        }
        self
    }

    /// The JSON document it wrote.
    ///
    /// # Panics
    /// If it wrote anything else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON document ({e}): {self:#?}"))
    }
}

/// Runs `ssid` in `dir` with nothing of the environment that could change what it does.
///
/// # Panics
/// If it does not start or not end.
pub fn ssid_in(dir: &Path, args: &[&str]) -> Outcome {
    let mut command = ssid_command(dir);
    command.args(args);
    run(command, &args.join(" "))
}

/// The same with variables of its own.
///
/// # Panics
/// As [`ssid_in`].
pub fn ssid_with(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
    let mut command = ssid_command(dir);
    command.envs(variables.iter().copied()).args(args);
    run(command, &args.join(" "))
}

/// `ssid`, to be given arguments.
pub(crate) fn ssid_command(dir: &Path) -> Command {
    let mut command = Command::new(ssid_binary());
    isolate(&mut command, dir);
    command
}

/// Settings of Git as a user, or a later Git, may have them.
const GIT_SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/git/tomorrow.gitconfig");

/// Takes from the environment what `ssid` would heed, and gives it settings of Git that it must
/// not.
pub(crate) fn isolate(command: &mut Command, dir: &Path) {
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_"))
    {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_SYSTEM", GIT_SETTINGS);
    command
        .current_dir(dir)
        .env("HOME", dir)
        .env("XDG_DATA_HOME", dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
}

/// Runs a command to its end; what it writes goes through files, so that no pipe can fill.
fn run(mut command: Command, what: &str) -> Outcome {
    let outputs = tempfile::Builder::new()
        .prefix("ssid-out-")
        .tempdir()
        .unwrap();
    let (out, err) = (outputs.path().join("out"), outputs.path().join("err"));
    command
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start ssid {what}: {e}"));
    let code = wait(&mut child, PATIENCE).map(|status| status.code());
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let outcome = Outcome {
        command: format!("ssid {what}"),
        code: code.flatten(),
        stdout: read(&out),
        stderr: read(&err),
        took: started.elapsed(),
    };
    assert!(
        code.is_some(),
        "does not end within {} s: {outcome:#?}",
        PATIENCE.as_secs()
    );
    outcome
}

/// Waits for a child; kills it at the deadline and gives nothing.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            // it may have ended just now
            let _ = child.kill();
            child.wait().unwrap();
            return None;
        }
        sleep(EVERY);
    }
}
