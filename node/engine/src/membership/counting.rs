//! Counting the others' closes (SPEC §4, *Entering*): asking for them, walking what differs from
//! this node's own sets, and fetching what proves it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, NodeId, SubjectId};
use ssid_protocol::set_tree::LockEntry;
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest, HeldClose, LockProof, Request};
use ssid_protocol::vote::Phase;
use ssid_storage::CloseRow;

use super::answers::Served;
use super::boundary::{ASK_CLOSES, Boundary, Close, Fault};
use crate::engine::{Engine, Tick};
use crate::messages::CheckedAnswer;

/// Parts of a set asked for at once; the largest have three kilobytes.
const PARTS: usize = 128;
/// Certificates, and proofs of locks, asked for at once.
const CERTIFICATES: usize = 256;
const LOCKS: usize = 64;

/// What of a close is not here yet.
enum Lack {
    /// Something to ask for.
    Ask(Request),
    /// Nothing: it can be counted.
    Nothing,
}

impl Engine {
    /// A close that came by whatever way. Of a voter of the epoch that ends the first is counted.
    pub(crate) fn note_close(&mut self, signed: &Signed) {
        let now = self.now.steady;
        let Statement::Close(close) = signed.statement else {
            return;
        };
        let voters = self.epochs.get(close.epoch).map(|epoch| epoch.voters());
        let is_voter = voters.is_some_and(|voters| voters.index_of(&signed.proof.signer).is_some());
        if let Some(boundary) = self.membership.boundary.as_mut().filter(|_| is_voter) {
            boundary.note(signed, close, now);
        }
    }

    /// Asks for what is due, and counts what is complete.
    pub(super) fn count_closes(&mut self, tick: &mut Tick) {
        self.ask_for_closes(tick);
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        let Some(sets) = boundary.sets.clone() else {
            return;
        };
        let mut due = Vec::new();
        for (node, close) in &mut boundary.closes {
            if close.is_due(tick.steady) {
                close.begin(&sets, tick.steady);
                due.push(*node);
            }
        }
        for closer in due {
            match self.lack_of(&closer) {
                Some(Lack::Nothing) => self.count(tick, closer),
                Some(Lack::Ask(request)) => self.ask_about(tick, closer, request),
                None => {}
            }
        }
        self.confirm_closes(tick);
    }

    /// Confirms what voters of a quorum of the next epoch have counted before they entered it: a
    /// close that was made later, with a former key, never comes to be (SPEC §4, *Entering*).
    fn confirm_closes(&mut self, tick: &mut Tick) {
        let me = self.me;
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        let Some(next) = self.epochs.get(boundary.epoch.next()) else {
            return;
        };
        if next.voters().index_of(&boundary.voice(me)).is_none() {
            return;
        }
        for closer in boundary.confirmable(next.voters(), &me) {
            if let Some(close) = boundary.closes.get_mut(&closer) {
                close.confirmed_by.insert(me);
                let key = (boundary.epoch, closer);
                let row = Some(close.signed.clone());
                tick.changes.confirmed.push((key, row));
                let close = close.signed.clone();
                self.membership.confirmed.insert(key, close);
            }
        }
    }

    /// Those who vote in the epoch that ends or in the next have closes, and say which they counted.
    fn ask_for_closes(&mut self, tick: &mut Tick) {
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        if boundary.ask_at > tick.steady {
            return;
        }
        boundary.ask_at = tick.steady.after(ASK_CLOSES);
        let epoch = boundary.epoch;
        let contexts = [self.epochs.get(epoch), self.epochs.get(epoch.next())];
        let is_voter = |node: &&NodeId| {
            let mut contexts = contexts.iter().flatten();
            contexts.any(|context| context.voters().index_of(node).is_some())
        };
        for node in self.peers.connected.iter().filter(is_voter) {
            let request = Request::Change(ChangeRequest::Closes { epoch });
            tick.effects.asks.push((*node, request));
        }
    }

