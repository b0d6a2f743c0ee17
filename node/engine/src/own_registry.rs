//! The node's own registry file as far as voting asks it (SPEC §7 rule 1, *Own registry*): what it
//! says of undecided subjects, and up to where it has been read.
//!
//! A reader hands over its lines and the engine never waits for it: it asks for a *look* by a
//! number, and the reader says which look is done: the file has been read up to the size that it
//! had when that look began, which was after whatever the look was asked for. Until then this node
//! endorses nothing that its file might contradict. The lines themselves are rows on disk, so that
//! memory does not grow with the file.

use std::collections::HashMap;

use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;
use ssid_protocol::voting::{Candidate, Input};
use ssid_storage::{OwnLineRow, StorageError, Store};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::events::is_near;
use super::open::Open;

mod announcing;
mod divergences;
mod reading;

/// A line of the registry file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLine {
    /// The event that stands there.
    pub event: Event,
    /// Whether this node announces it without being asked (`federation.auto_consensus` and the
    /// event filters).
    pub announce: bool,
}

/// What the reader of the registry file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryNews {
    /// Lines that were not read before, in order of the file.
    Lines(Vec<OwnLine>),
    /// The file has been read up to where it ended when this look began.
    Read {
        /// The look's number, as in [`Effects::look`](super::Effects::look).
        look: u64,
    },
    /// What had been read is no longer what stands there: it is read from its beginning.
    Anew {
        /// What differs, with line numbers.
        what: String,
    },
    /// It cannot be read.
    Unreadable {
        /// Why, and what to do.
        reason: String,
    },
}

/// How far the file is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reading {
    /// It has not been read to its end since the start.
    First,
    /// It has been read to its end.
    Current,
    /// It is being read again, because what had been read has changed.
    Again(String),
    /// It cannot be read.
    Unreadable(String),
}

/// What the engine knows of its own registry file.
#[derive(Debug)]
pub(super) struct OwnRegistry {
    reading: Reading,
    /// The number of the latest look that was asked for.
    asked: u64,
    /// The latest look that is done.
    done: u64,
    /// Subjects whose candidates wait for a look; each once (`Open::awaits_look`).
    waiting: Vec<SubjectId>,
    /// Lines of this tick, which are on disk only after it; `None`: removed.
    fresh: HashMap<SubjectId, Option<OwnLineRow>>,
    /// Whether the rows on disk are of an earlier reading: they go with this tick's write.
    is_outdated: bool,
    /// Rows in the table of lines, about: none spares the look-ups.
    rows: u64,
    /// Lines that are to be announced and are not yet.
    to_announce: u64,
    next_order: u64,
    /// Where to go on announcing.
    announced_until: u64,
    /// Not before this time: a line was refused for a limit, or for this machine's clock.
    announce_at: Steady,
    /// Decisions that the file contradicts.
    divergences: u64,
}

impl Default for OwnRegistry {
    fn default() -> Self {
        Self {
            reading: Reading::First,
            asked: 0,
            done: 0,
            waiting: Vec::new(),
            fresh: HashMap::new(),
            is_outdated: false,
            rows: 0,
            to_announce: 0,
            next_order: 0,
            announced_until: 0,
            announce_at: Steady(0),
            divergences: 0,
        }
    }
}

impl OwnRegistry {
    /// Whether the file has been read to its end since the start, or cannot be: nothing is signed
    /// before.
    pub(super) fn has_begun(&self) -> bool {
        self.reading != Reading::First
    }

    /// Whether the file has been read since this look was asked for.
    pub(super) fn has_looked(&self, look: u64) -> bool {
        self.reading == Reading::Current && self.done >= look
    }

    /// Whether the file has been read to its end, and can be read.
    pub(super) fn is_current(&self) -> bool {
        self.reading == Reading::Current
    }

    /// Why nothing is endorsed or announced, if that will not pass by itself in a moment.
    pub(super) fn trouble(&self) -> Option<&str> {
        match &self.reading {
            Reading::Unreadable(reason) | Reading::Again(reason) => Some(reason),
            Reading::First | Reading::Current => None,
        }
    }

    /// Decisions that the file contradicts.
    pub(super) fn divergences(&self) -> u64 {
        self.divergences
    }

    /// The file contradicts another decision.
    pub(super) fn note_divergence(&mut self) {
        self.divergences += 1;
    }

    /// Lines that are to be announced and are not yet.
    pub(super) fn to_announce(&self) -> u64 {
        self.to_announce
    }

    /// The line that names this subject first, as far as read.
    fn line(&self, store: &Store, subject: &SubjectId) -> Result<Option<OwnLineRow>, StorageError> {
        if let Some(fresh) = self.fresh.get(subject) {
            return Ok(fresh.clone());
        }
        if self.rows == 0 || self.is_outdated {
            Ok(None)
        } else {
            store.own_line(subject)
        }
    }

    /// What stands in this tick's rows is on disk from now on.
    pub(super) fn written(&mut self) {
        self.fresh.clear();
        self.is_outdated = false;
    }
}

impl Engine {
    fn put_line(&mut self, tick: &mut Tick, subject: SubjectId, row: Option<OwnLineRow>) {
        tick.changes.own_lines.push((subject, row.clone()));
        self.registry.fresh.insert(subject, row);
    }

    /// The event that this node's own registry has for a subject, or that it accepted: announced,
    /// waiting to be, or read in the file. What was accepted first counts; while the file cannot be
    /// read, or is read again, nobody knows what stands in it.
    pub(super) fn own_event(&self, subject: &SubjectId) -> Option<Event> {
        if let Some(own) = self
            .open
            .get(subject)
            .and_then(|open| open.machine.candidates().find(|c| c.own))
        {
            return Some(own.event.clone());
        }
        if let Some(event) = self.own_events.accepted(subject) {
            return Some(event.clone());
        }
        if self.registry.trouble().is_some() {
            return None;
        }
        match self.registry.line(&self.store, subject) {
            Ok(row) => row.map(|row| row.event),
            Err(error) => {
                tracing::error!(%error, %subject, "cannot look up a line of the registry file");
                None
            }
        }
    }

    /// Makes what the own registry says of an open subject a candidate, before anything of others
    /// is endorsed. A line that is to be announced is announced now.
    pub(super) fn adopt_own(&mut self, tick: &mut Tick, subject: SubjectId) {
        let is_known = |open: &Open| {
            open.machine.decided().is_some()
                || open.machine.candidates().any(|candidate| candidate.own)
        };
        if self.open.get(&subject).is_none_or(is_known) {
            return;
        }
        let Some(event) = self.own_event(&subject) else {
            return;
        };
        let choice = event.choice();
        let prompt = is_near(tick.now, &event);
        let candidate = Candidate {
            choice,
            event: event.clone(),
            announced_by: None,
            prompt,
            own: true,
            endorsed: false,
        };
        let named = self.epochs.current().policies().subject_of(&event);
        let Some(open) = self.open.get_mut(&subject) else {
            return;
        };
        open.subject.get_or_insert(named);
        open.machine.hold_prevote(false); // what the file has is known
        self.wants.arrived(&choice.content_digest);
        tick.changes.events.push(event);
        tick.dirty.insert(subject);
        self.apply(tick, subject, Input::Candidate(candidate));
    }
}
