//! One tick's work in progress: what it is to write, to sign and to show, before any of it is done.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Round, SubjectId, UnixMillis};
use ssid_protocol::record::{FirstPrevote, Transport};
use ssid_protocol::vote::{Proposal, Vote};
use ssid_storage::{Changes, DivergenceRow, JournalRecord};

use crate::clock::{Now, Steady};
use crate::evidence::DoubleVote;
use crate::messages::{Effects, Ticket, Validity};
use crate::request::Reply;

/// One tick's work in progress.
#[derive(Debug)]
pub(crate) struct Tick {
    /// By the wall clock: for what is signed, shown, stored, or compared with timestamps.
    pub(crate) now: UnixMillis,
    /// By the steady clock: for all that waits.
    pub(crate) steady: Steady,
    /// Whether the wall clock was set since the last tick, or stood while this machine slept.
    pub(crate) clock_was_set: bool,
    /// By which transport what is being taken in came.
    pub(crate) transport: Transport,
    pub(crate) changes: Changes,
    pub(crate) own_events: Vec<Event>,
    pub(crate) votes: Vec<Vote>,
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) journal: Vec<JournalRecord>,
    pub(crate) decided: Vec<(SubjectId, Round, Choice)>,
    /// Certificates that decide, with the transport they came by.
    pub(crate) certificates: HashMap<SubjectId, (Certificate, Transport)>,
    /// Round-0 prevotes for what is decided.
    pub(crate) late: Vec<(SubjectId, FirstPrevote)>,
    pub(crate) double_votes: Vec<DoubleVote>,
    /// Why nothing of this tick may be written or shown.
    pub(crate) failure: Option<String>,
    /// Why this node must certify nothing more, once this tick is on disk.
    pub(crate) forked: Option<String>,
    /// Decisions that the own registry contradicts, to be written once their places in the log are
    /// known.
    pub(crate) divergent: Vec<(SubjectId, DivergenceRow)>,
    pub(crate) dirty: BTreeSet<SubjectId>,
    /// Who waits for the keys of which of the new rows in the outbox; other parts of a tick may add
    /// rows of their own.
    pub(crate) outbox: Vec<(Ticket, Range<usize>)>,
    pub(crate) effects: Effects,
}

impl Tick {
    pub(crate) fn new(now: impl Into<Now>) -> Self {
        let now = now.into();
        Self {
            now: now.wall,
            steady: now.steady,
            clock_was_set: false,
            transport: Transport::Live,
            changes: Changes::default(),
            own_events: Vec::new(),
            votes: Vec::new(),
            proposals: Vec::new(),
            journal: Vec::new(),
            decided: Vec::new(),
            certificates: HashMap::new(),
            late: Vec::new(),
            double_votes: Vec::new(),
            failure: None,
            forked: None,
            divergent: Vec::new(),
            dirty: BTreeSet::new(),
            outbox: Vec::new(),
            effects: Effects::default(),
        }
    }

    /// Tells whoever waits, once this tick is on disk.
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.effects.replies.push((ticket, reply));
    }

    /// Tells whoever delivered something what it was worth, if they want to know.
    pub(super) fn verdict(&mut self, ticket: Option<Ticket>, validity: Validity) {
        let reply = ticket.map(|ticket| (ticket, Reply::Verdict(validity)));
        self.effects.replies.extend(reply);
    }

    /// The moment of the tick, by both clocks.
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: self.now,
            steady: self.steady,
        }
    }
}
