//! The registry's sync protocol 1.0 for nodes without a key, as far as it is no matter of Git: locate the log in what
//! was fetched, read it as found in the wild, compare hashes, count which event has a majority (SPEC §6), append it,
//! and write manifest and statistics. Nothing here is signed, and every record says so.

mod compare;
mod decide;
mod record;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ssid_protocol::event::Event;
use ssid_protocol::id::EventHash;

pub use compare::{Comparison, compare};
pub use decide::{Decision, Observer, Rules, Verdict, decide};
pub use record::{Outcome, write_down};
pub use sync::{NodeReport, PlainSyncError, PlainSyncOptions, PlainSyncReport, Skipped, allows_unsigned, sync};

use crate::registry::parse::{Position, parse};

/// Where a repository has its registry log, the first that is there: the 24-folder layout, or a data directory.
pub const LOG_PATHS: [&str; 2] = ["24_meta_orchestration/registry/logs/registry_events.log", "registry_events.log"];

/// A registry log, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainLog {
    /// Its events by hash. Of several with one hash the first counts, as everywhere.
    pub events: BTreeMap<EventHash, Event>,
    /// Stretches that hold no event though they should.
    pub quarantined: u64,
}

impl PlainLog {
    /// Reads a whole log, as found in the wild.
    pub fn read(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let log = parse(bytes, Position::START);
        read.quarantined = log.quarantined().count() as u64 + u64::from(log.incomplete.is_some());
        for entry in log.entries {
            read.add(entry.event);
        }
        read
    }

    /// The log of these events.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut log = Self::default();
        events.into_iter().for_each(|event| log.add(event));
        log
    }

    fn add(&mut self, event: Event) {
        self.events.entry(event.event_hash()).or_insert(event);
    }
}

/// What an event is about: its type and version.
fn about(event: &Event) -> (&str, &str) {
    (&event.event, &event.version)
}
