//! What was decided, counted as it comes: of all decisions the counts, of the latest the whole, and
//! of those achieved where their events stand. Bounded, however many there are.

use std::collections::BTreeMap;
use std::io;

use ssid_protocol::event::{Event, Instant};
use ssid_protocol::id::EventHash;
use ssid_storage::PathContext as _;

use super::decide::{Decision, Verdict};
use super::gather::{GatherError, Gathered, KEEPING, Text, instant_bytes, take};
use super::sorter::Sorter;
use crate::registry::manifest::{HISTORY_RECORDS, HistoryRecord};

/// Bytes of a row of what was achieved: instant, event hash, and where the text is.
const ROW: usize = 56;

/// Decisions by how they fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events that a quorum has and the own log had not.
    pub achieved: u64,
    /// Events about which enough nodes say something, and no quorum the same.
    pub failed: u64,
    /// Events that too few nodes have said anything about.
    pub insufficient: u64,
}

impl Counts {
    pub(super) fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Achieved => &mut self.achieved,
            Verdict::Failed => &mut self.failed,
            Verdict::Insufficient => &mut self.insufficient,
        } += 1;
    }
}

/// Decisions as they come.
pub(super) struct Tally {
    /// How those fared at the last sync of which a record is kept.
    known: BTreeMap<EventHash, String>,
    pub(super) all: Counts,
    /// Those of which no record is kept.
    pub(super) unknown: Counts,
    /// Those that fared otherwise at the last sync.
    pub(super) changed: Counts,
    /// Those of which there was a record, and those of which there will be one.
    pub(super) met: BTreeMap<EventHash, Verdict>,
    /// The latest, by time.
    pub(super) latest: BTreeMap<(Instant, EventHash), Decision>,
    achieved: Sorter<ROW>,
}

impl Tally {
    /// `before` is the history as it stands.
    pub(super) fn new(before: &[HistoryRecord], scratch: std::path::PathBuf) -> Self {
        let unsigned = before.iter().filter(|record| record.signed == Some(false));
        let known = unsigned
            .filter_map(|r| Some((r.event_hash.parse().ok()?, r.resolution.clone())))
            .collect();
        Self {
            known,
            all: Counts::default(),
            unknown: Counts::default(),
            changed: Counts::default(),
            met: BTreeMap::new(),
            latest: BTreeMap::new(),
            achieved: Sorter::new(scratch),
        }
    }

    pub(super) fn take(&mut self, decision: Decision) -> io::Result<()> {
        let verdict = decision.verdict;
        let hash = decision.hash;
        self.all.add(verdict);
        match self.known.get(&hash) {
            None => self.unknown.add(verdict),
            Some(before) => {
                self.met.insert(hash, verdict);
                if before != verdict.as_str() {
                    self.changed.add(verdict);
                }
            }
        }
        if verdict == Verdict::Achieved {
            self.achieved.push(row(&decision))?;
        }
        self.latest.insert((decision.at, hash), decision);
        if self.latest.len() > HISTORY_RECORDS {
            self.latest.pop_first();
        }
        Ok(())
    }

    /// Ends it: the events that were achieved are given to `apply` in order of time, a part at a
    /// time.
    pub(super) fn finish(
        self,
        gathered: &Gathered,
        mut apply: impl FnMut(&[Event]) -> Result<(), GatherError>,
    ) -> Result<Decided, GatherError> {
        let scratch = &gathered.scratch;
        let achieved = self.achieved.finish();
        let mut rows = achieved.rows().context(KEEPING, scratch)?;
        let mut part = Vec::new();
        loop {
            let row = rows.next_row().context(KEEPING, scratch)?;
            // in parts: what is appended at once is held in memory
            if part.len() >= APPLIED_AT_ONCE || row.is_none() {
                apply(&part)?;
                part.clear();
            }
            let Some(row) = row else { break };
            part.push(gathered.event(text_of(&row))?);
        }
        let mut met = self.met;
        let mut latest = Vec::new();
        for decision in self.latest.into_values() {
            // their events are read from disk again, as only these are shown
            met.insert(decision.hash, decision.verdict);
            latest.push((gathered.event(decision.text)?, decision));
        }
        Ok(Decided {
            all: self.all,
            unknown: self.unknown,
            changed: self.changed,
            met,
            latest,
        })
    }
}

/// Events appended in one write.
const APPLIED_AT_ONCE: usize = 1000;

/// What was decided in one sync.
#[derive(Clone, Debug, Default)]
pub(super) struct Decided {
    /// All of it.
    pub all: Counts,
    /// What no record was kept of.
    pub(super) unknown: Counts,
    /// What fared otherwise than the record of the last sync says.
    pub(super) changed: Counts,
    /// Of what there was a record or is to be one.
    pub(super) met: BTreeMap<EventHash, Verdict>,
    /// The latest, the oldest of them first.
    pub(super) latest: Vec<(Event, Decision)>,
}

fn row(decision: &Decision) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..12].copy_from_slice(&instant_bytes(decision.at));
    row[12..44].copy_from_slice(&decision.hash.0);
    row[44..52].copy_from_slice(&decision.text.at.to_be_bytes());
    row[52..].copy_from_slice(&decision.text.bytes.to_be_bytes());
    row
}

fn text_of(row: &[u8; ROW]) -> Text {
    let mut rest = &row[44..];
    Text {
        at: u64::from_be_bytes(take(&mut rest)),
        bytes: u32::from_be_bytes(take(&mut rest)),
    }
}
