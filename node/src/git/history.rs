//! Which commits stand in a member's repository, for events that are endorsed if their commit exists (SPEC §7 rule 1,
//! policy `commit`): the default branch's latest commits, fetched without their files where the server can do that.
//!
//! A commit counts if it stands in the history of the default branch. To ask a server for one commit by its id would
//! prove less: large hosts serve the commits of everybody's forks from every repository of a family.

use std::path::PathBuf;

use gix_hash::ObjectId;

use super::command::{FETCH, Git, Job, remove_unfinished};
use super::failure::GitError;
use super::remote::GitRemote;
use super::repository::{FETCHED, Repository};

/// Commits that are listed, however many were fetched: 20 bytes each.
const LISTED: usize = 100_000;
/// Packs after which a mirror is begun anew: each fetch that brings something adds one.
const PACKS: usize = 64;

/// A member's repository, and where its mirror is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) remote: GitRemote,
    pub(super) dir: PathBuf,
    /// Commits fetched: `sync_settings.max_clone_depth`.
    pub(super) depth: u64,
}

/// The ids of commits, to be looked up by their first digits.
#[derive(Debug, Default)]
pub(super) struct History(Vec<String>);

impl History {
    fn of(mut ids: Vec<ObjectId>) -> Self {
        ids.sort_unstable();
        Self(ids.into_iter().map(|id| id.to_string()).collect())
    }

    /// Whether a commit's id begins with these digits.
    pub(super) fn has(&self, digits: &str) -> bool {
        let at = self.0.partition_point(|id| id.as_str() < digits);
        self.0.get(at).is_some_and(|id| id.starts_with(digits))
    }
}

/// What is here already of an earlier fetch; nothing if there was none, or if it cannot be read.
pub(super) async fn kept(git: &Git, place: &Place) -> History {
    if !place.dir.join(FETCHED).exists() {
        return History::default();
    }
    match Repository::open(git, place.dir.clone()).await {
        Ok(repository) => list(repository).await.unwrap_or_default(),
        Err(_) => History::default(),
    }
}

/// Fetches the default branch's latest commits. What is damaged here is thrown away: all of it is at the remote.
pub(super) async fn fetch(git: &Git, place: &Place) -> Result<History, GitError> {
    let fetched = fetch_once(git, place).await;
    if matches!(fetched, Err(GitError::Damaged(_))) && place.dir.join(FETCHED).exists() {
        Repository::open(git, place.dir.clone()).await?.remove()?;
        return fetch_once(git, place).await;
    }
    fetched
}

async fn fetch_once(git: &Git, place: &Place) -> Result<History, GitError> {
    let packs = std::fs::read_dir(place.dir.join("objects/pack")).map_or(0, Iterator::count);
    let repository = Repository::open(git, place.dir.clone()).await?;
    let repository = if packs > FILES_OF_A_PACK * PACKS {
        repository.remove()?;
        Repository::open(git, place.dir.clone()).await?
    } else {
        repository
    };
    // also of a node that was killed
    remove_unfinished(repository.dir());
    // Git would take one that is torn for a lock
    repository.reference(FETCHED)?;
    let depth = format!("--depth={}", place.depth);
    let options = [FETCH, &["--filter=tree:0", &depth]].concat();
    let fetched = git.run(Job::named(repository.dir(), &options, &place.remote, &format!("+HEAD:{FETCHED}"))).await;
    if fetched.is_err() {
        remove_unfinished(repository.dir());
    }
    match fetched {
        // an empty repository has no HEAD: nothing exists there
        Err(GitError::NoBranch) => Ok(History::default()),
        Err(error) => Err(error),
        Ok(_) => list(repository).await,
    }
}

/// Files that a pack of a filtered fetch consists of: itself, its index, its reverse index, its mark.
const FILES_OF_A_PACK: usize = 4;

async fn list(repository: Repository) -> Result<History, GitError> {
    let Some(tip) = repository.reference(FETCHED)? else { return Ok(History::default()) };
    let listed = tokio::task::spawn_blocking(move || repository.objects()?.history(tip, LISTED)).await;
    listed.map_err(|e| GitError::Failed(e.to_string()))?.map(History::of)
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
        let id = |text: &str| ObjectId::from_hex(text.repeat(8).as_bytes()).unwrap();
        let history = History::of(vec![id("abcde"), id("00000"), id("abcdf")]);
        for digits in ["abcdeab", "abcdfab", "0000000", &"abcde".repeat(8)] {
            assert!(history.has(digits), "{digits}");
        }
        for digits in ["abcdea1", "abcdd00", "fffffff", "0000001", &"abcde".repeat(9)] {
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
        let place = Place { remote, dir: dir.path().join("mirror.git"), depth: 2 };
        let system = Git::find(&[GitProtocol::File], Duration::from_secs(20), CancellationToken::new()).await.unwrap();
        assert!(!fetch(&system, &place).await.unwrap().has("0000000"), "nothing is published yet");
        let commits: Vec<_> = (0..3).map(|_| commit(&origin)).collect();
        git(&origin, &["checkout", "--quiet", "-b", "other"]);
        let elsewhere = commit(&origin);
        git(&origin, &["checkout", "--quiet", "-"]);
        let history = fetch(&system, &place).await.unwrap();
        let known: Vec<_> = commits.iter().chain([&elsewhere]).map(|id| history.has(&id[..9])).collect();
        assert_eq!(known, [false, true, true, false], "two of the branch's three, and no other branch's");
        assert!(kept(&system, &place).await.has(&commits[2]));
        let config = fs::read_to_string(place.dir.join("config")).unwrap();
        assert!(!config.contains(origin.to_str().unwrap()), "{config}");

        // what is damaged is thrown away and fetched again
        fs::write(place.dir.join(FETCHED), "rubbish").unwrap();
        assert!(!kept(&system, &place).await.has(&commits[2]));
        assert!(fetch(&system, &place).await.unwrap().has(&commits[2]));
    }
}
