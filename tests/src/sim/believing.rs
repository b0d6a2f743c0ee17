//! Checking answers, which is most of a simulation's cost. Whatever liars answer goes through the
//! real `Checker`, always. Of honest answers one in [`CHECKED_EVERY`] does, and must pass; in the
//! others every batch is looked up among those that were really signed in this simulation, which
//! comes to the same.

use std::collections::HashMap;
use std::sync::Arc;

use ssid_engine::checking::Checker;
use ssid_engine::{Carried, CheckedAnswer};
use ssid_protocol::batch::{SignedBatch, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::NodeId;
use ssid_protocol::sync::{Answer, ProvenEvent, Request};

use super::federation::Federation;

/// Honest answers of which one is checked in full.
const CHECKED_EVERY: u64 = 8;

/// Every batch that was sent, by its signature.
#[derive(Debug, Default)]
pub(super) struct Signed {
    batches: HashMap<[u8; 64], Arc<VerifiedBatch>>,
    honest: u64,
    /// One for all who ask: nobody checks a signature that another one checked.
    checker: Option<Checker>,
}

impl Signed {
    pub(super) fn note(&mut self, batch: &Arc<VerifiedBatch>) {
        self.batches
            .entry(batch.batch().signature.0)
            .or_insert_with(|| batch.clone());
    }

    /// The answer with everything in it verified; `None` if a liar's does not verify.
    ///
    /// # Errors
    /// If an honest one does not.
    pub(super) fn check(
        &mut self,
        fed: &Federation,
        asker: &Arc<Epochs>,
        from: NodeId,
        request: &Request,
        answer: Answer,
        is_honest: bool,
    ) -> Result<Option<CheckedAnswer>, String> {
        let checker = self
            .checker
            .get_or_insert_with(|| Checker::new(asker.clone()));
        checker.set_epochs(asker.clone());
        if !is_honest {
            return Ok(checker.check(from, request, answer).ok());
        }
        self.honest += 1;
        let is_of_change = matches!(answer, Answer::Change(_));
        // what takes another epoch's manifest the checker leaves out, or refuses
        let is_known = |certificate: &Certificate| asker.get(certificate.epoch).is_some();
        let is_all_known = match &answer {
            Answer::Log { entries, .. } => entries.iter().all(is_known),
            Answer::Open { certificates, .. } => certificates.iter().all(is_known),
            _ => true,
        };
        if is_of_change || !is_all_known || self.honest.is_multiple_of(CHECKED_EVERY) {
            let checked = checker.check(from, request, answer);
            return checked
                .map(Some)
                .map_err(|error| format!("an honest answer is refused: {error}"));
        }
        let events =
            |events: Vec<ProvenEvent>| events.into_iter().map(|e| (e.event, e.announced)).collect();
        Ok(Some(match answer {
            Answer::Status(batch) => {
                CheckedAnswer::Status(batch.map(|batch| self.batch(fed, *batch)).transpose()?)
            }
            Answer::Log {
                log_id,
                size,
                entries,
            } => CheckedAnswer::Log {
                log_id,
                size,
                certificates: entries,
            },
            Answer::Open {
                batches,
                statements,
                events: all,
                certificates,
                next,
            } => {
                let batches = batches
                    .into_iter()
                    .map(|batch| self.batch(fed, batch))
                    .collect::<Result<_, _>>()?;
                let carried = Carried {
                    batches,
                    statements,
                    events: events(all),
                    certificates,
                };
                CheckedAnswer::Open { carried, next }
            }
            Answer::Own {
                heartbeat,
                votes,
                complete,
            } => {
                let heartbeat = heartbeat.map(|batch| self.batch(fed, *batch)).transpose()?;
                CheckedAnswer::Own {
                    heartbeat,
                    votes,
                    complete,
                }
            }
            Answer::Evidence(pieces) => CheckedAnswer::Evidence(pieces),
            Answer::Events(all) => CheckedAnswer::Events(events(all)),
            Answer::Refused(reason) => CheckedAnswer::Refused(reason),
            Answer::Change(_) => return Err("an answer about a change that was not checked".into()),
        }))
    }

    fn batch(
        &mut self,
        fed: &Federation,
        batch: SignedBatch,
    ) -> Result<Arc<VerifiedBatch>, String> {
        if let Some(known) = self
            .batches
            .get(&batch.signature.0)
            .filter(|known| *known.batch() == batch)
        {
            return Ok(known.clone());
        }
        // signed for one asker only: a heartbeat
        let verified = fed.verify(batch).map(Arc::new)?;
        self.note(&verified);
        Ok(verified)
    }
}
