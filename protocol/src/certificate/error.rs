//! Everything for which a certificate is refused (SPEC §8), each with an error of its own.

use super::FORMAT;
use crate::event::Inadmissible;
use crate::id::{Epoch, FederationId, NodeId};
use crate::json::JsonError;
use crate::limits;

/// Why a certificate is refused: which part of it broke which rule with which value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It has not the shape of one.
    #[error("certificate: {0}")]
    Shape(#[from] JsonError),
    /// It is of another format.
    #[error("certificate field `format` must be {FORMAT:?}; it is {0}")]
    Format(String),
    /// It belongs to another federation.
    #[error("certificate field `federation_id` must be {expected}; it is {found}")]
    Federation {
        /// The verifier's federation.
        expected: FederationId,
        /// The federation that the certificate names.
        found: FederationId,
    },
    /// It belongs to another epoch than the one it is checked for.
    #[error(
        "certificate field `epoch` must be {expected}, the epoch of the manifest; it is {found}"
    )]
    Epoch {
        /// The verifier's epoch.
        expected: Epoch,
        /// The epoch that the certificate names.
        found: Epoch,
    },
    /// Its event may not be voted for.
    #[error("certificate: {0}")]
    Inadmissible(#[from] Inadmissible),
    /// Its event has other hashes than its choice names.
    #[error(
        "certificate field `choice.{field}` must be {expected}, that of the event; it is {found}"
    )]
    Choice {
        /// `event_hash` or `content_digest`.
        field: &'static str,
        /// What the event hashes to, in hex.
        expected: String,
        /// What the certificate names, in hex.
        found: String,
    },
    /// Its event is of another subject.
    #[error(
        "certificate field `subject.{field}` must be {expected}, that of the event; it is {found}"
    )]
    Subject {
        /// `event` or `version`.
        field: &'static str,
        /// The event's, quoted.
        expected: String,
        /// The subject's, quoted and cut to 80 characters.
        found: String,
    },
    /// The occurrence is not the one that the policy for the event type asks for.
    #[error(
        "certificate field `subject.occurrence` must be {expected} for a {policy} event type; it is {found}"
    )]
    Occurrence {
        /// The policy: `unique` or `recurring`.
        policy: &'static str,
        /// What it asks for, quoted.
        expected: String,
        /// The subject's, quoted and cut to 80 characters.
        found: String,
    },
    /// A batch of no or too many statements.
    #[error(
        "certificate field `precommits[{at}].count` must be 1 to {max}; it is {found}",
        max = limits::BATCH_STATEMENTS
    )]
    Count {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// The count that the precommit names.
        found: u32,
    },
    /// A place outside the batch.
    #[error(
        "certificate field `precommits[{at}].index` must be below the batch's count {count}; it is {found}"
    )]
    Index {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// Its batch's count.
        count: u32,
        /// The index that the precommit names.
        found: u32,
    },
    /// A signer that does not vote in the epoch.
    #[error(
        "certificate field `precommits[{at}].node_id` must be a voter of epoch {epoch}; it is {found}"
    )]
    NotAVoter {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// The epoch whose voters are asked for.
        epoch: Epoch,
        /// The node that signed the precommit.
        found: NodeId,
    },
    /// A signer that was counted already.
    #[error(
        "certificate field `precommits[{at}].node_id` must be another than that of precommits[{first}]; it is {found}"
    )]
    CountedTwice {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// Where the signer stood first.
        first: usize,
        /// The node that signed the precommit.
        found: NodeId,
    },
    /// A Merkle path that leads from no leaf of such a batch to its root.
    #[error(
        "certificate field `precommits[{at}].path` must be as long as statement {index} of {count} asks; \
         it has {found} hashes"
    )]
    Path {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// The index that the precommit names.
        index: u32,
        /// Its batch's count.
        count: u32,
        /// How long the path is.
        found: usize,
    },
    /// A signature that does not verify over what path and vote lead to.
    #[error(
        "certificate field `precommits[{at}].signature` must be that of {signer} over the batch that its path \
         leads to; it does not verify"
    )]
    Signature {
        /// The precommit's place in `precommits`, from 0.
        at: usize,
        /// The node that should have signed the precommit.
        signer: NodeId,
    },
    /// The signers weigh too little.
    #[error(
        "certificate field `precommits` must weigh at least the quorum of {quorum}; it weighs {weight}"
    )]
    Weight {
        /// The weight that decides in this epoch.
        quorum: u64,
        /// What the signers weigh.
        weight: u64,
    },
    /// The signers are too few, whatever they weigh.
    #[error(
        "certificate field `precommits` must have at least min_participating_nodes = {min} signers; it has {found}"
    )]
    Signers {
        /// How many are needed.
        min: usize,
        /// How many there are.
        found: usize,
    },
}

impl CertificateError {
    /// Whether it may hold by another manifest than the one it was checked with.
    pub fn needs_another_manifest(&self) -> bool {
        matches!(self, Self::Epoch { .. })
    }
}
