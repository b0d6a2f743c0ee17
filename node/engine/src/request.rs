//! What is asked of the engine and what it replies. A command is one variant of [`Command`], one of
//! [`Reply`], and one arm in the engine.

use serde::{Deserialize, Serialize};
use ssid_protocol::event::{Event, Inadmissible};
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{Choice, ManifestHash, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::Answer;
use ssid_protocol::trust::{TrustChange, TrustNote};
use ssid_storage::{NoteKind, OutboxKey};

use super::messages::Validity;
use super::outbox::OutboxChange;

/// A change that somebody on this machine wants, and waits for: the [`Reply`] comes when it is on
/// disk.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take events into the own registry, sign, announce and vote; answered with
    /// [`Reply::Emitted`].
    Emit(Vec<Event>),
    /// Take an operator's decision; answered with [`Reply::Operated`].
    Operate(Operation, Decider),
    /// Propose a change of members, with hand-overs of the keys that it replaces, and approve it;
    /// answered with [`Reply::Proposed`].
    Propose(Box<Manifest>, Vec<Handover>, Decider),
    /// Change a member's score by hand; answered with [`Reply::Adjusted`].
    Adjust(Adjustment),
    /// Keep what must leave the node, and forget what has; answered with [`Reply::Outbox`].
    Outbox(OutboxChange),
}

impl Command {
    /// How many statements it is worth of what one tick takes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Emit(events) => events.len(),
            Self::Outbox(change) => change.add.len() + change.anchors.len(),
            Self::Operate(..) | Self::Propose(..) | Self::Adjust(_) => 1,
        }
    }

    /// The reply if it is not taken because the node is read-only, for `reason`.
    pub(super) fn refused(&self, reason: &str) -> Reply {
        let refusal = || OperatorRefusal::read_only(reason);
        match self {
            Self::Emit(events) => Reply::emit_refused(events.len(), reason, false),
            Self::Operate(..) => Reply::Operated(Err(refusal())),
            Self::Propose(..) => Reply::Proposed(Err(refusal())),
            Self::Adjust(_) => Reply::Adjusted(Err(refusal())),
            Self::Outbox(_) => Reply::Outbox(Err(refusal())),
        }
    }
}

/// The outcome of what came with a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What a delivered batch or piece of evidence was worth.
    Verdict(Validity),
    /// An answer to a peer.
    Answer(Answer),
    /// One outcome for each offered event, in order.
    Emitted(Vec<EmitOutcome>),
    /// What became of an operator's decision.
    Operated(Result<Operated, OperatorRefusal>),
    /// What became of a proposed change of members.
    Proposed(Result<Proposed, OperatorRefusal>),
    /// What became of a changed score.
    Adjusted(Result<Adjusted, OperatorRefusal>),
    /// The keys of the new rows in the outbox, in order.
    Outbox(Result<Vec<OutboxKey>, OperatorRefusal>),
}

impl Reply {
    /// `count` offered events that are not taken.
    pub(super) fn emit_refused(count: usize, reason: &str, retry: bool) -> Self {
        let outcome = EmitOutcome::Refused {
            reason: reason.to_owned(),
            retry,
        };
        Self::Emitted(vec![outcome; count])
    }

    /// What a peer is answered by a node that is read-only.
    pub(super) fn answer_refused() -> Self {
        Self::Answer(Answer::Refused(
            "read-only: this node's storage failed".to_owned(),
        ))
    }

    /// What whoever waits for this reply is told instead, once the node is read-only for `reason`:
    /// nothing of it is on disk for sure, so nothing of it may be shown.
    pub(super) fn refused(self, reason: &str) -> Self {
        let refusal = || OperatorRefusal::read_only(reason);
        match self {
            Self::Verdict(_) => Self::Verdict(Validity::Nothing),
            Self::Answer(_) => Self::answer_refused(),
            Self::Emitted(outcomes) => Self::emit_refused(outcomes.len(), reason, false),
            Self::Operated(_) => Self::Operated(Err(refusal())),
            Self::Proposed(_) => Self::Proposed(Err(refusal())),
            Self::Adjusted(_) => Self::Adjusted(Err(refusal())),
            Self::Outbox(_) => Self::Outbox(Err(refusal())),
        }
    }
}

/// A change of members that this node proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The manifest, by its hash.
    pub manifest: ManifestHash,
    /// The subject that it is voted on under.
    pub subject: SubjectId,
    /// The choice of the event that follows from it.
    pub choice: Choice,
}

