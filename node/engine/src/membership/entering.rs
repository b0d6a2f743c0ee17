//! Entering the next epoch (SPEC §4, *Entering*): what the counted closes put in force, one write,
//! and the voting that begins anew under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Epoch, NodeId, SubjectId};
use ssid_protocol::set_tree::LockEntry;
use ssid_protocol::sync::LockProof;
use ssid_protocol::vote::RoundId;
use ssid_protocol::voting::{Candidate, Input, Instance};
use ssid_storage::{CloseRow, JournalRecord, LockRow, NoteKind, StorageError};

use super::boundary::{Boundary, Named};
use super::polka;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::node_event::NodeEvent;
use crate::open::Open;
use crate::proof::Proof;
use crate::startup_check::StartupCheck;

/// How long what is voted on again stays in memory after the last vote.
const AGAIN_QUIET: Duration = Duration::from_mins(10);

/// What the counted closes leave to the next epoch.
#[derive(Debug, Default)]
struct InForce {
    /// Certificates that this node did not take by themselves.
    certified: Vec<Certificate>,
    /// Locks on subjects that are not certified, the latest of each.
    locks: BTreeMap<SubjectId, LockRow>,
    /// Subjects that this node has certified, and others perhaps not.
    again: BTreeMap<SubjectId, LockRow>,
}

impl Engine {
    /// Enters the next epoch once enough closes are counted.
    pub(super) fn enter_next(&mut self, tick: &mut Tick) {
        let Some(boundary) = &self.membership.boundary else {
            return;
        };
        let contexts = (
            self.epochs.get(boundary.epoch).cloned(),
            self.epochs.get(boundary.epoch.next()).cloned(),
        );
        let (Some(ending), Some(next)) = contexts else {
            return;
        };
        let Some(closers) = boundary.enough(ending.voters(), next.voters()) else {
            return;
        };
        if boundary.sets.is_none() {
            return;
        }
        let rows = closers.iter().filter_map(|node| {
            let row = boundary.closes.get(node)?.counted.clone()?;
            Some((*node, row))
        });
        let rows: BTreeMap<_, _> = rows.collect();
        let in_force = match self.in_force(boundary, &ending, &next, &rows) {
            Ok(in_force) => in_force,
            Err(error) => {
                tick.failure.get_or_insert(error.to_string());
                return;
            }
        };
        if let Some(reason) = self.keeps_out(&rows) {
            self.standing.make_read_only(reason.clone());
            tick.effects.events.push(NodeEvent::ReadOnly { reason });
            return;
        }
        tracing::info!(
            epoch = next.number().0,
            closes = rows.len(),
            locks = in_force.locks.len(),
            "this node enters the epoch"
        );
        // what this tick saw of who votes twice needs the votes, which end with the epoch
        self.accuse_voters(tick);
        self.write_entering(tick, &next, &rows, &in_force);
        self.begin_epoch(tick, next.number(), in_force);
    }

