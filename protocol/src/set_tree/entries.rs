//! The entries of a set in their order, and the tree over them.

use serde::{Deserialize, Serialize};

use super::part::{Part, Prefix};
use super::{CHILDREN, LEAF_ENTRIES, digit, inner_digest, leaf_digest};
use crate::id::{Choice, ContentDigest, Epoch, EventHash, Round, SetHash, SubjectId};
use crate::vote::RoundId;

/// A subject that a voter holds a certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CertifiedEntry {
    /// By which the set is ordered; one entry each.
    pub subject: SubjectId,
    /// What was certified.
    pub choice: Choice,
}

impl CertifiedEntry {
    /// Bytes of an entry.
    pub const LEN: usize = 96;

    /// As the set tree hashes it: `subject_id ‖ choice`.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.subject.0);
        bytes[32..].copy_from_slice(&self.choice.to_bytes());
        bytes
    }

    /// What these bytes say.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            subject: subject_of(bytes),
            choice: choice_at(bytes, 32),
        }
    }
}

/// A subject that a voter is locked on and holds no certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockEntry {
    /// By which the set is ordered; one entry each.
    pub subject: SubjectId,
    /// The epoch and round of the lock: of several the latest counts.
    pub at: RoundId,
    /// What the voter is locked on.
    pub choice: Choice,
}

impl LockEntry {
    /// Bytes of an entry.
    pub const LEN: usize = 108;

    /// `subject_id ‖ epoch u64 ‖ round u32 ‖ choice`.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.subject.0);
        bytes[32..40].copy_from_slice(&self.at.epoch.0.to_be_bytes());
        bytes[40..44].copy_from_slice(&self.at.round.0.to_be_bytes());
        bytes[44..].copy_from_slice(&self.choice.to_bytes());
        bytes
    }

    /// What these bytes say.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            subject: subject_of(bytes),
            at: RoundId {
                epoch: Epoch(u64::from_be_bytes(bytes_at(bytes, 32))),
                round: Round(u32::from_be_bytes(bytes_at(bytes, 40))),
            },
            choice: choice_at(bytes, 44),
        }
    }
}

/// `K` bytes of an entry from a place on.
fn bytes_at<const K: usize>(entry: &[u8], from: usize) -> [u8; K] {
    let mut bytes = [0; K];
    for (to, byte) in bytes.iter_mut().zip(entry.iter().skip(from)) {
        *to = *byte;
    }
    bytes
}

fn choice_at(entry: &[u8], from: usize) -> Choice {
    Choice {
        event_hash: EventHash(bytes_at(entry, from)),
        content_digest: ContentDigest(bytes_at(entry, from + 32)),
    }
}

/// Two entries of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two entries of the set are of subject {0}")]
pub struct SetError(pub SubjectId);

/// Entries of `N` bytes in order of their subjects, which are their first 32 bytes and distinct.
///
/// ```
/// use ssid_protocol::id::SubjectId;
/// use ssid_protocol::set_tree::{CertifiedEntry, EntrySet};
/// use ssid_protocol::testing::event;
///
/// let entry = |i: u8| CertifiedEntry {
///     subject: SubjectId([i; 32]),
///     choice: event("release", &i.to_string()).choice(),
/// };
/// let ours = EntrySet::of((0..40).map(|i| entry(i).to_bytes()).collect()).unwrap();
/// let theirs = EntrySet::of((0..40).rev().map(|i| entry(i).to_bytes()).collect()).unwrap();
/// assert_eq!(ours.root(), theirs.root());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntrySet<const N: usize>(Vec<[u8; N]>);

impl<const N: usize> EntrySet<N> {
    /// The set of these entries, in whatever order they come.
    ///
    /// # Errors
    /// If two are of one subject.
    pub fn of(mut entries: Vec<[u8; N]>) -> Result<Self, SetError> {
        entries.sort_unstable();
        match entries
            .windows(2)
            .find(|pair| subject_of(&pair[0]) == subject_of(&pair[1]))
        {
            Some(pair) => Err(SetError(subject_of(&pair[0]))),
            None => Ok(Self(entries)),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries in order.
    pub fn entries(&self) -> &[[u8; N]] {
        &self.0
    }

    /// Whether this very entry is in the set.
    pub fn contains(&self, entry: &[u8; N]) -> bool {
        self.0.binary_search(entry).is_ok()
    }

    /// The root of the tree, which a close signs.
    pub fn root(&self) -> SetHash {
        digest(&self.0, 0)
    }

    /// The digest of the part under a prefix.
    pub fn digest(&self, prefix: &Prefix) -> SetHash {
        digest(self.under(prefix), prefix.len())
    }

    /// The part under a prefix, as it is served: its entries, or the digests of its children.
    pub fn part(&self, prefix: &Prefix) -> Part<N> {
        let entries = self.under(prefix);
        if entries.len() <= LEAF_ENTRIES {
            Part::Leaf(entries.to_vec())
        } else {
            Part::Inner(Box::new(children(entries, prefix.len())))
        }
    }

    /// The entries under a prefix.
    pub fn under(&self, prefix: &Prefix) -> &[[u8; N]] {
        let start = self.0.partition_point(|entry| prefix.is_after(entry));
        let rest = &self.0[start..];
        &rest[..rest.partition_point(|entry| prefix.covers(entry))]
    }
}

/// The subject that an entry is of.
pub(super) fn subject_of<const N: usize>(entry: &[u8; N]) -> SubjectId {
    SubjectId(bytes_at(entry, 0))
}

/// set(E, d) of the specification, for sorted entries with distinct subjects: no deeper than a
/// subject has digits, since 33 distinct ones differ before that.
fn digest<const N: usize>(entries: &[[u8; N]], depth: usize) -> SetHash {
    if entries.len() <= LEAF_ENTRIES {
        leaf_digest(entries)
    } else {
        inner_digest(&children(entries, depth))
    }
}

/// The digests of what is under each digit at place `depth`.
fn children<const N: usize>(entries: &[[u8; N]], depth: usize) -> [SetHash; CHILDREN] {
    let mut rest = entries;
    std::array::from_fn(|child| {
        let count = rest.partition_point(|entry| usize::from(digit(entry, depth)) <= child);
        let (own, others) = rest.split_at(count);
        rest = others;
        digest(own, depth + 1)
    })
}
