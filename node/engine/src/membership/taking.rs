//! Answers about changes of members, and what they bring to the closes that are counted.

use std::collections::BTreeSet;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::NodeId;
use ssid_protocol::set_tree::LockEntry;
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest, HeldClose, LockProof, Request};
use ssid_protocol::vote::Phase;

use super::boundary::Boundary;
use super::close::{Close, Fault};
use crate::engine::{Engine, Tick};
use crate::messages::CheckedAnswer;

impl Engine {
    /// An answer about changes of members.
    pub(crate) fn take_change_answer(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        request: &ChangeRequest,
        answer: ChangeAnswer,
    ) {
        match (request, answer) {
            (ChangeRequest::Epochs { .. }, ChangeAnswer::Epochs(certificates)) => {
                self.take_epochs(tick, from, certificates);
            }
            (ChangeRequest::Manifests { .. }, ChangeAnswer::Manifests(sent)) => {
                self.take_manifests(tick, sent);
            }
            (ChangeRequest::Standing, ChangeAnswer::Standing(standing)) => {
                self.take_standing(tick, from, &standing);
            }
            (ChangeRequest::Closes { epoch }, ChangeAnswer::Closes(closes)) => {
                let is_under_way = |boundary: &Boundary| boundary.epoch == *epoch;
                if self.membership.boundary.as_ref().is_some_and(is_under_way) {
                    self.take_held_closes(from, closes);
                } else {
                    self.confirm_for_others(tick, from, *epoch, closes);
                }
            }
            (
                ChangeRequest::Sets {
                    closer,
                    set,
                    prefixes,
                    ..
                },
                ChangeAnswer::Sets(parts),
            ) => {
                let mut is_false = false;
                let mut is_of_use = false;
                let close = self.close_of(closer);
                if let Some(close) = close {
                    for (prefix, part) in parts {
                        let taken = prefixes
                            .contains(&prefix)
                            .then(|| close.take(*set, prefix, part));
                        is_false |= matches!(taken, None | Some(Err(Fault::Server)));
                        is_of_use |= taken == Some(Ok(()));
                    }
                    close.note_answered(from, tick.steady, is_of_use);
                }
                if is_false {
                    tick.effects.false_answers.push(from);
                }
            }
            (ChangeRequest::Polkas { closer, .. }, ChangeAnswer::Polkas(proofs)) => {
                self.take_lock_proofs(tick, from, *closer, proofs);
            }
            (ChangeRequest::Ready { manifest }, ChangeAnswer::Ready(batches)) => {
                self.take_ready(tick, manifest, batches);
            }
            _ => tick.effects.false_answers.push(from), // an answer to another question
        }
    }

    /// Somebody has answered, or has not: what a close waits for goes on, with another if need be.
    pub(crate) fn note_change_answered(
        &mut self,
        tick: &Tick,
        from: NodeId,
        request: &Request,
        answer: Option<&CheckedAnswer>,
    ) {
        let is_answered = matches!(
            answer,
            Some(CheckedAnswer::Change(_) | CheckedAnswer::Open { .. })
        );
        match request {
            // certificates were asked for by their names
            Request::Open { subjects, .. } if !subjects.is_empty() => {
                let boundary = self.membership.boundary.iter_mut();
                let closes = boundary.flat_map(|boundary| boundary.closes.values_mut());
                closes.for_each(|close| close.note_answered(from, tick.steady, is_answered));
            }
            Request::Change(ChangeRequest::Epochs { .. }) if !is_answered => {
                self.membership.ahead.remove(&from);
            }
            Request::Change(
                ChangeRequest::Sets { closer, .. } | ChangeRequest::Polkas { closer, .. },
            ) if !is_answered => {
                if let Some(close) = self.close_of(closer) {
                    close.note_answered(from, tick.steady, false);
                }
            }
            _ => {}
        }
    }

    fn close_of(&mut self, closer: &NodeId) -> Option<&mut Close> {
        self.membership.boundary.as_mut()?.closes.get_mut(closer)
    }

    /// The closes that a member holds, and those that it says it has counted.
    fn take_held_closes(&mut self, from: NodeId, held: Vec<HeldClose>) {
        for held in held {
            self.note_close(&held.close);
            let known = self.close_of(&held.close.proof.signer);
            let same = known.filter(|known| known.signed.statement == held.close.statement);
            let Some(known) = same else { continue };
            if held.is_counted {
                known.counted_by.insert(from);
            }
            if held.is_confirmed {
                known.confirmed_by.insert(from);
            }
        }
    }

    fn take_lock_proofs(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        closer: NodeId,
        proofs: Vec<LockProof>,
    ) {
        let entries = self.close_of(&closer).and_then(|close| close.locks());
        let entries = entries.unwrap_or_default();
        let (mut good, mut certificates) = (Vec::new(), Vec::new());
        for proof in proofs {
            let subject = self.epochs.current().subject_of(proof.event());
            let Some(entry) = entries.iter().find(|entry| entry.subject == subject) else {
                continue;
            };
            // one of another round says that the subject is certified, which settles the lock, too
            if let LockProof::Certificate(certificate) = &proof {
                certificates.push(certificate.as_ref().clone());
            }
            if self.proves(entry, &proof) {
                good.push((entry.subject, proof));
            }
        }
        let is_of_use = !good.is_empty() || !certificates.is_empty();
        self.take_certificates(tick, certificates);
        if let Some(close) = self.close_of(&closer) {
            close.proofs.extend(good);
            close.note_answered(from, tick.steady, is_of_use);
        }
    }

    /// Whether a quorum prevoted just this in just that round, by the voters of its epoch; that the
    /// signatures hold was checked before.
    pub(super) fn proves(&self, entry: &LockEntry, proof: &LockProof) -> bool {
        let Some(epoch) = self.epochs.get(entry.at.epoch) else {
            return false;
        };
        let event = proof.event();
        if event.choice() != entry.choice || epoch.subject_of(event) != entry.subject {
            return false;
        }
        let prevotes = match proof {
            LockProof::Certificate(certificate) => {
                let Certificate { epoch, round, .. } = **certificate;
                return (epoch, round) == (entry.at.epoch, entry.at.round);
            }
            LockProof::Prevotes { prevotes, .. } => prevotes,
        };
        let is_it = |signed: &&Signed| match signed.statement {
            Statement::Vote(vote) => {
                (vote.epoch, vote.round, vote.phase)
                    == (entry.at.epoch, entry.at.round, Phase::Prevote)
                    && (vote.subject, vote.ballot) == (entry.subject, Some(entry.choice))
            }
            _ => false,
        };
        let signers = prevotes
            .iter()
            .filter(is_it)
            .map(|signed| signed.proof.signer);
        let signers: BTreeSet<_> = signers
            .filter_map(|node| epoch.voters().index_of(&node))
            .collect();
        let weight = signers
            .iter()
            .map(|voter| epoch.voters().weight(*voter))
            .sum();
        epoch.voters().is_quorum(weight, signers.len())
    }
}
