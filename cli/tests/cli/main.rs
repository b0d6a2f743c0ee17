//! The built binary, without a running node: help, exit codes, making nodes and federations,
//! certificates offline.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

mod config_check;
mod documents;
mod files;
mod files_only;
mod help;
mod making;
mod offline;
mod process;

/// The program in `dir`, which is its home, with nothing of this process's settings.
fn command(dir: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SSID_"))
    {
        command.env_remove(name);
    }
    command
        .args(args)
        .current_dir(dir)
        .env("XDG_DATA_HOME", dir)
        .env("HOME", dir);
    command
}

fn ssid(dir: &Path, args: &[impl AsRef<OsStr>]) -> Output {
    command(dir, args).output().unwrap()
}

/// Makes the node `name` in the directory `data`.
fn init<'a>(name: &'a str, data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let node = [
        "init",
        "--organization",
        "Org",
        "--name",
        name,
        "--data",
        data,
    ];
    [&node[..], more].concat()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs and expects success.
fn well(dir: &Path, args: &[&str]) -> String {
    let output = ssid(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs and expects failure with exit code `code` and every one of `words` on standard error.
fn fails(dir: &Path, args: &[&str], code: i32, words: &[&str]) -> String {
    let output = ssid(dir, args);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: {word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}
