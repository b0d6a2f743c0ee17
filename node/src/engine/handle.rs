//! The engine as the rest of the node sees it: a cheap handle that sends commands in, a stream of
//! typed events and a watched status that come out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::event::{Event, Inadmissible};
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::{
    Choice, Epoch, EventHash, EvidenceId, NodeId, Round, SubjectId, UnixMillis,
};
use ssid_protocol::record::{Resolution, Transport};
use ssid_protocol::subject::Subject;
use ssid_protocol::vote::Phase;
use ssid_storage::{LogHead, NoteKind, OutboxKey};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::commits::CommitQuestion;
use super::error::EngineError;
use super::offer::OfferPage;
use super::operator::{Decider, Operated, Operation, OperatorRefusal};
use super::outbox::OutboxChange;
use super::review::Review;
use super::trust::{Adjusted, Adjustment};

/// Commands waiting for the engine; a sender waits when it is full.
pub(super) const COMMANDS: usize = 64;
/// Events kept for slow subscribers; one that falls further behind is told how many it missed.
pub(super) const NODE_EVENTS: usize = 16_384;
/// Events in one [`EngineHandle::emit`].
pub const EMIT_EVENTS: usize = 16_384;

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
        #[serde(with = "crate::api::view::rfc3339")]
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
    /// Votes go by another road from now on.
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

/// A node that has just started asks what it signed before, and signs nothing until voters that
/// make a quorum with it have answered (SPEC §7 State).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HearingView {
    /// The voters that have.
    pub heard: Vec<NodeId>,
}

/// What became of one offered event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EmitOutcome {
    /// Signed, on disk, and being voted on.
    Accepted {
        /// Its subject.
        subject_id: SubjectId,
        /// Its hashes.
        choice: Choice,
    },
    /// This very event, or one that records the same fact, is already announced by this node, or
    /// being voted on with this node's prevote for it.
    Known {
        /// Its subject.
        subject_id: SubjectId,
        /// The hashes of the one that is.
        choice: Choice,
    },
    /// The subject is certified already; `certified` says for what, which may be another event.
    Certified {
        /// Its subject.
        subject_id: SubjectId,
        /// Place in this node's log.
        sequence: u64,
        /// Hashes of the event offered.
        choice: Choice,
        /// Hashes of the event certified.
        #[serde(rename = "certified_choice")]
        certified: Choice,
    },
    /// On disk, unsigned: the node is starting. It is signed, sent and voted on once it may sign.
    Kept {
        /// Its subject.
        subject_id: SubjectId,
        /// Its hashes.
        choice: Choice,
        /// What the node waits for.
        reason: String,
    },
    /// Not taken; nothing was signed or stored.
    Refused {
        /// Why, in words: the field, rule and value, or the limit's name.
        reason: String,
        /// Whether the same event may be taken later (a limit, not a rule).
        retry: bool,
    },
}

impl From<Inadmissible> for EmitOutcome {
    fn from(refusal: Inadmissible) -> Self {
        Self::Refused {
            reason: refusal.to_string(),
            retry: false,
        }
    }
}

/// The engine's state in numbers, published after every tick that changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// What this node last signed about itself, its log's head in it; `None` until it has.
    pub heartbeat: Option<Arc<VerifiedBatch>>,
    /// The epoch it acts in.
    pub epoch: Epoch,
    /// Why it signs nothing, if it does not: the vote history is incomplete.
    pub abstaining: Option<String>,
    /// Who has answered so far what this node signed before its start; `None` once a quorum has.
    pub hearing: Option<HearingView>,
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

/// What members sent and this node refused for a limit (SPEC §12), since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Votes past `unknown_votes`.
    pub unknown_votes: u64,
    /// Votes of an epoch that is not the current one.
    pub other_epochs: u64,
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

/// One vote in an [`InstanceView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteView {
    /// Whose.
    #[serde(rename = "node_id")]
    pub node: NodeId,
    /// In which round.
    pub round: Round,
    /// In which phase.
    pub phase: Phase,
    /// For what; `None` is nil.
    pub choice: Option<Choice>,
    /// Whether the voter's own registry has it: of round-0 prevotes only.
    pub observed: bool,
}

/// What a node is locked on, in an [`InstanceView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// Since which epoch.
    pub epoch: Epoch,
    /// Since which round of it.
    pub round: Round,
    /// On what.
    pub choice: Choice,
}

/// One candidate in an [`InstanceView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Its hashes.
    pub choice: Choice,
    /// The event, if this node has it.
    pub event: Option<Event>,
    /// Who announced it, as far as this node holds the proof.
    pub announced_by: Option<NodeId>,
    /// Whether it stands in this node's own registry.
    pub own: bool,
}

/// An open instance, for `status`, `conflicts` and `events list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// What is voted on.
    pub subject_id: SubjectId,
    /// The same in words; `None` while only votes for it are known.
    pub subject: Option<Subject>,
    /// The epoch.
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
    /// Why its operator may not choose now; `None` if they may.
    pub no_choice_because: Option<String>,
    /// The weight that decides.
    pub quorum: u64,
    /// What has been announced or voted for.
    pub candidates: Vec<CandidateView>,
    /// Every vote held.
    pub votes: Vec<VoteView>,
}

/// How a subject ended, for callers that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Place in the log.
    pub sequence: u64,
    /// The certified choice.
    pub choice: Choice,
    /// How.
    pub resolution: Resolution,
}

