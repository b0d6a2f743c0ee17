//! This node's own close (SPEC §4, *Closing*): what it holds certified and what it is locked on when
//! its epoch ends, signed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ssid_protocol::batch::Statements;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::SubjectId;
use ssid_protocol::set_tree::{CertifiedEntry, EntrySet, LockEntry};
use ssid_protocol::sync::LockProof;
use ssid_protocol::vote::{EpochClose, Phase};
use ssid_storage::{CloseRow, LockRow, StorageError};

use super::answers::Served;
use super::boundary::{Boundary, CLOSE_WITHIN, PAUSE, Sets};
use crate::engine::{Engine, Tick};
use crate::open::Open;

impl Engine {
    /// Signs the close of the epoch that has ended, once what others hold is here, too, or the pause
    /// is over. Who may not sign one compares others' sets with its own all the same.
    pub(super) fn close_epoch(&mut self, tick: &mut Tick) {
        let Some(boundary) = &self.membership.boundary else {
            return;
        };
        // who has still to hear what it signed closes after that, and not before
        let is_heard = self.startup_check.is_none();
        if boundary.is_drawn_up {
            if is_heard && let Some(sets) = boundary.sets.clone() {
                self.sign_close(tick, &sets);
            }
            return;
        }
        // what is decided in this tick is on disk, and in the sets, with the next
        if !tick.decided.is_empty() || !tick.certificates.is_empty() {
            return;
        }
        let passed = tick.steady.since(boundary.since);
        let may_close = self.may_close(boundary);
        let is_paused = passed < PAUSE && !self.is_level(boundary);
        if may_close && is_heard && !is_paused {
            self.take_sets(tick, true);
        } else if boundary.sets.is_none() && (!may_close || passed >= CLOSE_WITHIN) {
            self.take_sets(tick, false);
        }
    }

    /// Takes stock of what this node holds; to be signed, if this node closes the epoch with it.
    fn take_sets(&mut self, tick: &mut Tick, closes: bool) {
        let sets = match self.sets_of(closes) {
            Ok(sets) => Arc::new(sets),
            Err(error) => {
                tick.failure.get_or_insert(error);
                return;
            }
        };
        let me = self.me;
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        // on disk before it is signed: after a death between the two it is signed again, the same to
        // the byte, and can be served
        if closes {
            let row = close_row(None, &sets);
            tick.changes.closes.push(((boundary.epoch, me), Some(row)));
        }
        boundary.is_drawn_up = closes;
        boundary.compare_with(sets);
    }

    /// Whether this node signs a close: a voter of the epoch that ends and that it is in, whose vote
    /// history is complete, and that has signed none.
    fn may_close(&self, boundary: &Boundary) -> bool {
        boundary.epoch == self.epochs.current().number()
            && self.rules.me.is_some()
            && self.standing.abstaining().is_none()
            // what the journal names as decided has to be in the close
            && self.open.decided_before().is_empty()
            && !self.membership.has_unread()
            && !self.membership.own_closes.contains_key(&boundary.epoch)
    }

    /// Whether all voters who are connected said since that they hold the same certificates.
    fn is_level(&self, boundary: &Boundary) -> bool {
        let own = self.store.certified_digest().value();
        let voters = self.epochs.current().voters();
        let connected = self.peers.connected.iter();
        let mut connected = connected.filter(|node| voters.index_of(node).is_some());
        connected.all(|node| {
            self.peers.states.get(node).is_some_and(|state| {
                state.heard.is_some_and(|(at, _)| at >= boundary.since)
                    && state
                        .row
                        .last_heartbeat
                        .as_ref()
                        .is_some_and(|heartbeat| heartbeat.certified_digest == own)
            })
        })
    }

    /// What this node holds certified and, if it closes, what it is locked on.
    fn sets_of(&self, with_locks: bool) -> Result<Sets, String> {
        let base = self.store.log_head().size;
        let entries = self.store.certified_choices(base).map(|row| {
            let (subject, choice) = row?;
            Ok(CertifiedEntry { subject, choice }.to_bytes())
        });
        let certified = entries.collect::<Result<Vec<_>, StorageError>>();
        let certified = certified.map_err(|error| error.to_string())?;
        let locks = if with_locks {
            self.own_locks()
        } else {
            BTreeMap::new()
        };
        let entries = locks.values().map(|row| row.entry.to_bytes()).collect();
        let proofs = locks.into_iter().map(|(subject, row)| (subject, row.proof));
        Ok(Sets {
            base,
            certified: Arc::new(EntrySet::of(certified).map_err(|error| error.to_string())?),
            locks: Arc::new(EntrySet::of(entries).map_err(|error| error.to_string())?),
            proofs: proofs.collect(),
        })
    }

    /// The locks on subjects that are not certified, each with what proves it.
    fn own_locks(&self) -> BTreeMap<SubjectId, LockRow> {
        let locks = self.open.iter().filter_map(|(subject, open)| {
            let row = self.lock_of(*subject, open)?;
            (!self.is_certified(subject)).then_some((*subject, row))
        });
        locks.collect()
    }

