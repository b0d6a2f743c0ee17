//! Proofs about the certified log (SPEC §11): inclusion and consistency.

use std::ops::Range;

use ssid_protocol::id::MerkleHash;
use ssid_protocol::merkle;

use crate::error::StorageError;
use crate::store::Store;
use crate::tables;
use crate::tiles::{self, TileKey};

impl Store {
    /// The RFC 9162 §2.1.3 path of entry `sequence` in the log's first `size` entries; `None` if
    /// the log, or that part of it, has no such entry.
    ///
    /// # Errors
    /// If the database fails or is damaged.
    pub fn inclusion(
        &self,
        sequence: u64,
        size: u64,
    ) -> Result<Option<Vec<MerkleHash>>, StorageError> {
        if sequence >= size || size > self.certified_count() {
            return Ok(None);
        }
        merkle::inclusion_path_with(sequence, size, &mut |range| self.subtree(range))
            .map(Into::into)
    }

    /// The RFC 9162 §2.1.4 proof that the log's first `new` entries begin with its first `old`;
    /// `None` if the log is shorter than `new`, or `new` than `old`.
    ///
    /// # Errors
    /// If the database fails or is damaged.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Option<Vec<MerkleHash>>, StorageError> {
        if old > new || new > self.certified_count() {
            return Ok(None);
        }
        merkle::consistency_path_with(old, new, &mut |range| self.subtree(range)).map(Some)
    }

    /// Root over the log's first `size` entries; `None` if the log is shorter.
    ///
    /// # Errors
    /// If the database fails or is damaged.
    pub fn log_root(&self, size: u64) -> Result<Option<MerkleHash>, StorageError> {
        match size {
            0 => Ok(Some(merkle::root(&[]))),
            size if size > self.certified_count() => Ok(None),
            size => self.subtree(0..size).map(Some),
        }
    }

    fn subtree(&self, range: Range<u64>) -> Result<MerkleHash, StorageError> {
        tiles::subtree(range, &mut |key, hashes| self.tile(key, hashes))
    }

    /// Some hashes of a tile.
    pub(crate) fn tile(
        &self,
        key: TileKey,
        hashes: Range<usize>,
    ) -> Result<Vec<MerkleHash>, StorageError> {
        let tile = tables::MERKLE.get(self.database(), &key)?;
        let part = tile.as_deref().and_then(|tile| tile.get(hashes));
        part.map(<[_]>::to_vec).ok_or_else(|| {
            let (level, place) = key;
            StorageError::damaged(
                self.database().path(),
                format!("Merkle tile {level}/{place} is missing or short"),
            )
        })
    }
}
