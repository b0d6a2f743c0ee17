//! A whole node: everything started, joined and stopped in order.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::home::Home;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its data directory.
    pub home: Home,
    /// The governance repository it serves, if it serves one.
    pub repo: Option<PathBuf>,
    /// The passphrase of its key files, if they have one.
    pub passphrase: Option<String>,
}

/// Why a node does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Placeholder until the parts are wired together.
    #[error("this build cannot run a node")]
    NotYet,
}

/// Runs a node until `shutdown`.
///
/// # Errors
/// If it cannot start, or cannot keep its promises any more.
#[expect(clippy::unused_async, reason = "a placeholder")]
pub async fn run(options: RunOptions, shutdown: CancellationToken) -> Result<(), NodeError> {
    let _ = (options, shutdown);
    Err(NodeError::NotYet)
}
