//! Whether an event's timestamp is near enough to a node's clock for it to be voted for without a
//! person (SPEC §2, *timely*).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::UnixMillis;

/// How far ahead of a node's clock an event's timestamp may be.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// What is wrong with an event's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untimely {
    /// It is older than the node's limit.
    Old,
    /// It is more than 5 minutes ahead of the node's clock.
    Ahead,
}

/// What is wrong with an event's timestamp by a clock that says `now`, if anything is. One that is
/// no time at all, which no admissible event has, is as old as can be.
pub fn untimely(event: &Event, now: UnixMillis, max_age: Duration) -> Option<Untimely> {
    let Some(instant) = event.instant() else {
        return Some(Untimely::Old);
    };
    let (at, now) = (i128::from(instant.unix_millis()), i128::from(now.0));
    // far more than any timestamp is away from any clock
    let millis = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX / 4);
    if at > now + millis(CLOCK_TOLERANCE) {
        return Some(Untimely::Ahead);
    }
    (at < now - millis(max_age)).then_some(Untimely::Old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_what_is_too_old_or_ahead_is_untimely() {
        // 2025-10-11T20:00:00Z
        let now = UnixMillis(1_760_212_800_000);
        let year = Duration::from_hours(365 * 24);
        let at = |timestamp: &str| {
            let event = Event {
                timestamp: timestamp.to_owned(),
                ..testing::event("audit", "v1")
            };
            untimely(&event, now, year)
        };
        for timely in [
            "2024-10-11T20:00:00Z",
            "2025-10-11T20:00:00Z",
            "2025-10-11T20:05:00Z",
        ] {
            assert_eq!(at(timely), None, "{timely}");
        }
        for old in [
            "2024-10-11T19:59:59Z",
            "1970-01-01T00:00:00Z",
            "the day before yesterday",
        ] {
            assert_eq!(at(old), Some(Untimely::Old), "{old}");
        }
        for ahead in [
            "2025-10-11T20:05:01Z",
            "2030-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(at(ahead), Some(Untimely::Ahead), "{ahead}");
        }
    }
}
