//! Trust: an append-only ledger of points per member, and the score that follows from it (SPEC §9). Scores are each
//! node's own view and never change who counts in the middle of an epoch.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, UnixMillis};

/// Where every member starts.
pub const INITIAL_SCORE: i32 = 50;
/// Below this a member's events are not endorsed under the policy `trusted`.
pub const ENDORSEMENT_FLOOR: i32 = 25;

/// Why a member's score changed. The points of each are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustReason {
    /// Observed what was certified: +2, at most once a day per origin of the event.
    Agreement,
    /// Observed something that does not agree with the certified event: −5, once in 30 days per origin.
    Disagreement,
    /// A sync with it succeeded: +1.
    SyncSucceeded,
    /// Its answers did not verify or broke off: −3.
    SyncFailed,
    /// A day beyond 30 days without a sign of life: −1.
    Inactive,
    /// An operator's boost: +10.
    ManualBoost,
    /// An operator's penalty: −20.
    ManualPenalty,
    /// Proven equivocation: −100, once.
    Equivocation,
}

impl TrustReason {
    /// The points of one such change.
    pub fn points(self) -> i32 {
        match self {
            Self::Agreement => 2,
            Self::Disagreement => -5,
            Self::SyncSucceeded => 1,
            Self::SyncFailed => -3,
            Self::Inactive => -1,
            Self::ManualBoost => 10,
            Self::ManualPenalty => -20,
            Self::Equivocation => -100,
        }
    }

    /// The name in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Disagreement => "disagreement",
            Self::SyncSucceeded => "sync_succeeded",
            Self::SyncFailed => "sync_failed",
            Self::Inactive => "inactive",
            Self::ManualBoost => "manual_boost",
            Self::ManualPenalty => "manual_penalty",
            Self::Equivocation => "equivocation",
        }
    }
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustChange {
    /// Whose score.
    pub member: NodeId,
    /// Why.
    pub reason: TrustReason,
    /// When, by this node's clock.
    pub at: UnixMillis,
    /// Who originated the event it is about, where the caps count per origin.
    pub origin: Option<NodeId>,
    /// What it is about: a subject id, a piece of evidence, an operator's words.
    pub reference: String,
}

/// The score after `changes`, in order: from 50, kept within 0–100 at every step.
pub fn score<'a>(changes: impl IntoIterator<Item = &'a TrustChange>) -> i32 {
    changes.into_iter().fold(INITIAL_SCORE, |score, change| step(score, change.reason.points()))
}

/// One step of [`score`].
pub fn step(score: i32, points: i32) -> i32 {
    score.saturating_add(points).clamp(0, 100)
}

/// The band a score falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustLabel {
    /// 0–24: not endorsed under `trusted`, synced last, alerted on.
    VeryLow,
    /// 25–49: flagged for review.
    Low,
    /// 50–74.
    Medium,
    /// 75–100.
    High,
}

impl TrustLabel {
    /// The band of `score`.
    pub fn of(score: i32) -> Self {
        match score {
            i32::MIN..=24 => Self::VeryLow,
            25..=49 => Self::Low,
            50..=74 => Self::Medium,
            75.. => Self::High,
        }
    }

    /// The blueprint's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VeryLow => "VERY LOW",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}
