//! Pauses between attempts that double with each failure. Pure arithmetic: what is random about a
//! pause comes in as a value.

use std::time::Duration;

/// How pauses grow.
///
/// ```
/// use std::time::Duration;
/// use ssid_protocol::backoff::Backoff;
///
/// let retry = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
/// assert_eq!(retry.pause(0), Duration::from_secs(5));
/// assert_eq!(retry.pause(2), Duration::from_secs(20));
/// assert_eq!(retry.pause(9), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause, after many failures.
    pub last: Duration,
}

impl Backoff {
    /// From `first` up to `last`.
    pub const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last }
    }

    /// The pause after so many failures before this one.
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.last)
    }

    /// The same with up to `share` of it taken off, so that many who failed together do not come
    /// back together. `random` is between 0, for nothing, and 1, for all of that share.
    pub fn jittered(&self, failures: u32, share: f64, random: f64) -> Duration {
        let off = share.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        self.pause(failures).mul_f64(1.0 - off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last_however_many_failures() {
        let retry = Backoff::new(Duration::from_secs(5), Duration::from_mins(1));
        for (failures, seconds) in [(0, 5), (1, 10), (3, 40), (4, 60), (31, 60), (u32::MAX, 60)] {
            assert_eq!(
                retry.pause(failures),
                Duration::from_secs(seconds),
                "{failures}"
            );
        }
        let without_end = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert!(without_end.pause(u32::MAX) >= Duration::from_secs(u64::from(u32::MAX)));
    }

    #[test]
    fn jitter_takes_off_up_to_its_share() {
        let retry = Backoff::new(Duration::from_secs(10), Duration::from_secs(10));
        assert_eq!(retry.jittered(0, 0.5, 0.0), Duration::from_secs(10));
        assert_eq!(retry.jittered(0, 0.5, 1.0), Duration::from_secs(5));
        assert_eq!(retry.jittered(0, 0.5, 7.0), Duration::from_secs(5));
        assert_eq!(retry.jittered(0, -1.0, 1.0), Duration::from_secs(10));
    }
}