    /// The lock of an open subject: by a precommit of this epoch, or inherited.
    pub(super) fn lock_of(&self, subject: SubjectId, open: &Open) -> Option<LockRow> {
        let lock = open.machine.locked()?;
        let epoch = open.machine.epoch();
        let entry = LockEntry {
            subject,
            at: lock.at,
            choice: lock.choice,
        };
        if lock.at.epoch != epoch {
            let row = self.store.inherited(&subject).ok()??;
            return Some(row).filter(|row| row.entry == entry);
        }
        let event = Box::new(open.machine.candidate(lock.choice)?.event.clone());
        let prevotes = open.votes_for(lock.at.round, Phase::Prevote, lock.choice);
        let prevotes = prevotes.filter_map(|held| held.signed(epoch, subject));
        let proof = LockProof::Prevotes {
            event,
            prevotes: prevotes.collect(),
        };
        Some(LockRow { entry, proof })
    }

    fn sign_close(&mut self, tick: &mut Tick, sets: &Sets) {
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        boundary.is_drawn_up = false;
        let epoch = boundary.epoch;
        let close = EpochClose {
            epoch,
            next: boundary.next,
            certified_count: sets.certified.len() as u64,
            certified_root: sets.certified.root(),
            locks_count: sets.locks.len() as u64,
            locks_root: sets.locks.root(),
        };
        // in the journal with this tick, and published once it and what it is served from is on disk
        let Some(batch) = self.sign(tick, Statements::Closes(vec![close])) else {
            return;
        };
        tracing::info!(
            epoch = epoch.0,
            certified = close.certified_count,
            locks = close.locks_count,
            "this node has closed the epoch"
        );
        self.membership.own_closes.insert(epoch, batch.clone());
        let Some(signed) = Signed::of(&batch, 0) else {
            return;
        };
        self.evidence_pool.note_own_close(&signed);
        let row = close_row(Some(signed.clone()), sets);
        tick.changes
            .closes
            .push(((epoch, self.me), Some(row.clone())));
        self.keep_own_close(&signed, close, row, tick.steady);
    }

    /// After a restart: the close that was signed, or drawn up.
    pub(super) fn resume_own_close(&mut self) -> Result<(), StorageError> {
        let boundary = self.membership.boundary.as_ref();
        let Some(epoch) = boundary.map(|boundary| boundary.epoch) else {
            return Ok(());
        };
        let Some(served) = self.membership.served.remove(&(epoch, self.me)) else {
            return Ok(());
        };
        let row = served.row.as_ref().clone();
        let Some(signed) = row.close.clone() else {
            return self.resume_drawn_up(&row);
        };
        if let Statement::Close(close) = signed.statement {
            self.evidence_pool.note_own_close(&signed);
            self.keep_own_close(&signed, close, row, self.now.steady);
        }
        Ok(())
    }

    /// A close that was drawn up is signed, once this node has heard what it signed before.
    fn resume_drawn_up(&mut self, row: &CloseRow) -> Result<(), StorageError> {
        let mut certified = Vec::new();
        for known in self.store.certified_choices(row.base) {
            let (subject, choice) = known?;
            certified.push(CertifiedEntry { subject, choice }.to_bytes());
        }
        let locks = row
            .locks
            .iter()
            .map(|(entry, _)| entry.to_bytes())
            .collect();
        let proofs = row.locks.iter().cloned();
        let proofs = proofs.filter_map(|(entry, proof)| Some((entry.subject, proof?)));
        // of rows that name a subject twice, which nobody wrote, none is signed
        let (Ok(certified), Ok(locks)) = (EntrySet::of(certified), EntrySet::of(locks)) else {
            return Ok(());
        };
        let sets = Sets {
            base: row.base,
            certified: Arc::new(certified),
            locks: Arc::new(locks),
            proofs: proofs.collect(),
        };
        if let Some(boundary) = &mut self.membership.boundary {
            boundary.sets = Some(Arc::new(sets));
            boundary.is_drawn_up = true;
        }
        Ok(())
    }

    /// The own close counts like others', and is served.
    pub(super) fn keep_own_close(
        &mut self,
        signed: &Signed,
        close: EpochClose,
        row: CloseRow,
        now: crate::clock::Steady,
    ) {
        let row = Arc::new(row);
        let key = (close.epoch, self.me);
        self.membership.served.insert(key, Served::new(row.clone()));
        if let Some(boundary) = &mut self.membership.boundary {
            boundary.note(signed, close, now);
            if let Some(own) = boundary.closes.get_mut(&self.me) {
                own.counted = Some(row);
                if self.membership.entered_once < close.epoch.next() {
                    own.counted_by.insert(self.me);
                }
            }
        }
    }
}

/// An own close, with what it takes to serve its sets.
fn close_row(close: Option<Signed>, sets: &Sets) -> CloseRow {
    let entries = sets.locks.entries().iter().map(LockEntry::from_bytes);
    let locks = entries.map(|entry| (entry, sets.proofs.get(&entry.subject).cloned()));
    CloseRow {
        close,
        base: sets.base,
        without: Vec::new(),
        besides: Vec::new(),
        locks: locks.collect(),
    }
}
