//! Many seeds, on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Coverage, Options, Tracing, run};

/// Runs the seeds, each on one thread, until one fails: what they covered, and the lowest that
/// failed.
pub fn run_many(seeds: Range<u64>, options: &Options) -> (Coverage, Option<u64>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        let mut coverage = Coverage::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // lower seeds than one that failed are finished: the lowest failure is always the same
            // one
            if seed >= seeds.end || seed > failed.load(Ordering::Relaxed) {
                return coverage;
            }
            let outcome = run(seed, options, Tracing::Off);
            coverage.merge(&outcome.coverage);
            if outcome.violation.is_some() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(part) => coverage.merge(&part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (
        coverage,
        Some(failed.into_inner()).filter(|seed| *seed != u64::MAX),
    )
}
