//! Request–response messages between nodes, `/ssid/sync/1` (SPEC §10). Gossip is a hint; asking is
//! the guarantee.
//!
//! Every answer fits one frame of [`limits::MESSAGE_BYTES`](crate::limits::MESSAGE_BYTES): whoever
//! answers stops before that and says where to go on.

mod change;

pub use change::{
    ChangeAnswer, ChangeRequest, ClosedSet, EpochStanding, HeldClose, LockProof, MANIFESTS,
    PREFIXES, READY, SentManifest,
};

use serde::{Deserialize, Serialize};

use crate::batch::{BatchProof, SignedBatch};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::evidence::{Evidence, EvidenceSlot, Signed};
use crate::id::{ContentDigest, LogId, SubjectId};

/// Log entries asked for, or answered, at once.
pub const LOG_PAGE: u32 = 512;
/// Subjects or digests named in one request.
pub const NAMES: usize = 4096;

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The other's latest heartbeat.
    Status,
    /// Certified events in the other's own order, from sequence number `from`, at most `limit`.
    Log {
        /// First sequence number wanted.
        from: u64,
        /// At most this many, and never more than [`LOG_PAGE`].
        limit: u32,
    },
    /// Everything needed to go on with open instances (rule 9): those named, or all when none is
    /// named.
    Open {
        /// At most [`NAMES`]; empty for all.
        subjects: Vec<SubjectId>,
        /// Only subjects after this one, in order of id: the page's cursor.
        after: Option<SubjectId>,
    },
    /// Events by content digest, at most [`NAMES`].
    Events {
        /// The content digests of the events asked for.
        digests: Vec<ContentDigest>,
    },
    /// The latest heartbeat of the asker that the other holds: a node that starts asks what it
    /// signed in an earlier life (SPEC §7 State). Its votes come with `Open`.
    Own,
    /// Evidence for members, kinds and epochs that are not among these.
    Evidence {
        /// What the asking node has: at most [`NAMES`].
        known: Vec<EvidenceSlot>,
    },
    /// What concerns changes of members (SPEC §4).
    Change(ChangeRequest),
}

/// An event with the proof that its origin announced it, if the sender has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEvent {
    /// The event with all eight fields.
    pub event: Event,
    /// From the announcing batch (kind 1). Without it the event can be voted for but not endorsed
    /// (rule 1).
    pub announced: Option<BatchProof>,
}

/// The answer to a [`Request`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A batch of kind 3; `None` before the first heartbeat.
    Status(Option<Box<SignedBatch>>),
    /// A page of the log.
    Log {
        /// The log these are from: a cursor holds for one log only.
        log_id: LogId,
        /// Its size now.
        size: u64,
        /// The entries from the asked sequence number on, each proving itself.
        entries: Vec<Certificate>,
    },
    /// A page of open instances.
    Open {
        /// Batches of votes, proposals and announcements, each checked by its own signature.
        batches: Vec<SignedBatch>,
        /// Votes and proposals alone, whose batches say little else that matters here.
        statements: Vec<Signed>,
        /// The events of the choices voted for.
        events: Vec<ProvenEvent>,
        /// Of the subjects named, those that are certified here.
        certificates: Vec<Certificate>,
        /// Where to go on, if there is more.
        next: Option<SubjectId>,
    },
    /// Those of the events asked for that the other has and that fit.
    Events(Vec<ProvenEvent>),
    /// The other will not answer: which limit or rule.
    Refused(String),
    /// What the other holds of what the asker signed and may have forgotten.
    Own {
        /// The asker's latest heartbeat, a batch of kind 3, if there is one.
        heartbeat: Option<Box<SignedBatch>>,
        /// The asker's round-0 prevotes for subjects that were decided here within the last minute.
        votes: Vec<Signed>,
        /// Whether those are all of them: what does not fit a frame is left out.
        complete: bool,
    },
    /// Evidence that was not named as known, as much as fits; empty if there is none. Whoever gets
    /// some asks again.
    Evidence(Vec<Evidence>),
    /// What concerns changes of members.
    Change(ChangeAnswer),
}