/// What became of one offered event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EmitOutcome {
    /// Signed, on disk, and being voted on.
    Accepted {
        /// The subject that the event is about.
        subject_id: SubjectId,
        /// The hashes of the event.
        choice: Choice,
    },
    /// This very event, or one that records the same fact, is already announced by this node, or
    /// being voted on with this node's prevote for it.
    Known {
        /// The subject that the event is about.
        subject_id: SubjectId,
        /// The hashes of the one that is.
        choice: Choice,
    },
    /// The subject is certified already; `certified` says for what, which may be another event.
    Certified {
        /// The subject that the event is about.
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
        /// The subject that the event is about.
        subject_id: SubjectId,
        /// The hashes of the event.
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

/// A decision about one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What kind of decision.
    pub kind: NoteKind,
    /// The subject decided about.
    pub subject: SubjectId,
    /// For which candidate, or against it: a refusal is a nil prevote for its subject.
    pub choice: Choice,
}

/// Who decides, and why: kept beside the decision, for whoever asks later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decider {
    /// The name they gave, and the operating system's user.
    pub by: String,
    /// Their reason; empty if they gave none.
    pub reason: String,
}

/// A decision that was taken and is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operated {
    /// The subject decided about.
    pub subject_id: SubjectId,
    /// The candidate that is chosen, endorsed or refused.
    pub choice: Choice,
    /// The round this node is in now.
    pub round: Round,
    /// Weight of this round's prevotes for the candidate, as far as known.
    pub weight: u64,
    /// The weight that decides.
    pub quorum: u64,
    /// Whether the subject is certified with this.
    pub certified: bool,
    /// What the node does about it, in words.
    pub explanation: String,
}

/// Why a decision is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Storage failed: the node signs nothing.
    ReadOnly,
    /// The node signs nothing: it is no voter, or abstains.
    NoVoter,
    /// The subject is not being voted on here.
    NotOpen,
    /// The subject is certified: final.
    Decided,
    /// No event of this choice is known here.
    UnknownCandidate,
    /// Round 0 or an automatic round has not failed.
    RoundUnfailed,
    /// Round 0 is over: conflicts are resolved, not endorsed.
    RoundOver,
    /// This node has prevoted something else in round 0.
    Voted,
    /// This node's own registry has an event for the subject.
    OwnEvent,
    /// The policy or a missing proof forbids it.
    NotEndorsable,
}

impl RefusalKind {
    /// The word in problem documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::NoVoter => "no_voter",
            Self::NotOpen => "not_open",
            Self::Decided => "decided",
            Self::UnknownCandidate => "unknown_candidate",
            Self::RoundUnfailed => "round_unfailed",
            Self::RoundOver => "round_over",
            Self::Voted => "voted",
            Self::OwnEvent => "own_event",
            Self::NotEndorsable => "not_endorsable",
        }
    }
}

/// A decision that is not taken: nothing was written or signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRefusal {
    /// The kind of reason.
    pub kind: RefusalKind,
    /// Why, in words.
    pub reason: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What an operator does to a member's score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The member whose score changes.
    pub member: NodeId,
    /// +10 if true, −20 if not.
    pub boost: bool,
    /// Who does it, and why.
    pub note: TrustNote,
}

/// An adjustment that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// The row as it stands in the ledger.
    pub change: TrustChange,
    /// The member's score with it, from 0 to 100.
    pub score: i32,
}

/// Whether a commit is in a member's repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitQuestion {
    /// Whose repository: of the member that announced the event.
    pub node: NodeId,
    /// The event's `commit_hash`: the first 7 to 64 digits of a commit's id.
    pub commit: String,
}

/// The answer to a [`CommitQuestion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitStanding {
    /// It is there. That is remembered while its subjects are open, also if it is gone later.
    Exists,
    /// It was not, when the repository was last fetched.
    Missing {
        /// When the repository was fetched last.
        fetched_at: UnixMillis,
    },
    /// It cannot be seen whether it is.
    Unseen {
        /// What stands in the way, in words: no remote, a failed fetch.
        reason: String,
    },
}

impl OperatorRefusal {
    /// A refusal without a hint.
    pub(super) fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            hint: None,
        }
    }

    /// Of a node whose storage failed.
    pub(super) fn read_only(reason: &str) -> Self {
        Self::new(RefusalKind::ReadOnly, reason)
    }

    /// The same with what to do next.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}
