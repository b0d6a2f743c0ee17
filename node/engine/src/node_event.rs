//! What happens, for observers: the one list of events that the API's stream, telemetry and tests
//! read.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Choice, EventHash, EvidenceId, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::record::Transport;
use ssid_storage::NoteKind;

/// What outside observers are told, in order: the API's stream, telemetry and tests read the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeEvent {
    /// A subject was heard of for the first time.
    Opened {
        /// Which.
        subject_id: SubjectId,
        /// Its event type.
        #[serde(rename = "event_type")]
        event: String,
        /// Its version.
        #[serde(rename = "event_version")]
        version: String,
    },
    /// A subject is certified, and on this node's disk.
    Certified {
        /// Its place in this node's log.
        sequence: u64,
        /// Which.
        subject_id: SubjectId,
        /// The certified choice.
        choice: Choice,
        /// Its event type.
        #[serde(rename = "event_type")]
        event: String,
        /// Its version.
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
        /// Which.
        subject_id: SubjectId,
        /// Its event type.
        #[serde(rename = "event_type")]
        event: String,
        /// Its version.
        #[serde(rename = "event_version")]
        version: String,
    },
    /// This node's operator has decided something about a subject.
    Decided {
        /// Which.
        subject_id: SubjectId,
        /// What kind of decision.
        decision: NoteKind,
        /// About which candidate.
        choice: Choice,
    },
    /// A member's connection came up.
    Connected {
        /// Who.
        #[serde(rename = "node_id")]
        node: NodeId,
    },
    /// A member's last connection went away.
    Disconnected {
        /// Who.
        #[serde(rename = "node_id")]
        node: NodeId,
    },
    /// Somebody contradicted itself, and it is proven.
    Evidence {
        /// The evidence's name.
        #[serde(rename = "evidence_id")]
        id: EvidenceId,
        /// Who; `None` for two certificates of one subject.
        #[serde(rename = "node_id")]
        member: Option<NodeId>,
        /// What about, as in `ssid-evidence/1`.
        kind: String,
        /// What was signed, in words.
        what: String,
    },
    /// A member's score fell below what is alerted on.
    LowTrust {
        /// Who.
        #[serde(rename = "node_id")]
        member: NodeId,
        /// Its score.
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
        /// Which subject.
        subject_id: SubjectId,
        /// Its event type.
        event: String,
        /// Its version.
        version: String,
        /// What the file has.
        own: EventHash,
        /// What was certified.
        certified: EventHash,
    },
    /// The node found that its vote history was rolled back, and signs nothing more under its key.
    Abstaining {
        /// Why.
        reason: String,
    },
    /// The node stopped voting because it cannot keep its promises.
    ReadOnly {
        /// Why.
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
        /// Whose.
        #[serde(rename = "node_id")]
        node: NodeId,
        /// The commit that was read last.
        was: String,
        /// The commit there is now.
        now: String,
    },
}
