//! The own branch: what the engine holds of this node's own is appended and pushed. Only what is on
//! disk gets there: the engine answers from after its last tick.
//!
//! A branch that is ahead of this node – another machine has the key, or this one was set back – is
//! adopted, and its lines go to the engine, which compares them with the vote history. A branch
//! that another has made is left as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use gix_hash::ObjectId;
use ssid_protocol::id::{FederationId, NodeId, Sha256Hash, UnixMillis};

use super::append::{Appending, Offer, Said};
use super::command::{Git, Job};
use super::failure::GitError;
use super::intake::IntakeContext;
use super::mirror::{self, Source};
use super::own::{self, There};
use super::read::{Budget, Segments};
use super::remote::GitRemote;
use super::repository::Repository;
use crate::engine::EngineHandle;

/// The own branch and how far it has come.
pub(super) struct Publisher {
    source: Source,
    /// The keys that this node's took the places of: what they began it goes on with.
    former: Vec<NodeId>,
    federation: FederationId,
    /// Whether the remote's branch was looked at since the start.
    met: bool,
    /// If the remote's branch is being taken in by parts: up to where.
    taken_in: Segments,
    /// Random: asks the others what they hold of this node's.
    start: Sha256Hash,
    /// What stands on the branch of what is still open; unknown until it is read.
    known: Option<HashSet<Said>>,
    /// The commit that the remote has.
    pushed: Option<ObjectId>,
    /// Lines pushed since the start.
    pub(super) lines: u64,
}

/// Whom a branch speaks to besides.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Members whose batches are published too: they cannot do it themselves, or ask what they
    /// signed.
    pub(super) relayed: Arc<BTreeSet<NodeId>>,
    /// The starts that are answered by this.
    pub(super) heard: BTreeMap<NodeId, Sha256Hash>,
}

impl Publisher {
    pub(super) fn new(
        node: NodeId,
        federation: FederationId,
        remote: GitRemote,
        branch: String,
        dir: PathBuf,
    ) -> Self {
        // all of it: what this node has said it must know
        let depth = u64::from(u32::MAX >> 1);
        let source = Source {
            node,
            remote,
            branch,
            dir,
            depth,
        };
        Self {
            source,
            former: Vec::new(),
            federation,
            met: false,
            taken_in: Segments::new(),
            start: Sha256Hash(rand::random()),
            known: None,
            pushed: None,
            lines: 0,
        }
    }

    /// The same of a node whose key took the places of these.
    pub(super) fn going_on_from(self, former: Vec<NodeId>) -> Self {
        Self { former, ..self }
    }

    pub(super) fn remote(&self) -> &GitRemote {
        &self.source.remote
    }

    /// What members name when they have answered.
    pub(super) fn start(&self) -> Sha256Hash {
        self.start
    }

    /// Whether what the remote has of this node has been taken in.
    pub(super) fn has_met(&self) -> bool {
        self.met
    }

    /// Publishes what is new; the commit that the remote has now, if it has any. With `force` it is
    /// looked first what the remote has: somebody may have removed the branch there.
    pub(super) async fn publish(
        &mut self,
        git: &Git,
        engine: &EngineHandle,
        context: &IntakeContext,
        wanted: &Wanted,
        force: bool,
        now: UnixMillis,
    ) -> Result<Option<String>, GitError> {
        let published = self
            .try_publish(git, engine, context, wanted, force, now)
            .await;
        if let Err(GitError::Damaged(reason)) = &published {
            // what stood in it is at the remote, and the next attempt takes it from there
            let aside = Repository::open(git, self.source.dir.clone())
                .await?
                .set_aside()?;
            tracing::warn!(reason, moved_to = %aside.display(), "the own Git branch's repository is damaged");
            self.met = false;
            self.known = None;
            self.pushed = None;
        }
        published
    }

    async fn try_publish(
        &mut self,
        git: &Git,
        engine: &EngineHandle,
        context: &IntakeContext,
        wanted: &Wanted,
        force: bool,
        now: UnixMillis,
    ) -> Result<Option<String>, GitError> {
        let repository = Repository::open(git, self.source.dir.clone()).await?;
        if force || !self.met {
            self.meet(git, &repository, context).await?;
        }
        self.append(git, &repository, engine, context, wanted, now)
            .await?;
        match self.push(git, &repository).await {
            // another machine with this key pushed meanwhile: take that in, append to it, and try
            // once more; whoever loses twice waits for the next sync
            Err(GitError::Moved) => {
                self.meet(git, &repository, context).await?;
                self.append(git, &repository, engine, context, wanted, now)
                    .await?;
                self.push(git, &repository).await?;
            }
            pushed => pushed?,
        }
        Ok(self.pushed.map(|id| id.to_string()))
    }

    fn own_reference(&self) -> String {
        format!("refs/heads/{}", self.source.branch)
    }

