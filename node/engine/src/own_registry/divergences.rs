//! Comparing what the registry file says with what was decided: what agrees, what is said to others
//! while it still counts, and what is a divergence.

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, SubjectId};
use ssid_protocol::record::FoundLater;
use ssid_storage::DivergenceRow;

use crate::engine::{Engine, Tick};
use crate::node_event::NodeEvent;

impl Engine {
    /// What the own registry says of a subject that is decided now. Its line needs no row any more.
    pub(crate) fn settle_own(&mut self, tick: &mut Tick, subject: SubjectId, own: Option<&Event>) {
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
    pub(crate) fn compare_line(&mut self, tick: &mut Tick, subject: SubjectId, own: &Event) {
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
        // told once, however often the line is read
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
        self.registry.note_divergence();
        let found_later = Some(FoundLater {
            choice,
            at: tick.now,
        });
        // the record says it too; one that late observations still change is written with them
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
        // others see the count in this node's heartbeat
        self.tell_state_soon(tick.steady);
    }

    /// Divergences whose decision has its place in the log, for the write that follows.
    pub(crate) fn queue_divergences(&mut self, tick: &mut Tick, first_sequence: u64) {
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
