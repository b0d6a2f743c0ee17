//! When to sync over Git: every interval, and oftener while fewer than a quorum is connected.
//! Decided from times that are handed in.

use std::time::Duration;

use ssid_protocol::record::Transport;
use tokio::time::Instant;

/// Why a sync is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The interval has passed.
    Interval,
    /// Votes go over Git.
    Fallback,
    /// What failed is tried again.
    Retry,
    /// Somebody asked for a sync now.
    Asked {
        /// Also for what was fetched a moment ago.
        force: bool,
    },
}

impl Why {
    /// Whether a mirror of this age is new enough not to be fetched again:
    /// `performance.cache_ttl_minutes`. While votes go over Git, and if somebody insists, none is.
    pub(super) fn passes_over(
        self,
        fetched_at: Option<Instant>,
        fresh_for: Duration,
        now: Instant,
    ) -> bool {
        let is_fresh = fetched_at.is_some_and(|at| now.duration_since(at) < fresh_for);
        is_fresh && matches!(self, Self::Interval | Self::Asked { force: false })
    }
}

/// The intervals by which syncs are due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// The setting `sync_settings.interval_minutes`.
    pub(super) interval: Duration,
    /// The setting `federation.auto_sync`.
    pub(super) automatic: bool,
    /// The setting `network.fallback_after_seconds`.
    pub(super) fallback_after: Duration,
    /// The setting `network.fallback_interval_seconds`.
    pub(super) fallback_every: Duration,
    lost_since: Option<Instant>,
    last: Option<Instant>,
    in_fallback: bool,
}

impl Schedule {
    pub(super) fn new(
        interval: Duration,
        automatic: bool,
        after: Duration,
        every: Duration,
    ) -> Self {
        let fallback_after = after;
        let fallback_every = every;
        let lost_since = None;
        let last = None;
        let in_fallback = false;
        Self {
            interval,
            automatic,
            fallback_after,
            fallback_every,
            lost_since,
            last,
            in_fallback,
        }
    }

    /// Notes whether a quorum is connected; the transport of votes, if that changes it.
    pub(super) fn note_quorum(&mut self, has_quorum: bool, now: Instant) -> Option<Transport> {
        if has_quorum {
            self.lost_since = None;
            return std::mem::take(&mut self.in_fallback).then_some(Transport::Live);
        }
        let since = *self.lost_since.get_or_insert(now);
        if self.in_fallback || now.duration_since(since) < self.fallback_after {
            return None;
        }
        self.in_fallback = true;
        Some(Transport::Git)
    }

    /// Whether a sync is due.
    pub(super) fn due(&self, now: Instant) -> Option<Why> {
        let (every, why) = self.rhythm()?;
        self.last
            .is_none_or(|last| now.duration_since(last) >= every)
            .then_some(why)
    }

    /// When to look again.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let lost = self
            .lost_since
            .filter(|_| !self.in_fallback)
            .map(|since| since + self.fallback_after);
        let sync = self
            .rhythm()
            .map(|(every, _)| self.last.map_or(now, |last| last + every));
        lost.into_iter().chain(sync).min()
    }

    fn rhythm(&self) -> Option<(Duration, Why)> {
        match (self.in_fallback, self.automatic) {
            (true, _) => Some((self.fallback_every, Why::Fallback)),
            (false, true) => Some((self.interval, Why::Interval)),
            (false, false) => None,
        }
    }

    /// A sync began.
    pub(super) fn began(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Whether the last sync is less than an interval ago.
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.duration_since(last) < self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(automatic: bool) -> (Schedule, Instant) {
        let seconds = Duration::from_secs;
        (
            Schedule::new(seconds(3600), automatic, seconds(300), seconds(30)),
            Instant::now(),
        )
    }

    #[tokio::test]
    async fn git_is_used_once_a_quorum_is_away_long_enough_and_no_longer_than_that() {
        let (mut times, start) = schedule(false);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            (
                times.note_quorum(true, at(0)),
                times.due(at(0)),
                times.next(at(0))
            ),
            (None, None, None)
        );
        assert_eq!(
            (times.note_quorum(false, at(10)), times.next(at(10))),
            (None, Some(at(310)))
        );
        assert_eq!(times.note_quorum(false, at(309)), None);
        assert_eq!(times.note_quorum(false, at(310)), Some(Transport::Git));
        assert_eq!(
            (times.note_quorum(false, at(311)), times.due(at(311))),
            (None, Some(Why::Fallback))
        );
        times.began(at(311));
        assert_eq!(
            (times.due(at(340)), times.next(at(340))),
            (None, Some(at(341)))
        );
        assert_eq!(times.due(at(341)), Some(Why::Fallback));
        assert_eq!(times.note_quorum(true, at(342)), Some(Transport::Live));
        assert_eq!(
            (times.in_fallback, times.due(at(9999)), times.next(at(9999))),
            (false, None, None)
        );
        // the count begins anew
        assert_eq!(
            (
                times.note_quorum(false, at(400)),
                times.note_quorum(false, at(600))
            ),
            (None, None)
        );
    }

    #[tokio::test]
    async fn a_mirror_that_is_new_enough_is_passed_over_unless_votes_or_people_need_it() {
        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        let later = now + minute;
        for why in [Why::Interval, Why::Asked { force: false }] {
            assert!(!why.passes_over(None, minute, now), "it was never fetched");
            assert!(
                why.passes_over(Some(now), 2 * minute, later)
                    && !why.passes_over(Some(now), minute, later)
            );
        }
        for why in [Why::Fallback, Why::Asked { force: true }] {
            assert!(!why.passes_over(Some(now), 2 * minute, later));
        }
    }

    #[tokio::test]
    async fn automatic_syncs_come_every_interval() {
        let (mut times, start) = schedule(true);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            (times.due(at(0)), times.is_recent(at(0))),
            (Some(Why::Interval), false)
        );
        times.began(at(0));
        assert_eq!(
            (times.due(at(3599)), times.is_recent(at(3599))),
            (None, true)
        );
        assert_eq!(
            (times.due(at(3600)), times.is_recent(at(3600))),
            (Some(Why::Interval), false)
        );
        let (times, now) = schedule(false);
        assert_eq!(times.due(now), None);
    }
}
