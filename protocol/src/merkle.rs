//! RFC 6962 Merkle trees over SHA-256, with the proofs of RFC 9162 §2.1 (SPEC §5, §11): roots of
//! batches and logs, inclusion of one leaf, consistency of two sizes of one log.

use std::convert::Infallible;
use std::ops::Range;

use crate::id::{MerkleHash, sha256};

/// `H(0x00 ‖ bytes)`: the hash of a leaf.
pub fn leaf_hash(bytes: &[u8]) -> MerkleHash {
    MerkleHash(sha256(&[&[0], bytes]))
}

/// `H(0x01 ‖ left ‖ right)`: the hash of an inner node.
pub fn node_hash(left: &MerkleHash, right: &MerkleHash) -> MerkleHash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    MerkleHash(sha256(&[&bytes]))
}

/// The root over leaf hashes; of none it is `H("")`.
///
/// ```
/// use ssid_protocol::merkle::{leaf_hash, node_hash, root};
///
/// let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| leaf_hash(bytes));
/// assert_eq!(root(&[a, b, c]), node_hash(&node_hash(&a, &b), &c));
/// ```
pub fn root(leaves: &[MerkleHash]) -> MerkleHash {
    if let [only] = leaves {
        return *only;
    }
    let mut level = level_above(leaves);
    while level.len() > 1 {
        level = level_above(&level);
    }
    level
        .first()
        .copied()
        .unwrap_or_else(|| MerkleHash(sha256(&[])))
}

/// A level's nodes in pairs; an odd last one rises as it is, which splits at the largest power of
/// two below the count.
fn level_above(level: &[MerkleHash]) -> Vec<MerkleHash> {
    let pair = |nodes: &[MerkleHash]| match nodes {
        [left, right] => node_hash(left, right),
        odd => odd[0],
    };
    level.chunks(2).map(pair).collect()
}

/// A tree kept whole, for proving many leaves of one batch without hashing it anew for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleTree {
    /// The leaves first, the root last; one empty level for no leaves.
    levels: Vec<Vec<MerkleHash>>,
}

impl MerkleTree {
    /// The tree over leaf hashes.
    pub fn of(leaves: Vec<MerkleHash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(top) = levels.last().filter(|top| top.len() > 1) {
            levels.push(level_above(top));
        }
        Self { levels }
    }

