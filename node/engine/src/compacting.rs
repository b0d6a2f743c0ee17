//! Keeping the votes journal short.

use ssid_protocol::id::SubjectId;
use ssid_protocol::vote::Phase;
use ssid_storage::{JournalRecord, StorageError};

use super::engine::Engine;
use super::proof::Proof;

impl Engine {
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