    /// What the closes of a quorum put in force. What an epoch before the one that ends alone proves
    /// is, if closes of weight above F name it: whoever stole its keys cannot add anything.
    fn in_force(
        &self,
        boundary: &Boundary,
        ending: &EpochContext,
        next: &EpochContext,
        rows: &BTreeMap<NodeId, Arc<CloseRow>>,
    ) -> Result<InForce, StorageError> {
        let voters = ending.voters();
        let named = named(ending, rows);
        let mut in_force = InForce::default();
        let mut locks: BTreeMap<SubjectId, LockRow> = BTreeMap::new();
        let mut add_lock = |row: LockRow| {
            let known = locks.get(&row.entry.subject);
            if known.is_none_or(|known| known.entry.at < row.entry.at) {
                locks.insert(row.entry.subject, row);
            }
        };
        for (subject, certificate) in &boundary.certificates {
            if self.is_certified(subject) {
                continue;
            }
            let said = named.get(subject);
            let certified = said.map_or(0, |named| named.certified(&certificate.choice));
            let any = said.map_or(0, |named| named.any(&certificate.choice));
            // also of the epoch that ends: whoever comes late may have been shown one that was made
            // when that was over
            let is_of_ending = certificate.epoch == boundary.epoch && certified > 0;
            if is_of_ending || voters.exceeds_faulty(certified) {
                in_force.certified.push(certificate.clone());
            } else if voters.exceeds_faulty(any) || certificate.epoch == boundary.epoch && any > 0 {
                add_lock(lock_by(certificate, *subject));
            }
        }
        let certified: BTreeSet<_> = in_force
            .certified
            .iter()
            .map(|certificate| certificate.subject.id(ending.federation()))
            .collect();
        for (entry, proof) in rows.values().flat_map(|row| &row.locks) {
            let said = named.get(&entry.subject);
            let any = said.map_or(0, |named| named.any(&entry.choice));
            let is_in_force = entry.at.epoch == boundary.epoch || voters.exceeds_faulty(any);
            let is_certified =
                certified.contains(&entry.subject) || self.is_certified(&entry.subject);
            if let (Some(proof), true, false) = (proof, is_in_force, is_certified) {
                let (entry, proof) = (*entry, proof.clone());
                add_lock(LockRow { entry, proof });
            }
        }
        in_force.locks = locks;
        if next.voters().index_of(&self.me).is_some() {
            in_force.again = self.certified_alone(rows)?;
        }
        Ok(in_force)
    }

    /// Subjects that this node holds certified and some counted close lacks, or names as a lock.
    fn certified_alone(
        &self,
        rows: &BTreeMap<NodeId, Arc<CloseRow>>,
    ) -> Result<BTreeMap<SubjectId, LockRow>, StorageError> {
        let lacking = rows.values().flat_map(|row| &row.without).copied();
        let locked = rows.values().flat_map(|row| &row.locks);
        let locked = locked.map(|(entry, _)| entry.subject);
        let subjects: BTreeSet<_> = lacking.chain(locked).collect();
        let mut again = BTreeMap::new();
        for subject in subjects {
            let Some((sequence, _)) = self.certified_choice(&subject) else {
                continue;
            };
            if let Some(certificate) = self.store.certificate(sequence)? {
                again.insert(subject, lock_by(&certificate, subject));
            }
        }
        Ok(again)
    }

    /// Why this node may not enter with the database that it has: it holds certificates that no
    /// close by which it enters lists. They may have been made after their epoch was over, with its
    /// voters' former keys.
    fn keeps_out(&self, rows: &BTreeMap<NodeId, Arc<CloseRow>>) -> Option<String> {
        let boundary = self.membership.boundary.as_ref()?;
        let sets = boundary.sets.as_ref()?;
        // its own close lists all that it holds
        let has_closed = self.membership.own_closes.contains_key(&boundary.epoch);
        let mut unlisted: Option<BTreeSet<SubjectId>> = None;
        for row in rows.values().filter(|row| row.base == sets.base) {
            let without: BTreeSet<_> = row.without.iter().copied().collect();
            unlisted = Some(match unlisted {
                Some(so_far) => so_far.intersection(&without).copied().collect(),
                None => without,
            });
        }
        let unlisted = unlisted.filter(|_| !has_closed)?;
        let first = unlisted.first()?;
        Some(format!(
            "it holds {} certificates of epoch {} that no voter's close lists, the first of subject {first}: \
             more than its voters may have signed them since; stop this node, move the directory db of its \
             data directory away, and start it again: it fetches what is in force",
            unlisted.len(),
            boundary.epoch
        ))
    }

