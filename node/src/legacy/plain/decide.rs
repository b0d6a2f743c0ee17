//! Phases 3 and 4: logs compared with the own one, and hash-majority voting over what they say
//! (SPEC §6). The denominator is every active node, whether it could be reached or not; a majority
//! for another hash is never consensus on the asked one; ties decide nothing.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use ssid_protocol::event::{Event, FEDERATION_EPOCH, Instant};
use ssid_protocol::id::{ContentDigest, EventHash, UnixMillis};
use ssid_protocol::quorum::quorum;

use super::gather::{Gathered, OWN, ROW, Said, Text};
use super::sorter::Rows;
use crate::config::{EventFilters, Settings};

/// Milliseconds of a day.
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What the configuration says of deciding.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `consensus_settings.threshold` in basis points.
    pub threshold_bp: u32,
    /// The setting `consensus_settings.min_participating_nodes`.
    pub min_participating: u64,
    /// The section `event_filters` of the configuration.
    pub filters: EventFilters,
    /// The setting `security.max_event_age_days`.
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

    /// Whether an event of another node's log is asked about at all. Changes to a federation never
    /// come from plain logs.
    pub(super) fn admits(&self, event: &Event) -> bool {
        // signed, as events may be of before 1970; a limit that is out of range admits all ages
        let millis = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let age = millis(self.max_age_days.saturating_mul(DAY_MILLIS));
        let oldest = millis(self.now.0).saturating_sub(age);
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
pub(super) struct Decision {
    pub(super) hash: EventHash,
    pub(super) at: Instant,
    /// Its text; the three fields that the hash does not cover are as most nodes have them, else of
    /// the lowest digest.
    pub(super) text: Text,
    /// What each node says of the subject, by its place: this hash if it has it, else the first it
    /// has.
    pub(super) observed: Vec<(u16, EventHash)>,
    pub(super) verdict: Verdict,
}

/// Two logs compared by the hashes of their events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Comparison {
    /// Events that both have.
    pub same: u64,
    /// Events there about whose type and version nothing stands here.
    pub new: u64,
    /// Types and versions of which something stands here and nothing there.
    pub missing_there: u64,
    /// Events there that differ from what stands here about the same type and version.
    pub divergent: u64,
}

/// How many must have an event: of the own node and `others`.
pub(super) fn needed(others: usize, rules: &Rules) -> (u64, u64) {
    let eligible = others as u64 + 1;
    (
        eligible,
        quorum(eligible, rules.threshold_bp, rules.min_participating),
    )
}

/// Compares every log with the own one, and gives `take` every event that some node has and the own
/// log has not.
pub(super) fn weigh(
    gathered: &Gathered,
    others: usize,
    mut take: impl FnMut(Decision) -> io::Result<()>,
) -> io::Result<Vec<Comparison>> {
    // of all that are asked, not of those that answer: else silence would decide
    let (_, needed) = needed(others, &gathered.rules);
    let mut comparisons = vec![Comparison::default(); others + 1];
    let mut own_subjects = 0;
    let mut shared = vec![0; others + 1];
    // each subject is gone through twice: what nodes say of it first must be known before its
    // events are judged
    let mut ahead = gathered.rows.rows()?;
    let mut behind = gathered.rows.rows()?;
    let left_out = &gathered.left_out[..];
    let mut next = next_said(&mut ahead, left_out)?;
    while let Some(first) = next {
        // once ahead: who says what of this subject, and how many rows that takes
        let mut subject = Subject::default();
        let mut rows = 0_u64;
        while let Some(said) = next.filter(|said| said.subject == first.subject) {
            subject.note(&said);
            rows += 1;
            next = next_said(&mut ahead, left_out)?;
        }
        // divergence is counted by subjects, before any of their events is judged
        own_subjects += u64::from(subject.firsts.contains_key(&OWN));
        subject.compare(&mut comparisons, &mut shared);
        // once behind, over the same rows: they are sorted by event, so each is judged when the
        // next begins
        let mut candidate = Candidate::default();
        for _ in 0..rows {
            let Some(said) = next_said(&mut behind, left_out)? else {
                break;
            };
            if candidate.hash != Some(said.hash) {
                let done = std::mem::replace(&mut candidate, Candidate::of(said.hash));
                if let Some(decision) = done.judge(&subject, needed) {
                    take(decision)?;
                }
            }
            candidate.add(&said);
        }
        // the last event has none after it
        if let Some(decision) = candidate.judge(&subject, needed) {
            take(decision)?;
        }
    }
    // what stands here and not there is the rest: it need not be gone through again
    for (comparison, shared) in comparisons.iter_mut().zip(shared) {
        comparison.missing_there = own_subjects - shared;
    }
    Ok(comparisons)
}

