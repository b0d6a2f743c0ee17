//! From lines to the engine: each line parsed and checked on its own, off the engine's task, and
//! handed over in parts that a tick can take.

use std::sync::Arc;

use ssid_engine::checking::Checker;
use ssid_engine::settings::CERTIFICATE_STATEMENTS;
use ssid_engine::{Carried, Inbound};
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::git_lines::Line;
use ssid_protocol::id::{Choice, NodeId, SubjectId};
use ssid_storage::{Store, SubjectState};
use tokio::sync::{mpsc, watch};

use super::read::Place;

/// Certificates checked together: signatures that several share are checked once.
const CERTIFICATES: usize = 64;
/// Statements handed over at once.
const STATEMENTS: usize = 2048;

/// What lines are checked against, and where they go.
#[derive(Clone)]
pub(super) struct IntakeContext {
    pub(super) me: NodeId,
    pub(super) epochs: watch::Receiver<Arc<Epochs>>,
    pub(super) store: Store,
    pub(super) inputs: mpsc::Sender<Inbound>,
}

impl IntakeContext {
    /// Checks by the epochs that are known now.
    pub(super) fn checker(&self) -> Checker {
        Checker::new(self.epochs.borrow().clone())
    }
}

/// What became of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Handed to the engine.
    pub(super) taken: u64,
    /// About subjects that are certified here.
    pub(super) settled: u64,
    /// That do not hold.
    pub(super) bad: u64,
    /// Where and why the first of those does not.
    pub(super) example: Option<String>,
}

/// Takes the lines of one member's branch. Runs on a thread that may block.
pub(super) struct Intake {
    checker: Checker,
    context: IntakeContext,
    from: NodeId,
    skip_settled: bool,
    carried: Carried,
    certificates: Vec<Certificate>,
    weight: usize,
    counts: Counts,
}

impl Intake {
    /// For the branch of `from`. With `skip_settled`, what is about certified subjects alone is
    /// passed over unchecked: for lines that were read before.
    pub(super) fn new(context: IntakeContext, from: NodeId, skip_settled: bool) -> Self {
        let carried = Carried::default();
        let counts = Counts::default();
        Self {
            checker: context.checker(),
            context,
            from,
            skip_settled,
            carried,
            certificates: Vec::new(),
            weight: 0,
            counts,
        }
    }

    /// Takes one line.
    pub(super) fn take(&mut self, place: Place<'_>, text: &[u8]) {
        let checked = Line::parse(text)
            .map_err(|e| e.to_string())
            .and_then(|line| match line {
                Line::Batch(batch) => self.batch(batch),
                Line::Statement(signed) => self.statement(*signed),
                // of what is certified nothing is looked at: branches keep lines for ever
                Line::Event(proven) => {
                    let subject = self.checker.subject_of(&proven.event);
                    if self.is_settled(subject) {
                        self.counts.settled += 1;
                        return Ok(());
                    }
                    let event = self
                        .checker
                        .carried_event(self.from, *proven)
                        .map_err(|e| e.to_string())?;
                    self.counts.taken += 1;
                    self.weight += 1;
                    self.carried.events.extend(event);
                    Ok(())
                }
                Line::Certificate(certificate) => {
                    // another one for a certified subject is looked at: there must not be two
                    let subject = certificate.subject.id(&self.checker.federation());
                    if self.certified(subject) == Some(certificate.choice) {
                        self.counts.settled += 1;
                    } else {
                        self.certificates.push(*certificate);
                    }
                    Ok(())
                }
            });
        // a bad line spoils itself only
        if let Err(reason) = checked {
            self.note_bad(&format!("{} line {}: {reason}", place.file, place.line));
        }
        // in portions, so that memory does not grow with the branch
        if self.certificates.len() >= CERTIFICATES {
            self.check_certificates();
        }
        if self.weight >= STATEMENTS {
            self.hand_over();
        }
    }

    /// Hands over what is left; what became of all.
    pub(super) fn finish(mut self) -> Counts {
        self.check_certificates();
        self.hand_over();
        self.counts
    }

