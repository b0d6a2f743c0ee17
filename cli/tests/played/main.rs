//! Commands against a node that the test plays on its socket: what they ask, what they say while
//! they wait, and how they end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod by_commit;
mod hangup;
mod near_type;
mod node;
mod progress;
