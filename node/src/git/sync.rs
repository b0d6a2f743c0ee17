//! One sync: every member's branch once, the most trusted first; and when one that failed is tried
//! again. No sync waits for a pause, so that who is away holds up nobody else.

use std::cmp::Reverse;
use std::time::Duration;

use futures::StreamExt as _;
use ssid_protocol::backoff::Backoff;
use ssid_protocol::id::UnixMillis;
use tokio::time::Instant;

use super::command::Git;
use super::failure::GitError;
use super::intake::IntakeContext;
use super::mirror::{Brought, Source, follow};
use super::read::Segments;
use super::schedule::Why;

/// The longest pause before another attempt.
const PAUSE_AT_MOST: Duration = Duration::from_mins(10);

/// A branch to fetch in one sync.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its place among the members.
    pub(super) place: usize,
    pub(super) source: Source,
    /// This node's trust in its owner.
    pub(super) trust: i32,
    /// Fetches that failed since the last that did not.
    pub(super) failures: u64,
    /// Whether what was read before is offered to the engine again, and from where on.
    pub(super) again: Option<Segments>,
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    /// Attempts after the first.
    pub(super) retries: u64,
    /// The pause before the first of them; each next is twice as long.
    pub(super) delay: Duration,
    /// Fetches at a time.
    pub(super) parallel: usize,
}

/// Those that failed last time come last, so that nobody waits for them; among the others the most
/// trusted is first.
pub(super) fn order(targets: &mut [Target]) {
    targets.sort_by_key(|target| (target.failures > 0, Reverse(target.trust), target.place));
}

/// When a branch that could not be had is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    /// Attempts since one that went well, or since the last regular sync.
    attempts: u64,
    at: Option<Instant>,
}

impl Retry {
    /// Notes how an attempt went; the pause before the next, if there is to be one.
    pub(super) fn note(
        &mut self,
        may_pass: bool,
        why: Why,
        effort: Effort,
        now: Instant,
    ) -> Option<Duration> {
        let attempts = if why == Why::Retry {
            self.attempts + 1
        } else {
            0
        };
        *self = Self { attempts, at: None };
        // while votes go over Git the next sync is the next attempt
        if !may_pass || attempts >= effort.retries || why == Why::Fallback {
            return None;
        }
        let pauses = Backoff::new(effort.delay, PAUSE_AT_MOST);
        let pause = pauses.pause(u32::try_from(attempts).unwrap_or(u32::MAX));
        self.at = Some(now + pause);
        Some(pause)
    }

    /// When the next attempt is due, if there is to be one.
    pub(super) fn at(self) -> Option<Instant> {
        self.at
    }

    pub(super) fn is_due(self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }
}

