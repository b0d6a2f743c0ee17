//! The log's Merkle tree, cut into tiles (SPEC §11).
//!
//! Level 0 is the leaves, 64 to a tile; each full tile's root is one hash of the level above:
//!
//! ```text
//! level 1   [ r0 r1 r2                ]            tile (1, 0), growing
//!             |  |  |
//! level 0   [64][64][64][ l192 l193 … ]            tiles (0, 0) … (0, 3)
//! ```
//!
//! A write changes the last tile of a level only; older ones never change again. Any complete
//! subtree's root is found within one tile, so a proof reads about one row per six levels. 64 and
//! not 256: sled copies a row's neighbours whenever it changes, and the last tile changes with
//! every write.

use std::ops::Range;

use ssid_protocol::id::MerkleHash;
use ssid_protocol::merkle;

/// Hashes in a full tile, as a power of two.
const HEIGHT: u32 = 6;
/// Hashes in a full tile.
pub(crate) const WIDTH: usize = 1 << HEIGHT;

/// Level, and place in the level from the left.
pub(crate) type TileKey = (u8, u64);

/// The last tile of each level: all that appending and the root need.
#[derive(Clone, Debug, Default)]
pub(crate) struct RightEdge {
    size: u64,
    /// Per level the hashes of its last tile, fewer than [`WIDTH`].
    levels: Vec<Vec<MerkleHash>>,
}

impl RightEdge {
    /// Number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaf hashes. Returns the tiles that are new or changed.
    pub(crate) fn append(
        &mut self,
        leaves: impl IntoIterator<Item = MerkleHash>,
    ) -> Vec<(TileKey, Vec<MerkleHash>)> {
        let mut tiles = Vec::new();
        let before = self.size;
        for leaf in leaves {
            self.size += 1;
            self.push(0, leaf, &mut tiles);
        }
        // a level whose last tile has neither gained nor filled is as it was
        let changed =
            |level: &usize| filled(before, *level as u32) != filled(self.size, *level as u32);
        for level in (0..self.levels.len())
            .filter(changed)
            .filter(|&level| !self.levels[level].is_empty())
        {
            let place = filled(self.size, level as u32) >> HEIGHT;
            tiles.push(((level as u8, place), self.levels[level].clone()));
        }
        tiles
    }

    fn push(&mut self, level: usize, hash: MerkleHash, full: &mut Vec<(TileKey, Vec<MerkleHash>)>) {
        if self.levels.len() == level {
            self.levels.push(Vec::with_capacity(WIDTH));
        }
        let tile = &mut self.levels[level];
        tile.push(hash);
        if tile.len() == WIDTH {
            let tile = std::mem::take(tile);
            let root = merkle::root(&tile);
            full.push((
                (level as u8, (filled(self.size, level as u32) >> HEIGHT) - 1),
                tile,
            ));
            self.push(level + 1, root, full);
        }
    }

    /// The tree's root.
    pub(crate) fn root(&self) -> MerkleHash {
        let mut root = None;
        for tile in &self.levels {
            let mut rest = &tile[..];
            while !rest.is_empty() {
                // the last complete subtree in this tile
                let (before, subtree) =
                    rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let left = merkle::root(subtree);
                root = Some(root.map_or(left, |right| merkle::node_hash(&left, &right)));
                rest = before;
            }
        }
        root.unwrap_or_else(|| merkle::root(&[]))
    }
}

/// How many hashes a level has in a tree of `size` leaves.
fn filled(size: u64, level: u32) -> u64 {
    size.checked_shr(HEIGHT * level).unwrap_or(0)
}

/// The root over leaves `range`, one of the ranges that RFC 9162 proofs are made of, read from
/// tiles.
///
/// # Errors
/// Those of `tile`; it is asked for hashes of a tile, all of which are below the log's size.
pub(crate) fn subtree<E>(
    range: Range<u64>,
    tile: &mut impl FnMut(TileKey, Range<usize>) -> Result<Vec<MerkleHash>, E>,
) -> Result<MerkleHash, E> {
    let count = range.end - range.start;
    if !count.is_power_of_two() {
        // RFC 9162 splits at the largest power of two below the size
        let middle = range.start + (1 << count.ilog2());
        let left = subtree(range.start..middle, tile)?;
        return Ok(merkle::node_hash(&left, &subtree(middle..range.end, tile)?));
    }
    let level = count.ilog2() / HEIGHT;
    let first = range.start >> (HEIGHT * level);
    let start = (first as usize) % WIDTH;
    let width = 1_usize << (count.ilog2() % HEIGHT);
    Ok(merkle::root(&tile(
        (level as u8, first >> HEIGHT),
        start..start + width,
    )?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    fn leaf(i: u64) -> MerkleHash {
        merkle::leaf_hash(&i.to_be_bytes())
    }

    #[test]
    fn roots_and_subtrees_are_those_of_the_whole_tree() {
        let leaves: Vec<_> = (0..9000).map(leaf).collect();
        let mut edge = RightEdge::default();
        let mut stored = BTreeMap::new();
        let mut rows = 0;
        // in steps of many sizes, over the boundaries of tiles (64) and of their tiles (4096)
        for step in [1, 2, 60, 1, 1, 62, 1, 3900, 67, 1, 1, 900, 4002] {
            let from = edge.size() as usize;
            let tiles = edge.append(leaves[from..from + step].iter().copied());
            rows += tiles.len();
            stored.extend(tiles);
            assert_eq!(
                edge.root(),
                merkle::root(&leaves[..from + step]),
                "size {}",
                from + step
            );
        }
        assert!(rows < 9000 / 64 + 3 * 13 + 5, "{rows} rows");
        let mut read = |key, range: Range<usize>| Ok::<_, Infallible>(stored[&key][range].to_vec());
        let size = edge.size();
        for (start, end) in [
            (0, size),
            (0, 1),
            (63, 64),
            (64, 128),
            (0, 4096),
            (4096, 8192),
            (8192, size),
            (4096, 4224),
        ] {
            let Ok(root) = subtree(start..end, &mut read);
            assert_eq!(
                root,
                merkle::root(&leaves[start as usize..end as usize]),
                "{start}..{end}"
            );
        }
        let Ok(path) =
            merkle::inclusion_path_with(5000, size, &mut |range| subtree(range, &mut read));
        assert_eq!(
            merkle::root_from_inclusion(leaves[5000], 5000, size, &path),
            Some(edge.root())
        );
    }

    #[test]
    fn the_empty_tree() {
        assert_eq!(RightEdge::default().root(), merkle::root(&[]));
        assert!(RightEdge::default().append([]).is_empty());
    }
}
