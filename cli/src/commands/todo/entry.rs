//! An entry of the list of what waits.

use serde::Serialize;

/// One thing that waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Todo {
    /// `conflict`, `review`, `membership`, `node`, `notifications` or `evidence`.
    pub(super) kind: &'static str,
    /// What it is about, in words.
    pub(super) what: String,
    /// Since when, if that is known.
    pub(super) since: Option<String>,
    /// Until when, if it ends by itself.
    pub(super) until: Option<String>,
    /// What happens if nobody does anything.
    pub(super) otherwise: String,
    /// The commands that answer it.
    pub(super) commands: Vec<String>,
}
