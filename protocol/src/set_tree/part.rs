//! Parts of a set tree as they are served and checked: nothing of one is believed before its digest
//! is the one that its parent, or the close, names.

use serde::{Deserialize, Serialize};

use super::entries::subject_of;
use super::{CHILDREN, DIGITS, LEAF_ENTRIES, digit, inner_digest, leaf_digest};
use crate::id::SetHash;

/// The first hex digits of subject ids: a place in a set tree. Prefixes of one length are in order
/// of what they cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SentPrefix")]
pub struct Prefix {
    /// The digits in front, zeros after.
    digits: [u8; 32],
    len: u8,
}

impl Prefix {
    /// Of no digits: the whole tree.
    pub const ROOT: Self = Self {
        digits: [0; 32],
        len: 0,
    };

    /// How many digits it has, 0 to 64.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether it has no digits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// This prefix with one more digit, 0 to 15; `None` if it has all 64 already, or that is no
    /// digit.
    pub fn child(&self, digit: u8) -> Option<Self> {
        if self.len() == DIGITS || digit > 15 {
            return None;
        }
        let mut child = *self;
        let shift = if self.len.is_multiple_of(2) { 4 } else { 0 };
        child.digits[self.len() / 2] |= digit << shift;
        child.len += 1;
        Some(child)
    }

    /// This prefix without its last digit; `None` if it has none.
    pub fn parent(&self) -> Option<Self> {
        let last = self.len().checked_sub(1)?;
        let keep = if last.is_multiple_of(2) { 0 } else { 0xf0 };
        let mut parent = *self;
        parent.digits[last / 2] &= keep;
        parent.len -= 1;
        Some(parent)
    }

    /// Whether an entry's subject begins with it.
    pub fn covers(&self, entry: &[u8]) -> bool {
        (0..self.len()).all(|at| digit(&self.digits, at) == digit(entry, at))
    }

    /// Whether an entry stands before all that it covers.
    pub(super) fn is_after(&self, entry: &[u8]) -> bool {
        entry < self.digits.as_slice() && !self.covers(entry)
    }
}

/// A prefix as it arrives: nothing of it is checked.
#[derive(Deserialize)]
struct SentPrefix {
    digits: [u8; 32],
    len: u8,
}

/// A prefix of more than 64 digits, or with something behind its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place in a set tree is at most {DIGITS} hex digits, and zeros after them")]
pub struct PrefixError;

impl TryFrom<SentPrefix> for Prefix {
    type Error = PrefixError;

    fn try_from(SentPrefix { digits, len }: SentPrefix) -> Result<Self, PrefixError> {
        let prefix = Self { digits, len };
        let is_clear = |at: usize| digit(&digits, at) == 0;
        if prefix.len() <= DIGITS && (prefix.len()..DIGITS).all(is_clear) {
            Ok(prefix)
        } else {
            Err(PrefixError)
        }
    }
}

/// A part of a set tree as it is sent: bytes whose form nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentPart {
    /// The entries under the prefix, one after the other.
    Leaf(Vec<u8>),
    /// The digests of the parts below.
    Inner(Vec<SetHash>),
}

impl<const N: usize> From<&Part<N>> for SentPart {
    fn from(part: &Part<N>) -> Self {
        match part {
            Part::Leaf(entries) => Self::Leaf(entries.as_flattened().to_vec()),
            Part::Inner(children) => Self::Inner(children.to_vec()),
        }
    }
}

impl SentPart {
    /// The part that it is in a tree of entries of `N` bytes; `None` if it has not the form of one.
    pub fn read<const N: usize>(self) -> Option<Part<N>> {
        match self {
            Self::Leaf(bytes) => {
                let (entries, rest) = bytes.as_chunks();
                let is_whole = rest.is_empty() && entries.len() <= LEAF_ENTRIES;
                is_whole.then(|| Part::Leaf(entries.to_vec()))
            }
            Self::Inner(children) => Some(Part::Inner(Box::new(children.try_into().ok()?))),
        }
    }
}

/// A part of a set tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<const N: usize> {
    /// All entries under the prefix, at most 32, in order.
    Leaf(Vec<[u8; N]>),
    /// More: the digests of the 16 parts below.
    Inner(Box<[SetHash; CHILDREN]>),
}

/// Why a part is not what its parent names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// A leaf with more entries than fit.
    #[error("a leaf of a set tree has at most {max} entries; this one has {0}", max = LEAF_ENTRIES)]
    Entries(usize),
    /// Entries out of order, or two of one subject.
    #[error("entry {0} of a leaf of a set tree must be of a later subject than the one before it")]
    Order(usize),
    /// An entry that belongs elsewhere.
    #[error("entry {0} of a leaf of a set tree is not under the leaf's prefix")]
    Prefix(usize),
    /// An inner node below all digits that a subject has.
    #[error("a set tree is at most {DIGITS} digits deep")]
    Depth,
    /// Another digest than was named.
    #[error("a part of a set tree must have the digest {expected}; it has {found}")]
    Digest {
        /// What its parent names.
        expected: SetHash,
        /// What it has.
        found: SetHash,
    },
}

impl<const N: usize> Part<N> {
    /// What its parent, or the close, has to name for it.
    pub fn digest(&self) -> SetHash {
        match self {
            Self::Leaf(entries) => leaf_digest(entries),
            Self::Inner(children) => inner_digest(children),
        }
    }

    /// Checks that it is the part under `prefix` with the digest that its parent names. That an
    /// inner node stands for more than 32 entries shows only further down.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, prefix: &Prefix, named: &SetHash) -> Result<(), PartError> {
        match self {
            Self::Leaf(entries) => check_leaf(entries, prefix)?,
            Self::Inner(_) if prefix.len() == DIGITS => return Err(PartError::Depth),
            Self::Inner(_) => {}
        }
        let found = self.digest();
        if found != *named {
            let expected = *named;
            return Err(PartError::Digest { expected, found });
        }
        Ok(())
    }
}

fn check_leaf<const N: usize>(entries: &[[u8; N]], prefix: &Prefix) -> Result<(), PartError> {
    if entries.len() > LEAF_ENTRIES {
        return Err(PartError::Entries(entries.len()));
    }
    if let Some(at) = entries.iter().position(|entry| !prefix.covers(entry)) {
        return Err(PartError::Prefix(at));
    }
    let subjects: Vec<_> = entries.iter().map(subject_of).collect();
    // equal ones too: a set has one entry of a subject
    match subjects.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(at) => Err(PartError::Order(at + 1)),
        None => Ok(()),
    }
}
