//! The ledger through the engine: each rule of the table, each band's effect, and what the ledger
//! rests on.

use std::time::Duration;

use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::trust::{TrustChange, TrustNote, TrustReason, TrustRules};

use super::*;
use crate::Adjustment;

mod effects;
mod silence;
mod syncs;

const DAY: u64 = 24 * 3600;

fn net() -> Net {
    let mut net = Net::new(4);
    net.settle();
    net
}

impl Net {
    /// The rows that node 0 has about `member`: reason and points.
    fn rows(&self, member: usize) -> Vec<(TrustReason, i32)> {
        self.ledger(member)
            .iter()
            .map(|row| (row.reason, row.points))
            .collect()
    }

    fn ledger(&self, member: usize) -> Vec<TrustChange> {
        self.store(0).trust_of(&self.ids[member]).unwrap()
    }

    pub(super) fn points(&self, member: usize, reason: TrustReason) -> Vec<i32> {
        self.rows(member)
            .into_iter()
            .filter(|(of, _)| *of == reason)
            .map(|(_, points)| points)
            .collect()
    }

    fn trust(&self, member: usize) -> i32 {
        self.score(0, member)
    }

    /// Time goes by at once: nothing happens meanwhile.
    fn skip(&mut self, seconds: u64) {
        self.now = UnixMillis(self.now.0 + seconds * 1000);
    }

    fn adjust(&mut self, member: usize, boost: bool, times: usize) {
        let note = TrustNote {
            by: "ada".into(),
            words: "because".into(),
        };
        for _ in 0..times {
            let adjustment = Adjustment {
                member: self.ids[member],
                boost,
                note: note.clone(),
            };
            self.command(0, Command::Adjust(adjustment));
        }
    }

    /// Node 0 is connected to these.
    fn connect(&mut self, peers: &[usize]) {
        let nodes = peers.iter().map(|peer| self.ids[*peer]).collect();
        self.tick(0, vec![Inbound::Connected(nodes)]);
    }
}

#[test]
fn agreement_counts_once_a_day_per_origin_and_disagreement_once_in_thirty() {
    let mut net = net();
    let certify = |net: &mut Net, version: &str, origin: usize, odd: Option<usize>| {
        let event = testing::event("blueprint_tagged", version);
        let wrong = other(&event);
        if let Some(odd) = odd {
            net.tick(odd, vec![observed(vec![wrong])]);
        }
        net.tick(origin, vec![observed(vec![event.clone()])]);
        let others = (0..4).filter(|node| Some(*node) != odd && *node != origin);
        others.for_each(|node| net.tick(node, vec![observed(vec![event.clone()])]));
        net.settle();
    };
    certify(&mut net, "1", 1, None);
    certify(&mut net, "2", 1, None);
    assert_eq!(
        net.points(2, TrustReason::Agreement),
        [2],
        "two of one origin on one day"
    );
    net.skip(DAY);
    certify(&mut net, "3", 1, None);
    assert_eq!(net.points(2, TrustReason::Agreement), [2, 2]);
    certify(&mut net, "4", 1, Some(3));
    certify(&mut net, "5", 1, Some(3));
    assert_eq!(
        net.points(3, TrustReason::Disagreement),
        [-5],
        "two of one origin"
    );
    assert_eq!(
        net.ledger(3)
            .iter()
            .filter(|row| row.origin.is_none())
            .count(),
        net.points(3, TrustReason::SyncSucceeded).len()
    );
    net.skip(30 * DAY);
    certify(&mut net, "6", 1, Some(3));
    assert_eq!(net.points(3, TrustReason::Disagreement), [-5, -5]);
}

#[test]
fn a_boost_and_a_penalty_stand_in_the_ledger_with_who_and_why() {
    let mut net = net();
    net.adjust(1, true, 1);
    net.adjust(1, false, 1);
    assert_eq!(
        net.rows(1)[1..],
        [
            (TrustReason::ManualBoost, 10),
            (TrustReason::ManualPenalty, -20)
        ]
    );
    let note = net.ledger(1)[1].note.clone().unwrap();
    assert_eq!((note.by.as_str(), note.words.as_str()), ("ada", "because"));
    assert_eq!(net.trust(1), 41);
    net.stop(0);
    net.start(0);
    assert_eq!(net.trust(1), 41);
}

#[test]
fn equivocation_costs_all_once_and_nothing_is_earned_after_it() {
    let mut net = net();
    net.is_byzantine = true;
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let other = other(&event);
    deliver(
        &mut net,
        0,
        3,
        ssid_protocol::batch::Statements::Events(vec![event, other]),
    );
    net.settle();
    assert_eq!(net.points(3, TrustReason::Equivocation), [-100]);
    let all = events(3);
    net.emit(0, &all);
    net.settle();
    net.skip(3600);
    net.pass(1);
    assert_eq!(
        (net.trust(3), net.points(3, TrustReason::Agreement).len()),
        (0, 0)
    );
    net.adjust(3, true, 1);
    assert_eq!(net.trust(3), 10, "people may");
}

