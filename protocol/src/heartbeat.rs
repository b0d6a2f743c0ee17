//! Heartbeats: what a node says about itself every 15 seconds (SPEC §10). The signed form is the JCS of its JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Choice;
use crate::id::{Epoch, LogId, MerkleHash, Sha256Hash, SubjectId, UnixMillis, sha256};
use crate::json::Json;

/// One heartbeat. All counters are at most 2⁵³−1, as everything in the protocol's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// max(unix ms, last + 1): one not greater than the last seen is ignored.
    pub sequence: u64,
    /// The sender's clock.
    pub sent_at: UnixMillis,
    /// Program and version, for example `ssid/0.1.0`.
    pub software: String,
    /// Lowest protocol version it speaks.
    pub protocol_min: u64,
    /// Highest protocol version it speaks.
    pub protocol_max: u64,
    /// Multiaddresses it listens on.
    pub addresses: Vec<String>,
    /// The blueprint its registry is at; empty if none.
    pub blueprint: String,
    /// Its registry's compliance score; empty if none.
    pub compliance_score: String,
    /// The name of its log's incarnation.
    pub log_id: LogId,
    /// Size of its certified log.
    pub log_size: u64,
    /// Root of its certified log.
    pub log_root: MerkleHash,
    /// How many subjects it holds certificates for.
    pub certified_count: u64,
    /// [`CertifiedDigest`] over them: equal sets give equal digests.
    pub certified_digest: Sha256Hash,
    /// How many instances it has open.
    pub open_count: u64,
    /// Digest over them.
    pub open_digest: Sha256Hash,
}

impl Heartbeat {
    /// The JCS text that is the batch's one leaf.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        self.to_json().to_jcs().into_bytes()
    }

    /// The JSON object of SPEC §10.
    pub fn to_json(&self) -> Json {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        let fields = [
            ("epoch", Json::Number(self.epoch.0)),
            ("sequence", Json::Number(self.sequence)),
            ("sent_at", Json::Number(self.sent_at.0)),
            ("software", text(&self.software)),
            ("protocol_min", Json::Number(self.protocol_min)),
            ("protocol_max", Json::Number(self.protocol_max)),
            ("addresses", Json::Array(self.addresses.iter().map(|a| Json::Text(a.clone())).collect())),
            ("blueprint", text(&self.blueprint)),
            ("compliance_score", text(&self.compliance_score)),
            ("log_id", text(&self.log_id)),
            ("log_size", Json::Number(self.log_size)),
            ("log_root", text(&self.log_root)),
            ("certified_count", Json::Number(self.certified_count)),
            ("certified_digest", text(&self.certified_digest)),
            ("open_count", Json::Number(self.open_count)),
            ("open_digest", text(&self.open_digest)),
        ];
        Json::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
    }
}

/// Digest of a certified set, independent of its order: the sum modulo 2²⁵⁶ of `H(subject_id ‖ choice)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedDigest([u8; 32]);

impl CertifiedDigest {
    /// Adds one certified subject.
    pub fn add(&mut self, subject: &SubjectId, choice: &Choice) {
        let term = sha256(&[&subject.0, &choice.to_bytes()]);
        let mut carry = 0_u16;
        for (sum, byte) in self.0.iter_mut().zip(term).rev() {
            carry += u16::from(*sum) + u16::from(byte);
            *sum = carry.to_be_bytes()[1];
            carry >>= 8;
        }
    }

    /// The value, big-endian.
    pub fn value(&self) -> Sha256Hash {
        Sha256Hash(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    #[test]
    fn the_certified_digest_ignores_order_and_sees_every_member() {
        let items: Vec<_> = (0..5_u8).map(|i| (SubjectId([i; 32]), event("a", &i.to_string()).choice())).collect();
        let digest = |order: &[usize]| {
            let mut digest = CertifiedDigest::default();
            for &i in order {
                digest.add(&items[i].0, &items[i].1);
            }
            digest
        };
        assert_eq!(digest(&[0, 1, 2, 3, 4]), digest(&[4, 2, 0, 1, 3]));
        assert_ne!(digest(&[0, 1, 2, 3, 4]), digest(&[0, 1, 2, 3]));
    }
}
