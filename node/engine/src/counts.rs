//! What the status says of open subjects and of records, counted as they change: however many there
//! are, nobody walks over all of them for it.

use std::collections::{BTreeSet, HashMap};

use ssid_protocol::id::{NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::vote::Phase;

use super::engine::{Engine, Tick};
use super::open::{Counted, Open};
use super::shown::ReviewReason;

/// How many open subjects are what, and how many records say what.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// In conflict.
    conflicts: u64,
    /// Waiting for this node's operator.
    reviews: u64,
    /// Of each origin, those in which nobody else voted.
    unsupported: HashMap<NodeId, usize>,
    /// Of each origin, those that its announcement opened, oldest first.
    by_origin: HashMap<NodeId, BTreeSet<(UnixMillis, SubjectId)>>,
    /// Records in which all observations agree.
    agreements: u64,
    /// Records in which somebody disagrees.
    disagreements: u64,
}

impl Counts {
    /// How many open subjects are in conflict.
    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// How many wait for this node's operator.
    pub(super) fn reviews(&self) -> u64 {
        self.reviews
    }

    /// Records in which all observations agree, and those in which somebody disagrees.
    pub(super) fn records(&self) -> (u64, u64) {
        (self.agreements, self.disagreements)
    }

    /// A record was written.
    pub(super) fn note_record(&mut self, agrees: bool) {
        if agrees {
            self.agreements += 1;
        } else {
            self.disagreements += 1;
        }
    }

    /// The first late observation that disagrees was counted into a record.
    pub(super) fn note_late_disagreement(&mut self) {
        self.agreements = self.agreements.saturating_sub(1);
        self.disagreements += 1;
    }

    /// An origin's announcement opened a subject.
    pub(super) fn open(&mut self, origin: NodeId, first_seen: UnixMillis, subject: SubjectId) {
        let opened = self.by_origin.entry(origin).or_default();
        opened.insert((first_seen, subject));
    }

    /// A subject that an origin opened is open no more.
    pub(super) fn close(&mut self, origin: &NodeId, first_seen: UnixMillis, subject: SubjectId) {
        if let Some(opened) = self.by_origin.get_mut(origin) {
            opened.remove(&(first_seen, subject));
        }
    }

    /// How many subjects that this origin opened are open.
    pub(super) fn open_of(&self, origin: &NodeId) -> usize {
        self.by_origin.get(origin).map_or(0, BTreeSet::len)
    }

    /// Those subjects, oldest first.
    pub(super) fn oldest_of(&self, origin: &NodeId) -> impl Iterator<Item = SubjectId> {
        let opened = self.by_origin.get(origin).into_iter().flatten();
        opened.map(|(_, subject)| *subject)
    }

    /// How many subjects of this origin are open in which nobody else voted.
    pub(super) fn unsupported_of(&self, origin: &NodeId) -> usize {
        self.unsupported.get(origin).copied().unwrap_or_default()
    }

    fn change(&mut self, origin: Option<NodeId>, before: Counted, after: Counted) {
        let moved = |count: u64, was: bool, is: bool| {
            (count + u64::from(is)).saturating_sub(u64::from(was))
        };
        self.conflicts = moved(self.conflicts, before.conflict, after.conflict);
        self.reviews = moved(self.reviews, before.review, after.review);
        if let Some(origin) = origin {
            let count = self.unsupported.entry(origin).or_default();
            *count = (*count + usize::from(after.unsupported))
                .saturating_sub(usize::from(before.unsupported));
        }
    }
}

impl Engine {
    /// Counts a subject as what it is now. Called whenever its instance was stepped or its waiting
    /// looked at.
    pub(super) fn recount(&mut self, subject: &SubjectId) {
        let Some(open) = self.open.get(subject) else {
            return;
        };
        let now = Counted {
            conflict: self.is_in_conflict(open),
            review: self.is_waiting_for_a_person(open),
            unsupported: open.origin.is_some() && !open.is_supported,
        };
        let Some(open) = self
            .open
            .get_mut(subject)
            .filter(|open| open.counted != now)
        else {
            return;
        };
        let before = std::mem::replace(&mut open.counted, now);
        self.counts.change(open.origin, before, now);
    }

    /// A subject is open no more.
    pub(super) fn uncount(&mut self, open: &Open) {
        self.counts
            .change(open.origin, open.counted, Counted::default());
    }

    fn is_waiting_for_a_person(&self, open: &Open) -> bool {
        let machine = &open.machine;
        let prevotes = machine.tally(Round::ZERO, Phase::Prevote);
        let has_voted = || {
            self.rules
                .me
                .is_some_and(|me| prevotes.is_some_and(|tally| tally.first(me).is_some()))
        };
        open.waits_for.is_some_and(ReviewReason::asks_a_person)
            && machine.round() == Round::ZERO
            && !machine.in_conflict()
            && !has_voted()
    }

    /// Looks again at all subjects that wait for this reason: it may not hold any more.
    pub(super) fn endorse_again(&mut self, tick: &mut Tick, reason: ReviewReason) {
        let waiting = self
            .open
            .iter()
            .filter(|(_, open)| open.waits_for == Some(reason));
        for subject in waiting.map(|(subject, _)| *subject).collect::<Vec<_>>() {
            self.endorse(tick, subject);
        }
    }
}