    /// The one write by which the epoch is entered.
    fn write_entering(
        &mut self,
        tick: &mut Tick,
        next: &EpochContext,
        rows: &BTreeMap<NodeId, Arc<CloseRow>>,
        in_force: &InForce,
    ) {
        let ending = Epoch(next.number().0.saturating_sub(1));
        tick.changes.entered = Some(next.number());
        // also where the database is lost: what is said of closes before and after differs
        tick.journal.push(JournalRecord::Entered(next.number()));
        self.membership.note_entered(next.number());
        self.membership.forget_late();
        self.pass_on_trust(tick, next);
        let old = self
            .membership
            .confirmed
            .keys()
            .filter(|(epoch, _)| *epoch < ending);
        tick.changes.confirmed.extend(old.map(|key| (*key, None)));
        self.membership
            .confirmed
            .retain(|(epoch, _), _| *epoch >= ending);
        // of earlier boundaries nothing is served any more
        for (key, _) in self
            .membership
            .served
            .iter()
            .filter(|((epoch, _), _)| *epoch < ending)
        {
            tick.changes.closes.push((*key, None));
        }
        // one that was drawn up and not signed is signed no more
        let own = self.membership.served.get(&(ending, self.me));
        if own.is_none() {
            tick.changes.closes.push(((ending, self.me), None));
        }
        let counted = rows.iter().filter(|(node, _)| **node != self.me);
        let counted = counted.map(|(node, row)| ((ending, *node), Some(row.as_ref().clone())));
        tick.changes.closes.extend(counted);
        self.membership
            .served
            .retain(|(epoch, _), _| *epoch >= ending);
        let old = self.open.keys().chain(self.membership.again.keys());
        let old: Vec<_> = old.map(|subject| (*subject, None)).collect();
        tick.changes.inherited.extend(old);
        for (subject, row) in in_force.locks.iter().chain(&in_force.again) {
            tick.changes.events.push(row.proof.event().clone());
            tick.changes.inherited.push((*subject, Some(row.clone())));
        }
        self.membership.readiness.clear();
        self.admit_guests(None);
        let proposals = self.membership.proposals.clear();
        let proposals = proposals.into_iter().map(|hash| (hash, None));
        tick.changes.proposals.extend(proposals);
        tick.effects.events.push(NodeEvent::EpochEntered {
            epoch: next.number(),
            manifest: next.manifest().hash(),
        });
    }

    /// Goes over into the epoch: all voting state of the one that ended is gone, and what was open
    /// is open again, at round 0.
    fn begin_epoch(&mut self, tick: &mut Tick, number: Epoch, in_force: InForce) {
        let change = self.epochs.current().change();
        let ended = self.open.take();
        for (subject, open) in &ended {
            self.end_voting(subject, open);
        }
        Arc::make_mut(&mut self.epochs).enter(number);
        self.membership.boundary = None;
        self.membership.is_decided = false;
        self.membership.again = in_force.again;
        self.rules = self.epochs.current().rules(&self.me);
        self.forget_votes();
        // what was signed in this epoch by a life that this one does not remember is asked first
        self.startup_check = Some(StartupCheck::since(self.store.log_head()));
        self.catch_up.forget();
        self.end_abstaining();
        self.rules.signing = self.signing();
        // what an earlier life signed in this epoch, if the journal says so, comes before anything
        if let Err(error) = self.read_unread(&in_force.locks) {
            tick.failure.get_or_insert(error.to_string());
        }
        let old: BTreeSet<SubjectId> = ended.keys().copied().collect();
        for (subject, open) in ended {
            let lock = in_force.locks.get(&subject);
            if subject != change && (lock.is_some() || self.stays_open(&open)) {
                self.open_again(tick, subject, Some(open), lock);
            } else {
                self.own_events.end(&subject);
                tick.changes.dropped_subjects.push(subject);
            }
        }
        let named_alone = in_force
            .locks
            .iter()
            .filter(|(subject, _)| !old.contains(subject));
        for (subject, lock) in named_alone {
            self.open_again(tick, *subject, None, Some(lock));
        }
        // the certificates that are in force now, past the rule that an epoch's own alone are
        for certificate in in_force.certified {
            self.take_certificate(tick, certificate);
        }
        self.tell_state_soon(tick.steady);
    }

    /// Whether a subject is open in the epoch that has begun without any lock on it: somebody who
    /// votes now has announced an event for it, or this node stands for one.
    fn stays_open(&self, open: &Open) -> bool {
        let voters = self.epochs.current().voters();
        let is_announced = |candidate: &Candidate| {
            let announced = open.announced.get(&candidate.choice);
            announced.is_some_and(|proof| voters.index_of(&proof.signer()).is_some())
        };
        let is_voter = self.rules.me.is_some();
        let mut candidates = open.machine.candidates();
        candidates.any(|candidate| is_voter && candidate.own || is_announced(candidate))
    }

