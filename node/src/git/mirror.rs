//! A member's branch: fetched into a bare mirror, its new lines read. A branch whose commits or
//! lines are not those that were read is a rewritten history: it is kept as evidence, and what was
//! accepted stays.

use std::path::PathBuf;

use gix_hash::ObjectId;
use gix_object::Kind;
use ssid_protocol::git_lines::{BranchHead, LINES_DIR};
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_storage::RewrittenRow;

use super::branch::tree;
use super::command::Git;
use super::failure::GitError;
use super::fetch::{self, Wanted};
use super::intake::{Counts, Intake, IntakeContext};
use super::objects::Objects;
use super::read::{Budget, Reading, Segments, head_of, new_lines, segments};
use super::remote::GitRemote;
use super::repository::{FETCHED, Repository};

/// The last commit whose lines were handed to the engine.
const READ: &str = "refs/ssid/read";
/// How far reading has come in a branch that is too long for one sync: a commit with the lines that
/// were read, after the one in which they stand.
const PART: &str = "refs/ssid/part";
/// The last commits of histories that were rewritten, by when that was seen and what was there
/// instead.
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
    /// Whether lines are left for the next sync.
    pub(super) is_part: bool,
    /// If what was read before is offered again and not all of it was: up to where.
    pub(super) again: Option<Segments>,
}

/// Fetches a branch into its repository; its tip. A repository that turns out damaged is set aside
/// and filled anew.
pub(super) async fn fetch(git: &Git, source: &Source) -> Result<(Repository, ObjectId), GitError> {
    match fetch_once(git, source).await {
        // damaged by what this machine kept: a new copy from the remote is sound
        Err(GitError::Damaged(reason)) if source.dir.join(FETCHED).exists() => {
            set_aside(git, source, &reason).await?;
            fetch_once(git, source).await
        }
        fetched => fetched,
    }
}

async fn set_aside(git: &Git, source: &Source, reason: &str) -> Result<(), GitError> {
    let aside = Repository::open(git, source.dir.clone())
        .await?
        .set_aside()?;
    tracing::warn!(node = %source.node, reason, moved_to = %aside.display(), "a Git mirror is damaged: fetched anew");
    Ok(())
}

async fn fetch_once(git: &Git, source: &Source) -> Result<(Repository, ObjectId), GitError> {
    let repository = Repository::open(git, source.dir.clone()).await?;
    // the first time only the end of it: later fetches bring what is new
    let depth = repository
        .reference(FETCHED)?
        .is_none()
        .then_some(source.depth);
    let reference = format!("refs/heads/{}", source.branch);
    let wanted = Wanted {
        reference: &reference,
        depth,
        commits_only: false,
    };
    fetch::fetch(git, &repository, &source.remote, wanted).await?;
    let tip = repository.reference(FETCHED)?.ok_or(GitError::NoBranch)?;
    Ok((repository, tip))
}

/// Fetches a member's branch and hands its new lines to the engine; with `again`, also those read
/// before that are not settled, from there on.
pub(super) async fn follow(
    git: &Git,
    source: &Source,
    context: &IntakeContext,
    again: Option<Segments>,
    now: UnixMillis,
) -> Result<Brought, GitError> {
    let (repository, tip) = fetch(git, source).await?;
    match take(git, &repository, source, context, again.clone(), tip, now).await {
        Err(GitError::Damaged(reason)) => {
            // what Git took for sound cannot be read: the disk, or what was kept from before
            set_aside(git, source, &reason).await?;
            let (repository, tip) = fetch_once(git, source).await?;
            take(git, &repository, source, context, again, tip, now).await
        }
        brought => brought,
    }
}

async fn take(
    git: &Git,
    repository: &Repository,
    source: &Source,
    context: &IntakeContext,
    again: Option<Segments>,
    tip: ObjectId,
    now: UnixMillis,
) -> Result<Brought, GitError> {
    let head = head_of(&repository.objects()?, tip)?;
    let federation = context.checker().federation();
    // a copy of another's branch would have its lines counted as news of this member
    if head
        .as_ref()
        .is_some_and(|head| (head.node_id, head.federation_id) != (source.node, federation))
    {
        return Err(GitError::NotABranch(
            "it is another node's or another federation's".to_owned(),
        ));
    }
    let before = Before::of(repository)?;
    let mut brought = Brought {
        commit: tip.to_string(),
        head,
        again,
        ..Brought::default()
    };
    // a commit that was read whole has nothing new
    if before.is_part || before.last != Some(tip) {
        read_new(git, repository, source, context, &before, tip, &mut brought).await?;
        // kept under a name of its own, so that Git does not drop the evidence
        if let Some(was) = before.last.filter(|_| brought.rewritten_now) {
            keep_rewritten(repository, was, tip, now)?;
        }
    }
    // what this sync left is read first; then what the engine had no room for
    if !brought.is_part
        && let Some(from) = brought.again.take()
        && before.last.is_some()
    {
        let (reading, _) = read(git, repository, source.node, context, from, tip, true).await?;
        brought.again = reading.stopped_at;
    }
    brought.rewritten = rewritten(repository, source);
    Ok(brought)
}

