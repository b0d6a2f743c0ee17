//! What the status says of open subjects, counted as they change: however many wait, nobody walks
//! over all of them for it.

use std::collections::HashMap;

use ssid_protocol::id::{NodeId, Round, SubjectId};
use ssid_protocol::vote::Phase;

use super::engine::{Engine, Tick};
use super::open::{Counted, Open};
use super::shown::ReviewReason;

/// How many open subjects are what.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// In conflict.
    pub(super) conflicts: u64,
    /// Waiting for this node's operator.
    pub(super) reviews: u64,
    /// Of each origin, those in which nobody else voted.
    unsupported: HashMap<NodeId, usize>,
}

impl Counts {
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
