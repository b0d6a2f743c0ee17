//! The ledger through the engine: each rule of the table, each band's effect, and what the ledger
//! rests on.

use std::time::Duration;

use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::trust::{TrustChange, TrustNote, TrustReason, TrustRules};

use super::*;
use crate::Adjustment;
use crate::settings::HEARTBEAT_AT_LEAST;

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

    fn points(&self, member: usize, reason: TrustReason) -> Vec<i32> {
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

    /// Takes a member below 25.
    fn distrust(&mut self, member: usize) {
        self.adjust(member, false, 2);
        assert!(self.trust(member) < 25);
    }

    /// As if a peer's answer to node 0's question did not come, or did not verify.
    fn break_off(&mut self, peer: usize, request: Request) {
        self.tick(
            0,
            vec![Inbound::Answered {
                from: self.ids[peer],
                request,
                answer: None,
            }],
        );
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
fn a_sync_that_ends_well_counts_once_in_an_interval() {
    let mut net = net();
    assert_eq!(net.rows(1), [(TrustReason::SyncSucceeded, 1)]);
    net.stop(1);
    net.start(1);
    net.settle();
    assert_eq!(net.rows(1).len(), 1, "the same interval");
    net.skip(3600);
    net.pass(1);
    assert_eq!(
        net.points(1, TrustReason::SyncSucceeded),
        [1, 1],
        "asked again by itself"
    );
}

#[test]
fn a_sync_that_breaks_off_counts_a_minute_later_if_a_quorum_is_still_there() {
    let mut net = net();
    net.break_off(
        1,
        Request::Events {
            digests: Vec::new(),
        },
    );
    net.tick(0, Vec::new());
    assert_eq!(
        net.points(1, TrustReason::SyncFailed),
        [0; 0],
        "it may be this node that is cut off"
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(net.points(1, TrustReason::SyncFailed), [-3]);
    net.break_off(
        1,
        Request::Events {
            digests: Vec::new(),
        },
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(
        net.points(1, TrustReason::SyncFailed),
        [-3],
        "once in an interval"
    );
}

#[test]
fn who_is_cut_off_blames_nobody() {
    let mut net = net();
    net.skip(3600);
    net.tick(0, Vec::new());
    net.messages.clear();
    // conversations with all three are under way when the own network goes
    net.connect(&[]);
    net.skip(61);
    net.tick(0, Vec::new());
    let failed = |net: &Net| {
        (1..4)
            .map(|peer| net.points(peer, TrustReason::SyncFailed).len())
            .sum::<usize>()
    };
    assert_eq!(failed(&net), 0);
    // the same, but two of three stay
    net.connect(&[1, 2, 3]);
    net.messages.clear();
    net.connect(&[1, 2]);
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(
        (failed(&net), net.points(3, TrustReason::SyncFailed).len()),
        (1, 1)
    );
}

#[test]
fn a_refusal_and_what_could_not_be_asked_are_no_failure() {
    let mut net = net();
    net.skip(3600);
    net.tick(0, Vec::new());
    net.messages.clear();
    let answer = Some(CheckedAnswer::Refused("busy".into()));
    net.tick(
        0,
        vec![Inbound::Answered {
            from: net.ids[1],
            request: Request::Status,
            answer,
        }],
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(net.points(1, TrustReason::SyncFailed), [0; 0]);
}

/// Node 0 with node 3 silent for `days`, woken as often as `steps` says, then for as long as it
/// takes to look.
fn silent(days: u64, steps: u64) -> Net {
    let mut net = net();
    net.pass(20); // every heartbeat is in
    net.stop(3);
    net.settle();
    for _ in 0..steps {
        net.skip(days * DAY / steps);
        net.tick(0, Vec::new());
    }
    // what an hour of running adds is below a day
    for _ in 0..2 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    net
}

#[test]
fn silence_costs_a_point_a_day_however_often_the_node_runs() {
    let none: [i32; 0] = [];
    assert_eq!(silent(30, 1).points(3, TrustReason::Inactive), none);
    let (daily, seldom) = (silent(35, 35), silent(35, 1));
    let points = |net: &Net| net.points(3, TrustReason::Inactive);
    assert_eq!(points(&daily), [-1; 5]);
    assert_eq!(points(&seldom), [-5], "in one row");
    assert_eq!(daily.trust(3), seldom.trust(3));
    let last = |net: &Net| net.ledger(3).last().unwrap().at;
    assert_eq!(
        last(&daily),
        last(&seldom),
        "dated by the silence, not by when it was noticed"
    );
    assert_eq!(points(&silent(100, 1)), [-70]);
    assert_eq!(silent(100, 1).trust(3), 0);
}

#[test]
fn silence_is_not_counted_twice_after_a_restart_nor_without_a_quorum_nor_for_who_is_there() {
    let mut net = silent(33, 1);
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    net.stop(0);
    net.start(0);
    for _ in 0..3 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    // node 0 alone for long cannot tell who is silent
    net.connect(&[]);
    net.skip(40 * DAY);
    for _ in 0..3 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    // connected again, and heard of: nothing is added for them
    net.connect(&[1, 2]);
    for _ in 0..2 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(
        (
            net.points(1, TrustReason::Inactive).len(),
            net.points(2, TrustReason::Inactive).len()
        ),
        (0, 0)
    );
    assert_eq!(
        net.points(3, TrustReason::Inactive),
        [-3, -40],
        "the days of both silences together"
    );
}

#[test]
fn a_member_never_heard_of_is_silent_since_this_node_knows_it() {
    let mut net = Net::new(4);
    net.messages.clear();
    net.connected.remove(&3);
    net.connect(&[1, 2]);
    net.skip(10 * DAY);
    net.tick(0, Vec::new());
    net.skip(3601);
    net.tick(0, Vec::new());
    assert_eq!(net.points(3, TrustReason::Inactive), [0; 0]);
    net.skip(25 * DAY);
    net.tick(0, Vec::new());
    net.skip(3601);
    net.tick(0, Vec::new());
    assert_eq!(net.points(3, TrustReason::Inactive).iter().sum::<i32>(), -5);
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
fn below_fifty_a_member_is_flagged_and_below_twenty_five_alerted_on() {
    let mut net = net();
    let flagged = |net: &Net| net.status(0).flagged;
    let alerts = |net: &Net| {
        let low = |event: &NodeEvent| matches!(event, NodeEvent::LowTrust { member, .. } if *member == net.ids[2]);
        net.events.iter().filter(|(_, event)| low(event)).count()
    };
    assert!(flagged(&net).is_empty());
    net.adjust(2, false, 1); // 31
    assert_eq!((flagged(&net), alerts(&net)), (vec![net.ids[2]], 0));
    net.adjust(2, false, 1); // 11
    assert_eq!(alerts(&net), 1);
    net.adjust(2, false, 1); // 0
    assert_eq!(alerts(&net), 1, "once, on the way down");
}

#[test]
fn the_alert_follows_the_configured_threshold() {
    let settings = EngineSettings {
        trust_alert_below: 40,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.adjust(2, false, 1); // 31: no alert by default
    assert!(
        net.events
            .iter()
            .any(|(_, event)| matches!(event, NodeEvent::LowTrust { score: 31, .. }))
    );
}

#[test]
fn who_is_not_trusted_is_not_endorsed() {
    let prevotes = |distrusted: bool| {
        let mut net = net();
        if distrusted {
            net.distrust(3);
        }
        let event = testing::event("blueprint_tagged", "v4.4.0");
        deliver(
            &mut net,
            0,
            3,
            ssid_protocol::batch::Statements::Events(vec![event]),
        );
        let open = net.first_open(0).1;
        open.held.len()
    };
    assert_eq!((prevotes(false), prevotes(true)), (1, 0));
}

#[test]
fn the_most_trusted_are_asked_first_and_the_untrusted_last() {
    let mut net = net();
    net.adjust(2, true, 2);
    net.distrust(1);
    net.asked.clear();
    net.connect(&[]);
    net.connect(&[1, 2, 3]);
    let order = |net: &Net| {
        let status = |(by, to, request): &(usize, NodeId, Request)| {
            (*by == 0 && *request == Request::Status).then_some(*to)
        };
        net.asked.iter().filter_map(status).collect::<Vec<_>>()
    };
    assert_eq!(order(&net), [net.ids[2], net.ids[3], net.ids[1]]);
    net.messages.clear();
    // what does not go on is asked about at all others before the untrusted one
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    net.asked.clear();
    for _ in 0..30 {
        net.skip(1);
        net.tick(0, Vec::new());
        net.messages.clear();
    }
    let is_open = |request: &Request| matches!(request, Request::Open { subjects, .. } if subjects.len() == 1);
    let open: Vec<_> = net
        .asked
        .iter()
        .filter(|(by, _, request)| *by == 0 && is_open(request))
        .map(|(_, to, _)| *to)
        .collect();
    assert!(open.len() >= 3, "{open:?}");
    assert!(
        !open[..2].contains(&net.ids[1]) && open[2] == net.ids[1],
        "{open:?}"
    );
}

#[test]
fn a_heartbeat_of_the_untrusted_starts_no_conversation_while_another_is_under_way() {
    use ssid_protocol::batch::Statements;
    use ssid_protocol::heartbeat::Heartbeat;
    let asked = |distrusted: bool| {
        let mut net = net();
        if distrusted {
            net.distrust(1);
        }
        let beat = |signer: u8| {
            let sequence = START.0 + 1_000_000;
            let log_id = LogId([signer + 50; 32]);
            let epoch = ssid_protocol::id::Epoch(0);
            Statements::Heartbeat(Box::new(Heartbeat {
                epoch,
                sequence,
                log_id,
                ..testing::heartbeat(9)
            }))
        };
        net.asked.clear();
        net.now = net.now.after(HEARTBEAT_AT_LEAST);
        deliver(&mut net, 0, 2, beat(2));
        deliver(&mut net, 0, 1, beat(1));
        net.asked
            .iter()
            .map(|(_, to, _)| *to)
            .filter(|to| *to == net.ids[1])
            .count()
    };
    assert_eq!((asked(false), asked(true)), (1, 0));
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
