//! The outbox: what must leave the node at least once, as rows written in the same batch as the
//! decision that caused them (ARCHITECTURE, *Outbox*). The engine owns the write side of storage,
//! so whoever delivers tells it what has left.

use std::ops::Range;

use ssid_protocol::id::Sha256Hash;
use ssid_protocol::record::ConsensusRecord;
use ssid_storage::{AnchorRow, OutboxKey, OutboxRow, StorageError, Store};

use super::engine::{Engine, Tick};
use super::messages::Ticket;

/// Rows for anchoring. Each kind of delivery reads only its own.
pub const ANCHOR: u8 = 1;
/// Rows for telemetry.
pub const TELEMETRY: u8 = 2;
/// The one row for `advanced.webhook_on_consensus`: the log entries from its start on have yet to
/// be told, those up to its end are under way.
pub const HOOK: u8 = 3;
/// The body that `advanced.webhook_on_consensus` is being sent, in parts.
pub const HOOK_BODY: u8 = 4;
/// For `advanced.webhook_on_consensus`: entries whose record changed after it was written.
pub const HOOK_CHANGED: u8 = 5;

/// Rows in one [`OutboxChange`], of the outbox and of anchors together.
pub const OUTBOX_ROWS: usize = 1024;
/// Bytes of one row.
pub const OUTBOX_ROW_BYTES: usize = 256 * 1024;

/// A change of the outbox that exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} {what} exceed {name} = {limit}")]
pub struct OutboxTooLarge {
    /// What is counted: rows, or bytes of a row.
    what: &'static str,
    /// How many there are.
    size: usize,
    /// The limit's name.
    name: &'static str,
    /// How many there may be.
    limit: usize,
}

/// What a delivery changes, in one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxChange {
    /// Rows to add, at most [`OUTBOX_ROWS`] of at most [`OUTBOX_ROW_BYTES`].
    pub add: Vec<OutboxRow>,
    /// Rows that have left, or are replaced by the new ones.
    pub done: Vec<OutboxKey>,
    /// What is anchored now.
    pub anchors: Vec<(Sha256Hash, AnchorRow)>,
}

impl OutboxChange {
    /// Refuses what would make one write too large.
    ///
    /// # Errors
    /// If there are more than [`OUTBOX_ROWS`] rows, or one of more than [`OUTBOX_ROW_BYTES`].
    pub fn check(&self) -> Result<(), OutboxTooLarge> {
        let largest = self
            .add
            .iter()
            .map(|row| row.payload.len())
            .max()
            .unwrap_or_default();
        for (what, size, name, limit) in [
            (
                "rows at once",
                self.add.len() + self.anchors.len(),
                "outbox_rows",
                OUTBOX_ROWS,
            ),
            (
                "bytes in a row",
                largest,
                "outbox_row_bytes",
                OUTBOX_ROW_BYTES,
            ),
        ] {
            if size > limit {
                return Err(OutboxTooLarge {
                    what,
                    size,
                    name,
                    limit,
                });
            }
        }
        Ok(())
    }
}

/// A row for these entries of the own certified log.
pub fn row_for(kind: u8, entries: Range<u64>) -> OutboxRow {
    OutboxRow {
        kind,
        payload: [entries.start.to_be_bytes(), entries.end.to_be_bytes()].concat(),
    }
}

/// The entries that a row made by [`row_for`] is for; `None` if it was not.
pub fn entries_of(row: &OutboxRow) -> Option<Range<u64>> {
    let (start, end) = row.payload.split_first_chunk::<8>()?;
    let end: [u8; 8] = end.try_into().ok()?;
    Some(u64::from_be_bytes(*start)..u64::from_be_bytes(end))
}

/// A row for single entries of the own certified log.
pub fn row_of(kind: u8, sequences: impl IntoIterator<Item = u64>) -> OutboxRow {
    let payload = sequences.into_iter().flat_map(u64::to_be_bytes).collect();
    OutboxRow { kind, payload }
}

/// The entries that a row made by [`row_of`] is for.
pub fn sequences_of(row: &OutboxRow) -> Vec<u64> {
    let (sequences, _) = row.payload.as_chunks::<8>();
    sequences
        .iter()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .collect()
}

/// The oldest rows of a kind whose entries can be read, at most `limit`. A row is there a moment
/// before the log shows the entries it was written with: it is left for the next look.
///
/// # Errors
/// If storage fails.
pub fn ready(
    store: &Store,
    kind: u8,
    limit: usize,
) -> Result<Vec<(OutboxKey, OutboxRow)>, StorageError> {
    Ok(shown(store.outbox(kind, limit)?, store.log_head().size))
}

/// Those of `rows` before the first one that is for entries past `size`.
fn shown(mut rows: Vec<(OutboxKey, OutboxRow)>, size: u64) -> Vec<(OutboxKey, OutboxRow)> {
    let is_shown = |row| entries_of(row).is_none_or(|entries| entries.end <= size);
    let count = rows.iter().take_while(|(_, row)| is_shown(row)).count();
    rows.truncate(count);
    rows
}

/// The first `limit` entries that rows of a kind are for, and what changes when they are done: what
/// is left of the row in which the limit lies is a row again. So a row over very many entries does
/// not have to be done at once.
pub fn portion(
    kind: u8,
    rows: &[(OutboxKey, OutboxRow)],
    limit: u64,
) -> (Vec<Range<u64>>, OutboxChange) {
    let (mut parts, mut change, mut left) = (Vec::new(), OutboxChange::default(), limit);
    for (key, row) in rows {
        if left == 0 {
            break;
        }
        let entries = entries_of(row).unwrap_or_default();
        let until = entries.end.min(entries.start.saturating_add(left));
        left -= until - entries.start;
        change.done.push(*key);
        change
            .add
            .extend((until < entries.end).then(|| row_for(kind, until..entries.end)));
        parts.push(entries.start..until);
    }
    (parts, change)
}

