//! Clocks that are wrong, and are set right: no wait ends or begins by the wall clock, and nobody
//! loses trust by it.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::batch::Statements;
use ssid_protocol::id::{Epoch, Round, SubjectId};
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::vote::{Phase, Vote};

use super::*;
use crate::settings::Endorsement;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn automatic() -> Manifest {
    Manifest {
        auto_resolve_conflicts: true,
        tie_breaking_strategy: TieBreak::TimestampPriority,
        ..testing::manifest(4)
    }
}

impl Net {
    /// Since when, in milliseconds, node `at` has not heard of node `of`.
    fn unseen_for(&self, at: usize, of: usize) -> u64 {
        let row = &self.engine(at).peers.states[&self.ids[of]].row;
        self.now.since(row.last_seen).as_millis() as u64
    }

    fn assert_seen(&self, of: usize) {
        for at in (0..self.ids.len()).filter(|at| *at != of) {
            let unseen = self.unseen_for(at, of);
            assert!(
                unseen < 20_000,
                "node {at} has not heard of node {of} for {unseen} ms"
            );
        }
    }
}

#[test]
fn heartbeats_are_heard_after_a_clock_that_was_ahead_is_set_right() {
    for restarted in [vec![], vec![0], vec![0, 1, 2, 3]] {
        let mut net = Net::new(4);
        net.settle();
        net.ahead[0] = DAY;
        net.pass(20);
        net.ahead[0] = 0;
        for node in &restarted {
            net.stop(*node);
        }
        for node in &restarted {
            net.start(*node);
        }
        net.settle();
        net.pass(60);
        net.assert_seen(0);
        // also once everybody has forgotten what was only in memory
        net.stop(1);
        net.start(1);
        net.settle();
        net.pass(30);
        net.assert_seen(0);
    }
}

#[test]
fn heartbeats_go_out_also_while_the_clock_is_hours_behind() {
    let mut net = Net::new(4);
    net.settle();
    net.ahead[0] = 8 * HOUR;
    net.pass(20);
    net.ahead[0] = -8 * HOUR;
    net.pass(60);
    net.assert_seen(0);
    let offset = net.status(0).clock_offset_seconds;
    assert_eq!(offset, Some(8 * HOUR / 1000), "what the status says");
}

#[test]
fn the_own_number_of_heartbeats_is_kept_and_asked_for() {
    let mut net = Net::new(4);
    net.settle();
    net.ahead[0] = DAY;
    net.pass(20);
    net.ahead[0] = 0;
    let numbered = |net: &Net| net.engine(0).heartbeats.last_sequence();
    let before = numbered(&net);
    assert!(before > net.now.0 + 20 * HOUR as u64);
    net.stop(0);
    net.start(0);
    assert!(numbered(&net) >= before, "from its own disk");
    // its database is lost: its peers know
    net.stop(0);
    std::fs::remove_dir_all(net.homes[0].path().join("db")).unwrap();
    std::fs::remove_file(net.homes[0].path().join("log.head")).unwrap();
    net.start(0);
    assert!(numbered(&net) < before, "forgotten");
    net.settle();
    assert!(numbered(&net) >= before, "from its peers");
}

#[test]
fn a_number_far_ahead_does_not_keep_near_ones_out_and_is_not_taken_twice() {
    let mut net = Net::new(4);
    net.settle();
    net.messages.clear();
    let heartbeat = |net: &mut Net, number: u64| {
        net.now = UnixMillis(net.now.0 + 2000);
        let (_, federation, _, keys) = testing::federation(4);
        let heartbeat = ssid_protocol::heartbeat::Heartbeat {
            sequence: number,
            ..testing::heartbeat(1)
        };
        let statements = Statements::Heartbeat(Box::new(heartbeat));
        let batch =
            ssid_protocol::batch::VerifiedBatch::sign(&keys[3], &federation, statements).unwrap();
        let input = Inbound::Batch {
            batch: Arc::new(batch),
            from: net.ids[3],
            ticket: Some(1),
        };
        let now = net.clocks(0);
        let engine = net.engine_mut(0);
        verdict(&engine.tick(now, vec![input])) == Validity::New
    };
    let (near, far) = (net.now.0 + 60_000, net.now.0 + DAY as u64);
    assert!(heartbeat(&mut net, far));
    assert!(
        !heartbeat(&mut net, far) && !heartbeat(&mut net, far - 1),
        "nothing newer"
    );
    assert!(heartbeat(&mut net, near), "the clock was set right");
    assert!(
        !heartbeat(&mut net, near) && !heartbeat(&mut net, far),
        "said before"
    );
    assert!(heartbeat(&mut net, near + 1) && heartbeat(&mut net, far + 1));
    let row = &net.engine(0).peers.states[&net.ids[3]].row;
    assert_eq!(row.last_sequence, near + 1);
}

