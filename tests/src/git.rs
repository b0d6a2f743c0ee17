//! Real Git servers on loopback, each over a directory of bare repositories; they end with the
//! test.

mod daemon;
mod dumb;
mod http;
mod ssh;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use daemon::Daemon;
pub use dumb::DumbServer;
pub use http::HttpServer;
pub use ssh::SshServer;

use crate::command::isolate;

/// Runs `git` with nothing of the environment that could change what it does; what it wrote.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = git_command(dir).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "git {args:?} in {}: {output:?}",
        dir.display()
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    isolate(&mut command, dir);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_"))
    {
        command.env_remove(name);
    }
    let who = [
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
    ];
    command
        .envs(who.map(|name| (name, "test")))
        .env("GIT_TERMINAL_PROMPT", "0");
    // what `ssid` finds there is not how the tests make repositories
    command.env("GIT_CONFIG_SYSTEM", "/dev/null");
    command
}

/// Makes a bare repository `name` in `dir` that anybody who is let in may push to.
///
/// # Panics
/// If it cannot be made.
pub fn bare_repository(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    git(dir, &["init", "--quiet", "--bare", path.to_str().unwrap()]);
    git(&path, &["config", "http.receivepack", "true"]);
    path
}

/// Puts files on a branch of a bare repository, after what is there; the commit.
///
/// # Panics
/// If Git refuses.
pub fn commit_files(
    repository: &Path,
    branch: &str,
    files: &[(&str, &[u8])],
    parent: Option<&str>,
) -> String {
    let mut entries = Vec::new();
    for (name, bytes) in files {
        let file = repository.join("file.new");
        std::fs::write(&file, bytes).unwrap();
        let id = git(repository, &["hash-object", "-w", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        entries.push((id, *name));
    }
    let index = repository.join("index.new");
    let command = |args: &[&str]| {
        let output = git_command(repository)
            .env("GIT_INDEX_FILE", &index)
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    for (id, name) in &entries {
        command(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("100644,{id},{name}"),
        ]);
    }
    let tree = command(&["write-tree"]);
    let parent = parent.map(|id| vec!["-p", id]).unwrap_or_default();
    let commit = command(&[&["commit-tree", &tree, "-m", "test"], &parent[..]].concat());
    std::fs::remove_file(&index).unwrap();
    git(
        repository,
        &["update-ref", &format!("refs/heads/{branch}"), &commit],
    );
    commit
}