/// A long outage does not grow the outbox without bound: many rows made by [`row_for`] become one
/// over all their entries. Empty ones, which stand for something else, become one of their own.
pub fn merged(kind: u8, rows: &[(OutboxKey, OutboxRow)]) -> OutboxChange {
    let (empty, full): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter_map(|(_, row)| entries_of(row))
        .partition(Range::is_empty);
    let from = full
        .iter()
        .map(|entries| entries.start)
        .min()
        .unwrap_or_default();
    let until = full
        .iter()
        .map(|entries| entries.end)
        .max()
        .unwrap_or_default();
    let mut add = Vec::new();
    add.extend((from < until).then(|| row_for(kind, from..until)));
    add.extend((!empty.is_empty()).then(|| row_for(kind, 0..0)));
    OutboxChange {
        add,
        done: rows.iter().map(|(key, _)| *key).collect(),
        ..OutboxChange::default()
    }
}

impl Engine {
    /// A row of each kind that wants to know for what this tick certified.
    pub(super) fn queue_certified(&self, tick: &mut Tick) {
        let count = tick.changes.certified.len() as u64;
        if count > 0 {
            let from = self.store.log_head().size;
            let rows = self
                .settings
                .certified_outbox
                .iter()
                .map(|kind| row_for(*kind, from..from + count));
            tick.changes.outbox.extend(rows);
        }
    }

    /// Writes records that changed since they were written, with a row of each kind that wants to
    /// know.
    pub(super) fn rewrite_records(&self, tick: &mut Tick, records: Vec<(u64, ConsensusRecord)>) {
        if !records.is_empty() {
            let sequences = || records.iter().map(|(sequence, _)| *sequence);
            let kinds = self.settings.changed_outbox.iter();
            tick.changes
                .outbox
                .extend(kinds.map(|kind| row_of(*kind, sequences())));
        }
        tick.changes.records.extend(records);
    }

    /// Into this tick's write; whoever waits is told the keys of its rows after it.
    pub(super) fn note_outbox(tick: &mut Tick, change: OutboxChange, ticket: Ticket) {
        let first = tick.changes.outbox.len();
        tick.outbox.push((ticket, first..first + change.add.len()));
        tick.changes.outbox.extend(change.add);
        tick.changes.outbox_done.extend(change.done);
        tick.changes.anchors.extend(change.anchors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_ends_at_the_limit_and_the_rest_is_a_row_again() {
        let row = |counter, entries| {
            (
                OutboxKey {
                    kind: ANCHOR,
                    counter,
                },
                row_for(ANCHOR, entries),
            )
        };
        let rows = [row(1, 3..5), row(2, 0..0), row(3, 5..1 << 40), row(4, 0..0)];
        let (parts, change) = portion(ANCHOR, &rows, 10);
        assert_eq!(parts, [3..5, 0..0, 5..13]);
        assert_eq!(
            change
                .done
                .iter()
                .map(|key| key.counter)
                .collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(change.add, [row_for(ANCHOR, 13..1 << 40)]);
        let (parts, change) = portion(ANCHOR, &rows[..2], 10);
        assert_eq!(
            (parts.len(), change.done.len(), change.add.len()),
            (2, 2, 0)
        );
    }

    #[test]
    fn many_rows_become_one_over_all_their_entries() {
        let row = |counter, entries| {
            (
                OutboxKey {
                    kind: ANCHOR,
                    counter,
                },
                row_for(ANCHOR, entries),
            )
        };
        let change = merged(
            ANCHOR,
            &[row(1, 3..5), row(2, 0..0), row(3, 5..9), row(4, 0..0)],
        );
        assert_eq!(change.add, [row_for(ANCHOR, 3..9), row_for(ANCHOR, 0..0)]);
        assert_eq!(
            change
                .done
                .iter()
                .map(|key| key.counter)
                .collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert_eq!(merged(ANCHOR, &[row(1, 0..0)]).add, [row_for(ANCHOR, 0..0)]);
    }

    #[test]
    fn a_row_whose_entries_are_not_shown_yet_waits_with_all_behind_it() {
        let row = |counter, entries| {
            (
                OutboxKey {
                    kind: ANCHOR,
                    counter,
                },
                row_for(ANCHOR, entries),
            )
        };
        let rows = [row(1, 0..0), row(2, 3..5), row(3, 5..6), row(4, 0..0)];
        let counters = |size| {
            shown(rows.to_vec(), size)
                .iter()
                .map(|(key, _)| key.counter)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (counters(6), counters(5), counters(4)),
            (vec![1, 2, 3, 4], vec![1, 2], vec![1])
        );
    }

    #[test]
    fn a_row_says_which_entries_it_is_for() {
        let row = row_for(ANCHOR, 7..1 << 40);
        assert_eq!((row.kind, entries_of(&row)), (ANCHOR, Some(7..1 << 40)));
        for payload in [vec![], vec![0; 15], vec![0; 17]] {
            assert_eq!(
                entries_of(&OutboxRow {
                    kind: ANCHOR,
                    payload
                }),
                None
            );
        }
    }
}
