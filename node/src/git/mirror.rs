//! A member's branch: fetched into a bare mirror, its new lines read. A branch whose commits or lines are not those
//! that were read is a rewritten history: it is kept as evidence, and what was accepted stays.

use std::path::PathBuf;

use gix_hash::ObjectId;
use ssid_protocol::git_lines::BranchHead;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_storage::RewrittenRow;

use super::command::{FETCH, Git, Job, remove_unfinished};
use super::failure::GitError;
use super::intake::{Counts, Intake, Road};
use super::read::{Reading, head_of, new_lines};
use super::remote::GitRemote;
use super::repository::{FETCHED, Repository};

/// The last commit whose lines were handed to the engine.
const READ: &str = "refs/ssid/read";
/// The last commits of histories that were rewritten, by when that was seen and what was there instead.
const REWRITTEN: &str = "refs/ssid/rewritten";
/// Rewritten histories kept of one member; the oldest is given up for another.
pub(super) const REWRITTEN_KEPT: usize = 16;

/// A branch to fetch.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) node: NodeId,
    pub(super) remote: GitRemote,
    pub(super) branch: String,
    /// Where its mirror is.
    pub(super) dir: PathBuf,
    /// Commits fetched the first time.
    pub(super) depth: u64,
}

/// What one fetch brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) commit: String,
    pub(super) bytes: u64,
    pub(super) counts: Counts,
    /// Whether this very fetch showed a rewritten history.
    pub(super) rewritten_now: bool,
    /// All that were seen.
    pub(super) rewritten: Vec<RewrittenRow>,
    /// What the branch says of itself.
    pub(super) head: Option<BranchHead>,
}

/// Fetches a branch into its repository; its tip. A repository that turns out damaged is set aside and filled anew.
pub(super) async fn fetch(git: &Git, source: &Source) -> Result<(Repository, ObjectId), GitError> {
    match fetch_once(git, source).await {
        Err(GitError::Damaged(reason)) if source.dir.join(FETCHED).exists() => {
            set_aside(git, source, &reason).await?;
            fetch_once(git, source).await
        }
        fetched => fetched,
    }
}

async fn set_aside(git: &Git, source: &Source, reason: &str) -> Result<(), GitError> {
    let aside = Repository::open(git, source.dir.clone()).await?.set_aside()?;
    tracing::warn!(node = %source.node, reason, moved_to = %aside.display(), "a Git mirror is damaged: fetched anew");
    Ok(())
}

async fn fetch_once(git: &Git, source: &Source) -> Result<(Repository, ObjectId), GitError> {
    let repository = Repository::open(git, source.dir.clone()).await?;
    // also of a node that was killed
    remove_unfinished(repository.dir());
    let depth = format!("--depth={}", source.depth);
    let mut options = FETCH.to_vec();
    if repository.reference(FETCHED)?.is_none() {
        options.push(&depth);
    }
    let what = format!("+refs/heads/{}:{FETCHED}", source.branch);
    let fetched = git.run(Job::remote(repository.dir(), &options, &source.remote, &what)).await;
    if fetched.is_err() {
        remove_unfinished(repository.dir());
    }
    fetched?;
    let tip = repository.reference(FETCHED)?.ok_or(GitError::NoBranch)?;
    Ok((repository, tip))
}

/// Fetches a member's branch and hands its new lines to the engine; with `again`, also those read before that are not
/// settled.
pub(super) async fn follow(
    git: &Git,
    source: &Source,
    road: &Road,
    again: bool,
    now: UnixMillis,
) -> Result<Brought, GitError> {
    let (repository, tip) = fetch(git, source).await?;
    match take(git, &repository, source, road, again, tip, now).await {
        Err(GitError::Damaged(reason)) => {
            // what Git took for sound cannot be read: the disk, or what was kept from before
            set_aside(git, source, &reason).await?;
            let (repository, tip) = fetch_once(git, source).await?;
            take(git, &repository, source, road, again, tip, now).await
        }
        brought => brought,
    }
}

