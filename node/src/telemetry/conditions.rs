//! What holds for a while and then is over: a voter that is away, a lost quorum, a node that cannot
//! vote, a review that waits. Each is told once when it has held long enough, and once when it has
//! been over long enough: a partner that restarts is no news, and one that comes and goes is one
//! message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ssid_engine::{EngineStatus, InstanceView};
use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_protocol::id::{NodeId, SubjectId, UnixMillis};

/// Something that holds or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// This node is read-only.
    ReadOnly,
    /// This node abstains.
    Abstaining,
    /// This node does not know what its registry file says.
    NoRegistry,
    /// Too few voters sign votes to decide anything.
    NoQuorum,
    /// This voter is not connected.
    Away(NodeId),
    /// This voter is connected, and signs no votes.
    Mute(NodeId),
    /// This subject waits for this node's operator.
    Review(SubjectId),
    /// A change of members does: the end of the epoch that this subject stands for.
    Change(SubjectId),
}

impl Condition {
    /// How long it has to hold before it is told.
    const fn told_after(self) -> Duration {
        match self {
            Self::ReadOnly | Self::Abstaining => Duration::ZERO,
            Self::Review(_) | Self::Change(_) | Self::NoRegistry => Duration::from_secs(10),
            Self::NoQuorum => Duration::from_secs(30),
            Self::Away(_) | Self::Mute(_) => Duration::from_mins(1),
        }
    }

    /// How long it has to be over before that is told.
    const fn over_after(self) -> Duration {
        match self {
            Self::ReadOnly
            | Self::Abstaining
            | Self::NoRegistry
            | Self::Review(_)
            | Self::Change(_) => Duration::ZERO,
            Self::NoQuorum => Duration::from_secs(10),
            Self::Away(_) | Self::Mute(_) => Duration::from_secs(30),
        }
    }
}

/// What a subject that waits for this node's operator is: an event, or a change of members.
pub fn waiting(view: &InstanceView) -> Condition {
    let subject = view.subject.as_ref();
    if subject.is_some_and(|subject| subject.event == FEDERATION_EPOCH) {
        Condition::Change(view.subject_id)
    } else {
        Condition::Review(view.subject_id)
    }
}

/// What the state of this engine says holds now, reviews left out: which they are, only a list of
/// instances says.
pub fn holding(status: &EngineStatus, me: &NodeId) -> BTreeSet<Condition> {
    let mute = status
        .connected_voters
        .iter()
        .filter(|node| *node != me && !status.able_voters.contains(node));
    let mut holding: BTreeSet<_> = mute.copied().map(Condition::Mute).collect();
    let away = status.missing_voters.iter().copied();
    holding.extend(away.map(Condition::Away));
    for (holds, condition) in [
        (status.registry.is_some(), Condition::NoRegistry),
        (status.read_only.is_some(), Condition::ReadOnly),
        (status.abstaining.is_some(), Condition::Abstaining),
        (!status.has_quorum, Condition::NoQuorum),
    ] {
        if holds {
            holding.insert(condition);
        }
    }
    holding
}

/// The conditions that were told, since when, and those that may have to be.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    told: BTreeMap<Condition, UnixMillis>,
    /// Those that are not as they were told, since when.
    changed: BTreeMap<Condition, Instant>,
}

/// What is to be told: conditions that hold now or are over, each with the time under which it was
/// or is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Those that hold.
    pub begun: Vec<(Condition, UnixMillis)>,
    /// Those that are over.
    pub over: Vec<(Condition, UnixMillis)>,
}

impl Conditions {
    /// With what was told in an earlier life.
    pub fn new(told: &[(Condition, UnixMillis)]) -> Self {
        Self {
            told: told.iter().copied().collect(),
            changed: BTreeMap::new(),
        }
    }

    /// What was told and is not over.
    pub fn told(&self) -> Vec<(Condition, UnixMillis)> {
        self.told
            .iter()
            .map(|(condition, since)| (*condition, *since))
            .collect()
    }

