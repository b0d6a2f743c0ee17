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
