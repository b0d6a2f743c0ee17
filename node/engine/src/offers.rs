//! Events that somebody offers through this node (`events emit`, `import`): they wait until the own
//! registry file has been looked at, and while the node starts they are kept on disk, to be signed
//! later.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;
use ssid_storage::StorageError;

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::messages::Ticket;
use super::request::{EmitOutcome, Reply};

/// Offers wait this long for a starting node; then they are kept, and whoever offered them is told
/// so.
const WAITS_FOR_START: Duration = Duration::from_secs(1);
/// Offers that wait at once.
const OFFERS: usize = 4096;
/// Events kept on disk while nothing can be signed.
const KEPT: usize = 4096;

#[derive(Debug)]
struct Offer {
    /// The look at the registry file that has to be done before.
    look: u64,
    /// When it is kept if the node has not started by then.
    until: Steady,
    events: Vec<Event>,
    ticket: Ticket,
}

/// Events offered and not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Offers {
    waiting: VecDeque<Offer>,
    /// On disk, by subject; the first one counts.
    kept: BTreeMap<SubjectId, Event>,
}

impl Offers {
    /// The event that is kept for a subject.
    pub(super) fn kept(&self, subject: &SubjectId) -> Option<&Event> {
        self.kept.get(subject)
    }

    /// How many events are kept.
    pub(super) fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// When the next offer has waited long enough.
    pub(super) fn next(&self) -> Option<Steady> {
        self.waiting.front().map(|offer| offer.until)
    }

    /// Who waits, and for how many outcomes; nobody does afterwards.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = (Ticket, usize)> + use<> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|offer| (offer.ticket, offer.events.len()))
    }
}

impl Engine {
    /// What was kept before a restart.
    pub(super) fn load_kept_offers(&mut self) -> Result<(), StorageError> {
        self.offers.kept = self.store.kept_offers().collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Events offered through the API: they wait for a look at the registry file, which may have an
    /// event of its own for their subjects. Where there is nothing to sign the answer comes at
    /// once.
    pub(super) fn take_emitted(&mut self, tick: &mut Tick, events: Vec<Event>, ticket: Ticket) {
        if events.iter().all(|event| self.judge(event).is_err()) {
            self.answer_offer(tick, events, ticket);
            return;
        }
        if self.offers.waiting.len() >= OFFERS {
            let reason = format!("{OFFERS} offers wait already; try again in a moment");
            tick.reply(ticket, Reply::emit_refused(events.len(), &reason, true));
            return;
        }
        let look = self.ask_for_look(tick);
        let until = tick.steady.after(WAITS_FOR_START);
        self.offers.waiting.push_back(Offer {
            look,
            until,
            events,
            ticket,
        });
        if self.registry.trouble().is_some() {
            self.refuse_offers(tick);
        }
    }

    /// Accepts the offers whose look at the registry file is done, if signing is possible.
    pub(super) fn settle_offers(&mut self, tick: &mut Tick) {
        if !self.is_signing() {
            return;
        }
        while self
            .offers
            .waiting
            .front()
            .is_some_and(|offer| self.registry.has_looked(offer.look))
        {
            if let Some(offer) = self.offers.waiting.pop_front() {
                self.answer_offer(tick, offer.events, offer.ticket);
            }
        }
    }

    fn answer_offer(&mut self, tick: &mut Tick, events: Vec<Event>, ticket: Ticket) {
        let outcomes = events
            .into_iter()
            .map(|event| self.accept(tick, event))
            .collect();
        tick.reply(ticket, Reply::Emitted(outcomes));
    }

    /// While the registry file cannot be read no own event is signed, and none is kept: it might
    /// contradict the file.
    pub(super) fn refuse_offers(&mut self, tick: &mut Tick) {
        let reason = format!(
            "nothing is signed: {}",
            self.registry
                .trouble()
                .unwrap_or("the registry file is read")
        );
        for (ticket, count) in self.offers.take_waiting() {
            tick.reply(ticket, Reply::emit_refused(count, &reason, true));
        }
    }

    /// Keeps the offers that a starting node has let wait for long enough.
    pub(super) fn keep_offers(&mut self, tick: &mut Tick) {
        if self.is_signing() {
            return;
        }
        while self
            .offers
            .waiting
            .front()
            .is_some_and(|offer| offer.until <= tick.steady)
        {
            let Some(offer) = self.offers.waiting.pop_front() else {
                return;
            };
            let outcomes = offer
                .events
                .into_iter()
                .map(|event| self.keep_offer(tick, event))
                .collect();
            tick.reply(offer.ticket, Reply::Emitted(outcomes));
        }
    }

    fn keep_offer(&mut self, tick: &mut Tick, event: Event) -> EmitOutcome {
        let (subject_id, choice) = match self.judge(&event) {
            Ok(judged) => judged,
            Err(outcome) => return *outcome,
        };
        if self.offers.kept.len() >= KEPT {
            let reason = format!(
                "this node is starting, and {KEPT} events are kept already; try again later"
            );
            return EmitOutcome::Refused {
                reason,
                retry: true,
            };
        }
        tick.changes
            .kept_offers
            .push((subject_id, Some(event.clone())));
        self.offers.kept.insert(subject_id, event);
        EmitOutcome::Kept {
            subject_id,
            choice,
            reason: self.can_sign().1,
        }
    }

    /// Signing is possible: once the registry file is known, what was kept is accepted, unless the
    /// file has another event or it was decided otherwise meanwhile.
    pub(super) fn accept_kept(&mut self, tick: &mut Tick) {
        if !self.registry.is_current() {
            return;
        }
        for (subject, event) in std::mem::take(&mut self.offers.kept) {
            let words = format!("{} {}", event.event, event.version);
            tick.changes.kept_offers.push((subject, None));
            if let EmitOutcome::Refused { reason, .. } = self.accept(tick, event) {
                tracing::warn!(
                    event = words,
                    reason,
                    "an event kept while this node started is not announced"
                );
            }
        }
    }
}