    /// Looks at what the remote has, and goes on from there if that is not what this node left. The
    /// first time, all that stands there of this node's goes to the engine: a journal that was set
    /// back does not know some of it.
    async fn meet(
        &mut self,
        git: &Git,
        repository: &Repository,
        context: &IntakeContext,
    ) -> Result<(), GitError> {
        let theirs = self.theirs(git, repository).await?;
        let ours = repository.reference(&self.own_reference())?;
        // known is what the remote has if all of it stands on the branch here
        let is_known = match (theirs, ours) {
            (Some(theirs), Some(ours)) => repository.is_ancestor(git, theirs, ours).await?,
            (theirs, _) => theirs.is_none(),
        };
        // what this node is to hear of itself: its own branch, or the longer or other one there
        let tip = if is_known { ours } else { theirs };
        if let Some(tip) = tip.filter(|_| !is_known || !self.met) {
            let known = std::mem::take(&mut self.taken_in);
            let (reading, _) =
                mirror::read(git, repository, self.source.node, context, known, tip, true).await?;
            // not yet met: nothing may be appended before all of it was heard
            if let Some(stopped_at) = reading.stopped_at {
                self.taken_in = stopped_at;
                return Err(GitError::Partly);
            }
        }
        if let Some(theirs) = theirs.filter(|_| !is_known) {
            tracing::info!(commit = %theirs, "the own Git branch goes on from what its remote has");
            repository.set_reference(&self.own_reference(), theirs)?;
            // what stands on it has to be read before anything is appended
            self.known = None;
        }
        self.met = true;
        self.pushed = theirs;
        Ok(())
    }

    /// The commit of the own branch at the remote, fetched; nothing if there is no such branch.
    async fn theirs(
        &self,
        git: &Git,
        repository: &Repository,
    ) -> Result<Option<ObjectId>, GitError> {
        let Source {
            remote,
            branch,
            node,
            ..
        } = &self.source;
        let there = There::ask(git, repository.dir(), remote, branch).await?;
        if !there.exists {
            return Ok(None);
        }
        let (_, tip) = mirror::fetch(git, &self.source).await?;
        // only a branch that this key began is gone on with: anybody's may bear the name
        let keys = [&[*node], &self.former[..]].concat();
        match own::check(&repository.objects()?, tip, &keys, self.federation)? {
            Ok(()) => Ok(Some(tip)),
            Err(reason) => {
                let default = if there.is_default {
                    "it is the repository's default branch, and "
                } else {
                    ""
                };
                Err(GitError::NotOwn {
                    branch: branch.clone(),
                    reason: format!("{default}{reason}"),
                })
            }
        }
    }

    /// Appends to the own branch what the engine offers and the branch does not say yet, and moves
    /// the branch there.
    async fn append(
        &mut self,
        git: &Git,
        repository: &Repository,
        engine: &EngineHandle,
        context: &IntakeContext,
        wanted: &Wanted,
        now: UnixMillis,
    ) -> Result<(), GitError> {
        let tip = repository.reference(&self.own_reference())?;
        let offer = Offer::gather(engine, &wanted.relayed).await?;
        let appending = Appending {
            repository: repository.clone(),
            store: context.store.clone(),
            federation: self.federation,
            node: self.source.node,
            start: self.start,
            heard: wanted.heard.clone(),
            tip,
            offer,
            // taken out: after a failure it is unknown, and is read from the branch again
            known: self.known.take(),
            budget: Budget::new(git.timeout(), git.shutdown().clone()),
            now,
        };
        // compressing and writing objects is work for a thread that may block
        let appended = tokio::task::spawn_blocking(move || appending.run())
            .await
            .map_err(|e| GitError::Failed(e.to_string()))??;
        // the objects are on disk before the branch names them
        if let Some(commit) = appended.commit {
            repository.set_reference(&self.own_reference(), commit)?;
            self.lines += appended.lines;
        }
        self.known = Some(appended.known);
        Ok(())
    }