    /// The leaf hashes in order.
    pub fn leaves(&self) -> &[MerkleHash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Bytes it takes in memory, about.
    pub fn memory(&self) -> usize {
        self.levels
            .iter()
            .map(|level| size_of_val(level.as_slice()))
            .sum()
    }

    /// The same as [`root`] of the leaves.
    pub fn root(&self) -> MerkleHash {
        root(self.levels.last().map_or(&[], Vec::as_slice))
    }

    /// The same as [`inclusion_path`] of the leaves.
    ///
    /// ```
    /// use ssid_protocol::merkle::{MerkleTree, inclusion_path, leaf_hash};
    ///
    /// let leaves = [b"a", b"b", b"c"].map(|bytes| leaf_hash(bytes)).to_vec();
    /// let tree = MerkleTree::of(leaves.clone());
    /// assert_eq!(tree.inclusion_path(2), inclusion_path(&leaves, 2));
    /// assert_eq!(tree.inclusion_path(3), None);
    /// ```
    pub fn inclusion_path(&self, index: usize) -> Option<Vec<MerkleHash>> {
        self.levels.first()?.get(index)?;
        let levels = self.levels.iter().enumerate();
        Some(
            levels
                .filter_map(|(height, level)| level.get((index >> height) ^ 1).copied())
                .collect(),
        )
    }
}

/// Where RFC 6962 splits a range of leaves: behind the largest power of two below its length.
fn split(range: &Range<u64>) -> u64 {
    range.start + (1 << (range.end - range.start - 1).ilog2())
}

/// The inclusion path of leaf `index` in a tree of `size` leaves, from the leaf upwards. `subtree`
/// is asked for the root of ranges of leaves. If there is no such leaf the path is empty and proves
/// nothing.
///
/// # Errors
/// Those of `subtree`.
pub fn inclusion_path_with<E>(
    index: u64,
    size: u64,
    subtree: &mut impl FnMut(Range<u64>) -> Result<MerkleHash, E>,
) -> Result<Vec<MerkleHash>, E> {
    if index >= size {
        return Ok(Vec::new());
    }
    path_within(index, 0..size, subtree)
}

/// PATH(index, range) of RFC 9162 §2.1.3.1; `index` is in `range`. As deep as the tree is high, at
/// most 64.
fn path_within<E>(
    index: u64,
    range: Range<u64>,
    subtree: &mut impl FnMut(Range<u64>) -> Result<MerkleHash, E>,
) -> Result<Vec<MerkleHash>, E> {
    if range.end - range.start == 1 {
        return Ok(Vec::new());
    }
    let middle = split(&range);
    let (left, right) = (range.start..middle, middle..range.end);
    let (own, sibling) = if index < middle {
        (left, right)
    } else {
        (right, left)
    };
    let mut path = path_within(index, own, subtree)?;
    path.push(subtree(sibling)?);
    Ok(path)
}

/// The inclusion path of one of `leaves`; `None` if there is no such leaf.
pub fn inclusion_path(leaves: &[MerkleHash], index: usize) -> Option<Vec<MerkleHash>> {
    leaves.get(index)?;
    let Ok(path) = inclusion_path_with(index as u64, leaves.len() as u64, &mut within(leaves));
    Some(path)
}

fn within(leaves: &[MerkleHash]) -> impl FnMut(Range<u64>) -> Result<MerkleHash, Infallible> {
    |range| Ok(root(&leaves[range.start as usize..range.end as usize]))
}

/// The way of a verifier from a node up to the root, `last` being the last node of the same level.
struct Climb {
    node: u64,
    last: u64,
}

/// On which side of the way a sibling stands.
enum Sibling {
    Left,
    Right,
}

impl Climb {
    /// Rises to the next node that has a sibling and past it; `None` at the root.
    fn next_sibling(&mut self) -> Option<Sibling> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node % 2 == 1 || self.node == self.last {
            // a last node without a sibling rises as it is until it is a right child; it is not 0,
            // as `last` is not
            self.rise(self.node.trailing_zeros());
            Sibling::Left
        } else {
            Sibling::Right
        };
        self.rise(1);
        Some(side)
    }

    fn rise(&mut self, levels: u32) {
        self.node >>= levels;
        self.last >>= levels;
    }
}

/// The root of the tree of `size` leaves that has `leaf` at `index`, by its path (RFC 9162
/// §2.1.3.2); `None` if the path does not fit the index and size.
///
/// ```
/// use ssid_protocol::merkle::{inclusion_path, leaf_hash, root, root_from_inclusion};
///
/// let leaves = [b"a", b"b", b"c"].map(|bytes| leaf_hash(bytes));
/// let path = inclusion_path(&leaves, 1).unwrap();
/// assert_eq!(root_from_inclusion(leaf_hash(b"b"), 1, 3, &path), Some(root(&leaves)));
/// assert_ne!(root_from_inclusion(leaf_hash(b"x"), 1, 3, &path), Some(root(&leaves)));
/// ```
pub fn root_from_inclusion(
    leaf: MerkleHash,
    index: u64,
    size: u64,
    path: &[MerkleHash],
) -> Option<MerkleHash> {
    if index >= size {
        return None;
    }
    let mut climb = Climb {
        node: index,
        last: size - 1,
    };
    let mut hash = leaf;
    for sibling in path {
        hash = match climb.next_sibling()? {
            Sibling::Left => node_hash(sibling, &hash),
            Sibling::Right => node_hash(&hash, sibling),
        };
    }
    // a path that is too short ends below the root: it would prove a leaf of another tree
    (climb.last == 0).then_some(hash)
}

