//! One appending to the own branch: what the engine offers, less what the branch says already, and
//! the certificates that the log has gained.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use gix_hash::ObjectId;
use ssid_protocol::batch::{BatchId, VerifiedBatch};
use ssid_protocol::evidence::Signed;
use ssid_protocol::git_lines::{BranchHead, Line};
use ssid_protocol::id::{ContentDigest, FederationId, MerkleHash, NodeId, Sha256Hash, UnixMillis};
use ssid_protocol::merkle;
use ssid_protocol::sync::ProvenEvent;
use ssid_storage::Store;

use super::branch::Appender;
use super::failure::GitError;
use super::objects::Objects;
use super::read::{Budget, Segments, head_of, new_lines, segments};
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

/// What a line is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    /// A whole batch.
    Batch(BatchId),
    /// A statement without its batch, by its signer and leaf hash.
    Statement(NodeId, MerkleHash),
    /// An event, by its digest.
    Event(ContentDigest),
}

impl Said {
    fn batch(batch: &VerifiedBatch) -> Self {
        Self::Batch(batch.id())
    }

    fn alone(signed: &Signed) -> Self {
        Self::Statement(
            signed.proof.signer,
            merkle::leaf_hash(&signed.statement.leaf_bytes()),
        )
    }

    fn event(proven: &ProvenEvent) -> Self {
        Self::Event(proven.event.content_digest())
    }

    /// What a line of a branch says; `None` for certificates, which the log's size counts.
    fn of(line: &Line) -> Option<Self> {
        match line {
            Line::Batch(batch) => Some(Self::Batch(BatchId {
                signer: batch.signer,
                root: batch.statements.root(),
            })),
            Line::Statement(signed) => Some(Self::alone(signed)),
            Line::Event(proven) => Some(Self::event(proven)),
            Line::Certificate(_) => None,
        }
    }
}

/// What is to be said about open instances, each thing once.
#[derive(Default)]
pub(super) struct Offer {
    batches: Vec<Arc<VerifiedBatch>>,
    statements: Vec<Signed>,
    events: Vec<ProvenEvent>,
    /// What all of these are known by.
    said: HashSet<Said>,
}

impl Offer {
    /// Everything the engine has to say about open instances, page by page: of this node, and of
    /// the members `relayed`.
    pub(super) async fn gather(
        engine: &EngineHandle,
        relayed: &Arc<BTreeSet<NodeId>>,
    ) -> Result<Self, GitError> {
        let mut offer = Self::default();
        let mut after = None;
        loop {
            let page = engine
                .offer(relayed.clone(), after)
                .await
                .map_err(|_| GitError::Cancelled)?;
            // one batch speaks of many subjects and comes with the page of each of them
            let said = &mut offer.said;
            let batches = page.batches.into_iter();
            offer
                .batches
                .extend(batches.filter(|batch| said.insert(Said::batch(batch))));
            let statements = page.statements.into_iter();
            offer
                .statements
                .extend(statements.filter(|signed| said.insert(Said::alone(signed))));
            let events = page.events.into_iter();
            offer
                .events
                .extend(events.filter(|proven| said.insert(Said::event(proven))));
            after = page.next;
            if after.is_none() {
                return Ok(offer);
            }
        }
    }

    /// The lines of what is not `known`: batches, then statements and events without theirs.
    fn lines(&self, known: &HashSet<Said>) -> impl Iterator<Item = Line> {
        let batches = self
            .batches
            .iter()
            .filter(|batch| !known.contains(&Said::batch(batch)))
            .map(|batch| Line::Batch(batch.batch().clone()));
        let statements = self
            .statements
            .iter()
            .filter(|signed| !known.contains(&Said::alone(signed)))
            .map(|signed| Line::Statement(Box::new(signed.clone())));
        let events = self
            .events
            .iter()
            .filter(|proven| !known.contains(&Said::event(proven)))
            .map(|proven| Line::Event(Box::new(proven.clone())));
        batches.chain(statements).chain(events)
    }
}

/// All that one appending needs, so that it can run on a thread of its own.
pub(super) struct Appending {
    pub(super) repository: Repository,
    pub(super) store: Store,
    pub(super) federation: FederationId,
    pub(super) node: NodeId,
    /// Random: asks the others what they hold of this node's.
    pub(super) start: Sha256Hash,
    /// The starts that are answered by this.
    pub(super) heard: BTreeMap<NodeId, Sha256Hash>,
    /// The branch's last commit; `None` if there is no branch yet.
    pub(super) tip: Option<ObjectId>,
    pub(super) offer: Offer,
    /// What of the present stands on the branch; `None` if that has to be read.
    pub(super) known: Option<HashSet<Said>>,
    pub(super) budget: Budget,
    pub(super) now: UnixMillis,
}

