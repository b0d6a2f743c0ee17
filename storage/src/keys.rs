//! How keys of tables become bytes: big-endian and of fixed length, so that byte order is key
//! order.

use ssid_protocol::batch::Kind;
use ssid_protocol::evidence::{EvidenceKind, EvidenceSlot};
use ssid_protocol::id::{
    Choice, ContentDigest, Epoch, EventHash, LogId, ManifestHash, MerkleHash, NodeId, Sha256Hash,
    SubjectId,
};

use crate::rows::{BatchKey, Cursor, OutboxKey};

/// A key of a table.
pub(crate) trait Key: Sized {
    /// Appends its bytes.
    fn write(&self, bytes: &mut Vec<u8>);
    /// The key with these bytes, if there is one.
    fn parse(bytes: &[u8]) -> Option<Self>;
}

macro_rules! hash_keys {
    ($($name:ident),*) => {$(
        impl Key for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.0);
            }

            fn parse(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }
    )*};
}
hash_keys!(
    ContentDigest,
    SubjectId,
    NodeId,
    Sha256Hash,
    EventHash,
    LogId,
    ManifestHash,
    MerkleHash
);

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl Key for u8 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for u64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for Epoch {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        u64::parse(bytes).map(Self)
    }
}

impl Key for Vec<u8> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// Two keys one after the other; the last `N` bytes are the second's.
fn parse_pair<A: Key, B: Key, const N: usize>(bytes: &[u8]) -> Option<(A, B)> {
    let (first, second) = bytes.split_at_checked(bytes.len().checked_sub(N)?)?;
    Some((A::parse(first)?, B::parse(second)?))
}

impl Key for (u8, u64) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_pair::<u8, u64, 8>(bytes)
    }
}

impl Key for (NodeId, u64) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_pair::<NodeId, u64, 8>(bytes)
    }
}

impl Key for (Epoch, NodeId) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_pair::<Epoch, NodeId, 32>(bytes)
    }
}

impl Key for (BatchKey, u8) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_pair::<BatchKey, u8, 1>(bytes)
    }
}

impl Key for Choice {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_bytes());
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (event_hash, content_digest) = parse_pair::<EventHash, ContentDigest, 32>(bytes)?;
        Some(Self {
            event_hash,
            content_digest,
        })
    }
}

impl Key for Cursor {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.peer.write(bytes);
        self.log_id.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (peer, log_id) = parse_pair::<NodeId, LogId, 32>(bytes)?;
        Some(Self { peer, log_id })
    }
}

impl Key for EvidenceSlot {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.member.write(bytes);
        self.kind.byte().write(bytes);
        self.epoch.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (named, epoch) = parse_pair::<Vec<u8>, Epoch, 8>(bytes)?;
        let (member, kind) = parse_pair::<NodeId, u8, 1>(&named)?;
        let kind = EvidenceKind::ALL.into_iter().find(|k| k.byte() == kind)?;
        Some(Self {
            member,
            kind,
            epoch,
        })
    }
}

impl Key for OutboxKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.kind.write(bytes);
        self.counter.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, counter) = parse_pair::<u8, u64, 8>(bytes)?;
        Some(Self { kind, counter })
    }
}

impl Key for BatchKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.signer.write(bytes);
        self.kind.byte().write(bytes);
        self.root.write(bytes);
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (named, root) = parse_pair::<Vec<u8>, MerkleHash, 32>(bytes)?;
        let (signer, kind) = parse_pair::<NodeId, u8, 1>(&named)?;
        let kind = Kind::ALL.into_iter().find(|k| k.byte() == kind)?;
        Some(Self { signer, kind, root })
    }
}
