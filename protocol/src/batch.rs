//! Signed batches: a node signs the Merkle root over all it has to say of one kind at once (SPEC
//! §5).
//!
//! [`SignedBatch`] is what arrives; [`VerifiedBatch`] is one whose signature was checked, and the
//! only form that the engine takes. [`BatchProof`] proves one statement alone: index, count, path,
//! signature.

mod known_roots;
mod proof;
mod statements;

pub use known_roots::KnownRoots;
pub use proof::BatchProof;
pub use statements::{Kind, Statements, is_of_unknown_kind};

use serde::{Deserialize, Serialize};

use crate::id::{FederationId, MerkleHash, NodeId, Signature};
use crate::identity::{IdentityError, VerifyKey, VotingKey};
use crate::limits;
use crate::merkle::MerkleTree;

/// Why a batch or a proof from one is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No statements, or more than fit.
    #[error("a batch has 1 to batch_statements = {max} statements, this one {0}", max = limits::BATCH_STATEMENTS)]
    Count(usize),
    /// The signature does not verify, or the signer is no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The signer named is not the key it is checked under.
    #[error("the batch names {named} as its signer, it is checked under the key of {key}")]
    WrongSigner {
        /// Who the batch says signed.
        named: NodeId,
        /// Whose key was given.
        key: NodeId,
    },
    /// A vote that marks as observed what no node can have observed.
    #[error("statement {0} is no vote: only a round-0 prevote for a choice can be an observation")]
    Vote(usize),
    /// An index outside the batch.
    #[error("index {index} is outside a batch of {count}")]
    Index {
        /// The index of the statement in its batch, from 0.
        index: u32,
        /// The batch's count.
        count: u32,
    },
    /// The path does not lead from the leaf to any root of that size.
    #[error("the Merkle path of statement {index} of {count} has a wrong length")]
    Path {
        /// The index of the statement in its batch, from 0.
        index: u32,
        /// The batch's count.
        count: u32,
    },
}

/// `"ssid/batch/1\0" ‖ federation_id ‖ kind u8 ‖ count u32 ‖ root`.
fn signed_message(federation: &FederationId, kind: Kind, count: u32, root: &MerkleHash) -> Vec<u8> {
    [
        &b"ssid/batch/1\0"[..],
        &federation.0,
        &[kind.byte()],
        &count.to_be_bytes(),
        &root.0,
    ]
    .concat()
}

/// A batch as it travels: nothing about it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBatch {
    /// Who says to have signed it.
    pub signer: NodeId,
    /// Over the root; see the module's text.
    pub signature: Signature,
    /// What is said.
    pub statements: Statements,
}

impl SignedBatch {
    /// Checks count and signature under the signer's key: one signature check however many
    /// statements.
    ///
    /// ```
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::id::FederationId;
    /// use ssid_protocol::identity::VerifyKey;
    /// use ssid_protocol::testing::{event, federation};
    ///
    /// let (_, id, _, keys) = federation(4);
    /// let batch = VerifiedBatch::sign(&keys[0], &id, Statements::Events(vec![event("release", "v1")]));
    /// let travelled = batch.unwrap().batch().clone();
    /// let signer = VerifyKey::parse(travelled.signer).unwrap();
    /// assert!(travelled.clone().verify(&signer, &id).is_ok());
    /// assert!(travelled.verify(&signer, &FederationId([1; 32])).is_err(), "of another federation");
    /// ```
    ///
    /// # Errors
    /// If there are none or too many statements, the key is another's, or the signature does not
    /// verify.
    pub fn verify(
        self,
        key: &VerifyKey,
        federation: &FederationId,
    ) -> Result<VerifiedBatch, BatchError> {
        self.verify_once(key, federation, &mut KnownRoots::default())
    }

    /// As [`Self::verify`]; a signature that is among `known` is not checked again.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_once(
        self,
        key: &VerifyKey,
        federation: &FederationId,
        known: &mut KnownRoots,
    ) -> Result<VerifiedBatch, BatchError> {
        check_signer(self.signer, key)?;
        // before hashing: of a batch that is too long no leaf is looked at
        let count = checked_count(self.statements.len())?;
        // one ballot that no honest node signs spoils the batch, for every node alike
        if let Statements::Votes(votes) = &self.statements
            && let Some(at) = votes.iter().position(|vote| !vote.is_well_formed())
        {
            return Err(BatchError::Vote(at));
        }
        let tree = MerkleTree::of(self.statements.leaf_hashes());
        let root = tree.root();
        let named = (self.statements.kind(), count, root);
        known.check(federation, key, named, &self.signature)?;
        Ok(VerifiedBatch {
            batch: self,
            tree,
            root,
        })
    }
}

