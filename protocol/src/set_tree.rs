//! Set trees (SPEC §4): the digest of a set of entries by which two who hold nearly the same set
//! find what differs. An entry begins with its subject's id; the tree branches by that id's hex
//! digits, so that the same set has the same tree, whatever the order in which it came to be.

mod entries;
mod part;
#[cfg(test)]
mod tests;
mod walk;

pub use entries::{CertifiedEntry, EntrySet, LockEntry, SetError};
pub use part::{Part, PartError, Prefix, PrefixError, SentPart};
pub use walk::{Walk, WalkError};

use crate::id::{SetHash, sha256};

/// Entries in a leaf, at most.
pub const LEAF_ENTRIES: usize = 32;
/// Children of an inner node: one for each hex digit.
pub const CHILDREN: usize = 16;
/// Hex digits of a subject id: how deep a tree can be.
pub const DIGITS: usize = 64;

const LEAF: &[u8] = b"ssid/set/1\0\0";
const INNER: &[u8] = b"ssid/set/1\0\x01";

/// `H("ssid/set/1\0" ‖ 0x00 ‖ entries)`.
fn leaf_digest<const N: usize>(entries: &[[u8; N]]) -> SetHash {
    SetHash(sha256(&[LEAF, entries.as_flattened()]))
}

/// `H("ssid/set/1\0" ‖ 0x01 ‖ the children's digests)`.
fn inner_digest(children: &[SetHash; CHILDREN]) -> SetHash {
    let mut bytes = [0; 32 * CHILDREN];
    for (place, child) in bytes.chunks_exact_mut(32).zip(children) {
        place.copy_from_slice(&child.0);
    }
    SetHash(sha256(&[INNER, &bytes]))
}

/// The hex digit of a subject id at place `at`, 0 to 63.
fn digit(id: &[u8], at: usize) -> u8 {
    let byte = id.get(at / 2).copied().unwrap_or(0);
    if at.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 15
    }
}
