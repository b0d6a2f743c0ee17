//! One sync: every member's branch once, the most trusted first, those that fail again after a pause while nobody waits
//! for them.

use std::cmp::Reverse;
use std::time::Duration;

use futures::StreamExt as _;
use ssid_protocol::id::UnixMillis;
use tokio_util::sync::CancellationToken;

use super::command::Git;
use super::failure::GitError;
use super::intake::Road;
use super::mirror::{Brought, Source, follow};

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
    /// Whether what was read before is offered to the engine again.
    pub(super) again: bool,
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

/// Those that failed last time come last, so that nobody waits for them; among the others the most trusted is first.
pub(super) fn order(targets: &mut [Target]) {
    targets.sort_by_key(|target| (target.failures > 0, Reverse(target.trust), target.place));
}

/// Fetches and reads every target; what became of each, by its place.
pub(super) async fn run(
    git: &Git,
    road: &Road,
    mut targets: Vec<Target>,
    effort: Effort,
    now: UnixMillis,
    shutdown: &CancellationToken,
) -> Vec<(usize, Result<Brought, GitError>)> {
    order(&mut targets);
    let mut outcomes = Vec::new();
    for attempt in 0..=effort.retries {
        let follow_one = |target: Target| async move {
            let brought = follow(git, &target.source, road, target.again, now).await;
            (target, brought)
        };
        let done: Vec<_> = futures::stream::iter(std::mem::take(&mut targets))
            .map(follow_one)
            .buffered(effort.parallel.max(1))
            .collect()
            .await;
        for (target, brought) in done {
            match brought {
                Err(error) if error.is_passing() && attempt < effort.retries => targets.push(target),
                brought => outcomes.push((target.place, brought)),
            }
        }
        if targets.is_empty() {
            break;
        }
        let factor = 1 << attempt.min(16);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(effort.delay.saturating_mul(factor).min(PAUSE_AT_MOST)) => {}
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use ssid_protocol::id::NodeId;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::GitProtocol;
    use crate::git::GitRemote;
    use crate::git::testing::road;

    /// A server that ends every connection at once, or holds it; how many connections it took.
    async fn server(holds: bool) -> (String, Arc<AtomicUsize>) {
        let (listener, taken) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(AtomicUsize::new(0)));
        let (address, count) = (format!("git://{}/a.git", listener.local_addr().unwrap()), taken.clone());
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
        let source = Source { node: NodeId([place as u8; 32]), remote, branch: "b".into(), dir, depth: 10 };
        Target { place, source, trust: 50, failures: 0, again: false }
    }

    /// How many failed, and how long that took.
    async fn run_with(targets: Vec<Target>, effort: Effort, timeout: Duration) -> (usize, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let road = road(dir.path(), tokio::sync::mpsc::channel(1).0);
        let shutdown = CancellationToken::new();
        let git = Git::find(&[GitProtocol::Git], timeout, shutdown.clone()).await.unwrap();
        let started = Instant::now();
        let outcomes = run(&git, &road, targets, effort, UnixMillis(1), &shutdown).await;
        (outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count(), started.elapsed())
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_after_growing_pauses() {
        let dir = tempfile::tempdir().unwrap();
        let (address, taken) = server(false).await;
        let effort = |retries| Effort { retries, delay: Duration::from_millis(100), parallel: 1 };
        let targets = || vec![target(0, &address, dir.path())];
        let once = run_with(targets(), effort(0), Duration::from_secs(20)).await;
        assert_eq!((once.0, taken.swap(0, Ordering::Relaxed)), (1, 1));
        let (failed, took) = run_with(targets(), effort(2), Duration::from_secs(20)).await;
        assert_eq!((failed, taken.load(Ordering::Relaxed)), (1, 3));
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }

    #[tokio::test]
    async fn as_many_are_fetched_at_a_time_as_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (address, _) = server(true).await;
        let targets = || (0..3).map(|place| target(place, &address, dir.path())).collect();
        let (effort, limit) =
            (|parallel| Effort { retries: 0, delay: Duration::ZERO, parallel }, Duration::from_secs(1));
        let (failed, one_by_one) = run_with(targets(), effort(1), limit).await;
        assert!(failed == 3 && one_by_one >= 3 * limit, "{one_by_one:?}");
        let (failed, together) = run_with(targets(), effort(3), limit).await;
        assert!(failed == 3 && together < 3 * limit, "{together:?}");
    }

    #[test]
    fn the_most_trusted_come_first_and_those_that_failed_last() {
        let of = |place, trust, failures| Target { trust, failures, ..target(place, "git://h/a", Path::new("/d")) };
        let mut targets = vec![of(0, 40, 0), of(1, 90, 1), of(2, 70, 0), of(3, 70, 0)];
        order(&mut targets);
        assert_eq!(targets.iter().map(|t| t.place).collect::<Vec<_>>(), [2, 3, 0, 1]);
    }
}
