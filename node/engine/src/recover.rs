//! Coming back: what the journal and the database say about where this node was (SPEC §7 State),
//! and keeping the journal short.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Epoch, NodeId, SubjectId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::record::Transport;
use ssid_protocol::vote::{Phase, Vote};
use ssid_protocol::voting::{Candidate, Input, Instance, OwnHistory};
use ssid_storage::{
    JournalRecord, LockRow, NoteKind, OperatorNote, ProofRef, StorageError, SubjectState,
};

use super::clock::Now;
use super::engine::{Engine, EngineParts, Tick};
use super::membership;
use super::messages::Effects;
use super::node_event::NodeEvent;
use super::open::{Held, Open, Proposed};
use super::peers::PeerState;
use super::proof::Proof;

/// Batches read from the journal, by the subjects that are still undecided.
#[derive(Default)]
struct Replay {
    histories: BTreeMap<SubjectId, OwnHistory>,
    batches: Vec<Arc<VerifiedBatch>>,
    /// Others' votes, each with a proof of its own.
    alone: Vec<Signed>,
    announcements: Vec<Arc<VerifiedBatch>>,
    notes: Vec<OperatorNote>,
    done: HashSet<SubjectId>,
    /// Own closes, by the epoch that they close.
    closes: Vec<(Epoch, Arc<VerifiedBatch>)>,
}

impl Engine {
    /// An engine as it was when it last wrote: own votes, locks and announcements from the journal,
    /// candidates and trust from the database. What it gives out with it wants doing first: timers,
    /// and announcements to make again.
    ///
    /// # Errors
    /// If the database cannot be read, or written.
    pub fn recover(
        parts: EngineParts,
        records: Vec<JournalRecord>,
        now: impl Into<Now>,
    ) -> Result<(Self, Effects), StorageError> {
        let now = now.into();
        let mut engine = Self::empty(parts);
        // first: damage of the database is told from a torn write by what it says of the journal
        engine.record.note_journal(&engine.store)?;
        (engine.now, engine.started) = (now, now.steady);
        // by whose votes and keys all of the rest is read
        engine.load_epochs()?;
        // what is measured is taken up where it was: scores, and the numbers of own heartbeats
        for row in engine.store.clone().trust() {
            engine.trust.apply(&row?.1);
        }
        for (node, row) in engine.store.peers()? {
            if node == engine.me {
                engine.heartbeats.numbered(row.last_sequence);
                if let Some(check) = &mut engine.startup_check {
                    check.note_numbered(row.last_sequence, now.wall);
                }
                continue;
            }
            engine.peers.states.insert(
                node,
                PeerState {
                    row,
                    ..PeerState::default()
                },
            );
        }
        engine.count_records()?;
        // own votes and locks before anything is stepped: nothing may contradict them
        engine.keep_if_later(&records);
        let replay = engine.read_journal(records)?;
        engine.rules.signing = engine.signing();
        let inherited = engine
            .store
            .clone()
            .all_inherited()
            .collect::<Result<_, _>>()?;
        engine.resume_votes(now, &replay, &inherited);
        for note in &replay.notes {
            // nothing waits for it yet, nor has it anything to say
            if let Some(open) = engine.ensure_open(&mut Tick::new(now), note.subject) {
                open.note(*note);
            }
        }
        // candidates after the votes: an instance that voted goes on with its round
        engine.reopen_candidates(now)?;
        engine.resume_change()?;
        engine.load_kept_offers()?;
        for row in engine.store.clone().divergences() {
            row?;
            engine.registry.note_divergence();
        }
        for batch in replay.announcements {
            engine.queue_again(&batch);
        }
        // whoever holds two certificates of one subject certifies nothing more, restarted or not
        if let Some(reason) = engine.load_evidence()? {
            engine.standing.make_read_only(reason.clone());
            return Ok((
                engine,
                Effects {
                    events: vec![NodeEvent::ReadOnly { reason }],
                    ..Effects::default()
                },
            ));
        }
        // what all this wants said goes out with a first tick, like anything else: disk, then effects
        let mut first = engine.recovered.take().unwrap_or_else(|| Tick::new(now));
        engine.note_known(&mut first);
        engine.end_stale_conflicts(&mut first)?;
        engine.begin_reading(&mut first);
        engine.recovered = Some(first);
        let effects = engine.tick(now, Vec::new());
        Ok((engine, effects))
    }

