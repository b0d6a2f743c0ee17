//! What the votes journal says, read after a start or once its epoch is entered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Epoch, FederationId, NodeId, SubjectId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::voting::OwnHistory;
use ssid_storage::{JournalRecord, LockRow, OperatorNote, StorageError, SubjectState};

use crate::engine::Engine;

/// Batches read from the journal, by the subjects that are still undecided.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) histories: BTreeMap<SubjectId, OwnHistory>,
    pub(super) batches: Vec<Arc<VerifiedBatch>>,
    /// Others' votes, each with a proof of its own.
    pub(super) alone: Vec<Signed>,
    pub(super) announcements: Vec<Arc<VerifiedBatch>>,
    pub(super) notes: Vec<OperatorNote>,
    done: HashSet<SubjectId>,
    /// Own closes, by the epoch that they close.
    closes: Vec<(Epoch, Arc<VerifiedBatch>)>,
}

impl Engine {
    /// Keeps the journal as it is where it speaks of epochs that have still to be entered: its
    /// database was lost, or is behind.
    pub(super) fn keep_if_later(&mut self, records: &[JournalRecord]) {
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
    pub(crate) fn read_unread(
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

    pub(super) fn read_journal(
        &mut self,
        records: Vec<JournalRecord>,
    ) -> Result<Replay, StorageError> {
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

    fn is_decided(&self, subject: &SubjectId) -> Result<bool, StorageError> {
        Ok(matches!(
            self.store.subject(subject)?,
            Some(SubjectState::Certified { .. })
        ))
    }
}

/// A batch of the own journal; one that does not verify is of another federation, or the disk lies.
fn verified(
    keys: &HashMap<NodeId, VerifyKey>,
    batch: SignedBatch,
    federation: &FederationId,
) -> Option<VerifiedBatch> {
    let key = keys.get(&batch.signer)?;
    batch
        .verify(key, federation)
        .map_err(|error| tracing::error!(%error, "a journaled batch does not verify"))
        .ok()
}
