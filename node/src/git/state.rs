//! What is shown of Git: the JSON of `GET /v1/sync`.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::NodeId;
use ssid_protocol::record::Transport;
use ssid_storage::RewrittenRow;

use crate::legacy::plain::PlainSyncReport;

/// How Git is used, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The transport that votes take now: `live`, or `git` while fewer than a quorum is connected.
    pub transport: Transport,
    /// Whether there is anything to fetch or to publish.
    pub uses_git: bool,
    /// Whether a sync is under way.
    pub running: bool,
    /// When the last sync ended.
    pub last_sync: Option<String>,
    /// Fetches since the start that ended well.
    pub successful: u64,
    /// Fetches since the start that did not.
    pub failed: u64,
    /// The own branch.
    pub own: OwnBranch,
    /// The others', the one asked first above.
    pub members: Vec<MemberSync>,
}

/// The own branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnBranch {
    /// Where it is meant to be; none if this node is to publish nothing. No secrets.
    pub remote: Option<String>,
    /// The name of the own branch.
    pub branch: String,
    /// The commit pushed last.
    pub commit: Option<String>,
    /// Lines published since the start.
    pub lines: u64,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
}

/// One member's branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSync {
    /// The member whose branch it is.
    pub node_id: NodeId,
    /// What its operators call it.
    pub node_name: String,
    /// Where it is; none if the member publishes nothing. No secrets.
    pub remote: Option<String>,
    /// The commit read last.
    pub commit: Option<String>,
    /// When it was last fetched.
    pub last_sync: Option<String>,
    /// Fetches that failed since the last that did not.
    pub failures: u64,
    /// Why the last fetch failed, if it did.
    pub error: Option<String>,
    /// Bytes of new lines since the start.
    pub bytes: u64,
    /// Lines handed to the engine since the start.
    pub lines: u64,
    /// Lines that do not hold, since the start.
    pub bad_lines: u64,
    /// Where and why the first of those does not.
    pub bad_example: Option<String>,
    /// Histories that were rewritten, oldest first; also in `GET /v1/evidence`. What had been
    /// accepted stays.
    pub rewritten: Vec<RewrittenHistory>,
}

/// A history of a member's branch that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrittenHistory {
    /// When that was seen.
    pub seen_at: String,
    /// The commit that had been read; this node's mirror keeps it.
    pub was: String,
    /// The commit that was there instead.
    pub now: String,
}

impl From<&RewrittenRow> for RewrittenHistory {
    fn from(row: &RewrittenRow) -> Self {
        Self {
            seen_at: row.seen_at.iso(),
            was: row.was.clone(),
            now: row.now.clone(),
        }
    }
}

/// The outcome of one asked sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncOutcome {
    /// Whether anything was done.
    pub done: bool,
    /// If not, why not; if done, what of it failed. In words.
    pub remarks: Vec<String>,
    /// Connected members asked over the live network.
    pub live_asked: u64,
    /// Members fetched over Git, and of them those that failed.
    pub git_fetched: u64,
    /// Members that could not be fetched over Git.
    pub git_failed: u64,
    /// Whether the own branch stands at its remote as it does here; none if Git was not asked for,
    /// or there is none to be.
    #[serde(default)]
    pub own_published: Option<bool>,
    /// The plain logs of members without a key; none if there are none, or they were not asked for.
    pub plain: Option<PlainSyncReport>,
    /// How it stands now.
    pub state: SyncState,
}

impl SyncState {
    /// Before anything was done.
    pub(super) fn unused() -> Self {
        Self {
            transport: Transport::Live,
            uses_git: false,
            running: false,
            last_sync: None,
            successful: 0,
            failed: 0,
            own: OwnBranch::default(),
            members: Vec::new(),
        }
    }
}
