//! What can go wrong between this node and a repository, in words that say what to do.

use std::time::Duration;

use crate::text::is_unseen;

/// Characters of Git's and the server's words that are passed on.
const SAID_CHARS: usize = 600;
/// Branches that are named where the one that was meant is not there.
const BRANCHES_NAMED: usize = 5;

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
    /// What came unpacks to more than a Git child may allocate.
    #[error(
        "an object there unpacks to more than alloc_bytes = {0}: broken off, nothing of it is kept"
    )]
    Expands(u64),
    /// What came takes more memory than a Git child may have.
    #[error(
        "git needs more memory for it than data_bytes = {0}: broken off, nothing of it is kept"
    )]
    Memory(u64),
    /// Who asks is not let in.
    #[error("not let in: {0}; see this machine's SSH agent or Git credential helper")]
    Denied(String),
    /// The host or the repository is not there, and said so at once.
    #[error("not reached: {0}")]
    Gone(String),
    /// The host or the repository was not reached, perhaps only now.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// The repository is there, the branch is not: nothing was published yet.
    #[error("nothing is published there yet")]
    NoBranch,
    /// The repository has branches, and its HEAD names none of them.
    #[error(
        "its HEAD names a branch that is not there, beside {}; who keeps that repository sets it there with: git symbolic-ref HEAD refs/heads/{}",
        named(.0), .0.first().map_or("main", String::as_str)
    )]
    NoHead(Vec<String>),
    /// The branch has commits that this node does not know.
    #[error("the branch has commits that this node has not seen")]
    Moved,
    /// The server took nothing of a push, and why.
    #[error(
        "the server refuses the branch: {0}; let this node push to it there, or set sync_settings.git_branch to another name"
    )]
    Refused(String),
    /// The branch cannot be made, because another has a part of its name or goes on from it.
    #[error(
        "the branch {wanted} cannot be made, because the repository has a branch {taken}: rename that one, or set sync_settings.git_branch to another name"
    )]
    NameTaken {
        /// The own branch.
        wanted: String,
        /// The one that is in its way.
        taken: String,
    },
    /// The branch to be published on is somebody else's.
    #[error(
        "the branch {branch} there is not this node's, and is left as it is: {reason}; set sync_settings.git_branch to another name"
    )]
    NotOwn {
        /// The branch that it is about.
        branch: String,
        /// By what that is seen.
        reason: String,
    },
    /// The branch is none that a node publishes.
    #[error("it is no node's branch: {0}")]
    NotABranch(String),
    /// It is long, and goes on being read at the next sync.
    #[error("the branch is long: it is read in parts, and goes on at the next sync")]
    Partly,
    /// The repository's objects have ids of another kind.
    #[error(
        "its objects have {0} ids: a node's branch needs a repository made with git init --object-format=sha1"
    )]
    Format(String),
    /// The server hands out files and cannot cut a history at a depth.
    #[error("the server cannot cut a history at a depth")]
    NoDepth,
    /// What came, or what is kept here, is damaged.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Anything else Git said.
    #[error("git failed: {0}")]
    Failed(String),
    /// A file of the mirror cannot be read or written.
    #[error("cannot use the mirror {path}: {reason}")]
    Mirror {
        /// The path that it is about.
        path: String,
        /// What is wrong, in words.
        reason: String,
    },
}

