//! Evidence: two signed things that contradict each other, each with its proof, so that anyone who
//! has the manifest can check who did what (SPEC §7, *Equivocation* and *Evidence*).
//!
//! [`Evidence`] is what is kept, gossiped and exported; nothing about it is believed before
//! [`Evidence::verify`]. `document` has the JSON form, `verify` the rules.

mod document;
mod error;
#[cfg(test)]
mod tests;
mod verify;

pub use document::FORMAT;
pub use error::EvidenceError;
pub use verify::{Contradiction, Verifier};

use serde::{Deserialize, Serialize};

use crate::batch::{BatchError, BatchProof, Kind, KnownRoots, Statements, VerifiedBatch};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::heartbeat::Heartbeat;
use crate::id::{Epoch, EvidenceId, FederationId, NodeId, sha256};
use crate::identity::VerifyKey;
use crate::vote::{EpochClose, Proposal, Vote};
use crate::wire;

/// One statement of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// An announcement; its signed leaf is the event's choice.
    Event(Event),
    /// A prevote or precommit; its signed leaf is its layout.
    Vote(Vote),
    /// A heartbeat, for the log head in it.
    Heartbeat(Box<Heartbeat>),
    /// A proposal of an automatic round.
    Proposal(Proposal),
    /// An epoch close.
    Close(EpochClose),
}

impl Statement {
    /// The statement at `index` of a batch; `None` if there is none.
    pub fn of(statements: &Statements, index: u32) -> Option<Self> {
        let index = usize::try_from(index).ok()?;
        Some(match statements {
            Statements::Events(all) => Self::Event(all.get(index)?.clone()),
            Statements::Votes(all) => Self::Vote(*all.get(index)?),
            Statements::Heartbeat(one) => {
                Self::Heartbeat(Some(one.clone()).filter(|_| index == 0)?)
            }
            Statements::Proposals(all) => Self::Proposal(*all.get(index)?),
            Statements::Closes(all) => Self::Close(*all.get(index)?),
            // said anew every few minutes: two of them contradict nothing
            Statements::Ready(_) => return None,
        })
    }

    /// The kind of the batches that carry it.
    pub fn batch_kind(&self) -> Kind {
        match self {
            Self::Event(_) => Kind::Events,
            Self::Vote(_) => Kind::Votes,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Proposal(_) => Kind::Proposals,
            Self::Close(_) => Kind::Closes,
        }
    }

    /// The bytes that are signed as a leaf of the batch (SPEC §5).
    pub fn leaf_bytes(&self) -> Vec<u8> {
        match self {
            Self::Event(event) => event.choice().to_bytes().to_vec(),
            Self::Vote(vote) => vote.leaf_bytes(),
            Self::Heartbeat(heartbeat) => heartbeat.leaf_bytes(),
            Self::Proposal(proposal) => proposal.leaf_bytes(),
            Self::Close(close) => close.leaf_bytes(),
        }
    }
}

/// A statement with the proof that it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What was said.
    pub statement: Statement,
    /// Who signed it, as part of which batch.
    pub proof: BatchProof,
}

impl Signed {
    /// The statement at `index` of a batch; `None` if there is none.
    pub fn of(batch: &VerifiedBatch, index: u32) -> Option<Self> {
        Some(Self {
            statement: Statement::of(batch.statements(), index)?,
            proof: batch.proof(index)?,
        })
    }

    /// Checks that `key` signed it.
    ///
    /// # Errors
    /// As [`BatchProof::verify`], and if it is a vote that no node may sign.
    pub fn verify(&self, key: &VerifyKey, federation: &FederationId) -> Result<(), BatchError> {
        self.verify_once(key, federation, &mut KnownRoots::default())
    }

    /// As [`Self::verify`]; a signature that is among `known` is not checked again.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_once(
        &self,
        key: &VerifyKey,
        federation: &FederationId,
        known: &mut KnownRoots,
    ) -> Result<(), BatchError> {
        if matches!(&self.statement, Statement::Vote(vote) if !vote.is_well_formed()) {
            return Err(BatchError::Vote(self.proof.index as usize));
        }
        self.proof.verify_once(
            self.statement.batch_kind(),
            &self.statement.leaf_bytes(),
            key,
            federation,
            known,
        )
    }
}

/// Two things that contradict each other; the first is the lesser, see [`Evidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pair {
    /// Two statements of one signer: equivocation.
    Statements(Box<[Signed; 2]>),
    /// Two certificates of one subject for different choices: more than F of the weight is
    /// Byzantine (SPEC §1).
    Certificates(Box<[Certificate; 2]>),
}

/// A self-contained contradiction. Of one pair there is one form: statements stand in order of
/// their leaf bytes, certificates in order of their choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// In which federation it was signed.
    pub federation_id: FederationId,
    /// What contradicts what.
    pub pair: Pair,
}

