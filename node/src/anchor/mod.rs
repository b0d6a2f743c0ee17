//! Anchoring: copies of registry files, certificates and consensus records on IPFS, where anybody can fetch them by what
//! they contain (blueprint v4.3; ARCHITECTURE, *Anchoring*).
//!
//! [`select`] says which files an event calls for, [`cid`] names their content, [`provider`] holds the places they are put,
//! [`run`] puts them there, [`manifest`] and storage remember it, [`verify`] fetches them back, and [`task`] does all of
//! it inside a running node, from the outbox.

pub mod cid;

/// Bytes of the largest file that is anchored or fetched back.
pub const FILE_BYTES: u64 = 4 << 30;