impl GitError {
    /// Whether trying again soon may help. Who refuses at once will do so in a minute.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::Unreachable(_) | Self::Failed(_) | Self::Damaged(_)
        )
    }

    /// The word that metrics count it under.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotRun(_) => "not_run",
            Self::Timeout(_) => "timeout",
            Self::Cancelled => "cancelled",
            Self::TooLarge(_) | Self::Expands(_) | Self::Memory(_) => "too_large",
            Self::Denied(_) => "denied",
            Self::Gone(_) | Self::Unreachable(_) => "unreachable",
            Self::NoBranch | Self::NoHead(_) => "no_branch",
            Self::Moved => "moved",
            Self::Refused(_) | Self::NameTaken { .. } => "refused",
            Self::NotOwn { .. } | Self::NotABranch(_) => "not_a_branch",
            Self::Partly => "partly",
            Self::Format(_) => "format",
            Self::Damaged(_) => "damaged",
            Self::NoDepth | Self::Failed(_) => "failed",
            Self::Mirror { .. } => "mirror",
        }
    }

    /// Sorts what Git said when it failed.
    pub(super) fn from_words(said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let line = essence(said);
        if has(&[
            "couldn't find remote ref",
            "Remote branch",
            "could not find remote ref",
        ]) {
            Self::NoBranch
        } else if has(MOVED) {
            Self::Moved
        } else if has(&["[remote rejected]", "[remote failure]"]) {
            Self::Refused(line)
        } else if has(&["attempting to allocate", "object too large"]) {
            Self::Expands(super::environment::ALLOC_BYTES)
        } else if has(&[
            "Out of memory",
            "out of memory",
            "mmap failed: Cannot allocate",
        ]) {
            Self::Memory(super::environment::DATA_BYTES)
        } else if let Some(format) = other_format(said) {
            Self::Format(format)
        } else if has(NO_DEPTH) {
            Self::NoDepth
        } else if has(DENIED) {
            Self::Denied(line)
        } else if has(GONE) {
            Self::Gone(line)
        } else if has(UNREACHABLE) {
            Self::Unreachable(line)
        } else if has(DAMAGED) {
            Self::Damaged(line)
        } else {
            Self::Failed(line)
        }
    }
}

/// The remote's branch is not where it was when Git looked.
const MOVED: &[&str] = &[
    "non-fast-forward",
    "fetch first",
    "stale info",
    "[rejected]",
    "but expected",
    "incorrect old value provided",
    "reference already exists",
];
const NO_DEPTH: &[&str] = &[
    "dumb http transport does not support shallow capabilities",
    "Server does not support shallow",
    "does not support --depth",
];
const DENIED: &[&str] = &[
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
];
const GONE: &[&str] = &[
    "Failed to connect",
    "Could not connect",
    "Couldn't connect",
    "Connection refused",
    "does not exist",
    "does not appear to be a git repository",
    "not found",
];
const UNREACHABLE: &[&str] = &[
    "Could not resolve",
    "onnection timed out",
    "unable to connect",
    "No route to host",
    "Network is unreachable",
    "Could not read from remote repository",
    "Empty reply",
    "Operation too slow",
    "The requested URL returned error: 5",
];
const DAMAGED: &[&str] = &[
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
];