async fn take(
    git: &Git,
    repository: &Repository,
    source: &Source,
    road: &Road,
    again: bool,
    tip: ObjectId,
    now: UnixMillis,
) -> Result<Brought, GitError> {
    let before = repository.reference(READ)?;
    let head = head_of(&repository.objects()?, tip)?;
    let federation = road.checker.federation();
    if head.as_ref().is_some_and(|head| (head.node_id, head.federation_id) != (source.node, federation)) {
        return Err(GitError::Failed("the branch there is another node's or another federation's".to_owned()));
    }
    let mut brought = Brought { commit: tip.to_string(), head, ..Brought::default() };
    if before != Some(tip) {
        let descends = match before {
            Some(before) => repository.is_ancestor(git, before, tip).await?,
            None => true,
        };
        let from = before.filter(|_| descends);
        let (reading, counts) = read(repository, source.node, road, from, tip, before.is_none()).await?;
        brought.bytes = reading.bytes;
        brought.rewritten_now = !descends || reading.rewritten;
        brought.counts = counts;
        brought.counts.bad += reading.too_long;
        if let Some(before) = before.filter(|_| brought.rewritten_now) {
            keep_rewritten(repository, before, tip, now)?;
        }
        repository.set_reference(READ, tip)?;
    }
    if again && before.is_some() {
        read(repository, source.node, road, None, tip, true).await?;
    }
    brought.rewritten = rewritten(repository, source);
    Ok(brought)
}

/// Reads lines on a thread that may block, into the engine.
pub(super) async fn read(
    repository: &Repository,
    from_node: NodeId,
    road: &Road,
    from: Option<ObjectId>,
    to: ObjectId,
    skip_settled: bool,
) -> Result<(Reading, Counts), GitError> {
    let (repository, road) = (repository.clone(), road.clone());
    let read = move || {
        let objects = repository.objects()?;
        let mut intake = Intake::new(road, from_node, skip_settled);
        let reading = new_lines(&objects, from, to, |place, text| intake.take(place, text))?;
        Ok((reading, intake.finish()))
    };
    tokio::task::spawn_blocking(read).await.map_err(|e| GitError::Failed(e.to_string()))?
}

fn keep_rewritten(repository: &Repository, was: ObjectId, is: ObjectId, now: UnixMillis) -> Result<(), GitError> {
    // in the order they were seen, whatever the clock did meanwhile: the first are dropped
    let last = repository.references(REWRITTEN).last().and_then(|(name, _)| name.split_once('-')?.0.parse().ok());
    let at = last.map_or(now.0, |last: u64| now.0.max(last.saturating_add(1)));
    repository.set_reference(&format!("{REWRITTEN}/{at:015}-{is}"), was)?;
    let kept = repository.references(REWRITTEN);
    for (name, _) in kept.iter().take(kept.len().saturating_sub(REWRITTEN_KEPT)) {
        repository.drop_reference(&format!("{REWRITTEN}/{name}"))?;
    }
    Ok(())
}

fn rewritten(repository: &Repository, source: &Source) -> Vec<RewrittenRow> {
    let of = |(name, was): (String, ObjectId)| {
        let (seen_at, now) = name.split_once('-')?;
        let (seen_at, now) = (UnixMillis(seen_at.parse().ok()?), now.to_owned());
        Some(RewrittenRow { seen_at, remote: source.remote.to_string(), was: was.to_string(), now })
    };
    repository.references(REWRITTEN).into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::GitProtocol;

    #[tokio::test]
    async fn the_latest_rewritten_histories_are_kept_though_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(&[GitProtocol::File], Duration::from_secs(20), CancellationToken::new()).await.unwrap();
        let repository = Repository::open(&git, dir.path().join("mirror.git")).await.unwrap();
        let id = |n: usize| ObjectId::from_hex(format!("{n:040x}").as_bytes()).unwrap();
        for n in 0..REWRITTEN_KEPT + 2 {
            // each seen an hour earlier than the one before, by the clock
            let now = UnixMillis(1_800_000_000_000 - 3_600_000 * n as u64);
            keep_rewritten(&repository, id(n), id(n + 1), now).unwrap();
        }
        let kept: Vec<ObjectId> = repository.references(REWRITTEN).into_iter().map(|(_, was)| was).collect();
        assert_eq!(kept, (2..REWRITTEN_KEPT + 2).map(id).collect::<Vec<_>>());
    }
}