/// The caller took the key from a manifest by that name: another one would prove nothing about it.
fn check_signer(named: NodeId, key: &VerifyKey) -> Result<(), BatchError> {
    let key = key.id();
    if named == key {
        Ok(())
    } else {
        Err(BatchError::WrongSigner { named, key })
    }
}

fn checked_count(count: usize) -> Result<u32, BatchError> {
    match u32::try_from(count) {
        Ok(n) if (1..=limits::BATCH_STATEMENTS).contains(&count) => Ok(n),
        _ => Err(BatchError::Count(count)),
    }
}

/// The name of a batch among all batches: two of one signer with one root are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// Who signed it.
    pub signer: NodeId,
    /// The signed root.
    pub root: MerkleHash,
}

/// A batch whose signature was checked, with its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedBatch {
    batch: SignedBatch,
    /// Whole, since one statement's proof is asked for again and again: it costs the batch's hashes
    /// once.
    tree: MerkleTree,
    root: MerkleHash,
}

impl VerifiedBatch {
    /// Signs `statements` as one batch.
    ///
    /// ```
    /// use ssid_protocol::batch::{Kind, Statements, VerifiedBatch};
    /// use ssid_protocol::identity::VerifyKey;
    /// use ssid_protocol::testing::{event, federation};
    ///
    /// let (_, id, _, keys) = federation(4);
    /// let events = Statements::Events(vec![event("release", "v1"), event("release", "v2")]);
    /// let batch = VerifiedBatch::sign(&keys[0], &id, events).unwrap();
    ///
    /// // one statement is proven alone, by its leaf
    /// let leaf = event("release", "v2").choice().to_bytes();
    /// let signer = VerifyKey::parse(keys[0].node_id()).unwrap();
    /// assert!(batch.proof(1).unwrap().verify(Kind::Events, &leaf, &signer, &id).is_ok());
    /// assert!(batch.proof(0).unwrap().verify(Kind::Events, &leaf, &signer, &id).is_err());
    /// ```
    ///
    /// # Errors
    /// If there are none, or more than [`limits::BATCH_STATEMENTS`].
    pub fn sign(
        key: &VotingKey,
        federation: &FederationId,
        statements: Statements,
    ) -> Result<Self, BatchError> {
        let count = checked_count(statements.len())?;
        let tree = MerkleTree::of(statements.leaf_hashes());
        let root = tree.root();
        let signature = key.sign(&signed_message(federation, statements.kind(), count, &root));
        Ok(Self {
            batch: SignedBatch {
                signer: key.node_id(),
                signature,
                statements,
            },
            tree,
            root,
        })
    }

    /// The batch as it travels.
    pub fn batch(&self) -> &SignedBatch {
        &self.batch
    }

    /// Returns the voting key that signed the batch.
    pub fn signer(&self) -> NodeId {
        self.batch.signer
    }

    /// What was said.
    pub fn statements(&self) -> &Statements {
        &self.batch.statements
    }

    /// The signed root.
    pub fn root(&self) -> MerkleHash {
        self.root
    }

    /// Returns the batch's name: its signer and root.
    ///
    /// ```
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::testing::{event, federation};
    ///
    /// let (_, id, _, keys) = federation(4);
    /// let said = Statements::Events(vec![event("release", "v1")]);
    /// let [a, b] = [0, 1].map(|i| VerifiedBatch::sign(&keys[i], &id, said.clone()).unwrap());
    /// assert_eq!(a.root(), b.root());
    /// assert_ne!(a.id(), b.id(), "two members said the same");
    /// ```
    pub fn id(&self) -> BatchId {
        BatchId {
            signer: self.signer(),
            root: self.root,
        }
    }

    /// The leaf hashes in order, from which every statement's proof follows.
    pub fn leaves(&self) -> &[MerkleHash] {
        self.tree.leaves()
    }

