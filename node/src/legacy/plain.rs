//! The registry's sync protocol 1.0 for nodes without a key, as far as it is no matter of Git:
//! locate the log in what was fetched, read it as found in the wild, compare hashes, count which
//! event has a majority (SPEC §6), append it, and write manifest and statistics. Nothing here is
//! signed, and every record says so.
//!
//! ```text
//! members   whose logs           decide   logs compared, subject by subject; which event has a quorum
//! gather    logs as rows         tally    what was decided, counted; what is appended
//! sorter    rows in order        record   all of it in the manifest's words
//!                                aftermath  conflict reports, and what people are told
//! ```

mod aftermath;
mod decide;
mod gather;
mod members;
mod record;
mod sorter;
mod sync;
mod tally;
#[cfg(test)]
mod tests;

pub use aftermath::messages;
pub use decide::{Comparison, Rules, Verdict};
pub use gather::{EVENTS, GatherError};
pub use members::{PlainMember, plain_members, public_remote};
pub use record::{Observation, observations};
pub use sync::{
    Deployment, NodeReport, PlainSyncError, PlainSyncOptions, PlainSyncReport, Skipped, Unread,
    allows_unsigned, sync,
};
