//! At most two clusters at once: each is several processes, and machines that test have few cores.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

const AT_ONCE: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run a cluster, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Waits for its turn.
    pub(crate) fn take() -> Self {
        let mut running = running();
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *running() -= 1;
        ENDED.notify_one();
    }
}

fn running() -> MutexGuard<'static, usize> {
    // a count is whole even if its holder panicked
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