/// What a piece of evidence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceKind {
    /// Two events of one origin for one unique subject.
    Event,
    /// Two votes of one voter in one round and phase.
    Vote,
    /// Two log heads of one log and size.
    LogHead,
    /// Two proposals of one round.
    Proposal,
    /// Two closes of one epoch.
    Close,
    /// Two certificates of one subject.
    Certificates,
}

impl EvidenceKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Event,
        Self::Vote,
        Self::LogHead,
        Self::Proposal,
        Self::Close,
        Self::Certificates,
    ];

    /// The name in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Vote => "vote",
            Self::LogHead => "log_head",
            Self::Proposal => "proposal",
            Self::Close => "close",
            Self::Certificates => "certificates",
        }
    }

    /// A number for keys: that of the batches that carry it, 6 for certificates.
    pub fn byte(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Vote => 2,
            Self::LogHead => 3,
            Self::Proposal => 4,
            Self::Close => 5,
            Self::Certificates => 6,
        }
    }
}

/// What one piece suffices for: a member, a kind and an epoch. Events and log heads name none, so
/// that there is one of them for a member, under epoch 0; certificates are nobody's alone, so that
/// their member is 32 zero bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EvidenceSlot {
    /// The member that contradicted itself.
    pub member: NodeId,
    /// The kind of statement in which it did.
    pub kind: EvidenceKind,
    /// In which epoch.
    pub epoch: Epoch,
}

/// Whether `data` begins like evidence as it travels, but of something that this version does not
/// know.
pub fn is_of_unknown_kind(data: &[u8]) -> bool {
    const PAIRS: u8 = 2;
    const STATEMENTS: u8 = 5;
    // the federation's id comes first, then what the pair is of, then what the first half is
    match wire::variant(data, 32) {
        Some(0) => wire::variant(data, 36).is_some_and(|statement| statement >= STATEMENTS),
        pair => pair.is_some_and(|pair| pair >= PAIRS),
    }
}

impl Evidence {
    /// Two statements in their order. Whether they prove anything is asked separately.
    pub fn of_statements(federation_id: FederationId, one: Signed, other: Signed) -> Self {
        let mut pair = [one, other];
        pair.sort_by_cached_key(|signed| signed.statement.leaf_bytes());
        Self {
            federation_id,
            pair: Pair::Statements(Box::new(pair)),
        }
    }

    /// Two certificates in their order. Whether they prove anything is asked separately.
    pub fn of_certificates(
        federation_id: FederationId,
        one: Certificate,
        other: Certificate,
    ) -> Self {
        let mut pair = [one, other];
        pair.sort_by_key(|certificate| certificate.choice);
        Self {
            federation_id,
            pair: Pair::Certificates(Box::new(pair)),
        }
    }

    /// What it is about, by its first half.
    pub fn kind(&self) -> EvidenceKind {
        match &self.pair {
            Pair::Certificates(_) => EvidenceKind::Certificates,
            Pair::Statements(pair) => match pair[0].statement {
                Statement::Event(_) => EvidenceKind::Event,
                Statement::Vote(_) => EvidenceKind::Vote,
                Statement::Heartbeat(_) => EvidenceKind::LogHead,
                Statement::Proposal(_) => EvidenceKind::Proposal,
                Statement::Close(_) => EvidenceKind::Close,
            },
        }
    }

    /// The epoch it is of; `None` for events and log heads.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.pair {
            Pair::Certificates(pair) => Some(pair[0].epoch),
            Pair::Statements(pair) => match &pair[0].statement {
                Statement::Vote(vote) => Some(vote.epoch),
                Statement::Proposal(proposal) => Some(proposal.epoch),
                Statement::Close(close) => Some(close.epoch),
                Statement::Event(_) | Statement::Heartbeat(_) => None,
            },
        }
    }

    /// Whose contradiction it says to be; `None` for certificates.
    pub fn member(&self) -> Option<NodeId> {
        match &self.pair {
            Pair::Certificates(_) => None,
            Pair::Statements(pair) => Some(pair[0].proof.signer),
        }
    }

    /// What it suffices for.
    pub fn slot(&self) -> EvidenceSlot {
        let member = self.member().unwrap_or(NodeId([0; 32]));
        EvidenceSlot {
            member,
            kind: self.kind(),
            epoch: self.epoch().unwrap_or_default(),
        }
    }

    /// `H("ssid/evidence/1\0" ‖ JCS(document))`: its name.
    pub fn id(&self) -> EvidenceId {
        EvidenceId(sha256(&[
            b"ssid/evidence/1\0",
            self.to_json().to_jcs().as_bytes(),
        ]))
    }
}