    /// Rows of conflicts end whose subjects are not open: what is in conflict again later gets its
    /// row again.
    fn end_stale_conflicts(&self, tick: &mut Tick) -> Result<(), StorageError> {
        let rows = self
            .store
            .conflicts()?
            .into_iter()
            .map(|(subject, _)| subject);
        tick.changes
            .conflicts_ended
            .extend(rows.filter(|subject| !self.open.contains_key(subject)));
        Ok(())
    }

    fn is_decided(&self, subject: &SubjectId) -> Result<bool, StorageError> {
        Ok(matches!(
            self.store.subject(subject)?,
            Some(SubjectState::Certified { .. })
        ))
    }

    /// Keeps the journal as it is where it speaks of epochs that have still to be entered: its
    /// database was lost, or is behind.
    fn keep_if_later(&mut self, records: &[JournalRecord]) {
        let current = self.epochs.current().number();
        let is_later = |record: &JournalRecord| match record {
            JournalRecord::Own(batch) => batch
                .statements
                .latest_epoch()
                .is_some_and(|epoch| epoch > current),
            _ => false,
        };
        if records.iter().any(is_later) {
            self.membership.keep_unread(records.to_vec());
        }
    }

    /// What the journal says of the epoch that is entered now, if it was kept for that.
    pub(super) fn read_unread(
        &mut self,
        inherited: &BTreeMap<SubjectId, LockRow>,
    ) -> Result<(), StorageError> {
        let records = self.membership.take_unread();
        if records.is_empty() {
            return Ok(());
        }
        self.keep_if_later(&records);
        let replay = self.read_journal(records)?;
        self.resume_votes(self.now, &replay, inherited);
        for batch in replay.announcements {
            self.queue_again(&batch);
        }
        Ok(())
    }

    fn read_journal(&mut self, records: Vec<JournalRecord>) -> Result<Replay, StorageError> {
        let mut replay = Replay::default();
        // everything is verified again: the disk may lie
        let mut keys: HashMap<NodeId, VerifyKey> = self
            .epochs
            .current()
            .voters()
            .iter()
            .map(|(_, voter)| (voter.key.id(), voter.key.clone()))
            .collect();
        if let Ok(own) = VerifyKey::parse(self.me) {
            keys.insert(self.me, own);
        }
        for record in records {
            match record {
                JournalRecord::Own(batch) | JournalRecord::Support(batch) => {
                    let Some(batch) = verified(&keys, batch, self.epochs.current().federation())
                    else {
                        continue;
                    };
                    self.record.note_journaled(&batch);
                    self.sort_in(&mut replay, batch)?;
                }
                JournalRecord::SupportAlone(signed) => {
                    let key = keys.get(&signed.proof.signer);
                    if key.is_some_and(|key| {
                        signed
                            .verify(key, self.epochs.current().federation())
                            .is_ok()
                    }) {
                        replay.alone.push(*signed);
                    } else {
                        tracing::error!("a journaled vote does not verify");
                    }
                }
                JournalRecord::Done(subjects) => replay.done.extend(subjects),
                JournalRecord::Note(note) => {
                    if !self.is_decided(&note.subject)? {
                        replay.notes.push(note);
                    }
                }
                JournalRecord::Abstain(reason) => {
                    self.standing.note_rolled_back(reason);
                    self.returning.forget();
                }
                JournalRecord::OldCopyGone(since) => self.returning.note_alone(since),
                JournalRecord::Returns { after } => self.returning.note_after(after),
                JournalRecord::Entered(epoch) => self.membership.note_entered(epoch),
                JournalRecord::Succeeds { former, epoch } => {
                    self.membership.note_succeeds(former, epoch);
                }
                JournalRecord::Created { .. } => {}
            }
        }
        self.end_abstaining();
        for (epoch, batch) in &replay.closes {
            self.membership.note_own_close(*epoch, batch);
        }
        // decided, and the database does not know: it was lost since
        for subject in &replay.done {
            if !self.is_decided(subject)? {
                self.open.note_decided_before(*subject);
            }
        }
        Ok(replay)
    }