    fn batch(&mut self, batch: SignedBatch) -> Result<(), String> {
        if self.skip_settled && self.is_all_settled(&batch.statements) {
            self.counts.settled += 1;
            return Ok(());
        }
        let batch = match self.checker.carried_batch(self.from, batch) {
            Ok(batch) => batch,
            // whoever wrote it may know its signer
            Err(error) if error.needs_another_manifest() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        self.counts.taken += 1;
        if self.from == self.context.me && batch.signer() == self.context.me {
            // own statements that this node may not know: the engine compares them with its vote
            // history
            self.context
                .inputs
                .blocking_send(Inbound::Batch {
                    batch,
                    from: self.from,
                    ticket: None,
                })
                .ok();
            return Ok(());
        }
        self.weight += batch.statements().len();
        self.carried.batches.push(batch);
        Ok(())
    }

    fn statement(&mut self, signed: Signed) -> Result<(), String> {
        let subject = match &signed.statement {
            Statement::Vote(vote) => vote.subject,
            Statement::Proposal(proposal) => proposal.subject,
            _ => return Err("a statement that is no vote or proposal".to_owned()),
        };
        if self.skip_settled && self.is_settled(subject) {
            self.counts.settled += 1;
            return Ok(());
        }
        match self.checker.carried_statement(self.from, &signed) {
            Ok(()) => {}
            Err(error) if error.needs_another_manifest() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        self.counts.taken += 1;
        self.weight += 1;
        self.carried.statements.push(signed);
        Ok(())
    }

    fn is_all_settled(&self, statements: &Statements) -> bool {
        match statements {
            Statements::Events(all) => all
                .iter()
                .all(|e| self.is_settled(self.checker.subject_of(e))),
            Statements::Votes(all) => all.iter().all(|v| self.is_settled(v.subject)),
            Statements::Proposals(all) => all.iter().all(|p| self.is_settled(p.subject)),
            Statements::Heartbeat(_) | Statements::Closes(_) | Statements::Ready(_) => false,
        }
    }

    fn is_settled(&self, subject: SubjectId) -> bool {
        matches!(
            self.context.store.subject(&subject),
            Ok(Some(SubjectState::Certified { .. }))
        )
    }

    fn certified(&self, subject: SubjectId) -> Option<Choice> {
        let Ok(Some(SubjectState::Certified { sequence })) = self.context.store.subject(&subject)
        else {
            return None;
        };
        self.context
            .store
            .log_entry(sequence)
            .ok()?
            .map(|entry| entry.choice)
    }

    fn check_certificates(&mut self) {
        let (good, bad) = self
            .checker
            .carried_certificates(std::mem::take(&mut self.certificates));
        self.counts.taken += good.len() as u64;
        self.weight += good.len() * CERTIFICATE_STATEMENTS;
        self.carried.certificates.extend(good);
        for reason in bad {
            self.note_bad(&format!("a certificate: {reason}"));
        }
    }

    fn note_bad(&mut self, reason: &str) {
        self.counts.bad += 1;
        self.counts
            .example
            .get_or_insert_with(|| reason.chars().take(300).collect());
    }

    fn hand_over(&mut self) {
        self.weight = 0;
        let carried = std::mem::take(&mut self.carried);
        if !carried.is_empty() {
            // nobody takes it any more only when the node ends
            self.context
                .inputs
                .blocking_send(Inbound::Carried(carried))
                .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::batch::VerifiedBatch;
    use ssid_protocol::testing;

    use super::*;
    use crate::git::testing::intake_context;

    /// Events announced together.
    const ANNOUNCED: usize = 256;
    /// Announcements on the branch: many times what may be held.
    const LINES: usize = 80;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_lines_are_held_than_three_parts_however_long_the_branch_is() {
        let dir = tempfile::tempdir().unwrap();
        let (_, federation, _, keys) = testing::federation(4);
        let (inputs, mut inbox) = mpsc::channel(1);
        let context = intake_context(dir.path(), inputs.clone());
        let line = move |number: usize| {
            let version = |i: usize| format!("v{number}.{i}");
            let events = (0..ANNOUNCED)
                .map(|i| testing::event("blueprint_tagged", &version(i)))
                .collect();
            let batch =
                VerifiedBatch::sign(&keys[1], &federation, Statements::Events(events)).unwrap();
            (
                keys[1].node_id(),
                Line::Batch(batch.batch().clone()).to_text().unwrap(),
            )
        };
        let (read, lines_read) = watch::channel(0);
        let reader = tokio::task::spawn_blocking(move || {
            let mut intake = Intake::new(context, line(0).0, false);
            for number in 0..LINES {
                intake.take(
                    Place {
                        file: "f",
                        line: number,
                    },
                    line(number).1.as_bytes(),
                );
                read.send_replace(number + 1);
            }
            intake.finish()
        });
        // while nobody takes anything, reading stops: the channel fills before the branch is at its
        // end
        while inputs.capacity() > 0 {
            assert!(
                *lines_read.borrow() < LINES,
                "the whole branch was read, and nothing handed over"
            );
            tokio::task::yield_now().await;
        }
        drop(inputs);
        let (mut taken, mut most) = (0, 0);
        while let Some(Inbound::Carried(carried)) = inbox.recv().await {
            most = most.max(carried.batches.len() * ANNOUNCED);
            taken += carried.batches.len();
            // one part in the channel, one that waits for room there, one that is being read
            let held = *lines_read.borrow() - taken.min(*lines_read.borrow());
            assert!(held * ANNOUNCED <= 3 * STATEMENTS, "{held} lines are held");
        }
        assert_eq!((taken, most), (LINES, STATEMENTS));
        assert_eq!(
            reader.await.unwrap(),
            Counts {
                taken: LINES as u64,
                ..Counts::default()
            }
        );
    }
}
