//! What an SSID federation signs, says and decides. The text of it is `SPEC.md` beside this crate;
//! each module names the sections it implements.
//!
//! Nothing here does I/O, reads a clock, draws random numbers or awaits: time and messages come in
//! as values, effects go out as values, so that every decision can be replayed, explored and
//! proven.

#![deny(missing_docs)]

pub mod backoff;
pub mod batch;
pub mod card;
pub mod certificate;
pub mod chain;
pub mod epoch;
pub mod event;
pub mod evidence;
pub mod git_lines;
pub mod handover;
pub mod heartbeat;
pub mod id;
pub mod identity;
pub mod invite;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod member;
pub mod merkle;
mod name;
pub mod quorum;
pub mod ready;
pub mod record;
pub mod set_tree;
pub mod small_map;
pub mod subject;
pub mod sync;
pub mod testing;
pub mod timeliness;
pub mod trust;
pub mod vote;
pub mod voting;
pub mod wire;
