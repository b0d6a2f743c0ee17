//! What is voted on again in an epoch that has begun: subjects that were open or that somebody was
//! locked on, and certified ones that others may only be locked on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, NodeId, SubjectId};
use ssid_protocol::voting::{Candidate, Input, Instance, Polka};
use ssid_storage::{LockRow, NoteKind, StorageError};

use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::open::Open;
use crate::proof::Proof;

/// How long what is voted on again stays in memory after the last vote.
const AGAIN_QUIET: Duration = Duration::from_mins(10);

impl Engine {
    /// Opens a subject in the epoch that has begun: with the candidates that were known, and the
    /// lock that it inherits, if any.
    pub(super) fn open_again(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        before: Option<Open>,
        lock: Option<&LockRow>,
    ) {
        let number = self.epochs.current().number();
        let mut open = self.open.remove(&subject).unwrap_or_else(|| {
            let machine = Instance::inheriting(number, subject, false, lock.map(polka));
            Open::new(machine, tick.now())
        });
        let mut candidates = Vec::new();
        if let Some(before) = before {
            (open.first_seen, open.opened) = (before.first_seen, before.opened);
            open.subject = before.subject;
            open.notes = before.notes;
            open.look = before.look;
            candidates.extend(before.machine.candidates().cloned());
            open.announced = before.announced;
        }
        candidates.extend(open.machine.candidates().cloned());
        let known: BTreeSet<Choice> = candidates.iter().map(|known| known.choice).collect();
        // admissible as it was in the lock's epoch
        let inherited = lock.map(|lock| lock.proof.event().clone());
        let inherited = inherited.filter(|event| !known.contains(&event.choice()));
        if let Some(event) = inherited {
            let subject = self.epochs.current().policies().subject_of(&event);
            open.subject.get_or_insert(subject);
            candidates.push(from_lock(event));
        }
        let origin = open.announced.values().map(Proof::signer).next();
        let notes = open.notes.clone();
        let announced: BTreeMap<Choice, NodeId> = open
            .announced
            .iter()
            .map(|(choice, proof)| (*choice, proof.signer()))
            .collect();
        self.open.insert(subject, open);
        self.count_origin(subject, origin);
        for candidate in candidates {
            // an announcement counts as long as its signer is a voter
            let signer = announced.get(&candidate.choice);
            let announced_by =
                signer.and_then(|signer| self.epochs.current().voters().index_of(signer));
            let candidate = Candidate {
                announced_by,
                endorsed: false,
                ..candidate
            };
            self.apply(tick, subject, Input::Remembered(candidate));
        }
        for note in notes {
            match (note.kind, note.choice) {
                (NoteKind::Stand, Some(choice)) => self.apply(tick, subject, Input::Choose(choice)),
                (NoteKind::Refuse, _) => self.apply(tick, subject, Input::Refuse),
                (NoteKind::Endorse | NoteKind::Waive, _) | (NoteKind::Stand, None) => {}
            }
        }
        tick.dirty.insert(subject);
        self.endorse(tick, subject);
    }

    /// Locks that were inherited, after a restart: their subjects are open though nobody announced
    /// them to this life.
    pub(crate) fn reopen_inherited(&mut self, tick: &mut Tick) -> Result<(), StorageError> {
        for row in self.store.clone().all_inherited() {
            let (subject, row) = row?;
            let is_certified = self.membership.again.contains_key(&subject);
            if is_certified || self.is_certified(&subject) {
                continue;
            }
            if !self.open.contains_key(&subject) {
                self.open_again(tick, subject, None, Some(&row));
                continue;
            }
            let event = row.proof.event().clone();
            self.apply(tick, subject, Input::Remembered(from_lock(event)));
        }
        Ok(())
    }

    /// A vote for a certified subject that others may only be locked on: this node takes part in it
    /// as if locked on what it holds (SPEC §4, *Earlier epochs*).
    pub(crate) fn open_certified_again(&mut self, tick: &mut Tick, subject: SubjectId) {
        let Some(row) = self.membership.again(&subject).cloned() else {
            return;
        };
        let number = self.epochs.current().number();
        let machine = Instance::inheriting(number, subject, false, Some(polka(&row)));
        let mut open = Open::new(machine, tick.now());
        let event = row.proof.event().clone();
        open.subject = Some(self.epochs.current().policies().subject_of(&event));
        self.open.insert(subject, open);
        self.apply(tick, subject, Input::Remembered(from_lock(event)));
    }

    /// What is voted on again ends when nothing more comes: whoever needed it has it.
    pub(super) fn end_quiet_again(&mut self, now: Steady) {
        let is_quiet = |subject: &&SubjectId| {
            let open = self.open.get(subject);
            open.is_some_and(|open| open.asked.quiet_for(now) > AGAIN_QUIET)
        };
        let quiet = self.membership.again.keys().filter(is_quiet);
        for subject in quiet.copied().collect::<Vec<_>>() {
            self.forget(&subject);
        }
    }

    /// The open subjects, without what is certified and voted on again for others.
    pub(crate) fn open_subjects(&self) -> impl Iterator<Item = (&SubjectId, &Open)> {
        let open = self.open.iter();
        open.filter(|(subject, _)| !self.membership.is_again(subject))
    }

    /// How many those are.
    pub(crate) fn open_count(&self) -> u64 {
        let again = self.membership.again.keys();
        let again = again.filter(|subject| self.open.contains_key(subject));
        (self.open.len() - again.count()) as u64
    }
}

/// What an inherited lock is to the instance.
pub(crate) fn polka(row: &LockRow) -> Polka {
    Polka {
        at: row.entry.at,
        choice: row.entry.choice,
    }
}

/// The candidate that a lock's proof brings along: no announcement is held, and neither
/// the own registry nor an operator stands behind it.
fn from_lock(event: Event) -> Candidate {
    Candidate {
        choice: event.choice(),
        event,
        announced_by: None,
        prompt: false,
        own: false,
        endorsed: false,
    }
}
