//! Events: those this node announces and those that others do (SPEC §2, §7 rule 1, §10
//! *Announcement*).

use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::event::{Event, FEDERATION_EPOCH};
use ssid_protocol::id::{Choice, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::limits;
use ssid_protocol::timeliness::{CLOCK_TOLERANCE, untimely};
use ssid_protocol::vote::Phase;
use ssid_protocol::voting::{Candidate, Input};
use ssid_storage::{JournalRecord, SubjectState};

use super::clock::Now;
use super::engine::{Engine, Tick};
use super::messages::Validity;
use super::node_event::NodeEvent;
use super::open::Asked;
use super::proof::Proof;
use super::request::EmitOutcome;
use super::settings::{ANNOUNCED_TOGETHER, ANNOUNCEMENT_BYTES, UNSUPPORTED_OF_ORIGIN};

impl Engine {
    /// Makes an event this node's own, to be signed with this tick. It stands for its subject from
    /// now on, also while its announcement waits: if others are voting on that already, it is what
    /// this node observed.
    pub(super) fn accept(&mut self, tick: &mut Tick, event: Event) -> EmitOutcome {
        match self.judge(&event) {
            Ok((subject_id, choice)) => {
                self.own_events.accept(subject_id, event.clone());
                tick.own_events.push(event);
                self.adopt_own(tick, subject_id);
                EmitOutcome::Accepted { subject_id, choice }
            }
            Err(outcome) => *outcome,
        }
    }

    /// The subject and choice of an event that this node would announce, or what becomes of it
    /// instead.
    pub(super) fn judge(&self, event: &Event) -> Result<(SubjectId, Choice), Box<EmitOutcome>> {
        self.check_door(self.now, event)?;
        // what was decided is the answer to whatever else is offered
        let choice = event.choice();
        let subject_id = self.epochs.current().subject_of(event);
        if let Some((sequence, certified)) = self.certified_choice(&subject_id) {
            return Err(Box::new(EmitOutcome::Certified {
                subject_id,
                sequence,
                choice,
                certified,
            }));
        }
        if self.open.is_decided_before(&subject_id) {
            let reason =
                "this subject was decided before this node's database was lost; wait for the catch-up".to_owned();
            return Err(Box::new(EmitOutcome::Refused {
                reason,
                retry: true,
            }));
        }
        let (event_type, version) = (&event.event, &event.version);
        let differs = |has: &str, own: Choice| {
            let hash = own.event_hash;
            let reason = format!(
                "{has} event {hash} for {event_type} {version}, and it stands for one event a subject"
            );
            Err(Box::new(EmitOutcome::Refused {
                reason,
                retry: false,
            }))
        };
        if let Some((_, decided)) = self
            .open
            .get(&subject_id)
            .and_then(|open| open.machine.decided())
        {
            if decided == choice || self.is_agreed(&subject_id, decided, event) {
                return Err(Box::new(EmitOutcome::Known {
                    subject_id,
                    choice: decided,
                }));
            }
            return differs(
                "this subject is just being certified: this node holds",
                decided,
            );
        }
        if let Some(own) = self.announced_choice(&subject_id) {
            // the same fact again, as whoever repeats a command says it: its time is another
            if own == choice || self.is_agreed(&subject_id, own, event) {
                return Err(Box::new(EmitOutcome::Known {
                    subject_id,
                    choice: own,
                }));
            }
            return differs("this node has announced", own);
        }
        // what stands in the file, or was offered before this node could sign, holds too
        let kept = self.offers.kept(&subject_id).cloned();
        if let Some(own) = self
            .own_event(&subject_id)
            .or(kept)
            .filter(|own| own.choice() != choice)
        {
            if own.agrees_with(event) {
                return Err(Box::new(EmitOutcome::Known {
                    subject_id,
                    choice: own.choice(),
                }));
            }
            return differs("this node's registry has", own.choice());
        }
        // others keep no more of one origin, and would drop it
        let allowed = limits::OPEN_INSTANCES / self.epochs.current().members().max(1);
        if self.own_events.undecided() >= allowed {
            let reason = format!(
                "open_instances of one origin = {allowed} are under way; wait until some are certified"
            );
            return Err(Box::new(EmitOutcome::Refused {
                reason,
                retry: true,
            }));
        }
        Ok((subject_id, choice))
    }

    /// Whether this node may announce `event` at all.
    fn check_door(&self, now: Now, event: &Event) -> Result<(), Box<EmitOutcome>> {
        let refuse = |reason: String, retry| Err(Box::new(EmitOutcome::Refused { reason, retry }));
        event
            .check_admissible(self.epochs.current().number())
            .map_err(|refusal| Box::new(refusal.into()))?;
        if event.event == FEDERATION_EPOCH {
            return refuse(
                "federation_epoch events come from membership changes, not from events emit".into(),
                false,
            );
        }
        if self.rules.me.is_none() {
            return refuse(
                "this node is no voter of the current epoch: only voters originate events".into(),
                false,
            );
        }
        if let Some(reason) = self.standing.abstaining() {
            return refuse(format!("this node abstains: {reason}"), false);
        }
        if self.returning.is_of_former_life(event) {
            let reason = "its time lies before this node came back from an older copy, which may have announced \
                another for it; offer it with a later time";
            return refuse(reason.into(), false);
        }
        match self.peers.clock_offset(now) {
            Some(offset) if offset.unsigned_abs() > CLOCK_TOLERANCE.as_millis() as u64 => {
                let (seconds, side) = (
                    offset.unsigned_abs() / 1000,
                    if offset > 0 { "behind" } else { "ahead of" },
                );
                refuse(
                    format!(
                        "this machine's clock is {seconds} s {side} its peers'; correct it and try again"
                    ),
                    true,
                )
            }
            _ => Ok(()),
        }
    }

    pub(super) fn certified_choice(&self, subject: &SubjectId) -> Option<(u64, Choice)> {
        if let Some(known) = self.closing.decision(subject) {
            return Some(known);
        }
        let SubjectState::Certified { sequence } = self.store.subject(subject).ok()?? else {
            return None;
        };
        Some((sequence, self.store.log_entry(sequence).ok()??.choice))
    }

    /// Whether an accepted event, or a candidate of an open subject, records the same fact as an
    /// event.
    fn is_agreed(&self, subject: &SubjectId, own: Choice, event: &Event) -> bool {
        if let Some(accepted) = self
            .own_events
            .accepted(subject)
            .filter(|accepted| accepted.choice() == own)
        {
            return accepted.agrees_with(event);
        }
        let candidate = self
            .open
            .get(subject)
            .and_then(|open| open.machine.candidate(own));
        candidate.is_some_and(|candidate| candidate.event.agrees_with(event))
    }

    /// The event that this node has announced for a subject, or accepted to be announced: it never
    /// announces another one.
    pub(super) fn announced_choice(&self, subject: &SubjectId) -> Option<Choice> {
        if let Some(waiting) = self.own_events.accepted(subject) {
            return Some(waiting.choice());
        }
        let mut announced = self.open.get(subject)?.announced.iter();
        announced
            .find(|(_, proof)| proof.signer() == self.me)
            .map(|(choice, _)| *choice)
    }

    /// Signs what was accepted, in announcements that fit a message, and queues them for release.
    pub(super) fn sign_events(&mut self, tick: &mut Tick) {
        let mut part = Vec::new();
        let mut bytes = 0;
        for event in std::mem::take(&mut tick.own_events) {
            if bytes + event.size() > ANNOUNCEMENT_BYTES || part.len() == ANNOUNCED_TOGETHER {
                self.sign_announcement(tick, std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += event.size() + 8 * event.fields().len();
            part.push(event);
        }
        if !part.is_empty() {
            self.sign_announcement(tick, part);
        }
    }

    fn sign_announcement(&mut self, tick: &mut Tick, events: Vec<Event>) {
        if let Ok(batch) = VerifiedBatch::sign(
            &self.key,
            self.epochs.current().federation(),
            Statements::Events(events),
        ) {
            self.record.note_journaled(&batch);
            tick.journal.push(JournalRecord::Own(batch.batch().clone()));
            self.own_events.queue(Arc::new(batch));
        }
    }

    /// Whether an announcement waits and few enough others are under way. Of who votes no more nobody
    /// takes one: what waits is announced if it votes again.
    pub(super) fn can_release(&self) -> bool {
        let next = self.own_events.next().filter(|_| self.rules.me.is_some());
        next.is_some_and(|batch| self.others_keep(batch))
    }

    /// Own subjects in which nobody else voted that others still keep if they are announced now.
    pub(super) fn room_of_own(&self) -> usize {
        self.unsupported_share()
            .saturating_sub(self.counts.unsupported_of(&self.me))
    }

    /// Whether the others keep all that an own announcement opens. What they drop would make their
    /// open subjects differ from this node's for as long as its earlier ones wait for people.
    fn others_keep(&self, batch: &VerifiedBatch) -> bool {
        let room = self.room_of_own();
        if batch.statements().len() <= room || room == self.unsupported_share() {
            return true;
        }
        let Statements::Events(events) = batch.statements() else {
            return true;
        };
        // after a restart what was announced before it is counted already
        let is_counted = |event: &&Event| {
            let subject = self.epochs.current().subject_of(event);
            let open = self.open.get(&subject);
            open.is_some_and(|open| open.origin == Some(self.me))
        };
        let new = events.iter().filter(|event| !is_counted(event));
        new.take(room + 1).count() <= room
    }

    /// The open subjects of one origin in which nobody else voted that a node keeps.
    fn unsupported_share(&self) -> usize {
        UNSUPPORTED_OF_ORIGIN.min(limits::OPEN_INSTANCES / self.epochs.current().members().max(1))
    }

    /// Announces what waits, as far as few enough own events are undecided: peers' queues are
    /// bounded too.
    pub(super) fn release_backlog(&mut self, tick: &mut Tick) {
        while self.can_release() {
            let Some(batch) = self.own_events.take_next() else {
                return;
            };
            let Statements::Events(events) = batch.statements() else {
                continue;
            };
            self.store_batch(tick, &batch);
            for (index, event) in (0..).zip(events) {
                self.adopt(tick, event, &batch, index);
            }
            tick.effects.publish.push(batch);
        }
    }

    fn adopt(&mut self, tick: &mut Tick, event: &Event, batch: &Arc<VerifiedBatch>, index: u32) {
        let subject = self.epochs.current().subject_of(event);
        self.own_events.drop_accepted(&subject);
        if self.add_candidate(tick, event, Some(Proof::Batch(batch.clone(), index)), true) {
            self.own_events.announce(subject);
        }
    }

    /// A batch of announcements by another node.
    pub(super) fn take_announcements(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        events: &[Event],
    ) -> Validity {
        // all of them before any is looked at: what is known here must not make the batch worse
        // than it is elsewhere
        if let Some(refusal) = events
            .iter()
            .find_map(|event| event.check_in_any_epoch().err())
        {
            tracing::debug!(signer = %batch.signer(), %refusal, "inadmissible announcement");
            return Validity::Invalid;
        }
        let mut validity = Validity::Nothing;
        for (index, event) in (0..).zip(events) {
            if event
                .check_admissible(self.epochs.current().number())
                .is_err()
            {
                continue; // of another epoch
            }
            if self.add_candidate(tick, event, Some(Proof::Batch(batch.clone(), index)), false) {
                validity = Validity::New;
            }
        }
        if validity == Validity::New {
            self.store_batch(tick, batch);
        }
        validity
    }

    /// Adds an admissible event to its subject's candidates; whether that was anything new.
    pub(super) fn add_candidate(
        &mut self,
        tick: &mut Tick,
        event: &Event,
        proof: Option<Proof>,
        own: bool,
    ) -> bool {
        // a change is known only with its manifest beside it (SPEC §4), and is nobody's own
        // observation
        let is_change = event.event == FEDERATION_EPOCH;
        if is_change && !self.knows_manifest(tick, event, proof.as_ref()) {
            return false;
        }
        let in_registry = own && !is_change;
        let subject = self.epochs.current().policies().subject_of(event);
        let id = subject.id(self.epochs.current().federation());
        let choice = event.choice();
        // also for what is refused below: who announces twice is found out either way
        if let Some(proof) = &proof {
            self.compare_announcements(tick, &id, event, proof);
        }
        let signer = proof.as_ref().map(Proof::signer);
        let announced_by =
            signer.and_then(|signer| self.epochs.current().voters().index_of(&signer));
        // an instance costs memory: it is opened for the own registry, for what voters of weight
        // above F voted for, and else within its origin's share
        let may_open = own
            || self.open.contains_key(&id)
            || self
                .vote_buffer
                .is_backed(self.epochs.current().voters(), &id, choice)
            || !self.has_decision(&id) && self.has_room_for(tick, announced_by.and(signer));
        if !may_open || self.ensure_open(tick, id).is_none() {
            return false;
        }
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        let known = open
            .machine
            .candidate(choice)
            .is_some_and(|c| c.own || !own);
        // of an own event only the own announcement is the proof that is kept: it must be
        // remembered
        let me = self.me;
        let proven = open
            .announced
            .get(&choice)
            .is_some_and(|proof| !own || proof.signer() == me);
        // in a tie by time, what came while its time was now goes first: dating back wins nothing
        let prompt = is_near(tick.now, event);
        let candidate = Candidate {
            choice,
            event: event.clone(),
            announced_by,
            prompt,
            own: in_registry,
            endorsed: false,
        };
        // asked before anything is kept: one origin's second event for a subject must cost nothing
        if open.machine.decided().is_some()
            || known && (announced_by.is_none() || proven)
            || !open
                .machine
                .has_room_for(self.epochs.current().voters(), &candidate)
        {
            return false;
        }
        let is_first = open.subject.is_none();
        // votes of liars alone must not make it known: it would count to no origin, and nobody
        // could ever endorse it
        if is_first
            && !own
            && announced_by.is_none()
            && !open
                .machine
                .is_backed(self.epochs.current().voters(), choice)
        {
            return false;
        }
        open.subject.get_or_insert(subject);
        open.asked = Asked::new(tick.steady);
        // the own batch replaces a proof without one: compaction keeps own announcements by their
        // batches
        if let (Some(proof), Some(_), true) = (proof, announced_by, own || !proven) {
            open.announced.insert(choice, proof);
        }
        if is_first {
            self.note_opened(tick, id, event, announced_by.and(signer));
        }
        // on disk with this tick: votes may name it from the next line on
        self.wants.arrived(&choice.content_digest);
        tick.changes.events.push(event.clone());
        tick.dirty.insert(id);
        // what the own registry has for this subject is what this node stands for, before any of
        // the others' is endorsed
        if is_first && !own {
            self.adopt_own(tick, id);
        }
        if !own && !is_change && self.may_endorse_in(&id) {
            self.look_before_endorsing(tick, id);
        }
        self.apply(tick, id, Input::Candidate(candidate));
        self.endorse(tick, id);
        true
    }

    /// Whether this node may still endorse something for a subject: it has prevoted nothing and
    /// observed nothing.
    pub(super) fn may_endorse_in(&self, subject: &SubjectId) -> bool {
        let (Some(me), Some(open)) = (self.rules.me, self.open.get(subject)) else {
            return false;
        };
        let machine = &open.machine;
        let has_voted = machine
            .tally(Round::ZERO, Phase::Prevote)
            .is_some_and(|tally| tally.first(me).is_some());
        machine.round() == Round::ZERO
            && !has_voted
            && !machine.candidates().any(|candidate| candidate.own)
    }

    fn note_opened(
        &mut self,
        tick: &mut Tick,
        subject_id: SubjectId,
        event: &Event,
        signer: Option<NodeId>,
    ) {
        self.count_origin(subject_id, signer);
        let (event, version) = (event.event.clone(), event.version.clone());
        tick.effects.events.push(NodeEvent::Opened {
            subject_id,
            event,
            version,
        });
    }

    /// Counts an open subject to the origin that opened it; [`Engine::forget`] counts it back.
    pub(super) fn count_origin(&mut self, subject: SubjectId, origin: Option<NodeId>) {
        let (Some(open), Some(origin)) = (self.open.get_mut(&subject), origin) else {
            return;
        };
        open.origin = Some(origin);
        let index = self.epochs.current().voters().index_of(&origin);
        // a subject that this node voted for in an earlier life may be its own
        open.is_supported &= origin != self.me;
        open.is_supported |= open.held.iter().any(|held| Some(held.voter) != index);
        self.counts.open(origin, open.first_seen, subject);
    }

    /// SPEC §12: one origin may hold its share of the open instances; past that its oldest in which
    /// this node has signed nothing is dropped. An event without a voter's announcement opens
    /// nothing: it can only become a candidate of what is voted on already.
    fn has_room_for(&mut self, tick: &mut Tick, origin: Option<NodeId>) -> bool {
        let Some(origin) = origin else { return false };
        let share = limits::OPEN_INSTANCES / self.epochs.current().members().max(1);
        if self.counts.unsupported_of(&origin) >= self.unsupported_share() {
            // the earlier ones stay for people to look at; this one comes again with a re-offer
            self.refused.open_instances += 1;
            return false;
        }
        if self.counts.open_of(&origin) < share {
            return true;
        }
        let is_unsigned = |id: &SubjectId| {
            self.open
                .get(id)
                .is_some_and(|open| self.rules.me.is_none_or(|me| !open.machine.has_part_of(me)))
        };
        let Some(oldest) = self.counts.oldest_of(&origin).find(is_unsigned) else {
            self.refused.open_instances += 1;
            return false;
        };
        self.refused.open_instances += 1;
        tracing::debug!(%origin, subject = %oldest, "open_instances of one origin = {share} exceeded: its oldest is dropped");
        self.forget(&oldest);
        tick.changes.conflicts.retain(|(id, _)| *id != oldest);
        tick.changes.dropped_subjects.push(oldest);
        true
    }

    /// At most 5 minutes ahead of the local clock, and not older than `max_event_age_days` (SPEC
    /// §2).
    pub(super) fn is_timely(&self, now: UnixMillis, event: &Event) -> bool {
        untimely(event, now, self.settings.max_event_age).is_none()
    }
}

pub(super) fn is_near(now: UnixMillis, event: &Event) -> bool {
    let at = event
        .instant()
        .map(|instant| i128::from(instant.unix_millis()));
    at.is_some_and(|at| (at - i128::from(now.0)).unsigned_abs() <= CLOCK_TOLERANCE.as_millis())
}