/// What an appending did.
pub(super) struct Appended {
    /// The new commit; `None` if there was nothing to say.
    pub(super) commit: Option<ObjectId>,
    /// Lines that it has more than the one before.
    pub(super) lines: u64,
    /// What of the present stands on the branch once the commit is its tip.
    pub(super) known: HashSet<Said>,
}

impl Appending {
    /// Makes the commit; the branch is not moved.
    pub(super) fn run(mut self) -> Result<Appended, GitError> {
        let objects = self.repository.objects()?;
        let mut known = match (self.known.take(), self.tip) {
            (Some(known), _) => known,
            // the first time, and after another's lines were adopted
            (None, Some(tip)) => said_on(&objects, tip, &self.offer.said, self.budget.clone())?,
            (None, None) => HashSet::new(),
        };
        let before = match self.tip {
            Some(tip) => head_of(&objects, tip)?,
            None => None,
        };
        let mut head = self.head(before.as_ref());
        let mut appender = Appender::new(&objects, self.tip)?;
        for line in self.offer.lines(&known) {
            if let Some(text) = line.to_text() {
                appender.push(&text)?;
            }
        }
        append_certificates(&mut appender, &self.store, &mut head)?;
        let lines = appender.lines();
        // no line and no other head: a commit would say nothing
        let commit = if lines == 0 && before.as_ref() == Some(&head) {
            None
        } else {
            Some(appender.commit(&head, self.now)?)
        };
        // what is no more offered is decided: it need not be remembered for good
        if known.len() > 4 * self.offer.said.len() + KNOWN_SLACK {
            known.clear();
        }
        known.extend(self.offer.said);
        Ok(Appended {
            commit,
            lines,
            known,
        })
    }

    /// The head of the branch so far, `before`, as it goes on from here.
    fn head(&self, before: Option<&BranchHead>) -> BranchHead {
        let log_id = self.store.log_head().log_id;
        // a log that was begun anew is published from its start
        let log_size = before
            .filter(|head| head.log_id == log_id)
            .map_or(0, |head| head.log_size);
        BranchHead {
            federation_id: self.federation,
            node_id: self.node,
            log_id,
            log_size,
            start: self.start,
            heard: self.heard.clone(),
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
    // the older files count as read: looking through all of a long branch would take minutes
    let (files, _) = segments(objects, tip)?;
    let earlier = files.len().saturating_sub(LOOKED_AT);
    let earlier: Segments = files.into_iter().take(earlier).collect();
    let mut said = HashSet::new();
    new_lines(objects, &earlier, tip, budget, |_, text| {
        // a line that cannot be read says nothing, and what it was to say is said again
        let line = Line::parse(text).ok();
        said.extend(
            line.as_ref()
                .and_then(Said::of)
                .filter(|what| offered.contains(what)),
        );
    })?;
    Ok(said)
}

/// Appends the certificates that the log has and `head` does not count yet, and counts them.
fn append_certificates(
    appender: &mut Appender<'_>,
    store: &Store,
    head: &mut BranchHead,
) -> Result<(), GitError> {
    let size = store.log_head().size;
    while head.log_size < size {
        let page = store
            .certificates(head.log_size, CERTIFICATES, CERTIFICATES_BYTES)
            .map_err(|e| GitError::Failed(format!("cannot read the certified log: {e}")))?;
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
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::batch::Statements;
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn what_stands_on_the_branch_is_not_said_again() {
        let (_, federation, _, keys) = testing::federation(4);
        let batch = |version| {
            let said = Statements::Events(vec![testing::event("release", version)]);
            Arc::new(VerifiedBatch::sign(&keys[0], &federation, said).unwrap())
        };
        let (old, new) = (batch("v1"), batch("v2"));
        let offer = Offer {
            batches: vec![old.clone(), new.clone()],
            ..Offer::default()
        };
        let all: Vec<_> = offer.lines(&HashSet::new()).collect();
        assert_eq!(all.len(), 2);
        // a line is known by what it says once it was read from the branch
        let known: HashSet<_> = all.iter().take(1).filter_map(Said::of).collect();
        assert_eq!(known, HashSet::from([Said::batch(&old)]));
        let said: Vec<_> = offer
            .lines(&known)
            .filter_map(|line| Said::of(&line))
            .collect();
        assert_eq!(said, [Said::batch(&new)]);
    }
}
