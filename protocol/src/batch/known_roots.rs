//! Roots whose signatures were checked: what one answer repeats is checked once.

use std::collections::HashSet;

use super::{Kind, signed_message};
use crate::id::{FederationId, MerkleHash, NodeId, Signature};
use crate::identity::{IdentityError, VerifyKey};

/// Roots kept; past it all are forgotten, and checked again.
const AT_MOST: usize = 16_384;

/// Roots of one federation's batches under which signatures hold. A signature is part of the entry:
/// a root that is proven once does not make every signature beside it good.
#[derive(Clone, Debug, Default)]
pub struct KnownRoots(HashSet<(NodeId, Kind, u32, MerkleHash, Signature)>);

impl KnownRoots {
    /// Checks a root's signature, unless just that was checked before.
    pub(super) fn check(
        &mut self,
        federation: &FederationId,
        key: &VerifyKey,
        (kind, count, root): (Kind, u32, MerkleHash),
        signature: &Signature,
    ) -> Result<(), IdentityError> {
        let entry = (key.id(), kind, count, root, *signature);
        if self.0.contains(&entry) {
            return Ok(());
        }
        key.verify(&signed_message(federation, kind, count, &root), signature)?;
        if self.0.len() >= AT_MOST {
            self.0.clear();
        }
        self.0.insert(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Statements, VerifiedBatch};
    use crate::testing::{event, federation};

    #[test]
    fn a_known_root_is_good_under_its_own_signature_signer_and_kind_alone() {
        let (_, federation, _, keys) = federation(4);
        let events = Statements::Events(vec![event("release", "v1")]);
        let batch = VerifiedBatch::sign(&keys[0], &federation, events).unwrap();
        let (root, signature) = (batch.root(), batch.batch().signature);
        let [first, second] = [0, 1].map(|at: usize| VerifyKey::parse(keys[at].node_id()).unwrap());
        let mut known = KnownRoots::default();
        let mut check = |key: &VerifyKey, kind, count, signature: &Signature| {
            known
                .check(&federation, key, (kind, count, root), signature)
                .is_ok()
        };
        for _ in 0..2 {
            assert!(check(&first, Kind::Events, 1, &signature));
        }
        let other = Signature([7; 64]);
        assert!(!check(&first, Kind::Events, 1, &other));
        assert!(!check(&first, Kind::Events, 2, &signature));
        assert!(!check(&first, Kind::Votes, 1, &signature));
        assert!(!check(&second, Kind::Events, 1, &signature));
    }
}
