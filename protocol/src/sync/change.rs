//! What nodes ask each other when members change (SPEC §4, §10): the chain of epochs, proposed
//! manifests, and what a closed epoch leaves to the next.

use serde::{Deserialize, Serialize};

use crate::batch::SignedBatch;
use crate::certificate::Certificate;
use crate::event::Event;
use crate::evidence::Signed;
use crate::id::{Epoch, ManifestHash, NodeId, SubjectId};
use crate::set_tree::{Prefix, SentPart};

/// Manifests named in one request.
pub const MANIFESTS: usize = 64;
/// Places of a set tree named in one request.
pub const PREFIXES: usize = 512;

/// Which of the two sets that a close names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClosedSet {
    /// Subjects that the closer holds a certificate of.
    Certified,
    /// Others that it is locked on.
    Locks,
}

/// Ready statements in one answer: the new voters of one manifest, and no federation admits more at
/// once.
pub const READY: usize = 64;

/// What one node asks another about changes of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeRequest {
    /// The certificates by which epochs from `from` on came into force, in order.
    Epochs {
        /// The first epoch whose certificate is wanted, 1 or later.
        from: Epoch,
    },
    /// Manifests, proposed or in the chain, by their hashes: at most [`MANIFESTS`].
    Manifests {
        /// The hashes of the manifests.
        hashes: Vec<ManifestHash>,
    },
    /// The closes of an epoch that the other holds.
    Closes {
        /// The epoch that they close.
        epoch: Epoch,
    },
    /// Parts of a set of a close, at most [`PREFIXES`].
    Sets {
        /// The epoch that is closed.
        epoch: Epoch,
        /// Whose close it is.
        closer: NodeId,
        /// Which of its two sets.
        set: ClosedSet,
        /// Which parts.
        prefixes: Vec<Prefix>,
    },
    /// The proofs of locks that a close names, at most [`NAMES`](super::NAMES).
    Polkas {
        /// The epoch that is closed.
        epoch: Epoch,
        /// Whose close it is.
        closer: NodeId,
        /// The subjects of the locks.
        subjects: Vec<SubjectId>,
    },
    /// Who of a proposed manifest's new voters says to be ready.
    Ready {
        /// The hash of the manifest.
        manifest: ManifestHash,
    },
    /// Which epoch the other has entered, and whether it has closed that.
    Standing,
}

impl ChangeRequest {
    /// How many things it names.
    pub fn names(&self) -> usize {
        match self {
            Self::Epochs { .. } | Self::Closes { .. } | Self::Ready { .. } | Self::Standing => 0,
            Self::Manifests { hashes } => hashes.len(),
            Self::Sets { prefixes, .. } => prefixes.len(),
            Self::Polkas { subjects, .. } => subjects.len(),
        }
    }
}

/// A close that the answerer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldClose {
    /// The close, with its proof.
    pub close: Signed,
    /// Whether the answerer has counted it, and has not entered the next epoch yet: it holds what
    /// the close names, and serves it.
    pub is_counted: bool,
    /// Whether the answerer has confirmed it: voters of a quorum of the next epoch counted it.
    pub is_confirmed: bool,
}

/// Where a node stands, as it says itself over a live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStanding {
    /// The epoch that it has entered.
    pub epoch: Epoch,
    /// The hash of its manifest.
    pub manifest: ManifestHash,
    /// Whether it signs nothing more in it: it has closed it, or holds the decision that ends it.
    pub has_closed: bool,
}

/// A manifest that the answerer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentManifest {
    /// It, as JCS.
    pub manifest: String,
    /// Hand-overs that came with it, each as JSON: at most one for each key that it replaces, as
    /// many as fit.
    pub handovers: Vec<String>,
}

/// What proves a lock of an (epoch, round). Either says that a quorum prevoted the choice there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockProof {
    /// The prevotes of a quorum, and the event that they are for.
    Prevotes {
        /// The event of the lock's choice.
        event: Box<Event>,
        /// The prevotes, each with its proof.
        prevotes: Vec<Signed>,
    },
    /// A certificate of that very round.
    Certificate(Box<Certificate>),
}

impl LockProof {
    /// The event that the lock is on.
    pub fn event(&self) -> &Event {
        match self {
            Self::Prevotes { event, .. } => event,
            Self::Certificate(certificate) => &certificate.event,
        }
    }
}

/// The answer to a [`ChangeRequest`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeAnswer {
    /// Certificates in order, as many as fit.
    Epochs(Vec<Certificate>),
    /// Those manifests that the answerer has, each whole; as many as fit.
    Manifests(Vec<SentManifest>),
    /// The closes of that epoch.
    Closes(Vec<HeldClose>),
    /// Parts of the set, in the order asked for, as many as fit; empty if it is not held.
    Sets(Vec<(Prefix, SentPart)>),
    /// Proofs of locks, as many as fit.
    Polkas(Vec<LockProof>),
    /// Batches of kind 6 that the answerer holds for that manifest, the latest of each voter; at
    /// most [`READY`].
    Ready(Vec<SignedBatch>),
    /// Where the answerer stands.
    Standing(EpochStanding),
}