#[test]
fn a_clock_set_back_delays_no_round() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    net.settle();
    let (a, b) = two();
    for (node, event) in [(0, &a), (1, &a), (2, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    // its timers are set while its clock is ahead
    net.ahead[2] = HOUR;
    net.settle();
    net.ahead[2] = 0;
    net.pass(65); // the observe timeout is 60 s
    for node in 0..3 {
        assert_eq!(net.status(node).conflicts, 1, "node {node}");
    }
}

#[test]
fn automatic_rounds_go_on_whatever_the_clocks_do() {
    let mut net = Net::with(automatic(), EngineSettings::default());
    net.settle();
    net.stop(3);
    net.settle();
    for i in 0..12 {
        let a = testing::event("blueprint_tagged", &format!("v{i}"));
        let b = other(&a);
        for (node, event) in [(0, &a), (1, &a), (2, &b)] {
            net.tick(node, vec![observed(vec![event.clone()])]);
        }
    }
    net.ahead[2] = HOUR;
    net.settle();
    for jump in [0, -DAY, 30 * DAY, -HOUR].into_iter().cycle().take(300) {
        net.ahead[2] = jump;
        net.pass(1);
    }
    assert_eq!(net.certified(0).len(), 12);
    assert_eq!(net.certified(2).len(), 12);
}

#[test]
fn a_clock_that_jumps_takes_no_trust_ends_no_review_and_drops_no_votes() {
    let mut settings = EngineSettings::default();
    settings
        .endorsement_by_event
        .insert("blueprint_tagged".into(), Endorsement::Operator);
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.pass(400);
    net.stop(3);
    net.settle();
    net.emit(1, &[two().0]);
    let vote = |subject: u8| Vote {
        epoch: Epoch(0),
        subject: SubjectId([subject; 32]),
        round: Round(0),
        phase: Phase::Prevote,
        ballot: Some(two().1.choice()),
        observed: false,
    };
    deliver(&mut net, 0, 1, Statements::Votes(vec![vote(7)]));
    net.pass(400);
    let before = net.score(0, 3);
    for jump in [100 * DAY, 0, 100 * DAY] {
        net.ahead[0] = jump;
        net.tick(0, Vec::new());
        net.settle();
        net.pass(400);
    }
    let status = net.status(0);
    assert_eq!(
        (
            status.awaiting_review,
            status.conflicts,
            status.waiting_votes
        ),
        (1, 0, 1)
    );
    assert_eq!(
        net.score(0, 3),
        before,
        "a member that is away for some minutes"
    );
    // a restart with the clock still wrong: how long the review has waited is not known, and does
    // not end it
    net.stop(0);
    net.start(0);
    net.settle();
    net.pass(400);
    let status = net.status(0);
    assert_eq!((status.awaiting_review, status.conflicts), (1, 0));
    assert_eq!(net.score(0, 3), before);
    net.ahead[0] = 0;
    net.pass(400);
    assert_eq!(net.status(0).awaiting_review, 1);
    assert_eq!(net.score(0, 3), before);
}

#[test]
fn promptness_is_kept_over_a_restart() {
    for restarts in [false, true] {
        let settings = EngineSettings {
            max_event_age: Duration::from_hours(24 * 3650),
            ..EngineSettings::default()
        };
        let mut net = Net::with(automatic(), settings);
        net.settle();
        let prompt = testing::event("blueprint_tagged", "v4.4.0");
        let dated = Event {
            timestamp: "2025-09-01T00:00:00Z".into(),
            commit_hash: "fffffff".into(),
            ..prompt.clone()
        };
        for (node, event) in [(0, &prompt), (1, &prompt), (2, &dated), (3, &dated)] {
            net.tick(node, vec![observed(vec![event.clone()])]);
        }
        let is_vote = |input: &Inbound| matches!(input, Inbound::Batch { batch, .. } if matches!(batch.statements(), Statements::Votes(_)));
        net.settle_except(|_, input| is_vote(input));
        net.pass_except(3, |_, input| {
            is_vote(input) || matches!(input, Inbound::Answered { .. })
        });
        net.now = UnixMillis(net.now.0 + 600_000);
        if restarts {
            (0..4).for_each(|node| net.stop(node));
            (0..4).for_each(|node| net.start(node));
        }
        net.settle();
        net.pass(120);
        let record = net.store(0).record(0).unwrap();
        let choice = record.map(|record| record.choice);
        assert_eq!(
            choice,
            Some(prompt.choice()),
            "restarted: {restarts}; back-dating must not win"
        );
    }
}

/// A node that heard of a subject while its clock was ahead, and is started again with the right
/// one, does not wait until that time has come.
#[test]
fn a_subject_first_seen_in_the_future_waits_no_longer_than_any() {
    let by_event = BTreeMap::from([("blueprint_tagged".to_owned(), Endorsement::Operator)]);
    let settings = EngineSettings {
        endorsement_by_event: by_event,
        review_timeout: Duration::from_mins(10),
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.ahead[3] = 7 * DAY;
    net.emit(0, &[two().0]);
    net.settle();
    net.pass(10);
    net.stop(3);
    net.ahead[3] = 0;
    net.start(3);
    net.settle();
    net.pass(9 * 60);
    let prevoted = |net: &Net| {
        let open = net.first_open(3).1;
        let me = net.engine(3).rules.me.unwrap();
        open.machine
            .tally(Round(0), Phase::Prevote)
            .and_then(|tally| tally.first(me))
    };
    assert_eq!(prevoted(&net), None, "it waits for a person");
    net.pass(2 * 60);
    assert_eq!(prevoted(&net), Some(None));
}