    fn sort_in(&self, replay: &mut Replay, batch: VerifiedBatch) -> Result<(), StorageError> {
        let own = batch.signer() == self.me;
        let batch = Arc::new(batch);
        // of what is decided nothing is held in memory
        let mut is_of_use = false;
        match batch.statements() {
            Statements::Events(events) if own => {
                for event in events {
                    is_of_use |= !self.is_decided(&self.epochs.current().subject_of(event))?;
                }
                if is_of_use {
                    // it is announced again: nobody may have heard it
                    replay.announcements.push(batch);
                }
                return Ok(());
            }
            Statements::Votes(votes) => {
                for vote in votes
                    .iter()
                    .filter(|v| v.epoch == self.epochs.current().number())
                {
                    // what is voted on again is certified already
                    let is_again = self.membership.again(&vote.subject).is_some();
                    if !is_again && self.is_decided(&vote.subject)? {
                        continue;
                    }
                    is_of_use = true;
                    // others' votes only prove a lock
                    if own {
                        let history = replay.histories.entry(vote.subject).or_default();
                        history.votes.push((vote.round, vote.phase, vote.ballot));
                    }
                }
            }
            Statements::Closes(closes) if own => {
                for close in closes {
                    replay.closes.push((close.epoch, batch.clone()));
                }
                return Ok(());
            }
            Statements::Proposals(proposals) if own => {
                for proposal in proposals
                    .iter()
                    .filter(|p| p.epoch == self.epochs.current().number())
                {
                    if !self.is_decided(&proposal.subject)? {
                        is_of_use = true;
                        replay
                            .histories
                            .entry(proposal.subject)
                            .or_default()
                            .proposals
                            .push(*proposal);
                    }
                }
            }
            _ => {}
        }
        if is_of_use {
            replay.batches.push(batch);
        }
        Ok(())
    }

    /// Instances in which this node signed something, with the proofs that the journal kept.
    fn resume_votes(
        &mut self,
        now: Now,
        replay: &Replay,
        inherited: &BTreeMap<SubjectId, LockRow>,
    ) {
        let Some(me) = self.rules.me else { return };
        for (subject, history) in &replay.histories {
            let history = &OwnHistory {
                inherited: inherited.get(subject).map(membership::polka),
                ..history.clone()
            };
            let change = *subject == self.epochs.current().change();
            let machine = Instance::resume(
                self.epochs.current().number(),
                *subject,
                change,
                history,
                self.epochs.current().voters(),
                me,
            );
            let mut open = Open::new(machine, now);
            open.is_supported = true; // by this node
            self.open.insert(*subject, open);
        }
        // the machine knows what was voted; others want to see it proven
        for batch in &replay.batches {
            match batch.statements() {
                Statements::Votes(votes) => {
                    for (index, vote) in (0..).zip(votes) {
                        self.hold_again(vote, Proof::Batch(batch.clone(), index));
                    }
                }
                Statements::Proposals(proposals) => {
                    for (index, proposal) in (0..)
                        .zip(proposals)
                        .filter(|(_, p)| p.epoch == self.epochs.current().number())
                    {
                        if let Some(open) = self.open.get_mut(&proposal.subject) {
                            let proof = Proof::Batch(batch.clone(), index);
                            open.proposals.push(Proposed {
                                proposal: *proposal,
                                proof,
                            });
                        }
                    }
                }
                _ => {}
            }
        }
        for Signed { statement, proof } in &replay.alone {
            if let Statement::Vote(vote) = statement {
                self.hold_again(vote, Proof::alone(proof.clone()));
            }
        }
    }

