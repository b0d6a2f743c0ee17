//! The engine's state as others are shown it: in numbers, one open instance at a time, and a page
//! of what stands on the Git branch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::Signed;
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::{Choice, Epoch, ManifestHash, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::subject::Subject;
use ssid_protocol::sync::ProvenEvent;
use ssid_protocol::vote::Phase;
use ssid_storage::LogHead;

use super::membership::ChangeView;

/// The engine's state in numbers, published after every tick that changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// The change of members that is under way.
    pub change: Option<ChangeView>,
    /// Of each proposal that waits for somebody to say that it is ready, whom for.
    pub not_ready: Vec<(ManifestHash, Vec<NodeId>)>,
    /// What this node last signed about itself, its log's head in it; `None` until it has.
    pub heartbeat: Option<Arc<VerifiedBatch>>,
    /// The epoch it acts in.
    pub epoch: Epoch,
    /// Why it signs nothing, if it does not: the vote history is incomplete.
    pub abstaining: Option<String>,
    /// Who has answered so far what this node signed before its start; `None` once a quorum has.
    pub startup_check: Option<StartupCheckView>,
    /// Why it is read-only, if it is: storage failed.
    pub read_only: Option<String>,
    /// Open instances, those in conflict among them.
    pub open: u64,
    /// Instances in conflict.
    pub conflicts: u64,
    /// Open instances that wait for this node's operator to endorse or refuse.
    pub awaiting_review: u64,
    /// This node's certified log.
    pub log: LogHead,
    /// Certified subjects.
    pub certified: u64,
    /// Records in which all observations agreed.
    pub agreements: u64,
    /// Records in which somebody disagreed.
    pub disagreements: u64,
    /// Voters connected now, this node included if it is one.
    pub connected_voters: Vec<NodeId>,
    /// Voters not connected.
    pub missing_voters: Vec<NodeId>,
    /// Whether the connected voters are a quorum, whatever they sign: whether the live network
    /// does.
    pub is_connected: bool,
    /// Voters that sign votes as far as known, this node included if it does: those connected whose
    /// heartbeats say so.
    pub able_voters: Vec<NodeId>,
    /// Whether those are a quorum.
    pub has_quorum: bool,
    /// Whether this node signs votes.
    pub can_sign: CanSign,
    /// Why not; empty if it does.
    pub can_sign_reason: String,
    /// Why the own registry file is not known as it is, if that will not pass in a moment.
    pub registry: Option<String>,
    /// Decisions that the own registry contradicts, found when it could no longer be voted for.
    pub divergences: u64,
    /// Events offered while nothing could be signed, kept on disk.
    pub kept_offers: u64,
    /// By how many seconds this machine's clock is behind (ahead if negative) what the connected
    /// peers' clocks show, as the median of their latest heartbeats says; `None` while none is
    /// recent.
    pub clock_offset_seconds: Option<i64>,
    /// Conversations with members to catch up.
    pub syncs: Syncs,
    /// Such conversations under way now.
    pub syncing: u64,
    /// What was refused for a limit.
    pub refused: Refused,
    /// Votes that wait for an event of their subject.
    pub waiting_votes: u64,
    /// Bytes of others' batches of which something is in use.
    pub batch_bytes: u64,
    /// Pieces of evidence held.
    pub evidence: u64,
    /// Whether one of them is about this node itself.
    pub own_equivocation: bool,
    /// Commits that were to be looked for in members' repositories, since the start.
    pub commits_asked: u64,
    /// Members whose trust is below 50: flagged for review.
    pub flagged: Vec<NodeId>,
}

/// A node that has just started asks what it signed before, and signs nothing until voters that
/// make a quorum with it have answered (SPEC §7 State).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupCheckView {
    /// The voters that have.
    pub heard: Vec<NodeId>,
}

/// What members sent and this node refused for a limit (SPEC §12), since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Votes past `unknown_votes`.
    pub unknown_votes: u64,
    /// Votes of an epoch that is not the current one.
    pub other_epochs: u64,
    /// Certificates of epochs that have ended, for what nobody held when they did.
    pub late_certificates: u64,
    /// Subjects that an origin had no room for, or that were dropped for its newer ones.
    pub open_instances: u64,
}

/// Conversations in which this node asked a member for what it lacks, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// Those that ended well.
    pub successful: u64,
    /// Those that broke off: no answer, a refusal, or one that does not verify.
    pub failed: u64,
    /// When one last ended well.
    pub last: Option<UnixMillis>,
}

