//! Entering the next epoch (SPEC §4, *Entering*): what the counted closes put in force, one write,
//! and the voting that begins anew under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ssid_protocol::epoch::EpochContext;
use ssid_protocol::id::{Epoch, NodeId, SubjectId};
use ssid_protocol::voting::Candidate;
use ssid_storage::{CloseRow, JournalRecord};

use super::in_force::InForce;
use crate::engine::{Engine, Tick};
use crate::node_event::NodeEvent;
use crate::open::Open;
use crate::startup_check::StartupCheck;

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
}