fn next_said(rows: &mut Rows<'_, ROW>, left_out: &[u16]) -> io::Result<Option<Said>> {
    loop {
        match rows.next_row()?.map(|row| Said::from_row(&row)) {
            Some(said) if left_out.contains(&said.observer) => {}
            said => return Ok(said),
        }
    }
}

/// What the nodes say of one subject.
#[derive(Default)]
struct Subject {
    /// The first event of each node that says anything.
    firsts: BTreeMap<u16, (Instant, EventHash)>,
    /// Events that a node and the own log have, and that only the node has.
    same: BTreeMap<u16, u64>,
    other: BTreeMap<u16, u64>,
    /// The row before, and whether the own log has its event.
    last: Option<(EventHash, u16)>,
    own_has_it: bool,
}

impl Subject {
    fn note(&mut self, said: &Said) {
        // one event twice in one log counts once
        if self.last == Some((said.hash, said.observer)) {
            return;
        }
        // within a hash the own log comes first, so that the rows behind it can be compared
        if self.last.is_none_or(|(hash, _)| hash != said.hash) {
            self.own_has_it = said.observer == OWN;
        }
        self.last = Some((said.hash, said.observer));
        // rows of a subject come by hash: the first by time is looked for
        let first = self
            .firsts
            .entry(said.observer)
            .or_insert((said.at, said.hash));
        *first = (*first).min((said.at, said.hash));
        if said.observer != OWN {
            let counts = if self.own_has_it {
                &mut self.same
            } else {
                &mut self.other
            };
            *counts.entry(said.observer).or_default() += 1;
        }
    }

    fn compare(&self, comparisons: &mut [Comparison], shared: &mut [u64]) {
        let own_says = self.firsts.contains_key(&OWN);
        for observer in self.firsts.keys() {
            let Some(found) = comparisons.get_mut(usize::from(*observer)) else {
                continue;
            };
            let count =
                |counts: &BTreeMap<u16, u64>| counts.get(observer).copied().unwrap_or_default();
            found.same += count(&self.same);
            // of a subject of which the own log says something, another event contradicts it
            if own_says {
                found.divergent += count(&self.other);
            } else {
                found.new += count(&self.other);
            }
            if let Some(shared) = shared.get_mut(usize::from(*observer)) {
                *shared += u64::from(own_says);
            }
        }
    }
}

/// One event, and who has it.
#[derive(Default)]
struct Candidate {
    hash: Option<EventHash>,
    at: Option<Instant>,
    having: Vec<u16>,
    /// How many have it with which other three fields, and where one such text stands.
    contents: BTreeMap<ContentDigest, (usize, Text)>,
}

impl Candidate {
    fn of(hash: EventHash) -> Self {
        Self {
            hash: Some(hash),
            ..Self::default()
        }
    }

    fn add(&mut self, said: &Said) {
        // of several with one hash in one log the first counts, as everywhere
        if self.having.last() == Some(&said.observer) {
            return;
        }
        self.having.push(said.observer);
        self.at = Some(said.at);
        if said.text.bytes > 0 {
            self.contents.entry(said.digest).or_insert((0, said.text)).0 += 1;
        }
    }

    /// How it fared; none if the own log has it, or it is not asked about.
    fn judge(self, subject: &Subject, needed: u64) -> Option<Decision> {
        let hash = self.hash?;
        let at = self.at?;
        if self.having.first() == Some(&OWN) {
            return None;
        }
        // of equals the first: the map is in order of digests
        let (_, text) = self
            .contents
            .into_values()
            .rev()
            .max_by_key(|(count, _)| *count)?;
        // who has this event stands for it, whatever else of the subject is in the same log
        let says = |(observer, (_, first)): (&u16, &(Instant, EventHash))| {
            let has_it = self.having.binary_search(observer).is_ok();
            (*observer, if has_it { hash } else { *first })
        };
        let observed: Vec<_> = subject.firsts.iter().map(says).collect();
        // silence counts against no event, but without a quorum of voices nothing failed
        let verdict = if self.having.len() as u64 >= needed {
            Verdict::Achieved
        } else if (observed.len() as u64) < needed {
            Verdict::Insufficient
        } else {
            Verdict::Failed
        };
        Some(Decision {
            hash,
            at,
            text,
            observed,
            verdict,
        })
    }
}
