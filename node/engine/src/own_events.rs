//! Own events on their way: accepted, signed and waiting to be announced, announced and undecided.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;

use super::settings::ANNOUNCED_AT_ONCE;

/// Events that this node stands for and that are not decided.
#[derive(Debug, Default)]
pub(super) struct OwnEvents {
    /// Announcements that are on disk and not yet made: released as earlier ones are decided.
    backlog: VecDeque<Arc<VerifiedBatch>>,
    /// Accepted and not announced yet, those of `backlog` among them.
    accepted: HashMap<SubjectId, Event>,
    /// Announced and not yet decided.
    announced: HashSet<SubjectId>,
    /// Of those, the ones that are not in conflict either: what waits for people must not hold up
    /// what does not.
    in_flight: HashSet<SubjectId>,
}

impl OwnEvents {
    /// An event stands for its subject from now on.
    pub(super) fn accept(&mut self, subject: SubjectId, event: Event) {
        self.accepted.insert(subject, event);
    }

    /// The event that is accepted for a subject and not announced yet.
    pub(super) fn accepted(&self, subject: &SubjectId) -> Option<&Event> {
        self.accepted.get(subject)
    }

    /// The subjects of those.
    pub(super) fn accepted_subjects(&self) -> impl Iterator<Item = &SubjectId> {
        self.accepted.keys()
    }

    /// An accepted event is not announced after all, or is announced now.
    pub(super) fn drop_accepted(&mut self, subject: &SubjectId) {
        self.accepted.remove(subject);
    }

    /// An announcement is signed and waits.
    pub(super) fn queue(&mut self, batch: Arc<VerifiedBatch>) {
        self.backlog.push_back(batch);
    }

    /// Announcements that wait, in the order in which they are made.
    pub(super) fn queued(&self) -> impl Iterator<Item = &Arc<VerifiedBatch>> {
        self.backlog.iter()
    }

    /// The next announcement, if few enough others are under way for it.
    pub(super) fn next(&self) -> Option<&Arc<VerifiedBatch>> {
        self.backlog.front().filter(|batch| {
            self.in_flight.is_empty()
                || self.in_flight.len() + batch.statements().len() <= ANNOUNCED_AT_ONCE
        })
    }

    /// Takes out the next announcement.
    pub(super) fn take_next(&mut self) -> Option<Arc<VerifiedBatch>> {
        self.backlog.pop_front()
    }

    /// Whether nothing waits and another event may be announced.
    pub(super) fn have_room(&self) -> bool {
        self.backlog.is_empty() && self.in_flight.len() < ANNOUNCED_AT_ONCE
    }

    /// A subject is announced, and under way.
    pub(super) fn announce(&mut self, subject: SubjectId) {
        self.announced.insert(subject);
        self.in_flight.insert(subject);
    }

    /// A subject waits for people, or for nobody: it holds up nothing any more.
    pub(super) fn give_way(&mut self, subject: &SubjectId) {
        self.in_flight.remove(subject);
    }

    /// A subject is decided, or forgotten.
    pub(super) fn end(&mut self, subject: &SubjectId) {
        self.announced.remove(subject);
        self.in_flight.remove(subject);
    }

    /// How many are undecided, announced or not.
    pub(super) fn undecided(&self) -> usize {
        self.announced.len() + self.accepted.len()
    }
}
