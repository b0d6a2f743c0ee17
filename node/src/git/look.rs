//! A look at a repository before it is relied on: whether it answers, and whether a node publishes
//! there.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::command::{Git, Job};
use super::failure::GitError;
use super::remote::GitRemote;
use crate::config::Settings;

/// Seconds that a look may take: somebody waits for it at a terminal.
const LOOK_SECONDS: u64 = 10;

/// Whether the branch that nodes publish on, `sync_settings.git_branch`, is there. Nothing is
/// fetched.
///
/// # Errors
/// If there is no `git`, or the repository cannot be asked within ten seconds or
/// `sync_settings.timeout_seconds`.
pub async fn publishes(settings: &Settings, remote: &GitRemote) -> Result<bool, GitError> {
    let timeout = Duration::from_secs(settings.sync_settings.timeout_seconds.min(LOOK_SECONDS));
    let git = Git::find(
        &settings.security.allowed_git_protocols,
        timeout,
        CancellationToken::new(),
    )
    .await?;
    let name = format!("refs/heads/{}", settings.sync_settings.git_branch);
    // without a repository here: what is asked is there
    let said = git
        .run(Job::remote(
            Path::new("."),
            &["ls-remote", "--quiet"],
            remote,
            &[&name],
        ))
        .await?;
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().any(|line| {
        line.split_once('\t')
            .is_some_and(|(_, found)| found == name)
    }))
}
