//! Phase 4: hash-majority voting over what the nodes' logs say (SPEC §6). The denominator is every active node, whether
//! it could be reached or not; a majority for another hash is never consensus on the asked one; ties decide nothing.

use std::collections::{BTreeMap, BTreeSet};

use ssid_protocol::event::{Event, FEDERATION_EPOCH};
use ssid_protocol::id::{EventHash, UnixMillis};
use ssid_protocol::quorum::quorum;

use super::{PlainLog, about};
use crate::config::{EventFilters, Settings};

/// One node's log; none if it could not be had: the node counts, and says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Observer<'a> {
    /// The id that records name it by.
    pub id: &'a str,
    /// What it says.
    pub log: Option<&'a PlainLog>,
}

/// What the configuration says of deciding.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `consensus_settings.threshold` in basis points.
    pub threshold_bp: u32,
    /// `consensus_settings.min_participating_nodes`.
    pub min_participating: u64,
    /// `event_filters`.
    pub filters: EventFilters,
    /// `security.max_event_age_days`.
    pub max_age_days: u64,
    /// This machine's clock.
    pub now: UnixMillis,
}

impl Rules {
    /// The rules of a configuration.
    pub fn of(settings: &Settings, now: UnixMillis) -> Self {
        Self {
            threshold_bp: settings.consensus_settings.threshold_bp(),
            min_participating: settings.consensus_settings.min_participating_nodes,
            filters: settings.event_filters.clone(),
            max_age_days: settings.security.max_event_age_days,
            now,
        }
    }

    /// Whether an event of another node's log is asked about at all. Changes to a federation never come from plain logs.
    fn admits(&self, event: &Event) -> bool {
        let oldest = i64::try_from(self.now.0)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.max_age_days.saturating_mul(24 * 60 * 60 * 1000)).unwrap_or(i64::MAX));
        event.event != FEDERATION_EPOCH
            && self.filters.admits(&event.event)
            && event.instant().is_some_and(|at| at.unix_millis() >= oldest)
    }
}

/// How an event fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A quorum of all nodes has it.
    Achieved,
    /// Enough nodes say something about its subject, and no quorum has this event.
    Failed,
    /// Too few nodes say anything.
    Insufficient,
}

impl Verdict {
    /// As records say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Achieved => "consensus_achieved",
            Self::Failed => "consensus_failed",
            Self::Insufficient => "insufficient_nodes",
        }
    }
}

/// One event that the own log does not have, and what the nodes say of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The event.
    pub event: Event,
    /// Its hash.
    pub hash: EventHash,
    /// What each node says of the subject: this hash if it has it, else the first it has.
    pub node_hashes: BTreeMap<String, EventHash>,
    /// How many nodes could say something.
    pub eligible: u64,
    /// How many are needed.
    pub quorum: u64,
    /// How it fared.
    pub verdict: Verdict,
}

impl Decision {
    /// The nodes that say something else.
    pub fn disagreeing(&self) -> Vec<String> {
        self.node_hashes.iter().filter(|(_, hash)| **hash != self.hash).map(|(id, _)| id.clone()).collect()
    }
}

/// Decides every event that some node has and `own` does not, in order of time. `own` is among the observers' number:
/// it is named `own_id` in records.
pub fn decide(own: &PlainLog, own_id: &str, others: &[Observer<'_>], rules: &Rules) -> Vec<Decision> {
    let own_observer = Observer { id: own_id, log: Some(own) };
    let observers: Vec<_> = std::iter::once(own_observer).chain(others.iter().copied()).collect();
    let eligible = observers.len() as u64;
    let needed = quorum(eligible, rules.threshold_bp, rules.min_participating);
    let mut asked = BTreeSet::new();
    let mut decisions = Vec::new();
    for (hash, event) in others.iter().filter_map(|o| o.log).flat_map(|log| &log.events) {
        if own.events.contains_key(hash) || !rules.admits(event) || !asked.insert(*hash) {
            continue;
        }
        let node_hashes = observations(&observers, *hash, event);
        let having = node_hashes.values().filter(|found| *found == hash).count() as u64;
        let verdict = match () {
            () if having >= needed => Verdict::Achieved,
            () if (node_hashes.len() as u64) < needed => Verdict::Insufficient,
            () => Verdict::Failed,
        };
        let event = majority_content(&observers, *hash).unwrap_or(event).clone();
        decisions.push(Decision { event, hash: *hash, node_hashes, eligible, quorum: needed, verdict });
    }
    decisions.sort_by_key(|decision| (decision.event.instant(), decision.hash));
    decisions
}

/// What each observer says of the event's subject.
fn observations(observers: &[Observer<'_>], hash: EventHash, event: &Event) -> BTreeMap<String, EventHash> {
    let says = |observer: &Observer<'_>| {
        let log = observer.log?;
        if log.events.contains_key(&hash) {
            return Some((observer.id.to_owned(), hash));
        }
        let of_subject = log.events.iter().filter(|(_, other)| about(other) == about(event));
        let first = of_subject.min_by_key(|(hash, other)| (other.instant(), **hash))?;
        Some((observer.id.to_owned(), *first.0))
    };
    observers.iter().filter_map(says).collect()
}

/// The three fields that the hash does not cover: as most nodes have them, else the lowest digest.
fn majority_content<'a>(observers: &[Observer<'a>], hash: EventHash) -> Option<&'a Event> {
    let mut contents: BTreeMap<_, (usize, &Event)> = BTreeMap::new();
    for event in observers.iter().filter_map(|o| o.log?.events.get(&hash)) {
        contents.entry(event.content_digest()).or_insert((0, event)).0 += 1;
    }
    // of equals the first: the map is in order of digests
    contents.into_values().rev().max_by_key(|(count, _)| *count).map(|(_, event)| event)
}
