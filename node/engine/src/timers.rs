//! Voting timers, in order of time.

use std::collections::BTreeSet;

use ssid_protocol::id::SubjectId;
use ssid_protocol::voting::Timer;

use super::clock::Steady;

/// Timers that run. One whose instance is decided meanwhile finds nothing to do.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Steady, SubjectId, Timer)>);

impl Timers {
    pub(super) fn start(&mut self, at: Steady, subject: SubjectId, timer: Timer) {
        self.0.insert((at, subject, timer));
    }

    /// Takes out those that have run out.
    pub(super) fn due(&mut self, now: Steady) -> Vec<(SubjectId, Timer)> {
        let mut due = Vec::new();
        while let Some(first) = self.0.first().copied().filter(|(at, ..)| *at <= now) {
            self.0.remove(&first);
            due.push((first.1, first.2));
        }
        due
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.0.first().map(|(at, ..)| *at)
    }
}