/// Which ids the other repository's objects have, if they are others than those here.
fn other_format(said: &str) -> Option<String> {
    if said.contains("does not support this repository's hash algorithm") {
        return Some("other".to_owned());
    }
    let rest = said.split_once("mismatched algorithms:")?.1;
    let name: String = rest
        .split_once("server ")?
        .1
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Some branches by name.
fn named(branches: &[String]) -> String {
    let mut text = branches
        .iter()
        .take(BRANCHES_NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if branches.len() > BRANCHES_NAMED {
        text += ", …";
    }
    text
}

/// Lines that say nothing of what is wrong.
const NOISE: &[&str] = &[
    "hint:",
    "warning:",
    "To ",
    "Please make sure you have",
    "and the repository exists",
];

/// The lines that say what is wrong, the server's own first, then Git's, then those of whatever
/// else was run, as one, bounded.
fn essence(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let is_noise = |line: &str| NOISE.iter().any(|words| line.starts_with(words));
    let rank = |line: &str| match line {
        _ if line.starts_with("remote:") => 0,
        _ if line.starts_with("! [") => 1,
        _ if line.starts_with("fatal:") || line.starts_with("error:") => 2,
        _ => 3,
    };
    let mut telling: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !is_noise(line))
        .collect();
    // in the order in which they were said otherwise
    telling.sort_by_key(|line| rank(line));
    let bare = |line: &str| {
        line.strip_prefix("remote:")
            .unwrap_or(line)
            .trim()
            .to_owned()
    };
    // a hint alone is better than nothing
    let chosen = if telling.is_empty() { lines } else { telling };
    let words: Vec<String> = chosen
        .into_iter()
        .map(bare)
        .filter(|line| !line.is_empty())
        .collect();
    // what a server says goes to a terminal
    let clean = |c: char| if is_unseen(c) { ' ' } else { c };
    let text: String = words
        .join("; ")
        .chars()
        .map(clean)
        .take(SAID_CHARS)
        .collect();
    if text.is_empty() {
        "it said nothing".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_sorted() {
        for (said, word) in [
            (
                "fatal: couldn't find remote ref refs/heads/ssid-federation",
                "no_branch",
            ),
            ("fatal: Authentication failed for 'http://x/'", "denied"),
            (
                "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                "denied",
            ),
            (
                "fatal: unable to access 'http://x/': Failed to connect to x port 1",
                "unreachable",
            ),
            (
                "fatal: '/x' does not appear to be a git repository",
                "unreachable",
            ),
            (
                "error: inflate: data stream error\nfatal: index-pack failed",
                "damaged",
            ),
            (" ! [rejected] a -> b (fetch first)", "moved"),
            (
                " ! [remote rejected] a -> b (cannot lock ref 'b': is at 1 but expected 2)",
                "moved",
            ),
            (
                " ! [remote rejected] a -> b (pre-receive hook declined)",
                "refused",
            ),
            (
                "fatal: attempting to allocate 1610612737 over limit 83886080\nfatal: index-pack failed",
                "too_large",
            ),
            (
                "fatal: mismatched algorithms: client sha1; server sha256",
                "format",
            ),
            (
                "fatal: the receiving end does not support this repository's hash algorithm",
                "format",
            ),
            ("something new", "failed"),
            ("", "failed"),
        ] {
            assert_eq!(GitError::from_words(said).word(), word, "{said}");
        }
        let long = GitError::from_words(&"fatal: x\u{1b}[2J\n".repeat(1000)).to_string();
        assert!(long.len() < 700 && !long.contains('\u{1b}'), "{long}");
    }

    #[test]
    fn the_servers_own_words_come_first() {
        let said = "remote: You may not push here.        \nremote: \nTo file:///r.git\n \
                    ! [remote rejected] 1 -> b (pre-receive hook declined)\nerror: failed to push some refs";
        let refused = GitError::from_words(said).to_string();
        let expected = "the server refuses the branch: You may not push here.; ! [remote rejected] 1 -> b \
                        (pre-receive hook declined); error: failed to push";
        assert!(refused.starts_with(expected), "{refused}");
        // a server's words over SSH have no mark
        let said = "ERROR: Permission to a/b denied to c.\nfatal: Could not read from remote repository.\n\n\
                    Please make sure you have the correct access rights\nand the repository exists.";
        let expected = "not reached: fatal: Could not read from remote repository.; ERROR: Permission to a/b denied to c.";
        assert_eq!(GitError::from_words(said).to_string(), expected);
    }

    #[test]
    fn who_refuses_at_once_is_not_asked_again_soon() {
        for said in [
            "Failed to connect to 127.0.0.1 port 1",
            "Connection refused",
            "fatal: '/x' does not exist",
        ] {
            assert!(!GitError::from_words(said).is_passing(), "{said}");
        }
        for said in [
            "Could not resolve host: git.example",
            "The requested URL returned error: 503",
            "early EOF",
        ] {
            assert!(GitError::from_words(said).is_passing(), "{said}");
        }
    }

    #[test]
    fn a_head_that_names_nothing_is_told_with_what_is_there() {
        let branches: Vec<String> = (0..7).map(|i| format!("b{i}")).collect();
        let said = GitError::NoHead(branches).to_string();
        assert!(
            said.contains("beside b0, b1, b2, b3, b4, …;") && said.ends_with("refs/heads/b0"),
            "{said}"
        );
    }
}
