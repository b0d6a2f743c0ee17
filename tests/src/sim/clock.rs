//! Simulated time: what happens next, in order of time and, at one time, of being put down.

use std::collections::BTreeMap;

use ssid_engine::{Now, Steady};
use ssid_protocol::id::UnixMillis;

/// 2025-10-11T20:00:00Z: when a simulation begins, and when the fixtures' events happened.
pub(super) const START: u64 = 1_760_212_800_000;

/// What is to happen, by when, in milliseconds since the start.
#[derive(Debug)]
pub(super) struct Clock<T> {
    now: u64,
    made: u64,
    agenda: BTreeMap<(u64, u64), T>,
}

impl<T> Clock<T> {
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            made: 0,
            agenda: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Puts down `what` for so many milliseconds from now.
    pub(super) fn after(&mut self, delay: u64, what: T) {
        self.made += 1;
        self.agenda.insert((self.now + delay, self.made), what);
    }

    /// The next thing; time is then when it happens.
    pub(super) fn next(&mut self) -> Option<T> {
        let ((at, _), what) = self.agenda.pop_first()?;
        self.now = at;
        Some(what)
    }

    /// What a clock that is off by `skew` milliseconds shows now.
    pub(super) fn shown(&self, skew: i64) -> UnixMillis {
        UnixMillis((START + self.now).saturating_add_signed(skew))
    }

    /// Both clocks of a machine whose wall clock is off by `skew` milliseconds.
    pub(super) fn both(&self, skew: i64) -> Now {
        Now {
            wall: self.shown(skew),
            steady: Steady(START + self.now),
        }
    }

    /// How long from now it is until the steady clock shows `at`.
    pub(super) fn until(&self, at: Steady) -> u64 {
        at.0.saturating_sub(START + self.now)
    }
}