/// Fetches and reads every target once; what became of each, by its place.
pub(super) async fn run(
    git: &Git,
    context: &IntakeContext,
    mut targets: Vec<Target>,
    parallel: usize,
    now: UnixMillis,
) -> Vec<(usize, Result<Brought, GitError>)> {
    order(&mut targets);
    let follow_one = |target: Target| async move {
        (
            target.place,
            follow(git, &target.source, context, target.again, now).await,
        )
    };
    let all = futures::stream::iter(targets).map(follow_one);
    all.buffer_unordered(parallel.max(1)).collect().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ssid_protocol::id::NodeId;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::GitProtocol;
    use crate::git::GitRemote;
    use crate::git::testing::intake_context;

    /// A server that ends every connection at once, or holds it; how many connections it took.
    async fn server(holds: bool) -> (String, Arc<AtomicUsize>) {
        let (listener, taken) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            Arc::new(AtomicUsize::new(0)),
        );
        let (address, count) = (
            format!("git://{}/a.git", listener.local_addr().unwrap()),
            taken.clone(),
        );
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                held.extend(Some(connection).filter(|_| holds));
            }
        });
        (address, taken)
    }

    fn target(place: usize, address: &str, dir: &Path) -> Target {
        let remote = GitRemote::parse(address, GitRemote::PROTOCOLS).unwrap();
        let dir = dir.join(format!("{place}.git"));
        let source = Source {
            node: NodeId([place as u8; 32]),
            remote,
            branch: "b".into(),
            dir,
            depth: 10,
        };
        Target {
            place,
            source,
            trust: 50,
            failures: 0,
            again: None,
        }
    }

    /// How many failed, and how long that took.
    async fn run_with(
        targets: Vec<Target>,
        parallel: usize,
        timeout: Duration,
    ) -> (usize, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let context = intake_context(dir.path(), tokio::sync::mpsc::channel(1).0);
        let shutdown = CancellationToken::new();
        let git = Git::find(&[GitProtocol::Git], timeout, shutdown.clone())
            .await
            .unwrap();
        let started = Instant::now();
        let outcomes = run(&git, &context, targets, parallel, UnixMillis(1)).await;
        (
            outcomes
                .iter()
                .filter(|(_, outcome)| outcome.is_err())
                .count(),
            started.elapsed(),
        )
    }

    #[tokio::test]
    async fn who_fails_is_asked_once_a_sync_and_again_after_growing_pauses() {
        let dir = tempfile::tempdir().unwrap();
        let (address, taken) = server(false).await;
        let (failed, _) = run_with(
            vec![target(0, &address, dir.path())],
            1,
            Duration::from_secs(20),
        )
        .await;
        assert_eq!((failed, taken.load(Ordering::Relaxed)), (1, 1));

        let effort = Effort {
            retries: 3,
            delay: Duration::from_secs(30),
            parallel: 1,
        };
        let now = Instant::now();
        let mut retry = Retry::default();
        let asked = Why::Asked { force: true };
        let mut pauses = vec![retry.note(true, asked, effort, now)];
        assert!(!retry.is_due(now) && retry.is_due(now + Duration::from_secs(30)));
        pauses.extend((0..3).map(|_| retry.note(true, Why::Retry, effort, now)));
        let seconds: Vec<_> = pauses
            .into_iter()
            .map(|pause| pause.map(|pause| pause.as_secs()))
            .collect();
        assert_eq!(seconds, [Some(30), Some(60), Some(120), None]);
        assert_eq!(retry.at(), None);
        // a regular sync counts anew; one that may not pass, and one while votes go over Git, is
        // left to the next
        assert!(retry.note(true, Why::Interval, effort, now).is_some());
        for (may_pass, why) in [
            (false, Why::Interval),
            (false, Why::Retry),
            (true, Why::Fallback),
        ] {
            assert_eq!(
                (retry.note(may_pass, why, effort, now), retry.at()),
                (None, None),
                "{why:?}"
            );
        }
    }

    #[tokio::test]
    async fn as_many_are_fetched_at_a_time_as_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (address, _) = server(true).await;
        let targets = || {
            (0..3)
                .map(|place| target(place, &address, dir.path()))
                .collect()
        };
        let limit = Duration::from_secs(1);
        let (failed, one_by_one) = run_with(targets(), 1, limit).await;
        assert!(failed == 3 && one_by_one >= 3 * limit, "{one_by_one:?}");
        let (failed, together) = run_with(targets(), 3, limit).await;
        assert!(failed == 3 && together < 3 * limit, "{together:?}");
    }

    #[test]
    fn the_most_trusted_come_first_and_those_that_failed_last() {
        let of = |place, trust, failures| Target {
            trust,
            failures,
            ..target(place, "git://h/a", Path::new("/d"))
        };
        let mut targets = vec![of(0, 40, 0), of(1, 90, 1), of(2, 70, 0), of(3, 70, 0)];
        order(&mut targets);
        assert_eq!(
            targets.iter().map(|t| t.place).collect::<Vec<_>>(),
            [2, 3, 0, 1]
        );
    }
}
