//! Voting keys: signing and strict verification (SPEC §1, §5). The voting key signs §5 batches and
//! member cards, nothing else, and never enters the network code.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::id::{NodeId, Signature};

/// A node's secret voting key. Zeroed when dropped; its `Debug` shows the public half only.
#[derive(Clone)]
pub struct VotingKey(SigningKey);

impl VotingKey {
    /// The key of a 32-byte seed. The caller supplies the randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for the key file.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half: this node's name.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which must begin with one of the protocol's domain strings.
    ///
    /// ```
    /// use ssid_protocol::identity::{VerifyKey, VotingKey};
    ///
    /// let key = VotingKey::from_seed(&[7; 32]);
    /// let signature = key.sign(b"ssid/example/1\0text");
    /// let public = VerifyKey::parse(key.node_id()).unwrap();
    /// assert!(public.verify(b"ssid/example/1\0text", &signature).is_ok());
    /// assert!(public.verify(b"ssid/example/1\0texts", &signature).is_err());
    /// ```
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for VotingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VotingKey({})", self.node_id())
    }
}

/// Why a node id cannot be a voting key, or a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no point of the curve in its canonical encoding.
    #[error("node id {0} is not the canonical encoding of an Ed25519 public key")]
    NotAKey(NodeId),
    /// The point has small order: signatures under it prove nothing.
    #[error("node id {0} is a weak key (a point of small order)")]
    WeakKey(NodeId),
    /// The signature does not verify strictly.
    #[error("signature does not verify under the key of node {0}")]
    BadSignature(NodeId),
}

/// A parsed public voting key: parsing costs about a third of a verification, so it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyKey {
    id: NodeId,
    key: VerifyingKey,
}

impl VerifyKey {
    /// Parses a node id.
    ///
    /// ```
    /// use ssid_protocol::id::NodeId;
    /// use ssid_protocol::identity::{VerifyKey, VotingKey};
    ///
    /// assert!(VerifyKey::parse(VotingKey::from_seed(&[7; 32]).node_id()).is_ok());
    /// assert!(VerifyKey::parse(NodeId([0; 32])).is_err(), "a point of small order");
    /// ```
    ///
    /// # Errors
    /// If the bytes are no canonical curve point, or one of small order.
    pub fn parse(id: NodeId) -> Result<Self, IdentityError> {
        let key = VerifyingKey::from_bytes(&id.0).map_err(|_| IdentityError::NotAKey(id))?;
        if key.to_edwards().compress().to_bytes() != id.0 {
            return Err(IdentityError::NotAKey(id));
        }
        if key.is_weak() {
            return Err(IdentityError::WeakKey(id));
        }
        Ok(Self { id, key })
    }

    /// The node id this key is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Strict verification: S < L, A and R canonical and not of small order, no cofactor.
    ///
    /// # Errors
    /// If the signature does not verify.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), IdentityError> {
        let parsed = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.key
            .verify_strict(message, &parsed)
            .map_err(|_| IdentityError::BadSignature(self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let mut identity_point = [0; 32];
        identity_point[0] = 1;
        assert!(matches!(
            VerifyKey::parse(NodeId(identity_point)),
            Err(IdentityError::WeakKey(_))
        ));
        // y = 1 with the sign bit set: the same point, not canonically written
        identity_point[31] = 0x80;
        assert!(VerifyKey::parse(NodeId(identity_point)).is_err());
        // y = p + 3: a non-canonical encoding of y = 3
        let mut high = [0xff; 32];
        high[0] = 0xf0;
        high[31] = 0x7f;
        assert!(VerifyKey::parse(NodeId(high)).is_err());
    }

    #[test]
    fn a_signature_counts_for_its_message_only() {
        let key = VotingKey::from_seed(&[9; 32]);
        let public = VerifyKey::parse(key.node_id()).unwrap();
        let signature = key.sign(b"one");
        assert!(public.verify(b"one", &signature).is_ok());
        assert!(public.verify(b"two", &signature).is_err());
        let mut high_s = signature;
        high_s.0[63] |= 0xe0;
        assert!(public.verify(b"one", &high_s).is_err());
    }
}
