//! What happens, for observers: the one list of events that the API's stream, telemetry and tests
//! read.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{
    Choice, Epoch, EventHash, EvidenceId, ManifestHash, NodeId, Round, SubjectId, UnixMillis,
};
use ssid_protocol::record::Transport;
use ssid_storage::NoteKind;

/// What outside observers are told, in order: the API's stream, telemetry and tests read the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeEvent {
    /// A subject was heard of for the first time.
    Opened {
        /// The subject.
        subject_id: SubjectId,
        /// The type of the events voted on, such as `blueprint_tagged`.
        #[serde(rename = "event_type")]
        event: String,
        /// The version that those events are about.
        #[serde(rename = "event_version")]
        version: String,
    },
    /// A subject is certified, and on this node's disk.
    Certified {
        /// Its place in this node's log.
        sequence: u64,
        /// The subject that was decided.
        subject_id: SubjectId,
        /// The hashes of the event that was certified.
        choice: Choice,
        /// The certified event's type, such as `blueprint_tagged`.
        #[serde(rename = "event_type")]
        event: String,
        /// The version that it is about.
        #[serde(rename = "event_version")]
        version: String,
        /// The round that decided.
        round: Round,
        /// When this node had it on disk.
        #[serde(with = "ssid_protocol::id::rfc3339")]
        at: UnixMillis,
    },
    /// A subject needs people.
    Conflict {
        /// The subject whose round failed.
        subject_id: SubjectId,
        /// The type of the events voted on, such as `blueprint_tagged`.
        #[serde(rename = "event_type")]
        event: String,
        /// The version that those events are about.
        #[serde(rename = "event_version")]
        version: String,
    },
    /// This node's operator has decided something about a subject.
    Decided {
        /// The subject that was decided about.
        subject_id: SubjectId,
        /// What kind of decision.
        decision: NoteKind,
        /// The candidate that is chosen, endorsed or refused.
        choice: Choice,
    },
    /// A member's connection came up.
    Connected {
        /// The member that is reached now.
        #[serde(rename = "node_id")]
        node: NodeId,
    },
    /// A member's last connection went away.
    Disconnected {
        /// The member that is reached no more.
        #[serde(rename = "node_id")]
        node: NodeId,
    },
    /// Somebody contradicted itself, and it is proven.
    Evidence {
        /// The evidence's name.
        #[serde(rename = "evidence_id")]
        id: EvidenceId,
        /// The member that signed both; `None` for two certificates of one subject.
        #[serde(rename = "node_id")]
        member: Option<NodeId>,
        /// What was contradicted, in the words of `ssid-evidence/1`: `vote`, `event`, and so on.
        kind: String,
        /// What was signed, in words.
        what: String,
    },
    /// A member's score fell below what is alerted on.
    LowTrust {
        /// The member that was trusted more before.
        #[serde(rename = "node_id")]
        member: NodeId,
        /// Its score now, from 0 to 100.
        #[serde(rename = "trust_score")]
        score: i32,
    },
    /// Bytes of the registry file that had been read are no longer what they were: it is read from
    /// its beginning.
    Drift {
        /// What differs, with line numbers.
        what: String,
    },
    /// The own registry file contradicts a decision, and that was found when it could no longer be
    /// voted for.
    Divergence {
        /// The subject that is certified for something else.
        subject_id: SubjectId,
        /// The type of its events.
        event: String,
        /// The version that they are about.
        version: String,
        /// The event in the own registry file.
        own: EventHash,
        /// The event that was certified.
        certified: EventHash,
    },
    /// The node found that its vote history was rolled back, and signs nothing more under its key.
    Abstaining {
        /// What showed that votes are missing here, in words.
        reason: String,
    },
    /// A change of members is decided: the epoch has ended, and the next begins once its voters
    /// have closed it.
    EpochDecided {
        /// The epoch that begins.
        epoch: Epoch,
        /// The hash of its manifest.
        manifest: ManifestHash,
    },
    /// This node acts by another manifest from now on.
    EpochEntered {
        /// The epoch that it is in now.
        epoch: Epoch,
        /// The hash of its manifest.
        manifest: ManifestHash,
    },
    /// The node stopped voting because it cannot keep its promises.
    ReadOnly {
        /// What failed, and what to do, in words.
        reason: String,
    },
    /// Votes go by another transport from now on.
    Transport {
        /// `live`, or `git` while fewer than a quorum is connected.
        transport: Transport,
    },
    /// A member's Git branch is not the one it was: commits or lines that were read are gone. What
    /// was accepted stays.
    HistoryRewritten {
        /// The member whose branch it is.
        #[serde(rename = "node_id")]
        node: NodeId,
        /// The commit that was read last.
        was: String,
        /// The commit that the branch leads to now.
        now: String,
    },
}
