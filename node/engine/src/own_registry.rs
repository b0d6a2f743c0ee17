//! The node's own registry file as far as voting asks it (SPEC §7 rule 1, *Own registry*): what it
//! says of undecided subjects, and up to where it has been read.
//!
//! A reader hands over its lines and the engine never waits for it: it asks for a *look* by a
//! number, and the reader says which look is done: the file has been read up to the size that it
//! had when that look began, which was after whatever the look was asked for. Until then this node
//! endorses nothing that its file might contradict. The lines themselves are rows on disk, so that
//! memory does not grow with the file.

use std::collections::HashMap;
use std::time::Duration;

use ssid_protocol::event::{Event, FEDERATION_EPOCH};
use ssid_protocol::id::{Choice, SubjectId};
use ssid_protocol::record::FoundLater;
use ssid_protocol::voting::{Candidate, Input};
use ssid_storage::{DivergenceRow, OwnLineRow, StorageError, Store};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::events::is_near;
use super::node_event::NodeEvent;
use super::open::Open;
use super::request::EmitOutcome;

/// Lines taken out of the file's order at once to be announced.
const ANNOUNCED_LINES: usize = 256;
/// A line that was refused for a limit, or for this machine's clock, is offered again after this.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

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
    pub(super) divergences: u64,
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
    /// Asks for a look at the file that begins after everything that has been taken so far; its
    /// number.
    pub(super) fn ask_for_look(&mut self, tick: &mut Tick) -> u64 {
        if tick.effects.look.is_none() {
            self.registry.asked += 1;
            tick.effects.look = Some(self.registry.asked);
        }
        self.registry.asked
    }

    /// At a start nothing of an earlier reading holds: the file may have changed meanwhile.
    pub(super) fn begin_reading(&mut self, tick: &mut Tick) {
        tick.changes.own_lines_forgotten = true;
        self.registry.is_outdated = true;
        self.ask_for_look(tick);
        // what was open before waits for the file as what comes from now on does
        for subject in self.open.keys().copied().collect::<Vec<_>>() {
            if self.may_endorse_in(&subject) {
                self.look_before_endorsing(tick, subject);
            }
        }
    }

    /// What the reader of the file tells.
    pub(super) fn take_registry(&mut self, tick: &mut Tick, news: RegistryNews) {
        match news {
            RegistryNews::Lines(lines) => lines
                .into_iter()
                .for_each(|line| self.take_line(tick, line)),
            RegistryNews::Read { look } => self.note_read(tick, look),
            RegistryNews::Anew { what } => self.read_anew(tick, what),
            RegistryNews::Unreadable { reason } => self.note_unreadable(tick, &reason),
        }
    }

    fn note_read(&mut self, tick: &mut Tick, look: u64) {
        self.registry.done = self.registry.done.max(look);
        let before = std::mem::replace(&mut self.registry.reading, Reading::Current);
        if before == Reading::First {
            self.go_on_starting(tick);
        }
        self.settle_offers(tick);
        if self.is_signing() {
            self.accept_kept(tick);
        }
        let done = self.registry.done;
        for subject in std::mem::take(&mut self.registry.waiting) {
            match self.open.get_mut(&subject) {
                None => {}
                Some(open) if open.look > done => self.registry.waiting.push(subject),
                Some(open) => {
                    open.awaits_look = false;
                    open.machine.hold_prevote(false);
                    let is_locked = open.machine.locked().is_some();
                    // a line that was read before the file could not be read for a while
                    self.adopt_own(tick, subject);
                    if is_locked {
                        self.apply(tick, subject, Input::MaySign);
                    }
                    self.endorse(tick, subject);
                }
            }
        }
    }

    /// Of a file that was replaced, rotated or merged nothing that was read holds. What was
    /// announced stays announced.
    fn read_anew(&mut self, tick: &mut Tick, what: String) {
        tracing::warn!(
            what,
            "the registry file has changed where it had been read: it is read from its beginning"
        );
        let reason = format!("its registry file is read again from its beginning: {what}");
        tick.effects.events.push(NodeEvent::Drift { what });
        self.registry.reading = Reading::Again(reason);
        tick.changes.own_lines_forgotten = true;
        // of this tick's rows only what comes from now on may be put
        tick.changes.own_lines.clear();
        tick.changes.own_order.clear();
        self.unsay_lines(tick);
        self.late.forget_lines();
        let registry = &mut self.registry;
        registry.fresh.clear();
        registry.is_outdated = true;
        (registry.rows, registry.to_announce) = (0, 0);
        registry.announced_until = registry.next_order;
        self.ask_for_look(tick);
    }

    /// What this node would have said because of lines that were read, and has not said yet, waits
    /// until the file can be read, or has been read again.
    fn unsay_lines(&mut self, tick: &mut Tick) {
        for subject in self.open.keys().copied().collect::<Vec<_>>() {
            if self.announced_choice(&subject).is_some() {
                continue; // what was signed is its own event, whatever the file says
            }
            if let Some(open) = self.open.get_mut(&subject) {
                open.machine.disown();
            }
            if self.may_endorse_in(&subject) {
                self.look_before_endorsing(tick, subject);
            }
        }
    }

    fn note_unreadable(&mut self, tick: &mut Tick, reason: &str) {
        let was_first = self.registry.reading == Reading::First;
        self.registry.reading =
            Reading::Unreadable(format!("its registry file cannot be read: {reason}"));
        self.unsay_lines(tick);
        if was_first {
            self.go_on_starting(tick);
        }
        self.refuse_offers(tick);
        // they are followed, and their waiting has an end from now on
        for subject in self.registry.waiting.clone() {
            self.endorse(tick, subject);
        }
    }

    fn take_line(&mut self, tick: &mut Tick, line: OwnLine) {
        let OwnLine { event, announce } = line;
        let words = format!("{} {}", event.event, event.version);
        if let Err(refusal) = event.check_admissible(self.epochs.current().number()) {
            tracing::warn!(event = words, reason = %refusal, "a line of the registry file is not voted for");
            return;
        }
        if event.event == FEDERATION_EPOCH || self.rules.me.is_none() {
            return; // membership changes do not come from the file, and who is no voter has nothing to say
        }
        let subject = self.epochs.current().subject_of(&event);
        if self.certified_choice(&subject).is_some() {
            self.compare_line(tick, subject, &event);
            return;
        }
        match self.registry.line(&self.store, &subject) {
            Ok(None) => {}
            Ok(Some(_)) => return, // of several lines the first counts
            Err(error) => {
                tracing::error!(%error, "cannot look up a line of the registry file");
                return;
            }
        }
        self.registry.rows += 1;
        if announce && self.may_announce_at_once(tick) {
            self.put_line(
                tick,
                subject,
                Some(OwnLineRow {
                    event: event.clone(),
                    order: None,
                }),
            );
            if !matches!(
                self.accept(tick, event.clone()),
                EmitOutcome::Refused { retry: true, .. }
            ) {
                return;
            }
        }
        let order = announce.then_some(self.registry.next_order);
        if let Some(order) = order {
            self.registry.next_order += 1;
            self.registry.to_announce += 1;
            tick.changes.own_order.push((order, Some(subject)));
        }
        self.put_line(tick, subject, Some(OwnLineRow { event, order }));
        if self.open.contains_key(&subject) {
            self.adopt_own(tick, subject);
        }
    }

    /// Whether a line that was just read is announced with this tick: no earlier one waits.
    fn may_announce_at_once(&self, tick: &Tick) -> bool {
        self.registry.to_announce == 0
            && tick.own_events.len() < ANNOUNCED_LINES
            && self.may_announce()
    }

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

    /// Announces lines of the file in their order, as fast as earlier ones are decided.
    pub(super) fn announce_lines(&mut self, tick: &mut Tick) {
        if !self.has_lines_to_announce(tick.steady) {
            return;
        }
        let page = match self
            .store
            .own_order(self.registry.announced_until, ANNOUNCED_LINES)
        {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "cannot read the order of the registry file's lines");
                return;
            }
        };
        for (order, subject) in page {
            if !self.announce_line(tick, &subject) {
                self.registry.announce_at = tick.steady.after(ANNOUNCE_AGAIN);
                return;
            }
            self.registry.announced_until = order + 1;
            self.registry.to_announce = self.registry.to_announce.saturating_sub(1);
            tick.changes.own_order.push((order, None));
        }
    }

    /// Whether lines may be announced now: nothing else waits, signing is possible, and others keep
    /// what is announced.
    pub(super) fn may_announce(&self) -> bool {
        self.registry.reading == Reading::Current
            && self.is_signing()
            && self.own_events.have_room()
            && self.room_of_own() > 0
    }

    /// Whether the next line may be announced at once.
    pub(super) fn has_lines_to_announce(&self, now: Steady) -> bool {
        self.registry.announce_at <= now && self.registry.to_announce > 0 && self.may_announce()
    }

    /// When lines that were refused for a while are announced again.
    pub(super) fn announce_again_at(&self) -> Option<Steady> {
        let is_later = self.registry.announce_at > self.now.steady && self.registry.to_announce > 0;
        is_later.then_some(self.registry.announce_at)
    }

    /// Announces the event of one line, unless the subject is decided or this node stands for an
    /// event of it already. False if it has to wait.
    fn announce_line(&mut self, tick: &mut Tick, subject: &SubjectId) -> bool {
        let event = match self.registry.line(&self.store, subject) {
            Ok(Some(row)) => row.event,
            Ok(None) | Err(_) => return true,
        };
        let words = format!("{} {}", event.event, event.version);
        match self.accept(tick, event) {
            EmitOutcome::Refused {
                reason,
                retry: true,
            } => {
                tracing::debug!(
                    event = words,
                    reason,
                    "announcing the registry file's lines waits"
                );
                false
            }
            EmitOutcome::Refused {
                reason,
                retry: false,
            } => {
                tracing::warn!(
                    event = words,
                    reason,
                    "a line of the registry file is not announced"
                );
                true
            }
            _ => true,
        }
    }

    /// A candidate of others has arrived: it is endorsed only once the file has been read after
    /// that.
    pub(super) fn look_before_endorsing(&mut self, tick: &mut Tick, subject: SubjectId) {
        let look = self.ask_for_look(tick);
        let Some(open) = self.open.get_mut(&subject) else {
            return;
        };
        open.look = look;
        open.machine.hold_prevote(true);
        if !std::mem::replace(&mut open.awaits_look, true) {
            self.registry.waiting.push(subject);
        }
    }

    /// What the own registry says of a subject that is decided now. Its line needs no row any more.
    pub(super) fn settle_own(&mut self, tick: &mut Tick, subject: SubjectId, own: Option<&Event>) {
        let mut said = None;
        if let Ok(Some(row)) = self.registry.line(&self.store, &subject) {
            said = Some(row.event);
            self.registry.rows = self.registry.rows.saturating_sub(1);
            self.put_line(tick, subject, None);
            if let Some(order) = row
                .order
                .filter(|order| *order >= self.registry.announced_until)
            {
                self.registry.to_announce = self.registry.to_announce.saturating_sub(1);
                tick.changes.own_order.push((order, None));
            }
        }
        if own.is_none() && said.is_none() {
            self.say_later(tick, subject);
        }
        // what was offered here before the file said something else stands for the subject, but the
        // file contradicts the decision all the same
        for event in own.into_iter().chain(&said) {
            self.compare_line(tick, subject, event);
        }
    }

    /// Compares an event of the own registry with the certificate of its subject. If this node has
    /// prevoted nothing for it yet and the others still count, it says what it observed; else, if
    /// they contradict each other, it is a divergence.
    pub(super) fn compare_line(&mut self, tick: &mut Tick, subject: SubjectId, own: &Event) {
        if self.observe_late(subject, own) {
            return;
        }
        let Some((sequence, certified)) = self.decision_of(&subject) else {
            return;
        };
        let choice = own.choice();
        if certified == choice || self.is_told(&subject, sequence, choice) {
            return;
        }
        match self.certified_event(&subject, &certified) {
            Some(event) if event.agrees_with(own) => {}
            _ => self.note_divergence(tick, subject, sequence, certified, own),
        }
    }

    /// Whether this node's record says already that it observed this.
    fn is_told(&self, subject: &SubjectId, sequence: Option<u64>, choice: Choice) -> bool {
        let own = |record: &ssid_protocol::record::ConsensusRecord| {
            record.node_hashes.get(&self.me) == Some(&choice)
        };
        match (self.closing.get(subject), sequence) {
            (Some(decided), _) => own(&decided.record),
            (None, Some(sequence)) => self
                .store
                .record(sequence)
                .ok()
                .flatten()
                .as_ref()
                .is_some_and(own),
            (None, None) => false,
        }
    }

    fn note_divergence(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        sequence: Option<u64>,
        certified: Choice,
        own: &Event,
    ) {
        let is_pending = tick
            .divergent
            .iter()
            .any(|(pending, _)| *pending == subject);
        if is_pending || !matches!(self.store.divergence(&subject), Ok(None)) {
            return;
        }
        let (event, version, choice) = (own.event.clone(), own.version.clone(), own.choice());
        tracing::warn!(
            %subject, event, version, own = %choice.event_hash, certified = %certified.event_hash,
            "the registry file contradicts a decision; see: ssid conflicts list"
        );
        self.registry.divergences += 1;
        let found_later = Some(FoundLater {
            choice,
            at: tick.now,
        });
        if let Some(decided) = self.closing.get_mut(&subject) {
            decided.record.found_later = found_later;
            self.closing.mark_changed(tick.steady, subject);
        } else if let Some(sequence) = sequence
            && let Ok(Some(mut record)) = self.store.record(sequence)
        {
            record.found_later = found_later;
            self.rewrite_records(tick, vec![(sequence, record)]);
        }
        let row = DivergenceRow {
            sequence: sequence.unwrap_or_default(),
            certified,
            own: own.clone(),
            found_at: tick.now,
        };
        tick.divergent.push((subject, row));
        tick.effects.events.push(NodeEvent::Divergence {
            subject_id: subject,
            event,
            version,
            own: choice.event_hash,
            certified: certified.event_hash,
        });
        self.tell_state_soon(tick.steady);
    }

    /// Divergences whose decision has its place in the log, for the write that follows.
    pub(super) fn queue_divergences(&mut self, tick: &mut Tick, first_sequence: u64) {
        for (subject, mut row) in std::mem::take(&mut tick.divergent) {
            let certified = tick
                .changes
                .certified
                .iter()
                .position(|one| one.record.subject_id == subject);
            if let Some(place) = certified {
                row.sequence = first_sequence + place as u64;
            } else if let Some((sequence, _)) = self.certified_choice(&subject) {
                row.sequence = sequence;
            }
            tick.changes.divergences.push((subject, row));
        }
    }

    /// A decision, with its place in the log once it has one.
    fn decision_of(&self, subject: &SubjectId) -> Option<(Option<u64>, Choice)> {
        if let Some(decided) = self.closing.get(subject) {
            return Some((decided.sequence, decided.record.choice));
        }
        self.certified_choice(subject)
            .map(|(sequence, choice)| (Some(sequence), choice))
    }

    fn certified_event(&self, subject: &SubjectId, certified: &Choice) -> Option<Event> {
        if let Some(decided) = self.closing.get(subject) {
            return Some(decided.event.clone());
        }
        self.store.event(&certified.content_digest).ok()?
    }
}
