//! The registry logs of members without a key: the default branch of each one's repository, fetched
//! into a bare mirror, and one file of it read. Where the configuration asks for it, the commit
//! that brought the file must be signed with the key whose fingerprint the federation manifest
//! names.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ssid_protocol::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use crate::config::{GitProtocol, Settings};
use crate::git::command::{Git, Job};
use crate::git::fetch::{Wanted, fetch_any};
use crate::git::repository::{FETCHED, Repository};
use crate::git::{FETCH_BYTES, GitError, GitRemote, RemoteError};
use crate::registry::manifest::{ManifestNode, legacy_id};

/// Where a repository has its registry log, the first that is there: the 24-folder layout, or a
/// data directory.
const LOG_PATHS: [&str; 2] = [
    "24_meta_orchestration/registry/logs/registry_events.log",
    "registry_events.log",
];
/// Bytes of the largest registry log of another node that is read: what one fetch may bring (SPEC
/// §10).
const LOG_BYTES: u64 = FETCH_BYTES;
/// Longest time that a fetch may take, in seconds, whatever the configuration says (SPEC §10).
const FETCH_SECONDS: u64 = 60;
/// Bytes of a file that may be a Git LFS pointer; the format allows no more.
const POINTER_BYTES: u64 = 1024;
/// How a Git LFS pointer begins, today and before it was called so.
const POINTERS: [&str; 2] = [
    "version https://git-lfs.github.com/spec/",
    "version https://hawser.github.com/spec/",
];
/// Digits of a GPG key's id that must agree at least.
const KEY_ID_DIGITS: usize = 16;

/// Why a member's log could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlainLogError {
    /// Its address is refused.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Its repository could not be fetched or read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no log in it.
    #[error("no registry log is found there: neither {} nor {}", LOG_PATHS[0], LOG_PATHS[1])]
    NoLog,
    /// There is a link where the log should be, and it leads to no file of the repository.
    #[error(
        "a link that leads to no file there stands in the log's place; its operators commit the log itself"
    )]
    Link,
    /// Where signatures are asked for, the commit of a link says nothing of what it leads to.
    #[error(
        "a link leads to its log; where a signature is required its operators commit the log itself"
    )]
    SignedLink,
    /// The log is kept elsewhere, by Git LFS.
    #[error(
        "a Git LFS pointer stands in the log's place; its operators commit the log itself: git lfs untrack, then git add --renormalize"
    )]
    Pointer,
    /// The log is too large.
    #[error(
        "its registry log has {0} bytes, more than log_bytes = {LOG_BYTES}; ask its operators to archive it and begin a new one"
    )]
    TooLarge(u64),
    /// The commit that brought it is not signed as it must be.
    #[error("the commit that brought its log {0}")]
    Unsigned(String),
}

impl PlainLogError {
    /// Whether the repository was read all the same, and what stands in it is no log.
    pub(super) fn is_of_content(&self) -> bool {
        matches!(self, Self::Link | Self::SignedLink | Self::Pointer)
    }
}

/// Told of every attempt that failed and is made again, in words without secrets.
#[derive(Clone)]
pub struct Teller(Arc<dyn Fn(&str) + Send + Sync>);

impl Teller {
    /// One that does this with the words.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller")
    }
}

/// Which signature on the commit that brought a log is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// The setting `security.require_gpg_signature`.
    gpg: bool,
    /// The setting `security.require_ssh_key_verification`.
    ssh: bool,
}

/// Fetches logs, as the configuration says.
#[derive(Debug)]
pub(super) struct PlainLogs {
    git: Git,
    dir: PathBuf,
    allowed: Vec<GitProtocol>,
    depth: u64,
    retries: u64,
    delay: Duration,
    fresh_for: Duration,
    keeps: bool,
    asked: Asked,
    teller: Option<Teller>,
}

impl PlainLogs {
    /// Mirrors are kept in `dir`. With `force`, what was fetched a moment ago is fetched again.
    /// `shutdown` breaks off.
    ///
    /// # Errors
    /// If there is no `git`.
    pub(super) async fn new(
        settings: &Settings,
        dir: PathBuf,
        force: bool,
        shutdown: CancellationToken,
    ) -> Result<Self, GitError> {
        let sync = &settings.sync_settings;
        let performance = &settings.performance;
        let security = &settings.security;
        // no member may hold a sync longer than a fetch may take (SPEC §10)
        let timeout = Duration::from_secs(sync.timeout_seconds.min(FETCH_SECONDS));
        let allowed = security.allowed_git_protocols.clone();
        // asked for by hand, it is to be what stands there now
        let minutes = if force {
            0
        } else {
            performance.cache_ttl_minutes
        };
        Ok(Self {
            git: Git::find(&allowed, timeout, shutdown).await?,
            dir,
            allowed,
            depth: sync.max_clone_depth,
            retries: sync.max_retry_attempts,
            delay: Duration::from_secs(sync.retry_delay_seconds),
            fresh_for: Duration::from_secs(minutes.saturating_mul(60)),
            keeps: performance.cache_remote_events,
            asked: Asked {
                gpg: security.require_gpg_signature,
                ssh: security.require_ssh_key_verification,
            },
            teller: None,
        })
    }

