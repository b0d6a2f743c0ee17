//! Ready statements: a voter of a proposed manifest says that it runs (SPEC §4, §5).

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, ManifestHash, UnixMillis};

/// What a voter of a proposed manifest says: I run with this key, hold this manifest and the chain
/// before it, and my log lacked nothing that the voters I reached held. It moves no quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ready {
    /// The epoch of the manifest.
    pub epoch: Epoch,
    /// The manifest's hash.
    pub manifest: ManifestHash,
    /// When it was said, by the signer's clock.
    pub at: UnixMillis,
}

impl Ready {
    /// `epoch u64 ‖ manifest hash ‖ at u64`.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        [
            &self.epoch.0.to_be_bytes()[..],
            &self.manifest.0,
            &self.at.0.to_be_bytes(),
        ]
        .concat()
    }
}
