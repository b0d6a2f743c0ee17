//! Phase 3: what one node's log has that the own one has not, and the other way round.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{PlainLog, about};

/// Two logs compared by the hashes of their events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Events that both have.
    pub same: u64,
    /// Events there about which nothing stands here.
    pub new: u64,
    /// Events here about which nothing stands there.
    pub missing_there: u64,
    /// Events there that differ from what stands here about the same type and version.
    pub divergent: u64,
}

/// Compares the log of another node with the own one.
pub fn compare(own: &PlainLog, other: &PlainLog) -> Comparison {
    let subjects = |log: &PlainLog| -> BTreeSet<(String, String)> {
        log.events.values().map(about).map(|(event, version)| (event.to_owned(), version.to_owned())).collect()
    };
    let (here, there) = (subjects(own), subjects(other));
    let mut found = Comparison::default();
    for (hash, event) in &other.events {
        let (name, version) = about(event);
        let count = if own.events.contains_key(hash) {
            &mut found.same
        } else if here.contains(&(name.to_owned(), version.to_owned())) {
            &mut found.divergent
        } else {
            &mut found.new
        };
        *count += 1;
    }
    found.missing_there = here.difference(&there).count() as u64;
    found
}
