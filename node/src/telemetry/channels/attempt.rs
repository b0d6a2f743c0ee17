//! What one attempt to deliver came to.

use std::time::Duration;

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver has it.
    Delivered,
    /// It may succeed later: not before `after`, if the receiver said when.
    Later {
        /// What the receiver asked for.
        after: Option<Duration>,
        /// What happened, without secrets.
        why: String,
    },
    /// Some of its recipients have it.
    Partly {
        /// Those who may get it later.
        later: Vec<String>,
        /// Those who will not as it is.
        refused: Vec<String>,
        /// What was said of whom.
        why: String,
    },
    /// It will not succeed as it is.
    Refused(String),
    /// The receiver does not exist, and must not be asked again.
    Gone(String),
}
