//! What can go wrong between this node and a repository, in words that say what to do.

use std::time::Duration;

/// Why something with a repository was not done. Nothing secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or it cannot be started.
    #[error("git cannot be run: {0}; install Git 2.31 or later")]
    NotRun(String),
    /// It took too long.
    #[error("no answer within {} s; see that the host can be reached, or raise sync_settings.timeout_seconds", .0.as_secs_f64())]
    Timeout(Duration),
    /// The node ends.
    #[error("broken off: the node is stopping")]
    Cancelled,
    /// More came than is taken.
    #[error("more than fetch_bytes = {0} bytes came: broken off, nothing of it is kept")]
    TooLarge(u64),
    /// Who asks is not let in.
    #[error("not let in: {0}; see this machine's SSH agent or Git credential helper")]
    Denied(String),
    /// The host or the repository is not there.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// The repository is there, the branch is not: nothing was published yet.
    #[error("nothing is published there yet")]
    NoBranch,
    /// The branch has commits that this node does not know.
    #[error("the branch has commits that this node has not seen")]
    Moved,
    /// What came, or what is kept here, is damaged.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Anything else Git said.
    #[error("git failed: {0}")]
    Failed(String),
    /// A file of the mirror cannot be read or written.
    #[error("cannot use the mirror {path}: {reason}")]
    Mirror {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

impl GitError {
    /// Whether trying again soon may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unreachable(_) | Self::Failed(_) | Self::Damaged(_))
    }

    /// The word that metrics count it under.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotRun(_) => "not_run",
            Self::Timeout(_) => "timeout",
            Self::Cancelled => "cancelled",
            Self::TooLarge(_) => "too_large",
            Self::Denied(_) => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::NoBranch => "no_branch",
            Self::Moved => "moved",
            Self::Damaged(_) => "damaged",
            Self::Failed(_) => "failed",
            Self::Mirror { .. } => "mirror",
        }
    }

    /// Sorts what Git said when it failed.
    pub(super) fn from_words(said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let line = essence(said);
        if has(&["couldn't find remote ref", "Remote branch", "could not find remote ref"]) {
            Self::NoBranch
        } else if has(&["non-fast-forward", "fetch first", "stale info", "[rejected]", "cannot lock ref"]) {
            Self::Moved
        } else if has(&[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "unable to get password",
            "Permission denied",
            "Host key verification failed",
            "error: 401",
            "error: 403",
            "access denied or repository not exported",
        ]) {
            Self::Denied(line)
        } else if has(&[
            "Could not resolve",
            "Failed to connect",
            "Connection refused",
            "onnection timed out",
            "unable to connect",
            "No route to host",
            "Network is unreachable",
            "does not exist",
            "does not appear to be a git repository",
            "not found",
            "Could not read from remote repository",
            "Empty reply",
            "Operation too slow",
            "The requested URL returned error: 5",
        ]) {
            Self::Unreachable(line)
        } else if has(&[
            "index-pack failed",
            "unpack-objects failed",
            "bad pack",
            "inflate",
            "corrupt",
            "bad object",
            "missing blob",
            "missing tree",
            "fsck error",
            "did not send all necessary objects",
            "packfile",
            "invalid index-pack",
            "sha1 mismatch",
            "protocol error",
            "pack has",
        ]) {
            Self::Damaged(line)
        } else {
            Self::Failed(line)
        }
    }
}

/// The lines that say what is wrong, as one, bounded.
fn essence(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling: Vec<&str> =
        lines.iter().copied().filter(|line| line.starts_with("fatal:") || line.starts_with("error:")).collect();
    let chosen = if telling.is_empty() { lines } else { telling };
    let text: String = chosen.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if text.is_empty() { "it said nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_sorted() {
        for (said, word) in [
            ("fatal: couldn't find remote ref refs/heads/ssid-federation", "no_branch"),
            ("fatal: Authentication failed for 'http://x/'", "denied"),
            ("git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.", "denied"),
            ("fatal: unable to access 'http://x/': Failed to connect to x port 1", "unreachable"),
            ("fatal: '/x' does not appear to be a git repository", "unreachable"),
            ("error: inflate: data stream error\nfatal: index-pack failed", "damaged"),
            (" ! [rejected] a -> b (fetch first)", "moved"),
            ("something new", "failed"),
            ("", "failed"),
        ] {
            assert_eq!(GitError::from_words(said).word(), word, "{said}");
        }
        let long = GitError::from_words(&"fatal: x\u{1b}[2J\n".repeat(1000)).to_string();
        assert!(long.len() < 400 && !long.contains('\u{1b}'), "{long}");
    }
}
