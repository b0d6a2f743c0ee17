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
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::evidence::Signed;
use ssid_protocol::git_lines::{BranchHead, Line};
use ssid_protocol::id::{ContentDigest, FederationId, MerkleHash, NodeId, Sha256Hash, UnixMillis};
use ssid_protocol::merkle;
use ssid_protocol::sync::ProvenEvent;
use ssid_storage::{LogHead, Store};

use super::branch::Appender;
use super::command::{Git, Job};
use super::failure::GitError;
use super::intake::Road;
use super::mirror::{self, Source};
use super::objects::Objects;
use super::own::{self, There};
use super::read::{Budget, Segments, head_of, new_lines, segments};
use super::remote::GitRemote;
use super::repository::Repository;
use crate::engine::EngineHandle;

/// Certificates read from the log at once, and their bytes at most.
const CERTIFICATES: usize = 256;
const CERTIFICATES_BYTES: usize = 1 << 20;
/// Files of lines in which is looked what of the present stands on the branch, the latest: what is
/// only in earlier ones is said once more.
const LOOKED_AT: usize = 128;
/// Lines remembered beyond four times what is offered.
const KNOWN_SLACK: usize = 10_000;

/// The own branch and how far it has come.
pub(super) struct Publisher {
    source: Source,
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

/// What a line is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Said {
    Batch(NodeId, MerkleHash),
    Statement(NodeId, MerkleHash),
    Event(ContentDigest),
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

/// What is to be said about open instances.
#[derive(Default)]
struct Offer {
    batches: Vec<Arc<VerifiedBatch>>,
    statements: Vec<Signed>,
    events: Vec<ProvenEvent>,
}

/// What a statement alone is known by.
fn said_alone(signed: &Signed) -> Said {
    Said::Statement(
        signed.proof.signer,
        merkle::leaf_hash(&signed.statement.leaf_bytes()),
    )
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
            federation,
            met: false,
            taken_in: Segments::new(),
            start: Sha256Hash(rand::random()),
            known: None,
            pushed: None,
            lines: 0,
        }
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
        road: &Road,
        wanted: &Wanted,
        force: bool,
        now: UnixMillis,
    ) -> Result<Option<String>, GitError> {
        let published = self
            .try_publish(git, engine, road, wanted, force, now)
            .await;
        if let Err(GitError::Damaged(reason)) = &published {
            // what stood in it is at the remote, and the next attempt takes it from there
            let aside = Repository::open(git, self.source.dir.clone())
                .await?
                .set_aside()?;
            tracing::warn!(reason, moved_to = %aside.display(), "the own Git branch's repository is damaged");
            (self.met, self.known, self.pushed) = (false, None, None);
        }
        published
    }

    async fn try_publish(
        &mut self,
        git: &Git,
        engine: &EngineHandle,
        road: &Road,
        wanted: &Wanted,
        force: bool,
        now: UnixMillis,
    ) -> Result<Option<String>, GitError> {
        let repository = Repository::open(git, self.source.dir.clone()).await?;
        if force || !self.met {
            self.meet(git, &repository, road).await?;
        }
        self.append(git, &repository, engine, road, wanted, now)
            .await?;
        match self.push(git, &repository).await {
            Err(GitError::Moved) => {
                self.meet(git, &repository, road).await?;
                self.append(git, &repository, engine, road, wanted, now)
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
        road: &Road,
    ) -> Result<(), GitError> {
        let theirs = self.theirs(git, repository).await?;
        let ours = repository.reference(&self.own_reference())?;
        let is_known = match (theirs, ours) {
            (Some(theirs), Some(ours)) => repository.is_ancestor(git, theirs, ours).await?,
            (theirs, _) => theirs.is_none(),
        };
        let tip = if is_known { ours } else { theirs };
        if let Some(tip) = tip.filter(|_| !is_known || !self.met) {
            let known = std::mem::take(&mut self.taken_in);
            let (reading, _) =
                mirror::read(git, repository, self.source.node, road, known, tip, true).await?;
            if let Some(stopped_at) = reading.stopped_at {
                self.taken_in = stopped_at;
                return Err(GitError::Partly);
            }
        }
        if let Some(theirs) = theirs.filter(|_| !is_known) {
            tracing::info!(commit = %theirs, "the own Git branch goes on from what its remote has");
            repository.set_reference(&self.own_reference(), theirs)?;
            self.known = None;
        }
        (self.met, self.pushed) = (true, theirs);
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
        match own::check(&repository.objects()?, tip, *node, self.federation)? {
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

    async fn append(
        &mut self,
        git: &Git,
        repository: &Repository,
        engine: &EngineHandle,
        road: &Road,
        wanted: &Wanted,
        now: UnixMillis,
    ) -> Result<(), GitError> {
        let tip = repository.reference(&self.own_reference())?;
        // taken, not lent: if anything fails below, what stands on the branch is read from it again
        let known = self.known.take();
        let (offer, offered) = gather(engine, &wanted.relayed).await?;
        let (store, repository_here, node, federation) = (
            road.store.clone(),
            repository.clone(),
            self.source.node,
            self.federation,
        );
        let (start, heard) = (self.start, wanted.heard.clone());
        let budget = Budget::new(git.timeout(), git.shutdown().clone());
        let append = move || {
            let objects = repository_here.objects()?;
            // what stands there already is not said again, in an earlier life neither
            let known = match (known, tip) {
                (Some(known), _) => known,
                (None, Some(tip)) => said_on(&objects, tip, &offered, budget)?,
                (None, None) => HashSet::new(),
            };
            let LogHead { log_id, .. } = store.log_head();
            let before = tip.map(|tip| head_of(&objects, tip)).transpose()?.flatten();
            // another log: all of it again
            let log_size = before
                .as_ref()
                .filter(|head| head.log_id == log_id)
                .map_or(0, |head| head.log_size);
            let head = BranchHead {
                federation_id: federation,
                node_id: node,
                log_id,
                log_size,
                start,
                heard,
            };
            let written = write(&objects, tip, &offer, &known, (before, head), &store, now)?;
            // remembered only once it is written; bounded by what is offered now
            let mut known = known;
            if known.len() > 4 * offered.len() + KNOWN_SLACK {
                known.clear(); // what is no more offered is decided
            }
            known.extend(offered);
            Ok::<_, GitError>((written, known))
        };
        let (written, known) = tokio::task::spawn_blocking(append)
            .await
            .map_err(|e| GitError::Failed(e.to_string()))??;
        // the branch moves last: until then its lines are objects that nobody sees
        if let Some((commit, lines)) = written {
            repository.set_reference(&self.own_reference(), commit)?;
            self.lines += lines;
        }
        self.known = Some(known);
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

/// Everything the engine has to say about open instances, and what that is known by.
async fn gather(
    engine: &EngineHandle,
    relayed: &Arc<BTreeSet<NodeId>>,
) -> Result<(Offer, HashSet<Said>), GitError> {
    let (mut offer, mut offered, mut after) = (Offer::default(), HashSet::new(), None);
    loop {
        let page = engine
            .offer(relayed.clone(), after)
            .await
            .map_err(|_| GitError::Cancelled)?;
        let is_new =
            |batch: &Arc<VerifiedBatch>| offered.insert(Said::Batch(batch.signer(), batch.root()));
        offer
            .batches
            .extend(page.batches.into_iter().filter(is_new));
        let is_new = |signed: &Signed| offered.insert(said_alone(signed));
        offer
            .statements
            .extend(page.statements.into_iter().filter(is_new));
        let is_new =
            |proven: &ProvenEvent| offered.insert(Said::Event(proven.event.content_digest()));
        offer.events.extend(page.events.into_iter().filter(is_new));
        after = page.next;
        if after.is_none() {
            return Ok((offer, offered));
        }
    }
}

/// Which of `offered` stand on the branch already.
fn said_on(
    objects: &Objects,
    tip: ObjectId,
    offered: &HashSet<Said>,
    budget: Budget,
) -> Result<HashSet<Said>, GitError> {
    let (files, _) = segments(objects, tip)?;
    let earlier = files.len().saturating_sub(LOOKED_AT);
    let earlier: Segments = files.into_iter().take(earlier).collect();
    let mut said = HashSet::new();
    let note = |what: Said, said: &mut HashSet<Said>| {
        if offered.contains(&what) {
            said.insert(what);
        }
    };
    new_lines(
        objects,
        &earlier,
        tip,
        budget,
        |_, text| match Line::parse(text) {
            Ok(Line::Batch(batch)) => note(
                Said::Batch(batch.signer, batch.statements.root()),
                &mut said,
            ),
            Ok(Line::Statement(signed)) => note(said_alone(&signed), &mut said),
            Ok(Line::Event(proven)) => note(Said::Event(proven.event.content_digest()), &mut said),
            Ok(Line::Certificate(_)) | Err(_) => {}
        },
    )?;
    Ok(said)
}

/// Appends what is not known yet, and the log's new certificates; the commit and its lines, if
/// there were any.
fn write(
    objects: &Objects,
    tip: Option<ObjectId>,
    offer: &Offer,
    known: &HashSet<Said>,
    (before, mut head): (Option<BranchHead>, BranchHead),
    store: &Store,
    now: UnixMillis,
) -> Result<Option<(ObjectId, u64)>, GitError> {
    let mut appender = Appender::new(objects, tip)?;
    let batches = offer
        .batches
        .iter()
        .filter(|batch| !known.contains(&Said::Batch(batch.signer(), batch.root())));
    let batches = batches.map(|batch| Line::Batch(batch.batch().clone()));
    let events = offer
        .events
        .iter()
        .filter(|proven| !known.contains(&Said::Event(proven.event.content_digest())));
    let statements = offer
        .statements
        .iter()
        .filter(|signed| !known.contains(&said_alone(signed)));
    let statements = statements.map(|signed| Line::Statement(Box::new(signed.clone())));
    for line in batches
        .chain(statements)
        .chain(events.map(|proven| Line::Event(Box::new(proven.clone()))))
    {
        if let Some(text) = line.to_text() {
            appender.push(&text)?;
        }
    }
    let size = store.log_head().size;
    while head.log_size < size {
        let page = store.certificates(head.log_size, CERTIFICATES, CERTIFICATES_BYTES);
        let page =
            page.map_err(|e| GitError::Failed(format!("cannot read the certified log: {e}")))?;
        if page.is_empty() {
            break;
        }
        head.log_size += page.len() as u64;
        for certificate in page {
            if let Some(text) = Line::Certificate(Box::new(certificate)).to_text() {
                appender.push(&text)?;
            }
        }
    }
    let lines = appender.lines();
    if lines == 0 && before.as_ref() == Some(&head) {
        return Ok(None);
    }
    Ok(Some((appender.commit(&head, now)?, lines)))
}
