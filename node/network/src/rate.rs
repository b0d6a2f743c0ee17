//! Rates: a token bucket for what comes in, a pace for what goes out. Time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lets through `rate` a second, and a burst after a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self {
            rate,
            burst,
            level: burst,
            at: now,
        }
    }

    /// Takes `amount` if it is there. More than a whole burst passes when the bucket is full, and
    /// is paid back after.
    pub(crate) fn take(&mut self, amount: f64, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.level = (self.level + refill).min(self.burst);
        self.at = now;
        let enough = self.level >= amount.min(self.burst);
        if enough {
            self.level -= amount;
        }
        enough
    }
}

/// One bucket for each key, all of one rate. Keys are members, so that their number is bounded.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: f64,
    burst: f64,
    of: HashMap<K, TokenBucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets of `rate` a second and a burst of `seconds` times that.
    pub(crate) fn new(rate: f64, seconds: f64) -> Self {
        Self {
            rate,
            burst: rate * seconds,
            of: HashMap::new(),
        }
    }

    /// As [`TokenBucket::take`], from the bucket of `key`.
    pub(crate) fn take(&mut self, key: K, amount: f64, now: Instant) -> bool {
        self.of
            .entry(key)
            .or_insert_with(|| TokenBucket::new(self.rate, self.burst, now))
            .take(amount, now)
    }

    /// Forgets the buckets of those who are no longer members.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.of.retain(|key, _| keep(key));
    }
}

/// When the next thing may leave, if each takes its time and a pause is made up for by at most
/// `burst`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    burst: Duration,
    /// When all that left would have taken its time.
    spent: Instant,
}

impl Pace {
    /// A pace with nothing spent.
    pub(crate) fn new(burst: Duration, now: Instant) -> Self {
        Self { burst, spent: now }
    }

    /// When the next one may leave.
    pub(crate) fn ready_at(&self) -> Instant {
        self.spent.checked_sub(self.burst).unwrap_or(self.spent)
    }

    /// One left that takes `cost`.
    pub(crate) fn spend(&mut self, cost: Duration, now: Instant) {
        self.spent = self.spent.max(now) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_burst_and_then_its_rate_through() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, 20.0, start);
        assert_eq!((0..30).filter(|_| bucket.take(1.0, start)).count(), 20);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..30).filter(|_| bucket.take(1.0, later)).count(), 5);
    }

    #[test]
    fn more_than_a_burst_passes_once_and_is_paid_back() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, 20.0, start);
        assert!(bucket.take(50.0, start));
        assert!(!bucket.take(1.0, start + Duration::from_secs(2)));
        assert!(bucket.take(1.0, start + Duration::from_secs(4)));
    }

    #[test]
    fn one_key_does_not_empty_another_ones_bucket() {
        let now = Instant::now();
        let mut buckets = Buckets::new(1.0, 2.0);
        assert_eq!((0..5).filter(|_| buckets.take("a", 1.0, now)).count(), 2);
        assert!(buckets.take("b", 1.0, now));
    }

    #[test]
    fn a_pace_allows_a_burst_and_then_holds_back() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1), start);
        for _ in 0..10 {
            assert!(pace.ready_at() <= start);
            pace.spend(Duration::from_millis(100), start);
        }
        pace.spend(Duration::from_millis(100), start);
        assert_eq!(pace.ready_at(), start + Duration::from_millis(100));
    }
}
