//! This machine's clocks: the wall clock, which people and NTP set, and one that only runs on.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ssid_engine::{Now, Steady};
use ssid_protocol::id::UnixMillis;

/// What the steady clock shows when a process first looks at it, in milliseconds: so long ago that
/// what was waited for before a restart lies after 0.
const STEADY_START: u64 = 100 * 366 * 24 * 3_600_000;

/// This machine's clocks. A wall clock before 1970 counts as 1970: then every peer's heartbeat says
/// that it is wrong.
pub fn moment() -> Now {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        wall: UnixMillis(millis(since)),
        steady: Steady(STEADY_START).after(FIRST.elapsed()),
    }
}

/// What the wall clock shows, right or wrong: for what is shown and signed. What waits goes by
/// [`moment`].
pub fn now() -> UnixMillis {
    moment().wall
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
