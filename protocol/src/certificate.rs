//! Certificates: proof that a quorum agreed, verifiable offline by anyone (SPEC §8).

use serde::{Deserialize, Serialize};

use crate::batch::BatchProof;
use crate::event::Event;
use crate::id::{Choice, Epoch, FederationId, Round};
use crate::subject::Subject;

/// A certificate: the event, what was voted on, and a quorum's precommits for it in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The federation.
    pub federation_id: FederationId,
    /// The epoch whose voters signed.
    pub epoch: Epoch,
    /// What was voted on.
    pub subject: Subject,
    /// The round.
    pub round: Round,
    /// The certified choice.
    pub choice: Choice,
    /// The event with that choice's hashes.
    pub event: Event,
    /// The quorum's precommits, each proven by its signer's batch.
    pub precommits: Vec<BatchProof>,
}