/// What of a branch was read before.
struct Before {
    /// The latest commit of which lines were read.
    last: Option<ObjectId>,
    /// Whether not all of its were.
    is_part: bool,
    /// The files of lines, in order.
    lines: Segments,
}

impl Before {
    fn of(repository: &Repository) -> Result<Self, GitError> {
        let objects = repository.objects()?;
        if let Some(part) = repository.reference(PART)? {
            let last = objects.commit(part)?.1.first().copied();
            return Ok(Self {
                last,
                is_part: true,
                lines: segments(&objects, part)?.0,
            });
        }
        let last = repository.reference(READ)?;
        let lines = last
            .map(|last| segments(&objects, last))
            .transpose()?
            .unwrap_or_default()
            .0;
        Ok(Self {
            last,
            is_part: false,
            lines,
        })
    }
}

/// Reads what was not read before, and notes how far that came.
async fn read_new(
    git: &Git,
    repository: &Repository,
    source: &Source,
    context: &IntakeContext,
    before: &Before,
    tip: ObjectId,
    brought: &mut Brought,
) -> Result<(), GitError> {
    // Git tells whether a commit was left out or changed
    let descends = match before.last {
        Some(last) => repository.is_ancestor(git, last, tip).await?,
        None => true,
    };
    // of another history nothing is known, be its lines the same or not
    let known = if descends {
        before.lines.clone()
    } else {
        Segments::new()
    };
    let (reading, counts) = read(
        git,
        repository,
        source.node,
        context,
        known,
        tip,
        before.last.is_none(),
    )
    .await?;
    brought.bytes = reading.bytes;
    brought.rewritten_now = !descends || reading.rewritten;
    brought.counts = counts;
    brought.counts.bad += reading.too_long;
    // a commit of this node's own names the files read, or Git would collect them
    if let Some(stopped_at) = &reading.stopped_at {
        brought.is_part = true;
        let part = mark(&repository.objects()?, tip, stopped_at)?;
        return repository.set_reference(PART, part);
    }
    // only after the engine has the lines: a crash before reads them again
    repository.set_reference(READ, tip)?;
    if repository.reference(PART)?.is_some() {
        repository.drop_reference(PART)
    } else {
        Ok(())
    }
}

/// Writes down which lines were read, so that Git keeps them.
fn mark(objects: &Objects, tip: ObjectId, read: &Segments) -> Result<ObjectId, GitError> {
    let files: Vec<_> = read
        .iter()
        .map(|(name, id)| ("100644", name.as_str(), *id))
        .collect();
    let lines = objects.write(Kind::Tree, &tree(&files))?;
    let root = objects.write(Kind::Tree, &tree(&[("40000", LINES_DIR, lines)]))?;
    let who = "ssid <ssid@ssid.invalid> 0 +0000";
    let commit =
        format!("tree {root}\nparent {tip}\nauthor {who}\ncommitter {who}\n\nread in part\n");
    objects.write(Kind::Commit, commit.as_bytes())
}

/// Reads lines that are not known on a thread that may block, into the engine; within the time that
/// a fetch may take.
pub(super) async fn read(
    git: &Git,
    repository: &Repository,
    from_node: NodeId,
    context: &IntakeContext,
    known: Segments,
    to: ObjectId,
    skip_settled: bool,
) -> Result<(Reading, Counts), GitError> {
    let repository = repository.clone();
    let context = context.clone();
    let budget = Budget::new(git.timeout(), git.shutdown().clone());
    let read = move || {
        let objects = repository.objects()?;
        let mut intake = Intake::new(context, from_node, skip_settled);
        let reading = new_lines(&objects, &known, to, budget, |place, text| {
            intake.take(place, text);
        })?;
        Ok((reading, intake.finish()))
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|e| GitError::Failed(e.to_string()))?
}

