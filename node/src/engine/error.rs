//! Why the engine does not do what it is asked.

use ssid_engine::OperatorRefusal;

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
    /// The engine replied to something else: a fault of this program.
    #[error("the node's engine replied to something else than it was asked; this is a bug")]
    OtherReply,
    /// An operator's decision cannot be taken now.
    #[error("{}", .0.reason)]
    NotTaken(OperatorRefusal),
}
