//! The outbox: what must leave the node at least once, as rows written in the same batch as the decision that caused them
//! (ARCHITECTURE, *Outbox*). The engine owns the write side of storage, so whoever delivers tells it what has left.

use std::ops::Range;

use ssid_protocol::id::Sha256Hash;
use ssid_storage::{AnchorRow, OutboxKey, OutboxRow};

use super::core::{Engine, Tick};

/// Rows for anchoring. Other kinds of delivery have other numbers; each reads only its own.
pub const ANCHOR: u8 = 1;

/// What a delivery changes, in one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxChange {
    /// Rows to add.
    pub add: Vec<OutboxRow>,
    /// Rows that have left.
    pub done: Vec<OutboxKey>,
    /// What is anchored now.
    pub anchors: Vec<(Sha256Hash, AnchorRow)>,
}

/// A row for these entries of the own certified log.
pub fn row_for(kind: u8, entries: Range<u64>) -> OutboxRow {
    OutboxRow { kind, payload: [entries.start.to_be_bytes(), entries.end.to_be_bytes()].concat() }
}

/// The entries that a row made by [`row_for`] is for; `None` if it was not.
pub fn entries_of(row: &OutboxRow) -> Option<Range<u64>> {
    let (start, end) = row.payload.split_first_chunk::<8>()?;
    let end: [u8; 8] = end.try_into().ok()?;
    Some(u64::from_be_bytes(*start)..u64::from_be_bytes(end))
}

impl Engine {
    /// A row of each kind that wants to know for what this tick certified.
    pub(super) fn queue_certified(&self, tick: &mut Tick) {
        let count = tick.changes.certified.len() as u64;
        if count > 0 {
            let from = self.store.log_head().size;
            let rows = self.settings.certified_outbox.iter().map(|kind| row_for(*kind, from..from + count));
            tick.changes.outbox.extend(rows);
        }
    }

    pub(super) fn note_outbox(tick: &mut Tick, change: OutboxChange) {
        tick.changes.outbox.extend(change.add);
        tick.changes.outbox_done.extend(change.done);
        tick.changes.anchors.extend(change.anchors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_which_entries_it_is_for() {
        let row = row_for(ANCHOR, 7..1 << 40);
        assert_eq!((row.kind, entries_of(&row)), (ANCHOR, Some(7..1 << 40)));
        for payload in [vec![], vec![0; 15], vec![0; 17]] {
            assert_eq!(entries_of(&OutboxRow { kind: ANCHOR, payload }), None);
        }
    }
}