#[test]
fn points_follow_the_configuration() {
    let day = Duration::from_secs(DAY);
    let trust = TrustRules {
        initial: 60,
        min: 5,
        max: 70,
        agreement: 3,
        disagreement: -7,
        inactive_after: 2 * day,
        inactive: -4,
    };
    let settings = EngineSettings {
        trust,
        sync_interval: Duration::from_mins(10),
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let wrong = other(&event);
    net.tick(3, vec![observed(vec![wrong])]);
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![event.clone()])]));
    net.settle();
    assert_eq!((net.trust(1), net.trust(3)), (64, 54));
    net.skip(600);
    net.pass(1);
    assert_eq!(
        net.points(1, TrustReason::SyncSucceeded),
        [1, 1],
        "an interval of ten minutes"
    );
    net.adjust(1, true, 2);
    assert_eq!(net.trust(1), 70, "the highest");
    net.adjust(1, false, 4);
    assert_eq!(net.trust(1), 5, "the lowest");
    net.pass(20);
    net.stop(3);
    net.settle();
    net.skip(4 * DAY);
    net.tick(0, Vec::new());
    net.skip(3601);
    net.tick(0, Vec::new());
    assert_eq!(net.points(3, TrustReason::Inactive), [-8]);
}

/// What a node of four ends with is what its rows add up to, whatever happened in which order.
#[test]
fn the_scores_are_recomputed_from_the_ledger() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let step = (0..9_u8, 1..4_usize, 0..3_u64);
    let steps = proptest::collection::vec(step, 1..40);
    let config = Config {
        cases: 16,
        failure_persistence: None,
        ..Config::default()
    };
    let run = |steps: Vec<(u8, usize, u64)>| {
        let mut net = net();
        net.is_byzantine = true;
        for (at, (what, member, days)) in steps.into_iter().enumerate() {
            net.skip(days * DAY / 2);
            let event = testing::event("blueprint_tagged", &format!("v{at}"));
            let other = other(&event);
            match what {
                0 | 1 => net.adjust(member, what == 0, 1),
                2 => net.break_off(
                    member,
                    Request::Events {
                        digests: Vec::new(),
                    },
                ),
                3 => net.emit(member, &[event]),
                4 => {
                    net.tick(member, vec![observed(vec![other])]);
                    (0..4)
                        .filter(|n| *n != member)
                        .for_each(|n| net.tick(n, vec![observed(vec![event.clone()])]));
                }
                5 if member == 3 => {
                    deliver(
                        &mut net,
                        0,
                        3,
                        ssid_protocol::batch::Statements::Events(vec![event, other]),
                    );
                }
                6 => {
                    net.stop(member);
                    net.skip(20 * DAY);
                    net.pass(1);
                    net.start(member);
                }
                7 => {
                    net.stop(0);
                    net.start(0);
                }
                _ => net.skip(3600),
            }
            net.settle();
            net.pass(1);
        }
        let engine = net.engine(0);
        for member in 1..4 {
            let ledger = net.ledger(member);
            let score = engine.settings.trust.score(&ledger);
            prop_assert_eq!(engine.trust.score(&net.ids[member]), score, "{:?}", ledger);
            prop_assert!((0..=100).contains(&score));
        }
        Ok(())
    };
    TestRunner::new(config).run(&steps, run).unwrap();
}

#[test]
fn a_minority_costs_an_honest_member_at_most_five_points_an_origin_in_thirty_days() {
    // whatever each origin does, a member's disagreements with its events count once: seven
    // members, two of them faulty, which announce to member 6 other events than to the rest, ten
    // times each
    let mut book = super::super::trust_book::TrustBook::new(TrustRules::default());
    let (victim, faulty) = (NodeId([6; 32]), [NodeId([1; 32]), NodeId([2; 32])]);
    let mut rows = Vec::new();
    for (at, origin) in (0..20_u64).zip(faulty.into_iter().cycle()) {
        let now = UnixMillis(at * 3_600_000 + 1);
        let subject = SubjectId([at as u8; 32]).to_string();
        if let Some(row) = book.observation(victim, false, Some(origin), &subject, now) {
            book.apply(&row);
            rows.push(row);
        }
    }
    assert_eq!(rows.len(), faulty.len());
    assert_eq!(book.score(&victim), 50 - 5 * 2);
}
