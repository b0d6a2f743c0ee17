//! The steps of a tick, in order, and its end: what is written, and when the next one is due.

use ssid_protocol::voting::Input;
use ssid_storage::{Changes, StorageError};

use super::{Engine, Tick};
use crate::clock::{Now, Steady};
use crate::messages::{Effects, Inbound};
use crate::node_event::NodeEvent;
use crate::open::Open;
use crate::request::Reply;
use crate::settings::REMEMBER_AFTER;
use crate::startup_check::StartupCheck;

impl Engine {
    /// Takes what arrived, decides, writes, and says what to do. Never fails: an engine whose disk
    /// failed answers that it is read-only.
    pub fn tick(&mut self, now: impl Into<Now>, inputs: Vec<Inbound>) -> Effects {
        // memory is ahead of the disk for good
        if self.standing.read_only().is_some() {
            return self.refuse_all(&inputs);
        }
        let Now { wall, steady } = now.into();
        // whatever it is given, this clock does not run back
        let now = Now {
            wall,
            steady: steady.max(self.now.steady),
        };
        let clock_was_set = self.was_clock_set(now);
        self.now = now;
        // what recovery left to be said goes out with the first tick
        let mut tick = self.recovered.take().unwrap_or_else(|| Tick::new(now));
        tick.clock_was_set = clock_was_set;
        // what contradicts a decision of the last tick, which is on disk now
        let contested = std::mem::take(&mut self.contested);
        self.take_certificates(&mut tick, contested);
        for input in inputs {
            self.take(&mut tick, input);
        }
        self.keep_offers(&mut tick);
        self.go_on_with_startup_check(&mut tick);
        self.go_on_with_change(&mut tick);
        self.go_on_with_return(&mut tick);
        // after what arrived: a vote that is here is not late
        for (subject, timer) in self.timers.due(now.steady) {
            self.apply(&mut tick, subject, Input::Timeout(timer));
        }
        self.vote_buffer.expire(now.steady);
        for subject in self.reviews.due(now.steady) {
            self.endorse(&mut tick, subject);
        }
        self.ask_what_is_missing(&mut tick);
        // own events before votes: others know then what the votes name
        self.announce_lines(&mut tick);
        self.sign_events(&mut tick);
        self.release_backlog(&mut tick);
        self.say_late(&mut tick);
        // all that the tick wants signed, under one signature
        self.sign_votes(&mut tick);
        self.accuse_voters(&mut tick);
        // after signing: own votes may be what decides
        self.finish_decided(&mut tick);
        self.keep_late_forbidden(tick.steady);
        self.close_late(&mut tick);
        self.count_time(&mut tick);
        self.remember_open(&mut tick);
        if let Some(reason) = tick.failure.take() {
            return self.halt(tick, reason);
        }
        // its number is written before it is said, so that none is said twice
        self.number_heartbeat(&mut tick);
        match self.commit(&mut tick) {
            Ok(()) => self.send_heartbeat(&mut tick),
            Err(failure) => return self.halt(tick, failure.to_string()),
        }
        // the evidence is on disk, and goes out with this tick's effects
        if let Some(reason) = tick.forked {
            tracing::error!(
                reason,
                "two certificates of one subject: this node certifies nothing more"
            );
            self.standing.make_read_only(reason.clone());
            tick.effects.events.push(NodeEvent::ReadOnly { reason });
        }
        tick.effects.wake_at = self.wake_at(now.steady);
        tick.effects
    }

    /// Writes down candidates that have been open for a while: most subjects are decided before,
    /// and a restart can ask peers for the others. What was voted for is in the journal and among
    /// the events already.
    fn remember_open(&mut self, tick: &mut Tick) {
        let due = tick.steady.after(REMEMBER_AFTER);
        self.unremembered.extend(
            std::mem::take(&mut tick.dirty)
                .into_iter()
                .map(|subject| (due, subject)),
        );
        while let Some((_, subject)) = self
            .unremembered
            .front()
            .copied()
            .filter(|(at, _)| *at <= tick.steady)
        {
            self.unremembered.pop_front();
            // what is voted on again is certified, and stays so
            let open = self.open.get(&subject);
            let open = open.filter(|_| self.membership.again(&subject).is_none());
            tick.changes.open_subjects.extend(open.and_then(Open::row));
        }
    }

    /// Journal first, then the database: only what both hold may be shown.
    fn commit(&mut self, tick: &mut Tick) -> Result<(), StorageError> {
        if !tick.journal.is_empty() {
            let sequence = self.record.sign(&std::mem::take(&mut tick.journal))?;
            tick.changes.journal_sequence = Some(sequence);
        }
        self.queue_certified(tick);
        // behind the rows of the decisions, which say their places in the log
        self.queue_divergences(tick, self.store.log_head().size);
        let mut keys = Vec::new();
        if tick.changes != Changes::default() {
            let written = self.record.write(std::mem::take(&mut tick.changes))?;
            self.number_certified(tick, written.first_sequence);
            self.registry.written();
            keys = written.outbox;
        }
        for (ticket, rows) in tick.outbox.drain(..) {
            let keys = keys.get(rows).map(<[_]>::to_vec).unwrap_or_default();
            tick.effects.replies.push((ticket, Reply::Outbox(Ok(keys))));
        }
        // last: compaction asks the database what is decided
        let is_read = !self.membership.has_unread();
        if is_read && self.record.is_long(self.settings.journal_slack_bytes) {
            self.compact_journal()?;
        }
        Ok(())
    }

    /// When the engine has something to do even if nothing arrives.
    fn wake_at(&self, now: Steady) -> Option<Steady> {
        let has_own =
            self.can_release() || self.has_lines_to_announce(now) || self.has_late_prevotes();
        let backlog = (has_own || !self.contested.is_empty()).then_some(now);
        let remember = self.unremembered.front().map(|(at, _)| *at);
        // what is missing is asked for on connecting; until then it is always due
        let may_ask = !self.peers.connected.is_empty();
        [
            self.timers.next(),
            self.reviews.next(),
            self.wants.next().filter(|_| may_ask),
            self.closing.next(),
            self.catch_up.next().filter(|_| may_ask),
            self.startup_check.as_ref().and_then(StartupCheck::next),
            self.offers.next().filter(|_| !self.is_signing()),
            self.membership.next(),
            self.returning.next().filter(|_| may_ask),
            self.announce_again_at(),
            self.trust_clock.next(),
            backlog,
            remember,
            Some(self.heartbeats.next()),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