fn keep_rewritten(
    repository: &Repository,
    was: ObjectId,
    is: ObjectId,
    now: UnixMillis,
) -> Result<(), GitError> {
    // in the order they were seen, whatever the clock did meanwhile: the first are dropped
    let last = repository
        .references(REWRITTEN)
        .last()
        .and_then(|(name, _)| name.split_once('-')?.0.parse().ok());
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
        let seen_at = UnixMillis(seen_at.parse().ok()?);
        let now = now.to_owned();
        Some(RewrittenRow {
            seen_at,
            remote: source.remote.to_string(),
            was: was.to_string(),
            now,
        })
    };
    repository
        .references(REWRITTEN)
        .into_iter()
        .filter_map(of)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use ssid_protocol::git_lines::segment_name;
    use tokio_util::sync::CancellationToken;

    use super::super::testing::{commit_lines, intake_context};
    use super::*;
    use crate::config::GitProtocol;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_branch_that_was_read_in_part_goes_on_where_that_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(
            &[GitProtocol::File],
            Duration::from_secs(20),
            CancellationToken::new(),
        )
        .await
        .unwrap();
        let repository = Repository::open(&git, dir.path().join("mirror.git"))
            .await
            .unwrap();
        let context = intake_context(&dir.path().join("db"), tokio::sync::mpsc::channel(8).0);
        let remote = GitRemote::parse("/srv/a.git", GitRemote::PROTOCOLS).unwrap();
        let node = NodeId([7; 32]);
        let source = Source {
            node,
            remote,
            branch: "b".into(),
            dir: repository.dir().into(),
            depth: 10,
        };
        let objects = repository.objects().unwrap();
        // lines that do not hold are counted, and so those that are read
        let file = |n: u64, text: &str| (segment_name(n), text.repeat(3).into_bytes());
        let files = [file(0, "a\n"), file(1, "b\n"), file(2, "c\n")];
        let tip = commit_lines(&objects, &files);
        let first = segments(&objects, commit_lines(&objects, &files[..1]))
            .unwrap()
            .0;
        let take_it = || {
            take(
                &git,
                &repository,
                &source,
                &context,
                None,
                tip,
                UnixMillis(1),
            )
        };
        repository
            .set_reference(PART, mark(&objects, tip, &first).unwrap())
            .unwrap();
        let brought = take_it().await.unwrap();
        assert_eq!(
            (brought.counts.bad, brought.is_part, brought.rewritten_now),
            (6, false, false)
        );
        assert_eq!(
            (repository.reference(PART), repository.reference(READ)),
            (Ok(None), Ok(Some(tip)))
        );
        assert_eq!(take_it().await.unwrap().counts.bad, 0, "all of it was read");

        // what was read in part and is changed is a rewritten history
        let other = commit_lines(&objects, &[file(0, "x\n")]);
        let changed = segments(&objects, other).unwrap().0;
        repository
            .set_reference(PART, mark(&objects, other, &changed).unwrap())
            .unwrap();
        let brought = take_it().await.unwrap();
        assert!(
            brought.rewritten_now && brought.counts.bad == 9,
            "{brought:?}"
        );
        assert_eq!(
            (&brought.rewritten[0].was, &brought.rewritten[0].now),
            (&other.to_string(), &tip.to_string())
        );
    }

    #[tokio::test]
    async fn the_latest_rewritten_histories_are_kept_though_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(
            &[GitProtocol::File],
            Duration::from_secs(20),
            CancellationToken::new(),
        )
        .await
        .unwrap();
        let repository = Repository::open(&git, dir.path().join("mirror.git"))
            .await
            .unwrap();
        let id = |n: usize| ObjectId::from_hex(format!("{n:040x}").as_bytes()).unwrap();
        for n in 0..REWRITTEN_KEPT + 2 {
            // each seen an hour earlier than the one before, by the clock
            let now = UnixMillis(1_800_000_000_000 - 3_600_000 * n as u64);
            keep_rewritten(&repository, id(n), id(n + 1), now).unwrap();
        }
        let kept: Vec<ObjectId> = repository
            .references(REWRITTEN)
            .into_iter()
            .map(|(_, was)| was)
            .collect();
        assert_eq!(kept, (2..REWRITTEN_KEPT + 2).map(id).collect::<Vec<_>>());
    }
}