    /// What of a close is still to be asked for; `None` if it is refused.
    fn lack_of(&self, closer: &NodeId) -> Option<Lack> {
        let boundary = self.membership.boundary.as_ref()?;
        let close = boundary
            .closes
            .get(closer)
            .filter(|close| !close.is_refused)?;
        let epoch = boundary.epoch;
        if let Some((set, prefixes)) = close.wanted(PARTS) {
            return Some(Lack::Ask(Request::Change(ChangeRequest::Sets {
                epoch,
                closer: *closer,
                set,
                prefixes,
            })));
        }
        let unheld = close.certified_besides()?.into_iter();
        let unheld = unheld.filter(|entry| !self.holds(boundary, &entry.subject, entry.choice));
        let subjects: Vec<_> = unheld
            .map(|entry| entry.subject)
            .take(CERTIFICATES)
            .collect();
        if !subjects.is_empty() {
            let after = None;
            return Some(Lack::Ask(Request::Open { subjects, after }));
        }
        let unproven = close.locks()?.into_iter();
        let unproven = unproven.filter(|entry| !self.is_lock_settled(boundary, close, entry));
        let subjects: Vec<_> = unproven.map(|entry| entry.subject).take(LOCKS).collect();
        if subjects.is_empty() {
            return Some(Lack::Nothing);
        }
        Some(Lack::Ask(Request::Change(ChangeRequest::Polkas {
            epoch,
            closer: *closer,
            subjects,
        })))
    }

    /// Whether a certificate of this choice is here.
    fn holds(&self, boundary: &Boundary, subject: &SubjectId, choice: Choice) -> bool {
        let known = boundary.certificates.get(subject);
        known.is_some_and(|certificate| certificate.choice == choice)
            || self
                .certified_choice(subject)
                .is_some_and(|(_, own)| own == choice)
    }

    /// Whether a named lock is proven, or its subject is certified.
    fn is_lock_settled(&self, boundary: &Boundary, close: &Close, entry: &LockEntry) -> bool {
        let is_own = boundary
            .sets
            .as_ref()
            .is_some_and(|sets| sets.locks.contains(&entry.to_bytes()));
        is_own
            || close.proofs.contains_key(&entry.subject)
            || self.is_certified(&entry.subject)
            // of an earlier epoch a certificate may come to be in force, or may not
            || boundary
                .certificates
                .get(&entry.subject)
                .is_some_and(|certificate| certificate.epoch == boundary.epoch)
    }

    /// Asks somebody who serves a close: its closer, or who says that it has counted it.
    fn ask_about(&mut self, tick: &mut Tick, closer: NodeId, request: Request) {
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        let Some(close) = boundary.closes.get_mut(&closer) else {
            return;
        };
        let others = close.counted_by.iter().chain(&close.confirmed_by);
        let servers = [closer].into_iter().chain(others.copied());
        let servers: Vec<_> = servers
            .filter(|node| self.peers.connected.contains(node))
            .collect();
        let Some(server) = servers.get(close.turn % servers.len().max(1)) else {
            close.next_at = tick.steady.after(ASK_CLOSES);
            return;
        };
        close.note_asked(*server, tick.steady);
        tick.effects.asks.push((*server, request));
    }

    /// All that a close names is here.
    fn count(&mut self, tick: &mut Tick, closer: NodeId) {
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        let epoch = boundary.epoch;
        let (Some(sets), Some(close)) = (&boundary.sets, boundary.closes.get_mut(&closer)) else {
            return;
        };
        let (Some(besides), Some(entries)) = (close.certified_besides(), close.locks()) else {
            return;
        };
        let proof_of = |entry: &LockEntry| {
            let own = sets.proofs.get(&entry.subject);
            let own = own.filter(|_| sets.locks.contains(&entry.to_bytes()));
            own.or_else(|| close.proofs.get(&entry.subject)).cloned()
        };
        let locks = entries.into_iter().map(|entry| (entry, proof_of(&entry)));
        let row = Arc::new(CloseRow {
            close: Some(close.signed.clone()),
            base: sets.base,
            without: close.certified_without(&sets.certified),
            besides,
            locks: locks.collect(),
        });
        close.counted = Some(row.clone());
        // who has entered once says so no more, whatever it has forgotten since
        if self.membership.entered_once < epoch.next() {
            close.counted_by.insert(self.me);
        }
        tick.changes
            .closes
            .push(((epoch, closer), Some(row.as_ref().clone())));
        self.membership
            .served
            .insert((epoch, closer), Served::new(row));
    }

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
