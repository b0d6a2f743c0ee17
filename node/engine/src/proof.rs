//! How a node proves what others said: by the whole batch that it came in, or alone once the rest
//! of that batch is of no use.
//!
//! A batch kept for one of its 4096 statements takes half a megabyte; a member that sends many of
//! those, or whose batches are decided but for one subject in conflict, would fill the memory. So
//! whole batches are counted by signer, and past [`limits::WHOLE_BATCH_BYTES`] what is left of the
//! hollow ones is kept alone: nothing is dropped, and every statement in use takes less than a
//! kilobyte.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use ssid_protocol::batch::{BatchId, BatchProof, VerifiedBatch};
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::NodeId;
use ssid_protocol::limits;
use ssid_storage::{BatchRef, ProofRef};

use super::engine::Engine;

/// A batch of which less than one in so many statements is in use is hollow: proofs of those take
/// less.
pub(super) const HOLLOW: usize = 4;
/// Batches of one signer noted before those that are gone are looked for.
const NOTED: usize = 256;

/// The proof that somebody signed a statement.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// In a batch held whole.
    Batch(Arc<VerifiedBatch>, u32),
    /// Alone.
    Alone(Arc<BatchProof>),
}

impl Proof {
    pub(super) fn alone(proof: BatchProof) -> Self {
        Self::Alone(Arc::new(proof))
    }

    pub(super) fn signer(&self) -> NodeId {
        match self {
            Self::Batch(batch, _) => batch.signer(),
            Self::Alone(proof) => proof.signer,
        }
    }

    pub(super) fn proof(&self) -> Option<BatchProof> {
        match self {
            Self::Batch(batch, index) => batch.proof(*index),
            Self::Alone(proof) => Some((**proof).clone()),
        }
    }

    /// The batch, if it is held whole.
    pub(super) fn batch(&self) -> Option<&Arc<VerifiedBatch>> {
        match self {
            Self::Batch(batch, _) => Some(batch),
            Self::Alone(_) => None,
        }
    }

    /// The batch, if it is held whole and worth showing whole.
    pub(super) fn full_batch(&self) -> Option<&Arc<VerifiedBatch>> {
        self.batch().filter(|batch| !is_hollow(batch))
    }

    /// A statement with this proof.
    pub(super) fn of(&self, statement: Statement) -> Option<Signed> {
        Some(Signed {
            statement,
            proof: self.proof()?,
        })
    }

    pub(super) fn reference(&self) -> ProofRef {
        match self {
            Self::Batch(batch, index) => ProofRef::Batch(BatchRef {
                signer: batch.signer(),
                root: batch.root(),
                index: *index,
            }),
            Self::Alone(proof) => ProofRef::Alone((**proof).clone()),
        }
    }

    /// Lets go of its batch if that is one of these.
    pub(super) fn leave(&mut self, batches: &HashSet<BatchId>) {
        let left = self.batch().filter(|batch| batches.contains(&batch.id()));
        if let Some(proof) = left.and_then(|_| self.proof()) {
            *self = Self::alone(proof);
        }
    }
}

/// Every statement in use holds its batch once.
fn is_hollow(batch: &Arc<VerifiedBatch>) -> bool {
    batch.statements().len() > HOLLOW * Arc::strong_count(batch)
}

/// Others' batches that something was kept of, by signer.
#[derive(Debug, Default)]
pub(super) struct WholeBatches(HashMap<NodeId, Noted>);

#[derive(Debug, Default)]
struct Noted {
    batches: Vec<(Weak<VerifiedBatch>, usize)>,
    bytes: usize,
    /// So many batches or bytes are looked through again.
    full_at: (usize, usize),
}

impl Noted {
    fn is_full(&self) -> bool {
        self.batches.len() >= self.full_at.0.max(NOTED)
            || self.bytes > self.full_at.1.max(limits::WHOLE_BATCH_BYTES)
    }

    /// Forgets batches that are gone. What is left may double before it is looked through again.
    fn look_through(&mut self) {
        self.batches.retain(|(batch, _)| batch.strong_count() > 0);
        self.batches.shrink_to(self.batches.len() * 2);
        self.bytes = self.batches.iter().map(|(_, bytes)| bytes).sum();
        self.full_at = (self.batches.len() * 2, self.bytes * 2);
    }

    fn hollow(&self) -> HashSet<BatchId> {
        let alive = self.batches.iter().filter_map(|(batch, _)| batch.upgrade());
        // looking at it holds it once more
        let hollow = alive
            .filter(|batch| batch.statements().len() > HOLLOW * (Arc::strong_count(batch) - 1));
        hollow.map(|batch| batch.id()).collect()
    }
}

impl WholeBatches {
    /// Notes a batch that something was kept of; whether it is time to let go of hollow ones.
    fn add(&mut self, batch: &Arc<VerifiedBatch>) -> bool {
        let noted = self.0.entry(batch.signer()).or_default();
        let bytes = batch.memory();
        noted.batches.push((Arc::downgrade(batch), bytes));
        noted.bytes += bytes;
        if !noted.is_full() {
            return false;
        }
        noted.look_through();
        // half, or the next look would come too late: what is in use may double until then
        noted.bytes > limits::WHOLE_BATCH_BYTES / 2
    }

    /// Bytes of one signer's batches, those that are gone since the last look included.
    #[cfg(test)]
    pub(super) fn bytes_of(&self, signer: &NodeId) -> usize {
        self.0.get(signer).map_or(0, |noted| noted.bytes)
    }

    /// Bytes of all batches, those that are gone since the last look included.
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(|noted| noted.bytes).sum()
    }
}

impl Engine {
    /// Notes a batch that something was kept of. If its signer's take too much memory, what is left
    /// of the hollow ones is kept alone.
    pub(super) fn note_kept(&mut self, batch: &Arc<VerifiedBatch>) {
        if batch.signer() == self.me || !self.whole.add(batch) {
            return;
        }
        let signer = batch.signer();
        let Some(hollow) = self
            .whole
            .0
            .get(&signer)
            .map(Noted::hollow)
            .filter(|hollow| !hollow.is_empty())
        else {
            return;
        };
        tracing::debug!(%signer, batches = hollow.len(), "hollow batches: what is left of them is kept alone");
        let open = self
            .open
            .values_mut()
            .flat_map(super::open::Open::proofs_mut);
        let proofs = open
            .chain(self.closing.proofs_mut())
            .chain(self.vote_buffer.proofs_mut());
        proofs.for_each(|proof| proof.leave(&hollow));
        if let Some(noted) = self.whole.0.get_mut(&signer) {
            noted.look_through();
        }
    }
}