    /// Bytes it takes in memory, about.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.statements().memory() + self.tree.memory()
    }

    /// The proof of the statement at `index`; `None` if there is none.
    pub fn proof(&self, index: u32) -> Option<BatchProof> {
        let path = self.tree.inclusion_path(usize::try_from(index).ok()?)?;
        let (signer, signature) = (self.signer(), self.batch.signature);
        Some(BatchProof {
            signer,
            index,
            count: u32::try_from(self.leaves().len()).ok()?,
            path,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, Round, SubjectId};
    use crate::testing::{event, key};
    use crate::vote::{Phase, Vote};
    use crate::wire;

    const FEDERATION: FederationId = FederationId([1; 32]);

    fn votes(count: u8) -> Statements {
        let vote = |i| Vote {
            epoch: Epoch(0),
            subject: SubjectId([i; 32]),
            round: Round(0),
            phase: Phase::Prevote,
            ballot: Some(event("a", "1").choice()),
            observed: false,
        };
        Statements::Votes((0..count).map(vote).collect())
    }

    fn verify_key(index: u8) -> VerifyKey {
        VerifyKey::parse(key(index).node_id()).unwrap()
    }

    #[test]
    fn whole_batches_and_single_statements_verify() {
        let batch = VerifiedBatch::sign(&key(0), &FEDERATION, votes(5)).unwrap();
        let checked = batch
            .batch()
            .clone()
            .verify(&verify_key(0), &FEDERATION)
            .unwrap();
        assert_eq!(checked, batch);
        let Statements::Votes(all) = batch.statements() else {
            panic!("votes")
        };
        for (i, vote) in (0..).zip(all) {
            let proof = batch.proof(i).unwrap();
            proof
                .verify(Kind::Votes, &vote.leaf_bytes(), &verify_key(0), &FEDERATION)
                .unwrap();
            let other = Vote {
                round: Round(1),
                ..*vote
            };
            assert!(
                proof
                    .verify(
                        Kind::Votes,
                        &other.leaf_bytes(),
                        &verify_key(0),
                        &FEDERATION
                    )
                    .is_err()
            );
        }
        assert_eq!(batch.proof(5), None);
    }

    #[test]
    fn another_federation_kind_count_signer_or_statement_is_refused() {
        let batch = VerifiedBatch::sign(&key(0), &FEDERATION, votes(3)).unwrap();
        let again =
            |batch: SignedBatch, key, federation| batch.verify(&verify_key(key), &federation);
        assert!(again(batch.batch().clone(), 0, FederationId([2; 32])).is_err());
        assert!(matches!(
            again(batch.batch().clone(), 1, FEDERATION),
            Err(BatchError::WrongSigner { .. })
        ));
        let mut renamed = batch.batch().clone();
        renamed.signer = key(1).node_id();
        assert!(matches!(
            again(renamed, 1, FEDERATION),
            Err(BatchError::Identity(_))
        ));
        let mut shorter = batch.batch().clone();
        shorter.statements = votes(2);
        assert!(again(shorter, 0, FEDERATION).is_err());
        let mut empty = batch.batch().clone();
        empty.statements = votes(0);
        assert_eq!(again(empty, 0, FEDERATION), Err(BatchError::Count(0)));
        let proof = batch.proof(0).unwrap();
        let Statements::Votes(all) = batch.statements() else {
            panic!("votes")
        };
        assert!(
            proof
                .verify(
                    Kind::Proposals,
                    &all[0].leaf_bytes(),
                    &verify_key(0),
                    &FEDERATION
                )
                .is_err()
        );
    }

    #[test]
    fn each_kind_has_its_byte_and_its_place_on_the_wire() {
        for (place, (_, batch)) in crate::testing::messages::batches().into_iter().enumerate() {
            let kind = batch.statements.kind();
            assert_eq!(Kind::ALL[place], kind);
            assert_eq!(usize::from(kind.byte()), place + 1);
            let bytes = wire::encode(&batch);
            assert_eq!(wire::variant(&bytes, 96), u8::try_from(place).ok());
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_told_from_damage() {
        let batch = VerifiedBatch::sign(&key(0), &FEDERATION, votes(3)).unwrap();
        let mut bytes = wire::encode(batch.batch());
        assert!(!is_of_unknown_kind(&bytes));
        assert!(
            !is_of_unknown_kind(&bytes[..97]) && !is_of_unknown_kind(b"garbage"),
            "cut off, not unknown"
        );
        for later in [6, 7, 200] {
            bytes[32 + 64] = later;
            assert!(is_of_unknown_kind(&bytes));
            assert!(wire::decode::<SignedBatch>(&bytes).is_err());
        }
    }
}
