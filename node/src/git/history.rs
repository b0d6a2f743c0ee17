//! Which commits stand in a member's repository, for events that are endorsed if their commit
//! exists (SPEC §7 rule 1, policy `commit`): the default branch's latest commits, fetched without
//! their files where the server can do that.
//!
//! A commit counts if it stands in the history of the default branch. To ask a server for one
//! commit by its id would prove less: large hosts serve the commits of everybody's forks from every
//! repository of a family.

use std::io::{Read as _, Seek as _};
use std::path::PathBuf;

use super::command::{Git, Job};
use super::failure::GitError;
use super::fetch::{Wanted, fetch_any};
use super::remote::GitRemote;
use super::repository::{FETCHED, Repository};

/// Commits that are listed, however many were fetched.
const LISTED: usize = 100_000;
/// Bytes of the longest id as a line.
const ID_BYTES: u64 = 65;
/// Packs after which a mirror is begun anew: each fetch that brings something adds one.
const PACKS: usize = 64;

/// A member's repository, and where its mirror is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) remote: GitRemote,
    pub(crate) dir: PathBuf,
    /// Commits fetched: `sync_settings.max_clone_depth`.
    pub(crate) depth: u64,
}

/// The ids of commits, to be looked up by their first digits.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<String>);

impl History {
    fn of(mut ids: Vec<String>) -> Self {
        ids.sort_unstable();
        Self(ids)
    }

    /// Whether a commit's id begins with these digits.
    pub(crate) fn has(&self, digits: &str) -> bool {
        let at = self.0.partition_point(|id| id.as_str() < digits);
        self.0.get(at).is_some_and(|id| id.starts_with(digits))
    }
}

/// What is here already of an earlier fetch; nothing if there was none, or if it cannot be read.
pub(crate) async fn kept(git: &Git, place: &Place) -> History {
    if !place.dir.join(FETCHED).exists() {
        return History::default();
    }
    match Repository::open_any(git, place.dir.clone()).await {
        Ok(repository) => list(git, &repository).await.unwrap_or_default(),
        Err(_) => History::default(),
    }
}

/// Fetches the default branch's latest commits. What is damaged here is thrown away: all of it is
/// at the remote.
pub(crate) async fn fetch(git: &Git, place: &Place) -> Result<History, GitError> {
    let fetched = fetch_once(git, place).await;
    if matches!(fetched, Err(GitError::Damaged(_))) && place.dir.join(FETCHED).exists() {
        Repository::open(git, place.dir.clone()).await?.remove()?;
        return fetch_once(git, place).await;
    }
    fetched
}

async fn fetch_once(git: &Git, place: &Place) -> Result<History, GitError> {
    let packs = std::fs::read_dir(place.dir.join("objects/pack")).map_or(0, Iterator::count);
    let mut repository = Repository::open_any(git, place.dir.clone()).await?;
    if packs > FILES_OF_A_PACK * PACKS {
        repository.remove()?;
        repository = Repository::open_any(git, place.dir.clone()).await?;
    }
    // Git would take one that is torn for a lock
    repository.commit_named(FETCHED)?;
    let wanted = Wanted::default_branch(place.depth, true);
    match fetch_any(git, &repository, &place.remote, wanted).await {
        // an empty repository has no HEAD: nothing exists there
        Err(GitError::NoBranch) => Ok(History::default()),
        Err(error) => Err(error),
        Ok(()) => list(git, &repository).await,
    }
}

/// Files that a pack of a filtered fetch consists of: itself, its index, its reverse index, its
/// mark.
const FILES_OF_A_PACK: usize = 4;

async fn list(git: &Git, repository: &Repository) -> Result<History, GitError> {
    let Some(tip) = repository.commit_named(FETCHED)? else {
        return Ok(History::default());
    };
    let failed = |e: std::io::Error| repository.failed(&e);
    // 100,000 ids are more than Git's words are kept of
    let mut file = tempfile::tempfile_in(repository.dir()).map_err(failed)?;
    let limit = format!("--max-count={LISTED}");
    let job = Job::local(repository.dir(), &["rev-list", &limit, &tip]);
    git.run(job.into_file(file.try_clone().map_err(failed)?))
        .await?;
    file.rewind().map_err(failed)?;
    let mut ids = String::new();
    file.take(LISTED as u64 * ID_BYTES)
        .read_to_string(&mut ids)
        .map_err(failed)?;
    Ok(History::of(ids.lines().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::super::testing::git;
    use super::*;
    use crate::config::GitProtocol;

    fn commit(dir: &Path) -> String {
        git(dir, &["commit", "--quiet", "--allow-empty", "-m", "x"]);
        git(dir, &["rev-parse", "HEAD"])
    }

    #[test]
    fn a_commit_is_known_by_its_first_digits() {
        let id = |text: &str| text.repeat(8);
        let history = History::of(vec![id("abcde"), id("00000"), id("abcdf")]);
        for digits in ["abcdeab", "abcdfab", "0000000", &"abcde".repeat(8)] {
            assert!(history.has(digits), "{digits}");
        }
        for digits in [
            "abcdea1",
            "abcdd00",
            "fffffff",
            "0000001",
            &"abcde".repeat(9),
        ] {
            assert!(!history.has(digits), "{digits}");
        }
    }

    #[tokio::test]
    async fn the_latest_commits_of_the_default_branch_are_fetched_and_the_address_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "--quiet"]);
        let remote = GitRemote::parse(origin.to_str().unwrap(), GitRemote::PROTOCOLS).unwrap();
        let place = Place {
            remote,
            dir: dir.path().join("mirror.git"),
            depth: 2,
        };
        let system = Git::find(
            &[GitProtocol::File],
            Duration::from_secs(20),
            CancellationToken::new(),
        )
        .await
        .unwrap();
        assert!(
            !fetch(&system, &place).await.unwrap().has("0000000"),
            "nothing is published yet"
        );
        let commits: Vec<_> = (0..3).map(|_| commit(&origin)).collect();
        git(&origin, &["checkout", "--quiet", "-b", "other"]);
        let elsewhere = commit(&origin);
        git(&origin, &["checkout", "--quiet", "-"]);
        let history = fetch(&system, &place).await.unwrap();
        let known: Vec<_> = commits
            .iter()
            .chain([&elsewhere])
            .map(|id| history.has(&id[..9]))
            .collect();
        assert_eq!(
            known,
            [false, true, true, false],
            "two of the branch's three, and no other branch's"
        );
        assert!(kept(&system, &place).await.has(&commits[2]));
        let config = fs::read_to_string(place.dir.join("config")).unwrap();
        assert!(!config.contains(origin.to_str().unwrap()), "{config}");

        // what is damaged is thrown away and fetched again
        fs::write(place.dir.join(FETCHED), "rubbish").unwrap();
        assert!(!kept(&system, &place).await.has(&commits[2]));
        assert!(fetch(&system, &place).await.unwrap().has(&commits[2]));
    }
}