    /// The same, with somebody who is told of every attempt that is made again.
    #[must_use]
    pub(super) fn telling(self, teller: Option<Teller>) -> Self {
        Self { teller, ..self }
    }

    /// A member's registry log, in a file without a name that is at its beginning.
    ///
    /// # Errors
    /// If it cannot be had, or its commit is not signed as the configuration asks.
    pub(super) async fn log_of(&self, node: &ManifestNode) -> Result<File, PlainLogError> {
        let remote = GitRemote::parse(&node.git_remote, &self.allowed)?;
        // of the address, not the id that the file states: that could name any directory
        let dir = self
            .dir
            .join(format!("{}.git", legacy_id(&node.git_remote)));
        let repository = Repository::open_any(&self.git, dir).await?;
        let read = match self.fetched(&repository, &remote).await {
            Ok(tip) => self.read(&repository, &tip, node).await,
            Err(error) => Err(error.into()),
        };
        // what is damaged here is fetched anew the next time
        if !self.keeps || matches!(read, Err(PlainLogError::Git(GitError::Damaged(_)))) {
            repository.remove()?;
        }
        read
    }

    /// The tip of the remote's default branch, fetched unless that was done a moment ago.
    async fn fetched(
        &self,
        repository: &Repository,
        remote: &GitRemote,
    ) -> Result<String, GitError> {
        let age =
            std::fs::metadata(repository.dir().join(FETCHED)).and_then(|meta| meta.modified());
        let age = age
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        // both: a time alone may be of a fetch that left nothing
        if let (Some(age), Some(tip)) = (age, repository.commit_named(FETCHED)?)
            && age < self.fresh_for
        {
            return Ok(tip);
        }
        // of a default branch whatever its name: the members of old have no agreement on it
        let wanted = Wanted::default_branch(self.depth, false);
        let mut attempt = 0;
        loop {
            match fetch_any(&self.git, repository, remote, wanted).await {
                // what a second attempt cannot change is told at once
                Err(error) if error.is_passing() && attempt < self.retries => {
                    let pause = Backoff::new(self.delay, Duration::MAX)
                        .pause(u32::try_from(attempt).unwrap_or(u32::MAX));
                    attempt += 1;
                    self.tell(remote, &error, attempt, pause);
                    // a stop must not wait for a back-off
                    tokio::select! {
                        () = self.git.shutdown().cancelled() => return Err(GitError::Cancelled),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                fetched => fetched?,
            }
            if let Some(tip) = repository.commit_named(FETCHED)? {
                return Ok(tip);
            }
        }
    }

    fn tell(&self, remote: &GitRemote, error: &GitError, attempt: u64, pause: Duration) {
        if let Some(teller) = &self.teller {
            let all = self.retries + 1;
            let seconds = pause.as_secs();
            (teller.0)(&format!(
                "{remote}: {error} (attempt {attempt} of {all}; the next in {seconds} s)"
            ));
        }
    }

    async fn read(
        &self,
        repository: &Repository,
        tip: &str,
        node: &ManifestNode,
    ) -> Result<File, PlainLogError> {
        let found = self.locate(repository, tip).await?;
        // of a link, the commit that touched it says nothing of what it leads to
        if self.asked != Asked::default() {
            if self.look(repository, tip, found.path, false).await? != found.said {
                return Err(PlainLogError::SignedLink);
            }
            self.check_signature(repository, found.path, node).await?;
        }
        // written by Git, not read into memory: a log may be as large as a fetch
        let failed = |e: std::io::Error| repository.failed(&e);
        let mut file = tempfile::tempfile_in(&self.dir).map_err(failed)?;
        let job = Job::local(repository.dir(), &["cat-file", "blob", &found.id]);
        self.git
            .run(job.into_file(file.try_clone().map_err(failed)?))
            .await?;
        file.rewind().map_err(failed)?;
        // Git LFS: the log is elsewhere, and a pointer would pass for one without events
        if found.bytes <= POINTER_BYTES && is_pointer(&mut file).map_err(failed)? {
            return Err(PlainLogError::Pointer);
        }
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    /// The registry log in a commit's files. Git looks for it: it reads objects of every kind, and
    /// follows links that stay in the repository.
    async fn locate(&self, repository: &Repository, tip: &str) -> Result<Located, PlainLogError> {
        for path in LOG_PATHS {
            let said = self.look(repository, tip, path, true).await?;
            let mut words = said.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("blob"), Some(bytes), Some(id)) => {
                    let bytes = bytes.parse().unwrap_or(u64::MAX);
                    if bytes > LOG_BYTES {
                        return Err(PlainLogError::TooLarge(bytes));
                    }
                    return Ok(Located {
                        path,
                        id: id.to_owned(),
                        bytes,
                        said,
                    });
                }
                (Some("dangling" | "loop" | "symlink"), ..) => return Err(PlainLogError::Link),
                // missing, a directory, another repository
                _ => {}
            }
        }
        Err(PlainLogError::NoLog)
    }

    /// What Git says stands at a path: kind, bytes and id.
    async fn look(
        &self,
        repository: &Repository,
        tip: &str,
        path: &str,
        follows: bool,
    ) -> Result<String, GitError> {
        let mut args = vec![
            "cat-file",
            "--batch-check=%(objecttype) %(objectsize) %(objectname)",
        ];
        args.extend(follows.then_some("--follow-symlinks"));
        let job = Job::local(repository.dir(), &args).given(&format!("{tip}:{path}\n"));
        let said = self.git.run(job).await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Whether the latest commit that touched the log is signed with the member's key, as
    /// `git verify-commit` has it.
    async fn check_signature(
        &self,
        repository: &Repository,
        path: &str,
        node: &ManifestNode,
    ) -> Result<(), PlainLogError> {
        // without one any good signature would do: also that of whoever broke in
        if node.public_key_fingerprint.is_empty() {
            let why = "must be signed, and public_key_fingerprint names no key of this member";
            return Err(PlainLogError::Unsigned(why.to_owned()));
        }
        // an SSH key is judged by its fingerprint below; without a file Git would not look at the
        // signature at all
        let signers = "gpg.ssh.allowedSignersFile=/dev/null";
        let args = [
            "-c",
            signers,
            "log",
            "-1",
            "--format=%G?%n%GF%n%GP",
            FETCHED,
            "--",
            path,
        ];
        let said = self.git.run(Job::local(repository.dir(), &args)).await?;
        judge(
            &String::from_utf8_lossy(&said),
            &node.public_key_fingerprint,
            self.asked,
        )
        .map_err(PlainLogError::Unsigned)
    }
}

/// Where a registry log stands.
struct Located {
    path: &'static str,
    /// The id of its object in the repository.
    id: String,
    bytes: u64,
    /// All that Git said of it.
    said: String,
}

/// Whether a file, read from its beginning, says where Git LFS keeps another.
fn is_pointer(file: &mut File) -> std::io::Result<bool> {
    let mut text = Vec::new();
    file.take(POINTER_BYTES).read_to_end(&mut text)?;
    Ok(POINTERS
        .iter()
        .any(|words| text.starts_with(words.as_bytes())))
}

/// Judges what Git says of a signature: whether it is good, and the fingerprints of the key and of
/// its primary key.
fn judge(said: &str, expected: &str, asked: Asked) -> Result<(), String> {
    let mut lines = said.lines().map(str::trim);
    // nothing of it is trusted beyond its form: it is what a program printed
    let state = lines.next();
    let key = lines.next().unwrap_or_default();
    let primary = lines.next().unwrap_or_default();
    match state.unwrap_or_default() {
        // U: nobody has vouched for the key; its fingerprint is compared, which is better
        "G" | "U" => {}
        "N" | "" => return Err("is not signed".to_owned()),
        "E" => return Err("is signed with a key that this machine does not have".to_owned()),
        "X" | "Y" | "R" => {
            return Err("is signed with a key that has expired or was revoked".to_owned());
        }
        _ => return Err("has a bad signature".to_owned()),
    }
    let is_ssh = key.starts_with("SHA256:");
    // each kind only where it is asked for: SSH keys are easier to come by
    match (is_ssh, asked) {
        (true, Asked { ssh: false, .. }) => {
            return Err("is signed with an SSH key; a GPG signature is required".to_owned());
        }
        (false, Asked { gpg: false, .. }) => {
            return Err("is signed with a GPG key; an SSH signature is required".to_owned());
        }
        _ => {}
    }
    let fits = |found: &str| {
        if is_ssh {
            found == expected.trim()
        } else {
            is_same_key(found, expected)
        }
    };
    // a subkey signs, and people know the primary key
    if fits(key) || fits(primary) {
        return Ok(());
    }
    Err(format!(
        "is signed with {key}, not with {}",
        expected.chars().take(100).collect::<String>()
    ))
}

/// Whether two GPG fingerprints or long key ids name one key: they end alike.
fn is_same_key(found: &str, expected: &str) -> bool {
    let digits = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_hexdigit)
            .collect::<String>()
            .to_uppercase()
    };
    let found = digits(found);
    let expected = digits(expected);
    expected.len() >= KEY_ID_DIGITS && found.ends_with(&expected)
}

#[cfg(test)]
mod tests;
