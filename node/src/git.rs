//! Git as the other transport (SPEC §10 *Git fallback*): each node publishes what it signed on a branch
//! of its own repository, and fetches the others' branches. The engine takes from here the same
//! signed batches and certificates as from the live network.
//!
//! ```text
//! remote      an address, checked          branch      own lines as commits, without a work tree
//! environment what Git gets of this one's  checkout    what Git says of the governance repository
//! fetch       one reference into a mirror       own         whether a branch is this node's
//! command     the system's git, hardened   publish     what the engine holds of its own -> branch -> push
//! objects     reading a bare repository    mirror      a member's branch, fetched
//! read        new lines of a branch        sync        all members once, then publish
//! schedule    when                         task        the owner, with a handle
//! history     the commits of a member's default branch
//! commits     looks for those that events name
//! look        whether a node publishes in a repository
//! orphans     commands of a node that was killed
//! ```

mod append;
mod branch;
mod checkout;
pub(crate) mod command;
mod commits;
mod environment;
mod failure;
pub(crate) mod fetch;
mod handle;
pub(crate) mod history;
mod intake;
mod look;
mod metrics;
mod mirror;
mod objects;
mod orphans;
mod own;
mod plan;
mod publish;
mod read;
mod remote;
pub(crate) mod repository;
mod schedule;
mod state;
mod sync;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;

pub use checkout::{Origin, head_commit};
pub use command::{FETCH_BYTES, Git};
pub use failure::GitError;
pub use handle::{GitHandle, SyncTransport};
pub use look::publishes;
pub use metrics::GitMetrics;
pub use plan::Plan;
pub use remote::{GitRemote, RemoteError};
pub use state::{MemberSync, OwnBranch, RewrittenHistory, SyncOutcome, SyncState};
