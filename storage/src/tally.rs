//! Row counts and checksums, table by table: how a store knows that sled gave it back everything.
//!
//! sled may open a damaged file without an error, with rows missing or old values in place of new
//! ones. Each write carries these tallies along, and a start adds all rows up again and compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ssid_protocol::id::MerkleHash;

use crate::tables;

/// Of one table: how many rows, and the sum modulo 2⁶⁴ of the CRC-32 of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    rows: u64,
    sum: u64,
}

/// The tallies of all tables, by prefix byte. Independent of the order in which rows were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tallies(BTreeMap<u8, Tally>);

impl Tallies {
    /// Counts a row.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        let tally = self.of(key);
        tally.rows = tally.rows.wrapping_add(1);
        tally.sum = tally.sum.wrapping_add(checksum(key, value));
    }

    /// Takes a counted row out again.
    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        let tally = self.of(key);
        tally.rows = tally.rows.wrapping_sub(1);
        tally.sum = tally.sum.wrapping_sub(checksum(key, value));
    }

    /// Whether the table of `key` has no rows.
    pub(crate) fn is_empty(&self, key: &[u8]) -> bool {
        self.0
            .get(&key.first().copied().unwrap_or(0))
            .is_none_or(|tally| tally.rows == 0)
    }

    fn of(&mut self, key: &[u8]) -> &mut Tally {
        self.0.entry(key.first().copied().unwrap_or(0)).or_default()
    }

    /// The first table in which `self`, what was found, is not `written`; in words.
    pub(crate) fn difference(&self, written: &Self) -> Option<String> {
        let tally = |tallies: &Self, table| tallies.0.get(&table).copied().unwrap_or_default();
        let tables = self.0.keys().chain(written.0.keys());
        let differing = |&&table: &&u8| tally(self, table) != tally(written, table);
        tables.into_iter().find(differing).map(|&table| {
            let found = tally(self, table);
            let written = tally(written, table);
            let name = tables::name_of(table);
            if found.rows == written.rows {
                format!("table `{name}` has rows other than those written")
            } else {
                format!(
                    "table `{name}` has {} rows, {} were written",
                    found.rows, written.rows
                )
            }
        })
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().into()
}

/// What the writer counts; written with every write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many writes there have been.
    pub(crate) writes: u64,
    /// The last `journal_sequence` that was written.
    pub(crate) journal_sequence: u64,
    /// The next place in the trust ledger.
    pub(crate) next_trust: u64,
    /// The next counter in the outbox.
    pub(crate) next_outbox: u64,
    /// Number of log entries.
    pub(crate) log_size: u64,
    /// Root over them.
    pub(crate) log_root: MerkleHash,
    /// Of all other rows.
    pub(crate) tallies: Tallies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_row_an_old_value_and_a_strange_row_are_seen() {
        let tallies = |rows: &[(&[u8], &[u8])]| {
            let mut tallies = Tallies::default();
            rows.iter().for_each(|(key, value)| tallies.add(key, value));
            tallies
        };
        let written = tallies(&[(b"\x10a", b"1"), (b"\x10b", b"2"), (b"\x19c", b"3")]);
        assert_eq!(
            tallies(&[(b"\x19c", b"3"), (b"\x10b", b"2"), (b"\x10a", b"1")]).difference(&written),
            None
        );
        let lost = tallies(&[(b"\x10a", b"1"), (b"\x19c", b"3")])
            .difference(&written)
            .unwrap();
        assert_eq!(lost, "table `events` has 1 rows, 2 were written");
        let old = tallies(&[(b"\x10a", b"1"), (b"\x10b", b"2"), (b"\x19c", b"0")])
            .difference(&written)
            .unwrap();
        assert_eq!(old, "table `trust` has rows other than those written");
        let mut more = written.clone();
        more.add(b"\x77x", b"");
        assert!(more.difference(&written).is_some());
        more.remove(b"\x77x", b"");
        assert_eq!(more.difference(&written), None);
    }
}