    fn end_voting(&mut self, subject: &SubjectId, open: &Open) {
        self.uncount(open);
        self.commits.forget(subject);
        if let Some(origin) = &open.origin {
            self.counts.close(origin, open.first_seen, *subject);
        }
    }

    /// What refers to voters by their places, or waits for votes, holds for one epoch.
    fn forget_votes(&mut self) {
        self.timers = crate::timers::Timers::default();
        self.reviews = crate::review::Reviews::default();
        self.wants = crate::wants::Wants::default();
        self.vote_buffer = crate::vote_buffer::VoteBuffer::default();
        self.late = crate::late::LatePrevotes::default();
        self.closing.forget_votes();
        self.evidence_pool.forget_closes();
    }

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

    /// A certificate of an epoch that is not this node's own: it is kept if closes may put it in
    /// force, and says nothing by itself (SPEC §4, *Earlier epochs*).
    pub(crate) fn take_other_epochs(&mut self, tick: &mut Tick, certificate: Certificate) {
        let subject = certificate.subject.id(self.epochs.current().federation());
        let current = self.epochs.current().number();
        if self.has_decision(&subject) {
            self.compare_certificates(tick, &subject, certificate);
            return;
        }
        if let Some(boundary) = &mut self.membership.boundary {
            if certificate.epoch <= boundary.epoch {
                boundary.certificates.entry(subject).or_insert(certificate);
            }
            return;
        }
        let locked = self
            .open
            .get(&subject)
            .and_then(|open| open.machine.locked());
        let is_bound = locked.is_some_and(|lock| lock.choice == certificate.choice);
        if certificate.epoch < current && !is_bound {
            self.refused.late_certificates += 1;
            tracing::error!(
                %subject,
                epoch = certificate.epoch.0,
                "a certificate of an epoch that has ended, for what nobody held when it did: more of \
                 its voters' weight than F is dishonest, or their old keys were stolen; it counts for nothing"
            );
        }
    }

    /// Whether a certificate decides by itself: of the epoch that this node is in, as long as that
    /// or the one before the next is what ends.
    pub(crate) fn is_of_own_epoch(&self, certificate: &Certificate) -> bool {
        let current = self.epochs.current().number();
        let boundary = self.membership.boundary.as_ref();
        // once this node has taken stock, only what closes list as certified is
        certificate.epoch == current
            && boundary.is_none_or(|boundary| boundary.epoch == current && boundary.sets.is_none())
    }
}

/// What the closes name, by subject. Of one closer each choice of a subject counts once.
fn named(
    ending: &EpochContext,
    rows: &BTreeMap<NodeId, Arc<CloseRow>>,
) -> BTreeMap<SubjectId, Named> {
    let mut named: BTreeMap<SubjectId, Named> = BTreeMap::new();
    for (closer, row) in rows {
        let Some(voter) = ending.voters().index_of(closer) else {
            continue;
        };
        let weight = ending.voters().weight(voter);
        let certified: BTreeMap<_, _> = row
            .besides
            .iter()
            .map(|entry| (entry.subject, entry.choice))
            .collect();
        for (subject, choice) in &certified {
            named
                .entry(*subject)
                .or_default()
                .add_certified(*choice, weight);
        }
        for (entry, _) in &row.locks {
            let LockEntry {
                subject,
                at,
                choice,
            } = *entry;
            let is_said = certified.get(&subject) == Some(&choice);
            let weight = if is_said { 0 } else { weight };
            named
                .entry(subject)
                .or_default()
                .add_lock(at, choice, weight);
        }
    }
    named
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

/// The lock that a certificate proves.
fn lock_by(certificate: &Certificate, subject: SubjectId) -> LockRow {
    let entry = LockEntry {
        subject,
        at: RoundId {
            epoch: certificate.epoch,
            round: certificate.round,
        },
        choice: certificate.choice,
    };
    LockRow {
        entry,
        proof: LockProof::Certificate(Box::new(certificate.clone())),
    }
}
