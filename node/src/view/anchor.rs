//! What is anchored on IPFS, and what waits.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::Sha256Hash;

pub use crate::anchor::run::{
    Failure as AnchorFailure, Progress as AnchorProgress, Session as AnchorSession,
};

/// A document that is anchored on IPFS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorView {
    /// Its path in the registry.
    pub name: String,
    /// SHA-256 of its content.
    pub sha256: Sha256Hash,
    /// What IPFS calls it.
    pub cid: String,
    /// When it was anchored.
    pub at: String,
    /// The providers that have it.
    pub services: Vec<String>,
}

/// What is anchored, the latest first, and what waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorsView {
    /// Documents anchored last, newest first.
    pub items: Vec<AnchorView>,
    /// What to give as `before` for the next page; `null` on the last.
    pub next: Option<String>,
    /// How many there are in all.
    pub total: u64,
    /// Rows of the outbox that wait to be anchored; 0 if nothing does.
    pub waiting: u64,
    /// The session under way.
    pub running: Option<AnchorProgress>,
    /// What the last session failed at.
    pub problem: Option<String>,
    /// When the next is tried, if one is due.
    pub next_try_at: Option<String>,
}
