//! `/v1/conflicts`: subjects that are not decided, with who voted what and what people can do.

use serde::{Deserialize, Serialize};
use ssid_protocol::event::Event;
use ssid_protocol::id::{
    Choice, ContentDigest, Epoch, EventHash, NodeId, Round, SubjectId, UnixMillis,
};
use ssid_protocol::subject::Subject;
use ssid_protocol::vote::Phase;
use ssid_storage::{DecisionRow, NoteKind};

use ssid_engine::{InstanceView, LockView, Review, ReviewReason, VoteView};

/// One candidate of a subject, with those who voted for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateVotes {
    /// Its event hash.
    pub event_hash: EventHash,
    /// Its content digest.
    pub content_digest: ContentDigest,
    /// The event, if this node has it.
    #[serde(with = "super::fields::optional")]
    pub event: Option<Event>,
    /// Who announced it, as far as known.
    pub announced_by: Option<NodeId>,
    /// Whether it stands in this node's own registry.
    pub own: bool,
    /// Who prevoted it in round 0.
    pub prevoted_by: Vec<NodeId>,
}

/// Why a node has not prevoted what others announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    /// Why it waits.
    pub reason: ReviewReason,
    /// Whether this node's operator is waited for.
    pub asks_a_person: bool,
    /// The same in words.
    pub explanation: String,
    /// When the waiting ends by itself.
    pub until: Option<String>,
}

impl From<Review> for ReviewView {
    fn from(review: Review) -> Self {
        Self {
            reason: review.reason,
            asks_a_person: review.reason.asks_a_person(),
            explanation: review.explanation,
            until: review.until.map(UnixMillis::iso),
        }
    }
}

/// `GET /v1/conflicts`: a subject that waits for people, with its candidates side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictView {
    /// What is voted on.
    pub subject_id: SubjectId,
    /// The same in words, if known.
    #[serde(with = "super::fields::subject")]
    pub subject: Option<Subject>,
    /// Epoch whose voters disagree.
    pub epoch: Epoch,
    /// The round this node is in.
    pub round: Round,
    /// Since when it is open here.
    pub since: String,
    /// Whether it waits for people, or is only open.
    pub in_conflict: bool,
    /// Whether this node's own operator is asked to endorse or refuse.
    pub awaiting_review: bool,
    /// What this node's prevote in round 0 waits for, if it does.
    pub review: Option<ReviewView>,
    /// What this node is locked on: it prevotes nothing else until a later quorum of prevotes
    /// releases it.
    pub locked: Option<LockView>,
    /// What this node's operator chose.
    pub standing: Option<Choice>,
    /// Why this node's operator may not choose now; `null` if they may.
    pub no_choice_because: Option<String>,
    /// The weight that decides.
    pub quorum: u64,
    /// What to do next, in words.
    pub next_step: String,
    /// What has been announced or voted for.
    pub candidates: Vec<CandidateVotes>,
    /// Every vote held.
    pub votes: Vec<VoteView>,
    /// What this node's operator decided about it, oldest first.
    #[serde(default)]
    pub decisions: Vec<DecisionView>,
}

/// A decision of this node's operator: who it was, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// When the operator decided, RFC 3339.
    pub at: String,
    /// `endorse`, `refuse` or `choose`.
    pub decision: NoteKind,
    /// About which candidate.
    pub choice: Choice,
    /// The name they gave, and the operating system's user.
    pub by: String,
    /// Their reason; empty if they gave none.
    pub reason: String,
}

impl From<DecisionRow> for DecisionView {
    fn from(row: DecisionRow) -> Self {
        let DecisionRow {
            at,
            kind,
            choice,
            by,
            reason,
        } = row;
        Self {
            at: at.iso(),
            decision: kind,
            choice,
            by,
            reason,
        }
    }
}

impl ConflictView {
    /// The same with what this node's operator decided about it.
    #[must_use]
    pub fn decided(self, rows: Vec<DecisionRow>) -> Self {
        Self {
            decisions: rows.into_iter().map(DecisionView::from).collect(),
            ..self
        }
    }
}

impl From<InstanceView> for ConflictView {
    fn from(open: InstanceView) -> Self {
        let prevoted = |choice| {
            let is_for = |v: &&VoteView| {
                v.round == Round::ZERO && v.phase == Phase::Prevote && v.choice == Some(choice)
            };
            open.votes.iter().filter(is_for).map(|v| v.node).collect()
        };
        let candidates = open.candidates.iter().map(|c| CandidateVotes {
            event_hash: c.choice.event_hash,
            content_digest: c.choice.content_digest,
            event: c.event.clone(),
            announced_by: c.announced_by,
            own: c.own,
            prevoted_by: prevoted(c.choice),
        });
        Self {
            subject_id: open.subject_id,
            candidates: candidates.collect(),
            next_step: next_step(&open),
            subject: open.subject,
            epoch: open.epoch,
            round: open.round,
            since: open.since.iso(),
            in_conflict: open.in_conflict,
            awaiting_review: open.awaiting_review,
            review: open.review.map(ReviewView::from),
            locked: open.locked,
            standing: open.standing,
            no_choice_because: open.no_choice_because,
            quorum: open.quorum,
            votes: open.votes,
            decisions: Vec::new(),
        }
    }
}

fn next_step(open: &InstanceView) -> String {
    if let Some(review) = &open.review {
        let until = review.until.map(UnixMillis::iso).unwrap_or_default();
        return match review.reason {
            reason if reason.asks_a_person() => format!(
                "{}endorse a candidate with: ssid events endorse HASH, or refuse with: ssid events refuse HASH; \
                 without either the prevote is nil from {until}",
                if reason == ReviewReason::Commit {
                    "wait for the commit, which is looked for again; or "
                } else {
                    ""
                }
            ),
            ReviewReason::Settling => format!("none: it is endorsed from {until}"),
            _ => "none on this node, unless its own registry gets the event".to_owned(),
        };
    }
    if let Some(why) = &open.no_choice_because {
        return format!("wait: {why}");
    }
    let chosen = |choice| {
        let is_for = |v: &&VoteView| {
            v.round == open.round && v.phase == Phase::Prevote && v.choice == Some(choice)
        };
        open.votes.iter().filter(is_for).count()
    };
    match open.standing {
        Some(choice) if open.round > Round::ZERO => format!(
            "none: {} of {} needed votes are for event {}; the other members' operators have to choose the same",
            chosen(choice),
            open.quorum,
            choice.event_hash
        ),
        _ => format!(
            "choose with: ssid conflicts resolve {} --choose HASH; {} votes have to be for the same",
            open.subject_id, open.quorum
        ),
    }
}