    async fn push(&mut self, git: &Git, repository: &Repository) -> Result<(), GitError> {
        let name = self.own_reference();
        let Some(tip) = repository
            .reference(&name)?
            .filter(|tip| self.pushed != Some(*tip))
        else {
            return Ok(());
        };
        // without force: Git refuses to go back, and refuses what another has pushed meanwhile
        let what = format!("{tip}:{name}");
        let push = ["push", "--quiet", "--no-verify"];
        git.run(Job::remote(
            repository.dir(),
            &push,
            &self.source.remote,
            &[&what],
        ))
        .await?;
        self.pushed = Some(tip);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use ssid_engine::Inbound;
    use ssid_protocol::git_lines::{BranchHead, LINES_DIR, segment_name};
    use ssid_protocol::id::LogId;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::branch::Appender;
    use super::super::testing::{git as run_git, intake_context, try_git};
    use super::*;
    use crate::config::GitProtocol;

    const BRANCH: &str = "refs/heads/ssid";

    /// A bare repository that this node publishes in.
    struct Remote {
        dir: tempfile::TempDir,
        git: Git,
        context: IntakeContext,
        _inputs: mpsc::Receiver<Inbound>,
    }

    impl Remote {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            run_git(dir.path(), &["init", "--bare", "--quiet", "remote.git"]);
            let allowed = [GitProtocol::File];
            let git = Git::find(&allowed, Duration::from_secs(20), CancellationToken::new());
            let (sender, inputs) = mpsc::channel(64);
            Self {
                git: git.await.unwrap(),
                context: intake_context(&dir.path().join("db"), sender),
                _inputs: inputs,
                dir,
            }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("remote.git")
        }

        /// The commit of the branch there.
        fn tip(&self) -> Option<String> {
            try_git(&self.path(), &["rev-parse", "--verify", "--quiet", BRANCH]).ok()
        }

        /// What publishes from one machine with this node's key, and its repository.
        async fn machine(&self, name: &str) -> (Publisher, Repository) {
            let own = self.dir.path().join(name);
            let address = self.path().display().to_string();
            let publisher = Publisher::new(
                self.context.me,
                self.context.checker().federation(),
                GitRemote::parse(&address, GitRemote::PROTOCOLS).unwrap(),
                "ssid".to_owned(),
                own.clone(),
            );
            (publisher, Repository::open(&self.git, own).await.unwrap())
        }

        /// Puts a line at the end of a machine's own branch.
        fn append(&self, repository: &Repository, line: &str) -> String {
            let head = BranchHead {
                federation_id: self.context.checker().federation(),
                node_id: self.context.me,
                log_id: LogId([3; 32]),
                log_size: 0,
                start: Sha256Hash([4; 32]),
                heard: BTreeMap::new(),
            };
            let objects = repository.objects().unwrap();
            let tip = repository.reference(BRANCH).unwrap();
            let mut appender = Appender::new(&objects, tip).unwrap();
            appender.push(line).unwrap();
            let commit = appender.commit(&head, UnixMillis(1_700_000_000_000));
            let commit = commit.unwrap();
            repository.set_reference(BRANCH, commit).unwrap();
            commit.to_string()
        }
    }

    #[tokio::test]
    async fn what_another_machine_pushed_meanwhile_is_gone_on_from() {
        let remote = Remote::new().await;
        let (git, context) = (&remote.git, &remote.context);
        let (mut first, here) = remote.machine("first.git").await;
        let (mut second, there) = remote.machine("second.git").await;
        first.meet(git, &here, context).await.unwrap();
        second.meet(git, &there, context).await.unwrap();
        assert!(first.has_met() && first.pushed.is_none());

        let pushed = remote.append(&here, "one");
        first.push(git, &here).await.unwrap();
        assert_eq!(remote.tip(), Some(pushed.clone()));

        remote.append(&there, "two");
        assert_eq!(second.push(git, &there).await, Err(GitError::Moved));
        assert_eq!(remote.tip(), Some(pushed), "nothing of the first is lost");
        second.meet(git, &there, context).await.unwrap();
        let appended = remote.append(&there, "two");
        second.push(git, &there).await.unwrap();
        assert_eq!(remote.tip(), Some(appended));
        let lines = format!("{BRANCH}:{LINES_DIR}/{}", segment_name(0));
        assert_eq!(run_git(&remote.path(), &["show", &lines]), "one\ntwo");
    }

    #[tokio::test]
    async fn a_branch_that_somebody_removed_is_pushed_again_once_it_is_looked_for() {
        let remote = Remote::new().await;
        let (mut publisher, repository) = remote.machine("own.git").await;
        let pushed = remote.append(&repository, "one");
        let meet = publisher.meet(&remote.git, &repository, &remote.context);
        meet.await.unwrap();
        publisher.push(&remote.git, &repository).await.unwrap();
        run_git(&remote.path(), &["update-ref", "-d", BRANCH]);
        publisher.push(&remote.git, &repository).await.unwrap();
        assert_eq!(remote.tip(), None, "it takes the branch to be there");
        let meet = publisher.meet(&remote.git, &repository, &remote.context);
        meet.await.unwrap();
        publisher.push(&remote.git, &repository).await.unwrap();
        assert_eq!(remote.tip(), Some(pushed));
    }

    #[tokio::test]
    async fn a_branch_that_another_made_is_left_as_it_is() {
        let remote = Remote::new().await;
        let tree = run_git(&remote.path(), &["write-tree"]);
        let theirs = run_git(&remote.path(), &["commit-tree", "-m", "theirs", &tree]);
        run_git(&remote.path(), &["update-ref", BRANCH, &theirs]);
        let (mut publisher, repository) = remote.machine("own.git").await;
        let met = publisher.meet(&remote.git, &repository, &remote.context);
        let refused = met.await.unwrap_err();
        assert!(matches!(refused, GitError::NotOwn { .. }), "{refused}");
        assert!(!publisher.has_met());
        remote.append(&repository, "one");
        let pushed = publisher.push(&remote.git, &repository).await;
        assert_eq!(pushed, Err(GitError::Moved), "Git refuses it, too");
        assert_eq!(remote.tip(), Some(theirs));
    }
}
