//! Coming back: what the journal and the database say about where this node was (SPEC §7 State).

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_storage::{ConflictRow, JournalRecord, StorageError};

use super::clock::Now;
use super::engine::{Engine, EngineParts, Tick};
use super::messages::Effects;
use super::node_event::NodeEvent;
use super::peers::PeerState;

mod journal;
mod votes;

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
        engine.settle_conflicts(&mut first)?;
        engine.begin_reading(&mut first);
        engine.recovered = Some(first);
        let effects = engine.tick(now, Vec::new());
        Ok((engine, effects))
    }

    /// Rows of conflicts end whose subjects are not open: what is in conflict again later gets its
    /// row again. What is in conflict and has none gets one: the votes that led there may have
    /// reached the disk without it.
    fn settle_conflicts(&self, tick: &mut Tick) -> Result<(), StorageError> {
        let rows: BTreeSet<_> = (self.store.conflicts()?.into_iter())
            .map(|(subject, _)| subject)
            .collect();
        let (held, stale): (BTreeSet<_>, BTreeSet<_>) =
            (rows.into_iter()).partition(|subject| self.open.contains_key(subject));
        tick.changes.conflicts_ended.extend(stale);
        for (subject, open) in &self.open {
            if self.is_in_conflict(open) && !held.contains(subject) {
                let (since, round) = (tick.now, open.machine.round());
                tick.changes
                    .conflicts
                    .push((*subject, ConflictRow { since, round }));
            }
        }
        Ok(())
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
}
