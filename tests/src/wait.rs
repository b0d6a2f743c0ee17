//! Waiting for conditions, with deadlines.

use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(25);
/// For what takes a second on an idle machine: room for a busy one.
pub const SOON: Duration = Duration::from_mins(1);
/// For what takes several seconds on an idle machine.
pub const LONG: Duration = Duration::from_secs(150);

/// Waits until `look` gives a value; `Err` says what is seen instead.
///
/// # Panics
/// At the deadline, with what was seen last.
pub fn eventually<T, E: Debug>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => {
                panic!(
                    "not within {} s: {what}; last seen: {seen:?}",
                    within.as_secs()
                )
            }
            Err(_) => sleep(EVERY),
        }
    }
}

/// Looks for `long` whether `look` ever says that the forbidden has happened. For what must not
/// happen there is no condition to wait for; `long` is a sample, not a proof.
///
/// # Panics
/// If it happens, with what was seen.
pub fn never_while(what: &str, long: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let end = Instant::now() + long;
    while Instant::now() < end {
        if let Err(seen) = look() {
            panic!("must not happen: {what}; seen: {seen}");
        }
        sleep(EVERY);
    }
}