/// The proof that the tree of `new_size` leaves begins with the tree of its first `old_size`.
/// Empty, as there is nothing to prove, unless `0 < old_size < new_size`.
///
/// # Errors
/// Those of `subtree`.
pub fn consistency_path_with<E>(
    old_size: u64,
    new_size: u64,
    subtree: &mut impl FnMut(Range<u64>) -> Result<MerkleHash, E>,
) -> Result<Vec<MerkleHash>, E> {
    if old_size == 0 || old_size >= new_size {
        return Ok(Vec::new());
    }
    subproof(old_size, 0..new_size, true, subtree)
}

/// SUBPROOF of RFC 9162 §2.1.4.1: the old tree ends at leaf `old_end`, inside `range` or at its
/// end; `is_known` while the part of it in `range` is the whole old tree, whose root the verifier
/// has.
fn subproof<E>(
    old_end: u64,
    range: Range<u64>,
    is_known: bool,
    subtree: &mut impl FnMut(Range<u64>) -> Result<MerkleHash, E>,
) -> Result<Vec<MerkleHash>, E> {
    // the old tree's right edge: its hash is in the proof unless the verifier has it as the old
    // root
    if old_end == range.end {
        return if is_known {
            Ok(Vec::new())
        } else {
            Ok(vec![subtree(range)?])
        };
    }
    let middle = split(&range);
    let (left, right) = (range.start..middle, middle..range.end);
    let (mut path, sibling) = if old_end <= middle {
        (subproof(old_end, left, is_known, subtree)?, right)
    } else {
        (subproof(old_end, right, false, subtree)?, left)
    };
    path.push(subtree(sibling)?);
    Ok(path)
}

/// The proof that `leaves` extend their first `old_size`.
pub fn consistency_path(leaves: &[MerkleHash], old_size: usize) -> Vec<MerkleHash> {
    let Ok(path) = consistency_path_with(old_size as u64, leaves.len() as u64, &mut within(leaves));
    path
}

/// Whether a log of `new_size` leaves and `new_root` extends one of `old_size` and `old_root` (RFC
/// 9162 §2.1.4.2). Every log extends the empty one, and itself, with an empty path.
///
/// ```
/// use ssid_protocol::merkle::{consistency_path, leaf_hash, root, verify_consistency};
///
/// let log = [b"a", b"b", b"c"].map(|bytes| leaf_hash(bytes));
/// let (old, new) = (root(&log[..2]), root(&log));
/// let path = consistency_path(&log, 2);
/// assert!(verify_consistency(2, &old, 3, &new, &path));
/// assert!(!verify_consistency(2, &leaf_hash(b"x"), 3, &new, &path));
/// ```
pub fn verify_consistency(
    old_size: u64,
    old_root: &MerkleHash,
    new_size: u64,
    new_root: &MerkleHash,
    path: &[MerkleHash],
) -> bool {
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    // nothing to prove for the empty log; and a log never gets shorter
    if old_size == 0 || old_size > new_size {
        return old_size == 0 && path.is_empty() && *old_root == root(&[]);
    }
    // a full old tree is a node of the new one: its root is the start and is not sent again
    let start = if old_size.is_power_of_two() {
        Some((old_root, path))
    } else {
        path.split_first()
    };
    let Some((first, path)) = start else {
        return false;
    };
    let mut climb = Climb {
        node: old_size - 1,
        last: new_size - 1,
    };
    // below this the old tree's edge is complete and the same in both
    climb.rise(climb.node.trailing_ones());
    // both are climbed at once: what lies to the right belongs to the new tree only
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in path {
        match climb.next_sibling() {
            Some(Sibling::Left) => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Some(Sibling::Right) => new_hash = node_hash(&new_hash, sibling),
            None => return false,
        }
    }
    // both, or a server could show a true new log with an invented past
    climb.last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests;
