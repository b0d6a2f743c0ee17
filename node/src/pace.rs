//! When something that leaves the node is tried: soon after there is something, and ever more
//! rarely while it fails.

use std::time::Duration;

use ssid_protocol::backoff::Backoff;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After something was certified: what comes with it goes together.
    pub settle: Duration,
    /// After the first failure; each next waits twice as long.
    pub first_retry: Duration,
    /// The longest pause, after many failures.
    pub last_retry: Duration,
}

impl Pace {
    /// The pause after so many failures before this one, a fifth of it at random: many nodes may
    /// share one server.
    pub fn back_off(&self, failures: u32) -> Duration {
        Backoff::new(self.first_retry, self.last_retry).jittered(failures, 0.2, rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let pace = Pace {
            settle: Duration::ZERO,
            first_retry: Duration::from_secs(5),
            last_retry: Duration::from_mins(1),
        };
        for (failures, seconds) in [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (u32::MAX, 60)] {
            let pause = pace.back_off(failures);
            let most = Duration::from_secs(seconds);
            assert!(
                pause <= most && pause >= most.mul_f64(0.8),
                "{failures}: {pause:?}"
            );
        }
    }
}
