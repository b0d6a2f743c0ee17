//! The two clocks of a tick. What is signed, shown or compared with timestamps goes by the wall
//! clock, which people and NTP set; every wait goes by one that only runs on, so that a wall clock
//! set forward or back ends no wait and starts none.

use std::time::Duration;

use ssid_protocol::id::UnixMillis;

/// A time by the steady clock, in milliseconds; compared only within one life of a node, and never
/// shown or stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub u64);

impl Steady {
    /// This time moved later; stays at the maximum rather than wrapping.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This time moved earlier; stays at 0 rather than wrapping.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// By this machine's clock, right or wrong.
    pub wall: UnixMillis,
    /// By the one that nobody sets.
    pub steady: Steady,
}

impl Now {
    /// What the wall clock shows at `at` if nobody sets it.
    pub(super) fn wall_at(self, at: Steady) -> UnixMillis {
        self.wall.after(at.since(self.steady))
    }

    /// When, by the steady clock, the wall clock shows `at` if nobody sets it.
    pub(super) fn steady_at(self, at: UnixMillis) -> Steady {
        self.steady.after(at.since(self.wall))
    }
}

/// A moment at which both clocks show the same: for simulated nodes whose clocks are right.
impl From<UnixMillis> for Now {
    fn from(at: UnixMillis) -> Self {
        Self {
            wall: at,
            steady: Steady(at.0),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
