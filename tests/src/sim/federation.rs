//! What all simulated nodes of a federation share, and what only the simulation knows: every key.

use std::sync::Arc;

use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::id::{FederationId, NodeId};
use ssid_protocol::identity::{VerifyKey, VotingKey};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::testing;

/// A federation with the keys of its members.
#[derive(Debug)]
pub(super) struct Federation {
    pub(super) id: FederationId,
    pub(super) manifest: Manifest,
    pub(super) voters: VoterSet,
    pub(super) epochs: Arc<Epochs>,
    keys: Vec<VotingKey>,
    ids: Vec<NodeId>,
}

impl Federation {
    pub(super) fn of(manifest: &Manifest) -> Result<Self, String> {
        let voters = manifest.voters().map_err(|error| error.to_string())?;
        let genesis = EpochContext::genesis(manifest.clone()).map_err(|error| error.to_string())?;
        let epochs = Arc::new(Epochs::new(genesis));
        let id = manifest.federation_id();
        let keys: Vec<_> = (0..manifest.members.len())
            .map(|member| testing::key(member as u8))
            .collect();
        Ok(Self {
            id,
            epochs,
            manifest: manifest.clone(),
            voters,
            ids: keys.iter().map(VotingKey::node_id).collect(),
            keys,
        })
    }

    pub(super) fn members(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn key(&self, member: usize) -> &VotingKey {
        &self.keys[member]
    }

    pub(super) fn node_id(&self, member: usize) -> NodeId {
        self.ids[member]
    }

    pub(super) fn member(&self, id: &NodeId) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    /// The batch, if its signature holds.
    pub(super) fn verify(&self, batch: SignedBatch) -> Result<VerifiedBatch, String> {
        let refused = |error: &dyn std::fmt::Display| {
            format!("a batch of an honest answer does not verify: {error}")
        };
        let key = VerifyKey::parse(batch.signer).map_err(|error| refused(&error))?;
        batch
            .verify(&key, &self.id)
            .map_err(|error| refused(&error))
    }

    pub(super) fn sign(&self, member: usize, statements: Statements) -> Option<VerifiedBatch> {
        VerifiedBatch::sign(&self.keys[member], &self.id, statements).ok()
    }
}
