//! Certificates: proof that a quorum agreed, verifiable offline by anyone (SPEC §8).
//!
//! A [`Verifier`] holds what certificates of one epoch are checked against; where that epoch's
//! manifest comes from is proven by a [`Chain`](crate::chain::Chain) (SPEC §4).

pub(crate) mod document;
mod error;
#[cfg(test)]
mod tests;
mod verify;

pub use document::FORMAT;
pub use error::CertificateError;
pub use verify::Verifier;

use serde::{Deserialize, Serialize};

use crate::batch::BatchProof;
use crate::event::Event;
use crate::id::{Choice, Epoch, FederationId, Round, SubjectId};
use crate::subject::Subject;
use crate::vote::{Phase, Vote};

/// A certificate: the event, what was voted on, and a quorum's precommits for it in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The federation in which it was decided.
    pub federation_id: FederationId,
    /// The epoch whose voters signed.
    pub epoch: Epoch,
    /// What was voted on.
    pub subject: Subject,
    /// The round of the precommits.
    pub round: Round,
    /// The certified choice.
    pub choice: Choice,
    /// The event with that choice's hashes.
    pub event: Event,
    /// The quorum's precommits, each proven by its signer's batch.
    pub precommits: Vec<BatchProof>,
}

impl Certificate {
    /// Puts a certificate together from the proofs of precommits for `event`, which are brought
    /// into the order of their signers. Whether it verifies is asked separately.
    pub fn assemble(
        federation_id: FederationId,
        epoch: Epoch,
        subject: Subject,
        round: Round,
        event: Event,
        mut precommits: Vec<BatchProof>,
    ) -> Self {
        precommits.sort_by_key(|proof| proof.signer);
        Self {
            federation_id,
            epoch,
            subject,
            round,
            choice: event.choice(),
            event,
            precommits,
        }
    }

    /// The id of what was voted on.
    pub fn subject_id(&self) -> SubjectId {
        self.subject.id(&self.federation_id)
    }

    /// The vote that every precommit of the certificate is.
    pub fn vote(&self) -> Vote {
        Vote {
            epoch: self.epoch,
            subject: self.subject_id(),
            round: self.round,
            phase: Phase::Precommit,
            ballot: Some(self.choice),
            observed: false,
        }
    }
}