/// What the handle sends to the engine's task.
#[derive(Debug)]
pub enum Command {
    /// Take events into the own registry, sign, announce and vote.
    Emit {
        /// At most [`EMIT_EVENTS`].
        events: Vec<Event>,
        /// One outcome per event, in order; sent when the accepted ones are on disk.
        reply: oneshot::Sender<Vec<EmitOutcome>>,
    },
    /// Take an operator's decision.
    Operate {
        /// Which.
        operation: Operation,
        /// Who decides, and why.
        decider: Decider,
        /// Sent when it is on disk.
        reply: oneshot::Sender<Result<Operated, OperatorRefusal>>,
    },
    /// Keep what must leave the node, and forget what has.
    Outbox {
        /// What.
        change: OutboxChange,
        /// Keys of the new rows, in order; sent when they are on disk.
        reply: oneshot::Sender<Result<Vec<OutboxKey>, OperatorRefusal>>,
    },
    /// Change a member's score by hand.
    Adjust {
        /// How.
        adjustment: Adjustment,
        /// Sent when it is on disk.
        reply: oneshot::Sender<Result<Adjusted, OperatorRefusal>>,
    },
    /// Show open instances.
    Instances {
        /// Only this one; all when `None`.
        subject: Option<SubjectId>,
        /// At most this many, in order of subject id.
        limit: usize,
        /// Only those after this one.
        after: Option<SubjectId>,
        /// The answer.
        reply: oneshot::Sender<Vec<InstanceView>>,
    },
    /// The state in numbers, as of now: not older than what this caller has been told before.
    Status {
        /// The answer.
        reply: oneshot::Sender<EngineStatus>,
    },
    /// What this node has to say on its Git branch about open instances.
    Offer {
        /// Also for whom: members who cannot publish themselves.
        relayed: Arc<BTreeSet<NodeId>>,
        /// Only instances after this one.
        after: Option<SubjectId>,
        /// The answer.
        reply: oneshot::Sender<OfferPage>,
    },
    /// Commits that votes of this node wait for.
    CommitQuestions {
        /// Only those after this one.
        after: Option<CommitQuestion>,
        /// The answer.
        reply: oneshot::Sender<Vec<CommitQuestion>>,
    },
}

/// A cheap, cloneable way to the engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) events: broadcast::Sender<Arc<NodeEvent>>,
    pub(crate) status: watch::Receiver<Arc<EngineStatus>>,
}

impl EngineHandle {
    /// Offers events to the federation. Returns when every accepted one is on disk; waits while the
    /// engine is busy.
    ///
    /// # Errors
    /// If the engine has stopped, or more than [`EMIT_EVENTS`] are offered at once.
    pub async fn emit(&self, events: Vec<Event>) -> Result<Vec<EmitOutcome>, EngineError> {
        if events.len() > EMIT_EVENTS {
            let (count, limit) = (events.len(), EMIT_EVENTS);
            return Err(EngineError::Refused(format!(
                "{count} events at once exceed emit_events = {limit}; send them in parts"
            )));
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Emit { events, reply }, answer).await
    }

    /// Takes an operator's decision: endorses or refuses a candidate (SPEC §7 rule 1), or chooses
    /// one in a conflict (rule 7). Returns when it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped, or the decision cannot be taken now: why, in words.
    pub async fn operate(
        &self,
        operation: Operation,
        decider: Decider,
    ) -> Result<Operated, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Command::Operate {
                operation,
                decider,
                reply,
            },
            answer,
        )
        .await?
        .map_err(EngineError::NotTaken)
    }

    /// Changes a member's score by hand (SPEC §9). Returns when it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped, or is read-only.
    pub async fn adjust(&self, adjustment: Adjustment) -> Result<Adjusted, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Adjust { adjustment, reply }, answer)
            .await?
            .map_err(EngineError::NotTaken)
    }

    /// Keeps rows of the outbox, and forgets others, in one write beside what the engine writes
    /// anyway. Returns the keys of the new rows, in order, when all of it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped or is read-only, or a limit is exceeded.
    pub async fn outbox(&self, change: OutboxChange) -> Result<Vec<OutboxKey>, EngineError> {
        change.check()?;
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Outbox { change, reply }, answer)
            .await?
            .map_err(EngineError::NotTaken)
    }

    /// Open instances in order of subject id.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn instances(
        &self,
        after: Option<SubjectId>,
        limit: usize,
    ) -> Result<Vec<InstanceView>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Command::Instances {
                subject: None,
                limit,
                after,
                reply,
            },
            answer,
        )
        .await
    }

    /// One open instance, if it is open.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn instance(&self, subject: SubjectId) -> Result<Option<InstanceView>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let mut found = self
            .ask(
                Command::Instances {
                    subject: Some(subject),
                    limit: 1,
                    after: None,
                    reply,
                },
                answer,
            )
            .await?;
        Ok(found.pop())
    }

    /// A page of what stands on this node's Git branch of open instances: its own batches, those of
    /// the members in `relayed`, and the events it voted for. All of it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn offer(
        &self,
        relayed: Arc<BTreeSet<NodeId>>,
        after: Option<SubjectId>,
    ) -> Result<OfferPage, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Command::Offer {
                relayed,
                after,
                reply,
            },
            answer,
        )
        .await
    }

    /// A page of the commits that votes of this node wait for, in order; answered with
    /// [`Inbound::Commits`](super::Inbound::Commits). Empty after the last.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn commit_questions(
        &self,
        after: Option<CommitQuestion>,
    ) -> Result<Vec<CommitQuestion>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::CommitQuestions { after, reply }, answer)
            .await
    }

    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, EngineError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// Everything that happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<NodeEvent>> {
        self.events.subscribe()
    }

    /// The engine's state in numbers as it is now: what [`status`](Self::status) shows may be older
    /// by some milliseconds than what this caller has been told of.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn current_status(&self) -> Result<EngineStatus, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Status { reply }, answer).await
    }

    /// The engine's state in numbers, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Arc<EngineStatus>> {
        self.status.clone()
    }
}