    /// Holds a vote of the journal, if its subject is open.
    fn hold_again(&mut self, vote: &Vote, proof: Proof) {
        let Some(voter) = self.epochs.current().voters().index_of(&proof.signer()) else {
            return;
        };
        let Some(open) = self
            .open
            .get_mut(&vote.subject)
            .filter(|_| vote.epoch == self.epochs.current().number())
        else {
            return;
        };
        let Vote {
            round,
            phase,
            ballot,
            observed,
            ..
        } = *vote;
        let is_held = open
            .held
            .iter()
            .any(|v| (v.voter, v.round, v.phase, v.ballot) == (voter, round, phase, ballot));
        if !is_held {
            let transport = Transport::Live; // the journal does not say
            open.held.push(Held {
                voter,
                round,
                phase,
                ballot,
                observed,
                proof,
                transport,
            });
        }
    }

    /// The candidates that were known, and then the others' votes that the journal kept: an event
    /// must be known before a polka for it counts.
    fn reopen_candidates(&mut self, now: Now) -> Result<(), StorageError> {
        let mut tick = Tick::new(now);
        for row in self.store.clone().open_subjects() {
            let (subject, row) = row?;
            let candidates = row.candidates;
            for (choice, proof) in candidates {
                let Some(event) = self.store.event(&choice.content_digest)? else {
                    continue;
                };
                let announced = self.announcement(proof)?;
                let announced_by = announced
                    .as_ref()
                    .and_then(|a| self.epochs.current().voters().index_of(&a.signer()));
                let Some(open) = self.ensure_open(&mut tick, subject) else {
                    continue;
                };
                // how long it has been open only the wall clock says
                (open.first_seen, open.opened) = (row.first_seen, None);
                open.subject.get_or_insert_with(|| row.subject.clone());
                if let (Some(announced), Some(_)) = (announced, announced_by) {
                    let (origin, is_first) = (announced.signer(), open.announced.is_empty());
                    open.announced.insert(choice, announced);
                    self.count_origin(subject, Some(origin).filter(|_| is_first));
                }
                let prompt = row.prompt.contains(&choice);
                let candidate = Candidate {
                    choice,
                    event,
                    announced_by,
                    prompt,
                    own: false,
                    endorsed: false,
                };
                self.apply(&mut tick, subject, Input::Remembered(candidate));
                self.endorse(&mut tick, subject);
            }
        }
        self.apply_notes(&mut tick);
        self.count_kept_votes(&mut tick);
        // what this made the instances say goes out with the first tick
        self.recovered = Some(tick);
        Ok(())
    }

    /// What operators decided holds again. Endorsements were looked at with each candidate.
    fn apply_notes(&mut self, tick: &mut Tick) {
        let notes: Vec<_> = self
            .open
            .values()
            .flat_map(|open| open.notes.clone())
            .collect();
        for note in notes {
            // what was said of a change of members is followed with the first tick
            if note.subject == self.epochs.current().change() {
                continue;
            }
            match (note.kind, note.choice) {
                (NoteKind::Stand, Some(choice)) => {
                    self.apply(tick, note.subject, Input::Choose(choice));
                }
                (NoteKind::Refuse, _) => self.apply(tick, note.subject, Input::Refuse),
                (NoteKind::Endorse | NoteKind::Waive, _) | (NoteKind::Stand, None) => {}
            }
        }
    }

    fn count_kept_votes(&mut self, tick: &mut Tick) {
        let kept: Vec<_> = self
            .open
            .iter()
            .flat_map(|(subject, open)| {
                open.held
                    .iter()
                    .map(|v| (*subject, v.voter, v.round, v.phase, v.ballot))
            })
            .filter(|(_, voter, ..)| Some(*voter) != self.rules.me)
            .collect();
        for (subject, voter, round, phase, ballot) in kept {
            self.apply(
                tick,
                subject,
                Input::Vote {
                    voter,
                    round,
                    phase,
                    ballot,
                },
            );
        }
    }

