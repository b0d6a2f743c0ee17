//! The certified log checked against its tree, entry by entry: what every test of storage may ask
//! at its end.

use crate::store::Store;
use crate::tables;
use crate::tiles::{RightEdge, WIDTH};
use ssid_protocol::merkle;

impl Store {
    /// Computes every leaf and tile of the log anew from its entries, and compares. How many
    /// entries it has, or the first that is not what the tree says.
    pub(super) fn verify_log(&self) -> Result<u64, u64> {
        let head = self.log_head();
        let mut edge = RightEdge::default();
        let mut entries = tables::LOG.all(self.database());
        while edge.size() < head.size {
            let first = edge.size();
            let width = (head.size - first).min(WIDTH as u64);
            let stored = self
                .tile((0, first / WIDTH as u64), 0..width as usize)
                .map_err(|_| first)?;
            let mut leaves = Vec::with_capacity(stored.len());
            for (sequence, stored) in (first..).zip(&stored) {
                let entry = entries
                    .next()
                    .and_then(Result::ok)
                    .filter(|(key, _)| *key == sequence);
                let leaf = entry.map(|(_, entry)| merkle::leaf_hash(&entry.choice.to_bytes()));
                leaves.push(leaf.filter(|leaf| leaf == stored).ok_or(sequence)?);
            }
            for (key, tile) in edge.append(leaves) {
                if self.tile(key, 0..tile.len()).ok().as_ref() != Some(&tile) {
                    return Err(first);
                }
            }
        }
        if edge.root() == head.root {
            Ok(head.size)
        } else {
            Err(head.size)
        }
    }

    /// How many rows the outbox has, over all kinds.
    pub(super) fn outbox_len(&self) -> usize {
        tables::OUTBOX
            .all(self.database())
            .map(Result::unwrap)
            .count()
    }
}
