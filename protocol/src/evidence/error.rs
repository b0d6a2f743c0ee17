//! Why evidence proves nothing.

use crate::batch::BatchError;
use crate::certificate::CertificateError;
use crate::event::Inadmissible;
use crate::heartbeat::HeartbeatError;
use crate::id::{Epoch, FederationId, NodeId};
use crate::json::JsonError;

/// Why a piece of evidence is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It has not the shape of one.
    #[error("evidence: {0}")]
    Shape(#[from] JsonError),
    /// Of another format.
    #[error("format is {0}; known is \"ssid-evidence/1\"")]
    Format(String),
    /// A heartbeat in it is none.
    #[error(transparent)]
    Heartbeat(#[from] HeartbeatError),
    /// A certificate in it has not the shape of one, or does not verify.
    #[error("the {which} certificate: {reason}")]
    Certificate {
        /// `first` or `second`.
        which: &'static str,
        /// What the verifier of certificates refused.
        reason: Box<CertificateError>,
    },
    /// Signed in another federation.
    #[error("it is of federation {found}, not of {expected}")]
    Federation {
        /// The federation that the verifier checks for.
        expected: FederationId,
        /// The federation that the evidence names.
        found: FederationId,
    },
    /// Of an epoch whose members the verifier does not know.
    #[error("it is of epoch {found}; the members given are those of epoch {expected}")]
    Epoch {
        /// The epoch whose members the verifier knows.
        expected: Epoch,
        /// The epoch that the evidence is of.
        found: Epoch,
    },
    /// The two are signed by different nodes.
    #[error("its halves are signed by {first} and {second}: nobody contradicts himself")]
    TwoSigners {
        /// The first's signer.
        first: NodeId,
        /// The second statement's signer.
        second: NodeId,
    },
    /// Signed by somebody who has no say.
    #[error("its signer {signer} is no {role} of epoch {epoch}")]
    NotASigner {
        /// The node that signed both statements.
        signer: NodeId,
        /// `voter` or `member`.
        role: &'static str,
        /// The verifier's epoch.
        epoch: Epoch,
    },
    /// Both may be true.
    #[error("its halves do not contradict each other: {0}")]
    NoContradiction(&'static str),
    /// The halves stand in the other order, so that it would have a second name.
    #[error("its halves are not in order: the lesser comes first")]
    Order,
    /// An event that nobody may announce.
    #[error("the {which} event: {reason}")]
    Event {
        /// `first` or `second`.
        which: &'static str,
        /// The field and the rule that it breaks.
        reason: Box<Inadmissible>,
    },
    /// A number that strict JSON does not have, which no honest node signs either.
    #[error("a number in the {0} statement is above 2^53-1")]
    Number(&'static str),
    /// A signature or path that does not hold.
    #[error("the proof of the {which} statement: {reason}")]
    Proof {
        /// `first` or `second`.
        which: &'static str,
        /// What does not hold of path or signature.
        reason: BatchError,
    },
}

impl EvidenceError {
    /// Whether it may hold by another manifest than the one it was checked with: whoever passed it
    /// on may have that.
    pub fn needs_another_manifest(&self) -> bool {
        match self {
            Self::Epoch { .. } | Self::NotASigner { .. } => true,
            Self::Certificate { reason, .. } => reason.needs_another_manifest(),
            _ => false,
        }
    }
}
