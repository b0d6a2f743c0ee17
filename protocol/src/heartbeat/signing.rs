//! Whether a node signs votes, as its heartbeat says it: whoever counts a quorum counts those who
//! can.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether the sender of a heartbeat signs votes now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CanSign {
    /// It signs votes.
    #[default]
    Yes,
    /// Not yet: it asks what it signed before, or reads its own registry for the first time.
    Starting,
    /// Never again under this key: its vote history is incomplete.
    Abstaining,
    /// Not before a restart: its storage failed.
    ReadOnly,
    /// Its own registry cannot be read, or is being read again: it follows the others' votes and
    /// signs nothing of its own accord.
    NoRegistry,
}

impl CanSign {
    /// Every value, in order.
    pub const ALL: [Self; 5] = [
        Self::Yes,
        Self::Starting,
        Self::Abstaining,
        Self::ReadOnly,
        Self::NoRegistry,
    ];

    /// The word on the wire and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Starting => "starting",
            Self::Abstaining => "abstaining",
            Self::ReadOnly => "read_only",
            Self::NoRegistry => "no_registry",
        }
    }
}

impl fmt::Display for CanSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of [`CanSign::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected yes, starting, abstaining, read_only or no_registry")]
pub struct NotCanSign;

impl FromStr for CanSign {
    type Err = NotCanSign;

    fn from_str(text: &str) -> Result<Self, NotCanSign> {
        Self::ALL
            .into_iter()
            .find(|value| value.as_str() == text)
            .ok_or(NotCanSign)
    }
}
