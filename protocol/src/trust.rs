//! Trust: an append-only ledger of points per member, and the score that follows from it (SPEC §9).
//! Scores are each node's own view and never change who counts in the middle of an epoch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, UnixMillis};

/// Where every member starts, unless a node is configured otherwise.
pub const INITIAL_SCORE: i32 = 50;
/// Below this a member is flagged for review.
pub const REVIEW_FLOOR: i32 = 50;
/// Below this a member's events are not endorsed under the policy `trusted`, and it is synced from
/// last.
pub const ENDORSEMENT_FLOOR: i32 = 25;
/// A day, the unit of most caps.
pub const DAY: Duration = Duration::from_hours(24);

/// Why a member's score changed. The points of each are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustReason {
    /// Observed what was certified: +2, at most once a day per origin of the event.
    Agreement,
    /// Observed something that does not agree with the certified event: −5, once in 30 days per
    /// origin.
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
    /// It took the place of another key, whose score passes on: the difference to where members
    /// start, once.
    Succession,
}

impl TrustReason {
    /// The points of one such change, by the specification.
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
            // whatever the former key's score differs by
            Self::Succession => 0,
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
            Self::Succession => "succession",
        }
    }
}

/// Who changed a score by hand, and what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustNote {
    /// The name of the person or program.
    pub by: String,
    /// Their reason, in their words.
    pub words: String,
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustChange {
    /// The member whose score changes.
    pub member: NodeId,
    /// The rule by which it changes.
    pub reason: TrustReason,
    /// By how much, as this node was configured when it happened. Days of silence are written
    /// together where the node did not run on each of them, so it may be a multiple.
    pub points: i32,
    /// When, by this node's clock.
    pub at: UnixMillis,
    /// Who originated the event it is about, where the caps count per origin.
    pub origin: Option<NodeId>,
    /// What it is about: a subject id, a piece of evidence, a request.
    pub reference: String,
    /// Who did it, if a person did.
    pub note: Option<TrustNote>,
}

/// How points are counted: the specification's table, as far as a node may be configured otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustRules {
    /// Where every member starts.
    pub initial: i32,
    /// The lowest score.
    pub min: i32,
    /// The highest score.
    pub max: i32,
    /// For an observation that agrees.
    pub agreement: i32,
    /// For one that does not; negative.
    pub disagreement: i32,
    /// Silence for so long costs nothing.
    pub inactive_after: Duration,
    /// For each day of silence beyond that; negative.
    pub inactive: i32,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self {
            initial: INITIAL_SCORE,
            min: 0,
            max: 100,
            agreement: TrustReason::Agreement.points(),
            disagreement: TrustReason::Disagreement.points(),
            inactive_after: 30 * DAY,
            inactive: TrustReason::Inactive.points(),
        }
    }
}

impl TrustRules {
    /// The points of one such change.
    pub fn points(&self, reason: TrustReason) -> i32 {
        match reason {
            TrustReason::Agreement => self.agreement,
            TrustReason::Disagreement => self.disagreement,
            TrustReason::Inactive => self.inactive,
            other => other.points(),
        }
    }

    /// The score after `changes`, in order: kept within its bounds at every step.
    pub fn score<'a>(&self, changes: impl IntoIterator<Item = &'a TrustChange>) -> i32 {
        changes.into_iter().fold(self.initial, |score, change| {
            self.step(score, change.points)
        })
    }

    /// One step of [`Self::score`].
    ///
    /// ```
    /// use ssid_protocol::trust::{TrustReason, TrustRules};
    ///
    /// let rules = TrustRules::default();
    /// assert_eq!(rules.step(50, rules.points(TrustReason::Disagreement)), 45);
    /// assert_eq!(rules.step(99, rules.points(TrustReason::ManualBoost)), 100);
    /// ```
    pub fn step(&self, score: i32, points: i32) -> i32 {
        score.saturating_add(points).max(self.min).min(self.max)
    }

    /// How many days of silence since the last sign of life cost points now.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use ssid_protocol::id::UnixMillis;
    /// use ssid_protocol::trust::TrustRules;
    ///
    /// let last = UnixMillis(0);
    /// let after = |days: u64| last.after(Duration::from_secs(days * 24 * 60 * 60));
    /// let rules = TrustRules::default();
    /// assert_eq!(rules.days_inactive(last, after(30)), 0);
    /// assert_eq!(rules.days_inactive(last, after(33)), 3);
    /// ```
    pub fn days_inactive(&self, last_sign: UnixMillis, now: UnixMillis) -> u64 {
        let beyond = now.since(last_sign).saturating_sub(self.inactive_after);
        beyond.as_secs() / DAY.as_secs()
    }
}

/// The band a score falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustLabel {
    /// 0–24: not endorsed under `trusted`, synced last, alerted on.
    VeryLow,
    /// 25–49: flagged for review.
    Low,
    /// 50–74: endorsed and asked like everybody.
    Medium,
    /// 75–100: the highest band, without further effect.
    High,
}

impl TrustLabel {
    /// The band of `score`.
    ///
    /// ```
    /// use ssid_protocol::trust::TrustLabel;
    ///
    /// assert_eq!(TrustLabel::of(24).as_str(), "VERY LOW");
    /// assert_eq!(TrustLabel::of(50).as_str(), "MEDIUM");
    /// ```
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

    /// The same as a word of JSON: `very_low`, `low`, `medium` or `high`.
    pub fn word(self) -> &'static str {
        match self {
            Self::VeryLow => "very_low",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(reason: TrustReason) -> TrustChange {
        let points = TrustRules::default().points(reason);
        let (member, reference) = (NodeId([1; 32]), String::new());
        TrustChange {
            member,
            reason,
            points,
            at: UnixMillis(0),
            origin: None,
            reference,
            note: None,
        }
    }

    #[test]
    fn a_score_is_kept_in_its_bounds_at_every_step() {
        use TrustReason::{Equivocation, ManualBoost, ManualPenalty};
        let after = |reasons: &[TrustReason], rules: TrustRules| {
            rules.score(
                &reasons
                    .iter()
                    .map(|reason| change(*reason))
                    .collect::<Vec<_>>(),
            )
        };
        let rules = TrustRules::default();
        assert_eq!(after(&[], rules), 50);
        assert_eq!(
            after(&[Equivocation, ManualBoost], rules),
            10,
            "not 50 - 100 + 10"
        );
        assert_eq!(after(&[ManualBoost; 7], rules), 100);
        let narrow = TrustRules {
            initial: 40,
            min: 30,
            max: 55,
            ..rules
        };
        assert_eq!(after(&[], narrow), 40);
        assert_eq!(after(&[ManualPenalty], narrow), 30);
        assert_eq!(after(&[ManualBoost, ManualBoost], narrow), 55);
    }

    #[test]
    fn silence_costs_from_the_thirty_first_day_on() {
        let rules = TrustRules::default();
        let day = |days: u64| UnixMillis(days * 86_400_000);
        let days: Vec<_> = [0, 30, 31, 32, 400]
            .map(|now| rules.days_inactive(day(0), day(now)))
            .to_vec();
        assert_eq!(days, [0, 0, 1, 2, 370]);
        assert_eq!(
            rules.days_inactive(day(9), day(3)),
            0,
            "a clock that was set back"
        );
        let patient = TrustRules {
            inactive_after: 2 * DAY,
            ..rules
        };
        assert_eq!(patient.days_inactive(day(0), day(4)), 2);
    }
}
