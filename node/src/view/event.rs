//! `/v1/events`: events as they are offered, shown, imported and applied.

use serde::{Deserialize, Serialize};
use ssid_engine::EmitOutcome;
use ssid_protocol::event::Event;
use ssid_protocol::id::{ContentDigest, EventHash, NodeId, SubjectId};
use ssid_protocol::timeliness::Untimely;

use super::{RecordView, ReviewView};

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// A quorum has signed it; this never changes again.
    Certified,
    /// Being voted on.
    Open,
    /// Waiting for people.
    Conflict,
    /// Its subject is certified for another event.
    Outvoted,
}

impl EventState {
    /// The word in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certified => "certified",
            Self::Open => "open",
            Self::Conflict => "conflict",
            Self::Outvoted => "outvoted",
        }
    }
}

/// An event with its hashes and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// The eight fields; `event_type` and `event_version` are what registry logs call `event` and
    /// `version`.
    #[serde(flatten, with = "super::fields")]
    pub event: Event,
    /// Hash of the five identifying fields.
    pub event_hash: EventHash,
    /// Hash of all eight.
    pub content_digest: ContentDigest,
    /// The compatibility id that release notes quote: SHA-256 of the pretty-printed object.
    pub proof_anchor: Option<String>,
    /// What is voted on.
    pub subject_id: SubjectId,
    /// Where it stands.
    pub state: EventState,
    /// Its place in this node's log, if certified.
    pub sequence: Option<u64>,
    /// Who announced it, while it is being voted on and as far as known.
    pub announced_by: Option<NodeId>,
    /// What this node's prevote for its subject waits for, if it does.
    pub review: Option<ReviewView>,
}

/// An event as it is offered: what is left out is filled in by the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDraft {
    /// RFC 3339 in UTC; the time of the request if it is left out.
    pub timestamp: Option<String>,
    /// The event type; `event_type` means the same.
    #[serde(alias = "event_type")]
    pub event: String,
    /// The version; `event_version` means the same.
    #[serde(alias = "event_version")]
    pub version: String,
    /// The Git commit.
    pub commit_hash: String,
    /// Default: the registry's own, else `v4.4`.
    pub blueprint: Option<String>,
    /// Default: the node's setting.
    pub root_24_lock: Option<String>,
    /// Default: the node's setting.
    pub compliance_score: Option<String>,
    /// Default: the node's setting.
    pub emitted_by: Option<String>,
    /// Checked if given: it must be the event's own hash.
    pub event_hash: Option<EventHash>,
}

/// What became of one offered event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmitView {
    /// The event as it was offered, everything filled in: its eight fields.
    #[serde(flatten, with = "super::fields")]
    pub event: Event,
    /// Its event hash.
    pub event_hash: EventHash,
    /// Its content digest.
    pub content_digest: ContentDigest,
    /// The engine's answer: `outcome` and what belongs to it.
    #[serde(flatten)]
    pub outcome: EmitOutcome,
    /// Where its subject stood when this answer was sent; `null` if it was refused.
    pub state: Option<EventState>,
    /// The record, if its subject is certified: it may be for another event.
    pub record: Option<RecordView>,
    /// Whether the certified event records the same fact (SPEC §2, *agree*), though not in the same
    /// words.
    pub repeats: bool,
    /// In what the certified event differs from the one offered; empty if in nothing, or if none is
    /// certified.
    pub differences: Vec<FieldDifference>,
    /// Why other nodes vote for it only if it stands in their own registries too, or a person says
    /// so; `null` if its time is no reason, or its subject is not open.
    pub untimely: Option<Untimely>,
}

/// A field in which the certified event differs from the one that was offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    /// The field's name.
    pub field: String,
    /// What was offered.
    pub offered: String,
    /// What is certified.
    pub certified: String,
}

impl EmitView {
    /// Whether the fact is certified: this very event, or one that records the same.
    pub fn is_certified(&self) -> bool {
        self.repeats || self.is_certified_exactly()
    }

    fn is_certified_exactly(&self) -> bool {
        self.record.as_ref().is_some_and(|r| {
            r.consensus_hash == Some(self.event_hash)
                && r.content_digest == Some(self.content_digest)
        })
    }
}

/// A remark about lines of an imported file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNote {
    /// The first line it is about, from 1.
    pub line: u64,
    /// The last line it is about.
    pub last_line: u64,
    /// What and why.
    pub reason: String,
}

/// What became of an imported log. The counts add up: `events` = `accepted` + `known` + `certified`
/// + `certified_differently` + `refused`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    /// Events found in the file.
    pub events: u64,
    /// Newly signed and being voted on.
    pub accepted: u64,
    /// Already announced by this node.
    pub known: u64,
    /// Already certified, for this very event.
    pub certified: u64,
    /// Already certified, for another event of the same subject.
    pub certified_differently: u64,
    /// Events that were not taken, each with its reason.
    pub refused: u64,
    /// Stretches of the file that are no events.
    pub skipped: u64,
    /// Of the accepted and known ones, older than `max_event_age_days`: other nodes vote for those
    /// only if they stand in their own registries too.
    pub old: u64,
    /// Of the accepted and known ones, more than 5 minutes ahead of this node's clock: the same
    /// holds of those, until their time has come.
    pub ahead: u64,
    /// After waiting: of the accepted and known ones, certified for this very event.
    pub now_certified: u64,
    /// After waiting: certified for another event.
    pub now_certified_differently: u64,
    /// After waiting: in conflict.
    pub now_in_conflict: u64,
    /// After waiting: still open.
    pub still_open: u64,
    /// The first of what was refused or skipped, by line.
    pub notes: Vec<LineNote>,
}

/// `POST /v1/events/apply`: certified events written to the registry's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedView {
    /// Lines written now.
    pub applied: u64,
    /// Certified events that stood there already.
    pub present: u64,
    /// Path of the registry file on the node.
    pub file: String,
}
