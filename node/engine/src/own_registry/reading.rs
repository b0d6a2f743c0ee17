//! What the reader of the registry file tells, and what waits for it: lines, looks that are done, a
//! file that changed where it had been read, or cannot be read.

use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_protocol::id::SubjectId;
use ssid_protocol::voting::Input;
use ssid_storage::OwnLineRow;

use super::{OwnLine, Reading, RegistryNews};
use crate::engine::{Engine, Tick};
use crate::node_event::NodeEvent;
use crate::request::EmitOutcome;

impl Engine {
    /// Asks for a look at the file that begins after everything that has been taken so far; its
    /// number.
    pub(crate) fn ask_for_look(&mut self, tick: &mut Tick) -> u64 {
        if tick.effects.look.is_none() {
            self.registry.asked += 1;
            tick.effects.look = Some(self.registry.asked);
        }
        self.registry.asked
    }

    /// At a start nothing of an earlier reading holds: the file may have changed meanwhile.
    pub(crate) fn begin_reading(&mut self, tick: &mut Tick) {
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
    pub(crate) fn take_registry(&mut self, tick: &mut Tick, news: RegistryNews) {
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
        // too late to be voted for: it agrees, or it is a divergence
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
        // the usual case needs no place in the order of what waits
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
        // others vote on it already: it is what this node observed
        if self.open.contains_key(&subject) {
            self.adopt_own(tick, subject);
        }
    }

    /// A candidate of others has arrived: it is endorsed only once the file has been read after
    /// that.
    pub(crate) fn look_before_endorsing(&mut self, tick: &mut Tick, subject: SubjectId) {
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
}