    fn announcement(&self, proof: Option<ProofRef>) -> Result<Option<Proof>, StorageError> {
        Ok(proof
            .map(|proof| self.store.announcement(&proof))
            .transpose()?
            .map(Proof::alone))
    }

    /// Own announcements whose subjects are undecided are made again, and stand as own events
    /// again.
    fn queue_again(&mut self, batch: &Arc<VerifiedBatch>) {
        let Statements::Events(events) = batch.statements() else {
            return;
        };
        // a proposal stands for no line of the registry file
        for event in events
            .iter()
            .filter(|event| event.event != FEDERATION_EPOCH)
        {
            let subject = self.epochs.current().subject_of(event);
            self.own_events.accept(subject, event.clone());
        }
        self.own_events.queue(batch.clone());
    }

    /// Rewrites the journal without what belongs to certified subjects; of those only the names
    /// stay, so that nothing is signed for them again even if the database is lost.
    pub(super) fn compact_journal(&mut self) -> Result<(), StorageError> {
        let mut kept = vec![JournalRecord::Created { node: self.me }];
        let rolled_back = self.standing.rolled_back().map(str::to_owned);
        kept.extend(rolled_back.map(JournalRecord::Abstain));
        kept.extend(self.returning.records());
        // every decided subject by name, in case the database is lost
        let mut done: Vec<SubjectId> = self.open.decided_before().iter().copied().collect();
        for sequence in 0..self.store.log_head().size {
            let entry = self.store.log_entry(sequence)?;
            done.extend(entry.map(|entry| entry.subject.id(self.epochs.current().federation())));
        }
        kept.extend(
            done.chunks(1024)
                .map(|part| JournalRecord::Done(part.to_vec())),
        );
        // from here on it is told again what the journal holds
        self.record.forget_journaled();
        // that an epoch was entered, and others closed, holds for good
        kept.push(JournalRecord::Entered(self.membership.entered_once()));
        kept.extend(self.membership.succeeds());
        let closes = self.membership.own_closes();
        kept.extend(closes.map(|batch| JournalRecord::Own(batch.batch().clone())));
        // signed, and not said yet
        for batch in self.own_events.queued() {
            kept.push(JournalRecord::Own(batch.batch().clone()));
        }
        let epoch = self.epochs.current().number();
        for (subject, open) in &self.open {
            kept.extend(open.notes.iter().copied().map(JournalRecord::Note));
            let proposals = open.proposals.iter().map(|proposed| &proposed.proof);
            let own = open
                .announced
                .values()
                .chain(proposals)
                .chain(open.held.iter().map(|vote| &vote.proof));
            for batch in own
                .filter_map(Proof::batch)
                .filter(|batch| batch.signer() == self.me)
            {
                if self.record.note_journaled(batch) {
                    kept.push(JournalRecord::Own(batch.batch().clone()));
                }
            }
            // a lock goes with the prevotes that prove it, or nobody could follow it
            let Some(lock) = open.machine.locked() else {
                continue;
            };
            for vote in open.votes_for(lock.at.round, Phase::Prevote, lock.choice) {
                kept.extend(self.record.support(vote, epoch, *subject));
            }
        }
        let bytes = self.record.rewrite(kept)?;
        tracing::info!(bytes, "votes journal compacted");
        Ok(())
    }
}

/// A batch of the own journal; one that does not verify is of another federation, or the disk lies.
fn verified(
    keys: &HashMap<NodeId, VerifyKey>,
    batch: SignedBatch,
    federation: &ssid_protocol::id::FederationId,
) -> Option<VerifiedBatch> {
    let key = keys.get(&batch.signer)?;
    batch
        .verify(key, federation)
        .map_err(|error| tracing::error!(%error, "a journaled batch does not verify"))
        .ok()
}
