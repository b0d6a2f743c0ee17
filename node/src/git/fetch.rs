//! Fetching into a bare mirror: one reference of a remote, as deep as is wanted and the server can
//! do.

use std::fs;

use super::command::{Git, Job, object_files, remove_unfinished};
use super::failure::GitError;
use super::remote::GitRemote;
use super::repository::{FETCHED, Format, Repository};

/// How references are fetched: nothing besides what is named, whatever was there before.
const FETCH: &[&str] = &[
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--force",
];

/// What Git may find in a history that is only looked at, without refusing all of it: what old
/// tools wrote far back, `git fsck` warns of or hosts have long taken, and what matters only to who
/// checks files out. Names that a Git does not know it passes over.
const WARNED: &[&str] = &[
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badFilemode",
    "badName",
    "badTimezone",
    "emptyName",
    "fullPathname",
    "gitattributesLarge",
    "gitattributesLineLength",
    "gitmodulesBlob",
    "gitmodulesLarge",
    "gitmodulesName",
    "gitmodulesParse",
    "gitmodulesPath",
    "gitmodulesSymlink",
    "gitmodulesUpdate",
    "gitmodulesUrl",
    "hasDot",
    "hasDotdot",
    "hasDotgit",
    "largePathname",
    "missingAuthor",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "multipleAuthors",
    "nulInCommit",
    "nullSha1",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// What is fetched, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The reference at the remote: `HEAD`, or one of `refs/heads/`.
    pub(super) reference: &'a str,
    /// Commits at most, if the server can count them.
    pub(super) depth: Option<u64>,
    /// Commits alone, without directories and files, if the server can do that.
    pub(super) commits_only: bool,
}

impl Wanted<'_> {
    /// The default branch of a repository that somebody else keeps for other ends.
    pub(crate) fn default_branch(depth: u64, commits_only: bool) -> Self {
        Self {
            reference: "HEAD",
            depth: Some(depth),
            commits_only,
        }
    }

    fn is_observed(&self) -> bool {
        self.reference == "HEAD"
    }
}

/// Fetches into [`FETCHED`]. What a fetch that failed has left is removed.
pub(super) async fn fetch(
    git: &Git,
    repository: &Repository,
    remote: &GitRemote,
    wanted: Wanted<'_>,
) -> Result<(), GitError> {
    // also of a node that was killed
    remove_unfinished(repository.dir());
    let fetched = match fetch_as(git, repository, remote, wanted).await {
        Err(GitError::NoDepth) => fetch_files(git, repository, remote, wanted).await,
        fetched => fetched,
    };
    if fetched.is_err() {
        remove_unfinished(repository.dir());
    }
    match fetched {
        Err(GitError::NoBranch) if wanted.is_observed() => {
            Err(headless(git, repository, remote).await)
        }
        fetched => fetched,
    }
}

/// The same of a repository whose objects may have either kind of id: the mirror becomes one of its
/// kind.
pub(crate) async fn fetch_any(
    git: &Git,
    repository: &Repository,
    remote: &GitRemote,
    wanted: Wanted<'_>,
) -> Result<(), GitError> {
    match fetch(git, repository, remote, wanted).await {
        Err(GitError::Format(name)) => {
            let Some(format) = Format::named(&name) else {
                return Err(GitError::Format(name));
            };
            repository.become_format(git, format).await?;
            fetch(git, repository, remote, wanted).await
        }
        fetched => fetched,
    }
}

async fn fetch_as(
    git: &Git,
    repository: &Repository,
    remote: &GitRemote,
    wanted: Wanted<'_>,
) -> Result<(), GitError> {
    let depth = wanted.depth.map(|depth| format!("--depth={depth}"));
    let mut options = leniency(wanted);
    options.extend(FETCH.iter().map(ToString::to_string));
    options.extend(depth);
    let what = format!("+{}:{FETCHED}", wanted.reference);
    let job = if wanted.commits_only {
        options.push("--filter=tree:0".to_owned());
        Job::named(repository.dir(), &strs(&options), remote, &what)
    } else {
        Job::remote(repository.dir(), &strs(&options), remote, &[&what])
    };
    git.run(job).await.map(drop)
}

/// From a server that only hands out files (dumb HTTP), or that cannot cut histories: all of it, as
/// far as that is little enough.
async fn fetch_files(
    git: &Git,
    repository: &Repository,
    remote: &GitRemote,
    wanted: Wanted<'_>,
) -> Result<(), GitError> {
    let mut options = leniency(wanted);
    options.extend(FETCH.iter().map(ToString::to_string));
    let what = format!("+{}:{FETCHED}", wanted.reference);
    let objects = repository.dir().join("objects");
    let before = object_files(&objects);
    let job = Job::remote(repository.dir(), &strs(&options), remote, &[&what]);
    let fetched = git.run(job.growing()).await;
    if fetched.is_err() {
        // each came whole, and nothing will ever name it
        for file in object_files(&objects)
            .into_keys()
            .filter(|file| !before.contains_key(file))
        {
            fs::remove_file(file).ok();
        }
    }
    fetched.map(drop)
}

fn leniency(wanted: Wanted<'_>) -> Vec<String> {
    if wanted.commits_only {
        // a fetch with a filter heeds no levels, and of commits only the ids are looked at
        return vec!["-c".to_owned(), "fetch.fsckObjects=false".to_owned()];
    }
    let warned = WARNED.iter().filter(|_| wanted.is_observed());
    warned
        .flat_map(|id| ["-c".to_owned(), format!("fetch.fsck.{id}=warn")])
        .collect()
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Why there is no HEAD: nothing was published yet, or HEAD names a branch that is not there.
async fn headless(git: &Git, repository: &Repository, remote: &GitRemote) -> GitError {
    let list = Job::remote(
        repository.dir(),
        &["ls-remote", "--quiet"],
        remote,
        &["refs/heads/*"],
    );
    let said = match git.run(list).await {
        Ok(said) => said,
        Err(error) => return error,
    };
    let said = String::from_utf8_lossy(&said);
    let names = said
        .lines()
        .filter_map(|line| line.split_once("\trefs/heads/"));
    let clean = |name: &str| name.chars().filter(|c| !c.is_control()).take(100).collect();
    let branches: Vec<String> = names.map(|(_, name)| clean(name)).collect();
    if branches.is_empty() {
        GitError::NoBranch
    } else {
        GitError::NoHead(branches)
    }
}
