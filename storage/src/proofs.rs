//! Proofs about the certified log (SPEC §11): inclusion, consistency, and the check of the whole log.

use std::ops::Range;

use ssid_protocol::id::MerkleHash;
use ssid_protocol::merkle;

use crate::error::StorageError;
use crate::store::Store;
use crate::tables;
use crate::tiles::{self, RightEdge, TileKey, WIDTH};

impl Store {
    /// The RFC 9162 §2.1.3 path of entry `sequence` in the log's first `size` entries; `None` if the log, or that
    /// part of it, has no such entry.
    ///
    /// # Errors
    /// If the database fails or is damaged.
    pub fn inclusion(&self, sequence: u64, size: u64) -> Result<Option<Vec<MerkleHash>>, StorageError> {
        if sequence >= size || size > self.certified_count() {
            return Ok(None);
        }
        merkle::inclusion_path_with(sequence, size, &mut |range| self.subtree(range)).map(Into::into)
    }

    /// The RFC 9162 §2.1.4 proof that the log's first `new` entries begin with its first `old`; `None` if the log is
    /// shorter than `new`, or `new` than `old`.
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

    /// Computes every leaf and tile of the log anew from its entries, and compares. Returns how many entries it has.
    ///
    /// # Errors
    /// [`StorageError::LogDiffers`] with the first entry that is not what its tree says.
    pub fn verify_log(&self) -> Result<u64, StorageError> {
        let head = self.log_head();
        let mut edge = RightEdge::default();
        let mut entries = tables::LOG.all(self.database());
        while edge.size() < head.size {
            let first = edge.size();
            let width = (head.size - first).min(WIDTH as u64);
            let stored = self.tile((0, first / WIDTH as u64), 0..width as usize);
            let stored = stored.map_err(|_| self.differs(first))?;
            let mut leaves = Vec::with_capacity(stored.len());
            for (sequence, stored) in (first..).zip(&stored) {
                let entry = entries.next().transpose()?.filter(|(key, _)| *key == sequence);
                let leaf = entry.map(|(_, entry)| merkle::leaf_hash(&entry.choice.to_bytes()));
                leaves.push(leaf.filter(|leaf| leaf == stored).ok_or_else(|| self.differs(sequence))?);
            }
            for (key, tile) in edge.append(leaves) {
                let stored = self.tile(key, 0..tile.len()).map_err(|_| self.differs(first))?;
                if stored != tile {
                    return Err(self.differs(first));
                }
            }
        }
        if edge.root() == head.root { Ok(head.size) } else { Err(self.differs(head.size)) }
    }

    fn differs(&self, sequence: u64) -> StorageError {
        StorageError::LogDiffers { path: self.database().path().to_owned(), sequence }
    }

    fn subtree(&self, range: Range<u64>) -> Result<MerkleHash, StorageError> {
        tiles::subtree(range, &mut |key, hashes| self.tile(key, hashes))
    }

    /// Some hashes of a tile.
    fn tile(&self, key: TileKey, hashes: Range<usize>) -> Result<Vec<MerkleHash>, StorageError> {
        let tile = tables::MERKLE.get(self.database(), &key)?;
        let part = tile.as_deref().and_then(|tile| tile.get(hashes));
        part.map(<[_]>::to_vec).ok_or_else(|| {
            let (level, place) = key;
            StorageError::damaged(self.database().path(), format!("Merkle tile {level}/{place} is missing or short"))
        })
    }
}
