//! What this process may do, and how it ends.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Code;
use crate::logging;

/// Files that are open at once, if the system allows so many: links, requests, Git and the database
/// together.
const FILES: u64 = 65_536;
/// How long an orderly end may take. Service managers give at least 10 s, and people less.
const STOP_AT_MOST: Duration = Duration::from_secs(4);
/// How long threads that block may take once everything else has ended: what they do is of no use
/// any more.
const BLOCKED_AT_MOST: Duration = Duration::from_millis(200);

/// No core, which would hold keys, and as many open files as are needed.
pub(crate) fn set_limits() {
    // best effort: a system that refuses has its reasons, and everything works without
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.map_or(FILES, |most| most.min(FILES));
    if files.current.is_some_and(|now| now < wanted) {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: files.maximum,
            },
        );
    }
}

/// Other processes of the same user cannot read this one's memory, where its keys are.
pub(crate) fn keep_private() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Runs `future` to its end. Threads that still block then – on a file system that hangs, or Git –
/// are not waited for.
pub(crate) fn block_on<T>(runtime: Runtime, future: impl Future<Output = T>) -> T {
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(BLOCKED_AT_MOST);
    result
}

/// The signals by which people and service managers end a command: SIGINT, SIGTERM, and SIGHUP when
/// its terminal goes – unless it was started to outlive that, with `nohup`.
#[derive(Debug)]
pub(crate) struct Interruption {
    interrupted: Signal,
    terminated: Signal,
    hung_up: Option<Signal>,
}

impl Interruption {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system gives no signals.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: if ignores_hangup() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Waits until one of them comes.
    pub(crate) async fn comes(&mut self) {
        let hung_up = async {
            match &mut self.hung_up {
                Some(hung_up) => hung_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether this process was started so that SIGHUP does nothing.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit
    ignored
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & 1 == 1)
}

/// Cancels the token at SIGTERM or SIGINT. SIGHUP is said and changes nothing: a node that was
/// started on a terminal outlives it, and no configuration is read again. Whatever hangs, the process has ended [`STOP_AT_MOST`]
/// later, and at once at a second signal.
///
/// # Errors
/// If the system gives no thread or no signals.
pub(crate) fn stop_on_signals() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // a thread of its own: the runtime's may all be blocked
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // registered before anything else runs: a signal that comes now must not end the process
    // halfway
    let (mut interrupted, mut terminated, mut hung_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    let ending = async move {
        let name = loop {
            tokio::select! {
                _ = interrupted.recv() => break "SIGINT",
                _ = terminated.recv() => break "SIGTERM",
                _ = hung_up.recv() => tracing::info!(
                    "SIGHUP: the node goes on; stop it with SIGTERM, and start it again to have it read its configuration"
                ),
            }
        };
        tracing::info!(signal = name, "stopping");
        // tasks hear it and end in order; what follows is for those that do not
        token.cancel();
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            () = tokio::time::sleep(STOP_AT_MOST) => {
                // votes and certificates are on disk before they are sent: nothing is lost
                tracing::warn!(seconds = STOP_AT_MOST.as_secs(), "something hangs: stopped without waiting for it");
            }
        }
        // what was said last is what somebody will look for
        logging::finish();
        std::process::exit(i32::from(Code::Failed as u8));
    };
    let spawned = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(ending));
    spawned.context("the system gives no thread for signals")?;
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_blocks_does_not_hold_up_the_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let begun = Instant::now();
        let done = block_on(runtime, async {
            let (hangs, is_hanging) = std::sync::mpsc::channel::<()>();
            let (started, has_started) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                started.send(()).ok();
                // ends when the test has
                is_hanging.recv().ok();
            });
            has_started.await.unwrap();
            hangs
        });
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        drop(done);
    }

    #[test]
    fn no_core_is_written_and_files_are_at_the_most_that_is_allowed() {
        set_limits();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let files = getrlimit(Resource::Nofile);
        assert!(
            files.current >= files.maximum.map(|most| most.min(FILES)),
            "{files:?}"
        );
    }
}
