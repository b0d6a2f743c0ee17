//! The proof of one statement alone.

use serde::{Deserialize, Serialize};

use super::{BatchError, Kind, KnownRoots, check_signer, checked_count, signed_message};
use crate::id::{FederationId, MerkleHash, NodeId, Signature};
use crate::identity::VerifyKey;
use crate::merkle;

/// Proof that one statement was signed as part of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchProof {
    /// The voting key that signed the batch.
    pub signer: NodeId,
    /// The statement's place in the batch, from 0.
    pub index: u32,
    /// How many statements the batch has, 1 to 4096.
    pub count: u32,
    /// RFC 9162 §2.1.3 inclusion path.
    pub path: Vec<MerkleHash>,
    /// The batch's signature.
    pub signature: Signature,
}

impl BatchProof {
    /// The root that this proof leads to from a statement's leaf bytes.
    ///
    /// # Errors
    /// If count or index are out of bounds, or the path has a wrong length.
    pub fn root(&self, leaf_bytes: &[u8]) -> Result<MerkleHash, BatchError> {
        let (index, count) = (self.index, self.count);
        checked_count(count as usize)?;
        if index >= count {
            return Err(BatchError::Index { index, count });
        }
        merkle::root_from_inclusion(
            merkle::leaf_hash(leaf_bytes),
            index.into(),
            count.into(),
            &self.path,
        )
        .ok_or(BatchError::Path { index, count })
    }

    /// Checks that `key` signed a batch of this kind with these leaf bytes at the index.
    ///
    /// # Errors
    /// As [`Self::root`], and if the signature does not verify.
    pub fn verify(
        &self,
        kind: Kind,
        leaf_bytes: &[u8],
        key: &VerifyKey,
        federation: &FederationId,
    ) -> Result<(), BatchError> {
        let root = self.root(leaf_bytes)?;
        self.verify_root(kind, &root, key, federation)
    }

    /// As [`Self::verify`]; a signature that is among `known` is not checked again.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_once(
        &self,
        kind: Kind,
        leaf_bytes: &[u8],
        key: &VerifyKey,
        federation: &FederationId,
        known: &mut KnownRoots,
    ) -> Result<(), BatchError> {
        let root = self.root(leaf_bytes)?;
        check_signer(self.signer, key)?;
        Ok(known.check(federation, key, (kind, self.count, root), &self.signature)?)
    }

    /// Checks only that `key` signed `root`; for a verifier that remembers the roots it has
    /// checked.
    ///
    /// # Errors
    /// If the signature does not verify.
    pub fn verify_root(
        &self,
        kind: Kind,
        root: &MerkleHash,
        key: &VerifyKey,
        federation: &FederationId,
    ) -> Result<(), BatchError> {
        check_signer(self.signer, key)?;
        Ok(key.verify(
            &signed_message(federation, kind, self.count, root),
            &self.signature,
        )?)
    }
}