/// An open instance, for `status`, `conflicts` and `events list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// What is voted on.
    pub subject_id: SubjectId,
    /// The same in words; `None` while only votes for it are known.
    pub subject: Option<Subject>,
    /// The epoch in which it is voted on.
    pub epoch: Epoch,
    /// The round this node is in.
    pub round: Round,
    /// When this node first heard of it.
    pub since: UnixMillis,
    /// Whether it waits for people: its round failed and no automatic one follows, or people vote
    /// in it.
    pub in_conflict: bool,
    /// Whether this node's operator is awaited to endorse or refuse.
    pub awaiting_review: bool,
    /// Why this node has not prevoted a candidate of others in round 0, while it has not.
    pub review: Option<Review>,
    /// What this node is locked on.
    pub locked: Option<LockView>,
    /// What its operator chose, for operator rounds.
    pub standing: Option<Choice>,
    /// What this node's operator endorsed, or of changes of members approved.
    pub endorsed: Option<Choice>,
    /// Why its operator may not choose now; `None` if they may.
    pub no_choice_because: Option<String>,
    /// The weight that decides.
    pub quorum: u64,
    /// What has been announced or voted for.
    pub candidates: Vec<CandidateView>,
    /// Every vote held.
    pub votes: Vec<VoteView>,
}

/// One candidate in an [`InstanceView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Its event hash and content digest.
    pub choice: Choice,
    /// The event, if this node has it.
    pub event: Option<Event>,
    /// Who announced it, as far as this node holds the proof.
    pub announced_by: Option<NodeId>,
    /// Whether it stands in this node's own registry.
    pub own: bool,
}

/// One vote in an [`InstanceView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteView {
    /// The voter.
    #[serde(rename = "node_id")]
    pub node: NodeId,
    /// The round that it counts in.
    pub round: Round,
    /// Whether it is a prevote or a precommit.
    pub phase: Phase,
    /// The event that it is for, by its hashes; `None` is nil.
    pub choice: Option<Choice>,
    /// Whether the voter's own registry has it: of round-0 prevotes only.
    pub observed: bool,
}

/// What a node is locked on, in an [`InstanceView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// The epoch of the prevotes that it rests on.
    pub epoch: Epoch,
    /// Their round in it.
    pub round: Round,
    /// The choice that they are for.
    pub choice: Choice,
}

/// Why a node has not prevoted what others announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// The policy for its type asks a person.
    Operator,
    /// The policy for its type asks for the commit, which was not seen in the announcing member's
    /// repository.
    Commit,
    /// The policy for its type is to vote only for what the own registry has.
    Observed,
    /// It is younger than `settle_seconds`.
    Settling,
    /// Its timestamp is too far from this node's clock.
    Untimely,
    /// The trust of whoever announced it is below 25.
    LowTrust,
    /// Several that do not agree would do.
    Disagreeing,
    /// The proof that a voter announced it is missing.
    Unproven,
    /// The own registry file has not been read since it arrived, or cannot be read.
    Registry,
    /// A change of members is approved, and new voters have not said that they are ready.
    NotReady,
}

impl ReviewReason {
    /// Whether this node's operator is waited for.
    pub fn asks_a_person(self) -> bool {
        match self {
            Self::Operator | Self::Commit | Self::Untimely | Self::LowTrust | Self::Disagreeing => {
                true
            }
            Self::Observed | Self::Settling | Self::Unproven | Self::Registry | Self::NotReady => {
                false
            }
        }
    }
}

/// What a node's prevote in round 0 waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Why it waits.
    pub reason: ReviewReason,
    /// The same in words.
    pub explanation: String,
    /// When the waiting ends by itself: it is settled, or a person did not answer in time and the
    /// prevote is nil.
    pub until: Option<UnixMillis>,
}

/// A page of what a node says on its branch.
#[derive(Debug, Default)]
pub struct OfferPage {
    /// Signed batches: announcements first, then votes and proposals.
    pub batches: Vec<Arc<VerifiedBatch>>,
    /// Votes and proposals alone, of whose batches little else is of use.
    pub statements: Vec<Signed>,
    /// Events voted for whose announcement is not among the batches.
    pub events: Vec<ProvenEvent>,
    /// Where to go on, if there is more.
    pub next: Option<SubjectId>,
}
