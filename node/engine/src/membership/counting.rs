//! Counting the others' closes (SPEC §4, *Entering*): asking for them, walking what differs from
//! this node's own sets, and fetching what proves it.

use std::sync::Arc;

use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, NodeId, SubjectId};
use ssid_protocol::set_tree::LockEntry;
use ssid_protocol::sync::{ChangeRequest, Request};
use ssid_storage::CloseRow;

use super::answers::Served;
use super::boundary::{ASK_CLOSES, Boundary};
use super::close::Close;
use crate::engine::{Engine, Tick};

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
}
