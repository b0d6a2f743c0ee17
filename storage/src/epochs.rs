//! What stands in the tables about epochs and changes of members (SPEC §4), and reading it.

use serde::{Deserialize, Serialize};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Choice, Epoch, ManifestHash, NodeId, SubjectId};
use ssid_protocol::set_tree::{CertifiedEntry, LockEntry};
use ssid_protocol::sync::LockProof;

use crate::error::StorageError;
use crate::store::Store;
use crate::tables;

/// An epoch of the federation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Its manifest as JCS, the text that is hashed.
    pub manifest: String,
    /// The certificate of its `federation_epoch` event; none for epoch 0.
    pub certificate: Option<Certificate>,
}

/// A proposed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalRow {
    /// It, as JCS, the text that is hashed.
    pub manifest: String,
    /// Hand-overs that came with it, each as JSON.
    pub handovers: Vec<String>,
}

/// A lock that outlives its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// What is locked on, and since which round.
    pub entry: LockEntry,
    /// What proves it.
    pub proof: LockProof,
}

/// A close that is served: this node's own, or one that it counted. Its certified set is told by
/// this node's own log, of which it has nearly everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRow {
    /// The close, with its proof; none of an own one that is drawn up and not signed yet.
    pub close: Option<Signed>,
    /// So many entries of the own log, from its beginning,
    pub base: u64,
    /// without those of these subjects,
    pub without: Vec<SubjectId>,
    /// and with these.
    pub besides: Vec<CertifiedEntry>,
    /// Its lock set, with what proves each. Of a subject that is certified here the certificate
    /// does.
    pub locks: Vec<(LockEntry, Option<LockProof>)>,
}

impl Store {
    /// Returns an epoch that is known, with its certificate.
    ///
    /// # Errors
    /// If the database fails or is damaged; so for every method here.
    pub fn epoch(&self, epoch: Epoch) -> Result<Option<EpochRow>, StorageError> {
        tables::EPOCHS.get(self.database(), &epoch)
    }

    /// Epochs from this one on, in order.
    pub fn epochs(
        &self,
        from: Epoch,
    ) -> impl Iterator<Item = Result<(Epoch, EpochRow), StorageError>> + '_ {
        tables::EPOCHS.from(self.database(), &from)
    }

    /// The epoch that this node has entered; 0 before it entered another.
    pub fn entered(&self) -> Result<Epoch, StorageError> {
        Ok(tables::ENTERED
            .get(self.database(), &())?
            .unwrap_or_default())
    }

    /// Proposed manifests, by their hashes.
    pub fn proposals(
        &self,
    ) -> impl Iterator<Item = Result<(ManifestHash, ProposalRow), StorageError>> + '_ {
        tables::PROPOSALS.all(self.database())
    }

    /// The closes that are served, by epoch and closer.
    pub fn closes(
        &self,
    ) -> impl Iterator<Item = Result<((Epoch, NodeId), CloseRow), StorageError>> + '_ {
        tables::CLOSES.all(self.database())
    }

    /// The closes that this node has confirmed, by epoch and closer.
    pub fn confirmed(
        &self,
    ) -> impl Iterator<Item = Result<((Epoch, NodeId), Signed), StorageError>> + '_ {
        tables::CONFIRMED.all(self.database())
    }

    /// The lock that was inherited for a subject.
    pub fn inherited(&self, subject: &SubjectId) -> Result<Option<LockRow>, StorageError> {
        tables::INHERITED.get(self.database(), subject)
    }

    /// Every lock that was inherited and whose subject is not certified since, by subject.
    pub fn all_inherited(
        &self,
    ) -> impl Iterator<Item = Result<(SubjectId, LockRow), StorageError>> + '_ {
        tables::INHERITED.all(self.database())
    }

    /// The certified choices of the first `count` entries of the log, in its order.
    pub fn certified_choices(
        &self,
        count: u64,
    ) -> impl Iterator<Item = Result<(SubjectId, Choice), StorageError>> + '_ {
        let federation = self.owner().federation;
        tables::LOG
            .from(self.database(), &0)
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(move |row| {
                let (_, entry) = row?;
                Ok((entry.subject.id(&federation), entry.choice))
            })
    }
}
