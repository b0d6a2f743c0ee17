//! Why the engine does not do what it is asked.

use super::operator::OperatorRefusal;

/// The engine cannot be reached or will not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine's task has ended.
    #[error(
        "the node's engine has stopped; see the log for why, then start it again with: ssid run"
    )]
    Stopped,
    /// The engine refuses this command now.
    #[error("{0}")]
    Refused(String),
    /// An operator's decision cannot be taken now.
    #[error("{}", .0.reason)]
    NotTaken(OperatorRefusal),
}