    /// Takes in what holds now, and says what is to be told. `at` runs on whatever the clock does,
    /// `now` is the clock.
    pub fn look(&mut self, holding: &BTreeSet<Condition>, at: Instant, now: UnixMillis) -> Turns {
        let mut turns = Turns::default();
        // also those told and over: they do not hold any more and are to be told as over
        let all: BTreeSet<_> = holding.iter().chain(self.told.keys()).copied().collect();
        self.changed.retain(|condition, _| all.contains(condition));
        for condition in all {
            let holds = holding.contains(&condition);
            let is_told = self.told.contains_key(&condition);
            // back before its patience ended: as if nothing had been
            if holds == is_told {
                self.changed.remove(&condition);
                continue;
            }
            // on the clock that nobody sets: patience neither ends at once nor stands still
            let since = *self.changed.entry(condition).or_insert(at);
            let patience = if holds {
                condition.told_after()
            } else {
                condition.over_after()
            };
            // what comes and goes within that time is told neither way
            if at.saturating_duration_since(since) < patience {
                continue;
            }
            self.changed.remove(&condition);
            if holds {
                self.told.insert(condition, now);
                turns.begun.push((condition, now));
            } else if let Some(since) = self.told.remove(&condition) {
                turns.over.push((condition, since));
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROME: Condition = Condition::Away(NodeId([1; 32]));

    struct Watched {
        conditions: Conditions,
        begun: Instant,
    }

    impl Watched {
        fn new() -> Self {
            Self {
                conditions: Conditions::default(),
                begun: Instant::now(),
            }
        }

        /// What is told of Rome `second` seconds after the beginning: begun, over.
        fn see(&mut self, second: u64, is_away: bool) -> (usize, usize) {
            let holding = is_away.then_some(ROME).into_iter().collect();
            let at = self.begun + Duration::from_secs(second);
            let turns = self
                .conditions
                .look(&holding, at, UnixMillis(second * 1000));
            (turns.begun.len(), turns.over.len())
        }

        fn see_all(
            &mut self,
            seconds: std::ops::Range<u64>,
            is_away: impl Fn(u64) -> bool,
        ) -> (usize, usize) {
            seconds.fold((0, 0), |(begun, over), second| {
                let (more_begun, more_over) = self.see(second, is_away(second));
                (begun + more_begun, over + more_over)
            })
        }
    }

    #[test]
    fn who_is_away_long_enough_is_told_once_each_way() {
        let mut rome = Watched::new();
        assert_eq!(rome.see_all(0..60, |_| true), (0, 0));
        assert_eq!(rome.see(60, true), (1, 0));
        assert_eq!(rome.see_all(61..4000, |_| true), (0, 0));
        assert_eq!(rome.see_all(4000..4030, |_| false), (0, 0));
        assert_eq!(rome.see(4030, false), (0, 1));
        assert_eq!(rome.see_all(4031..9000, |_| false), (0, 0));
    }

    #[test]
    fn a_restart_is_no_news_and_who_comes_and_goes_is_one_message() {
        let mut rome = Watched::new();
        assert_eq!(
            rome.see_all(0..600, |second| second % 100 < 50),
            (0, 0),
            "away for 50 s at a time"
        );
        let mut rome = Watched::new();
        assert_eq!(
            rome.see_all(0..6000, |second| second % 100 < 80),
            (1, 0),
            "back for 20 s at a time"
        );
    }

    #[test]
    fn what_was_told_before_a_restart_is_not_told_again_and_its_end_is() {
        let mut rome = Watched::new();
        rome.see_all(0..61, |_| true);
        let told = rome.conditions.told();
        assert_eq!(told, [(ROME, UnixMillis(60_000))]);
        let mut restarted = Watched {
            conditions: Conditions::new(&told),
            begun: Instant::now(),
        };
        assert_eq!(restarted.see_all(0..100, |_| true), (0, 0));
        assert_eq!(restarted.see_all(100..200, |_| false), (0, 1));
    }
}
