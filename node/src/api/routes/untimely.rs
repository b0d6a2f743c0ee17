//! Events whose timestamps keep other nodes from voting for them by themselves (SPEC §2, *timely*).

use ssid_engine::settings::CLOCK_TOLERANCE;
use ssid_protocol::event::Event;
use ssid_protocol::id::UnixMillis;

use crate::view::Untimely;

const DAY_MILLIS: i128 = 24 * 60 * 60 * 1000;

/// What is wrong with an event's time at `now`, by this node's own `max_age_days`.
pub(super) fn untimely(event: &Event, max_age_days: u64, now: UnixMillis) -> Option<Untimely> {
    let at = i128::from(event.instant()?.unix_millis());
    let now = i128::from(now.0);
    let tolerance = i128::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or_default();
    if at > now + tolerance {
        return Some(Untimely::Ahead);
    }
    (at < now - i128::from(max_age_days) * DAY_MILLIS).then_some(Untimely::Old)
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn only_what_is_too_old_or_ahead_is_untimely() {
        // 2025-10-11T20:00:00Z
        let now = UnixMillis(1_760_212_800_000);
        let at = |timestamp: &str| {
            let event = Event {
                timestamp: timestamp.to_owned(),
                ..testing::event("audit", "v1")
            };
            untimely(&event, 365, now)
        };
        for timely in [
            "2024-10-11T20:00:00Z",
            "2025-10-11T20:00:00Z",
            "2025-10-11T20:05:00Z",
        ] {
            assert_eq!(at(timely), None, "{timely}");
        }
        for old in ["2024-10-11T19:59:59Z", "1970-01-01T00:00:00Z"] {
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
