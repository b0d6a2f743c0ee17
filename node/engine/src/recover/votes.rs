//! Voting that goes on where it was: own votes and locks, then candidates, then others' votes.

use std::collections::BTreeMap;

use ssid_protocol::batch::Statements;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::SubjectId;
use ssid_protocol::record::Transport;
use ssid_protocol::vote::Vote;
use ssid_protocol::voting::{Candidate, Input, Instance, OwnHistory};
use ssid_storage::{LockRow, NoteKind, ProofRef, StorageError};

use super::journal::Replay;
use crate::clock::Now;
use crate::engine::{Engine, Tick};
use crate::membership;
use crate::open::{Held, Open, Proposed};
use crate::proof::Proof;

impl Engine {
    /// Instances in which this node signed something, with the proofs that the journal kept.
    pub(super) fn resume_votes(
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
    pub(super) fn reopen_candidates(&mut self, now: Now) -> Result<(), StorageError> {
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
        let me = self.rules.me;
        let kept: Vec<_> = (self.open.iter())
            .flat_map(|(subject, open)| open.held.iter().map(|vote| (*subject, vote)))
            .filter(|(_, vote)| Some(vote.voter) != me)
            .map(|(subject, vote)| (subject, vote.input()))
            .collect();
        for (subject, input) in kept {
            self.apply(tick, subject, input);
        }
    }

    fn announcement(&self, proof: Option<ProofRef>) -> Result<Option<Proof>, StorageError> {
        Ok(proof
            .map(|proof| self.store.announcement(&proof))
            .transpose()?
            .map(Proof::alone))
    }
}
