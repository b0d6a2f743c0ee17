//! What the timeouts and the age of events that is endorsed change: the same course of things with
//! a setting one way and the other.

use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::evidence::Statement;
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::testing;
use ssid_protocol::vote::Phase;

use super::{Net, observed};
use crate::Inbound;
use crate::messages::{Carried, CheckedAnswer};
use crate::settings::EngineSettings;

/// Longer than anything here takes.
const AT_MOST: u64 = 400;

/// What goes wrong meanwhile.
#[derive(Clone, Copy)]
struct Course<'a> {
    /// Does not run.
    away: Option<usize>,
    /// Whether a message does not reach a node.
    lost: &'a dyn Fn(&[NodeId], usize, &Inbound) -> bool,
}

/// Two events for one subject, of which the second is earlier.
fn two() -> [Event; 2] {
    let a = testing::event("blueprint_tagged", "v1");
    [
        a.clone(),
        Event {
            commit_hash: "fffffff".into(),
            timestamp: "2025-10-11T19:59:00Z".into(),
            ..a
        },
    ]
}

/// Seconds until nodes that differ, two and two, have decided in automatic rounds.
fn seconds(change: &impl Fn(&mut EngineSettings), course: Course<'_>) -> u64 {
    let mut settings = EngineSettings::default();
    settings.timeouts.observe = Duration::from_secs(5);
    change(&mut settings);
    let manifest = Manifest {
        auto_resolve_conflicts: true,
        ..testing::manifest(4)
    };
    let mut net = Net::with(manifest, settings);
    net.settle();
    course.away.into_iter().for_each(|node| net.stop(node));
    let [a, b] = two();
    for (node, event) in [&a, &b, &a, &b].into_iter().enumerate() {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    for second in 0..AT_MOST {
        if net
            .connected
            .iter()
            .all(|node| !net.certified(*node).is_empty())
        {
            return second;
        }
        let ids = net.ids.clone();
        net.pass_except(1, |to, input| (course.lost)(&ids, to, input));
    }
    panic!("not decided in {AT_MOST} s");
}

/// The statements about round 1 that a message tells, each with its signer; prevotes, precommits,
/// proposals.
fn first_round(input: &Inbound) -> Vec<(NodeId, Said)> {
    let of_batch = |batch: &Arc<VerifiedBatch>| -> Vec<(NodeId, Said)> {
        let said: Vec<_> = match batch.statements() {
            Statements::Votes(votes) => votes
                .iter()
                .filter_map(|vote| said(&Statement::Vote(*vote)))
                .collect(),
            Statements::Proposals(all) => all
                .iter()
                .filter_map(|p| said(&Statement::Proposal(*p)))
                .collect(),
            _ => Vec::new(),
        };
        said.into_iter()
            .map(|said| (batch.signer(), said))
            .collect()
    };
    match input {
        Inbound::Batch { batch, .. } => of_batch(batch),
        Inbound::Answered {
            answer:
                Some(CheckedAnswer::Open {
                    carried:
                        Carried {
                            batches,
                            statements,
                            ..
                        },
                    ..
                }),
            ..
        } => {
            let alone = statements
                .iter()
                .filter_map(|s| Some((s.proof.signer, said(&s.statement)?)));
            batches.iter().flat_map(of_batch).chain(alone).collect()
        }
        _ => Vec::new(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Prevote,
    Precommit,
    Proposal,
}

fn said(statement: &Statement) -> Option<Said> {
    match statement {
        Statement::Vote(vote) if vote.round.0 == 1 && vote.phase == Phase::Prevote => {
            Some(Said::Prevote)
        }
        Statement::Vote(vote) if vote.round.0 == 1 => Some(Said::Precommit),
        Statement::Proposal(proposal) if proposal.round.0 == 1 => Some(Said::Proposal),
        _ => None,
    }
}

/// All courses of a kind, each node being away in one of them.
fn each_away(change: impl Fn(&mut EngineSettings)) -> u64 {
    (0..4)
        .map(|node| {
            seconds(
                &change,
                Course {
                    away: Some(node),
                    lost: &|_, _, _| false,
                },
            )
        })
        .sum()
}

#[test]
fn round_0_waits_for_observations_as_long_as_configured() {
    let with =
        |ms| each_away(move |settings| settings.timeouts.observe = Duration::from_millis(ms));
    let (short, long) = (with(1_000), with(20_000));
    assert!(long >= short + 4 * 18, "{short} s and {long} s");
}

#[test]
fn an_absent_proposer_is_waited_for_as_long_as_configured_and_longer_each_round() {
    let with = |propose, increment| {
        each_away(move |settings| {
            settings.timeouts.propose = Duration::from_millis(propose);
            settings.timeouts.increment = Duration::from_millis(increment);
        })
    };
    let plain = with(1_000, 0);
    assert!(
        with(30_000, 0) >= plain + 25 && with(1_000, 30_000) >= plain + 25,
        "{plain} s"
    );
}

#[test]
fn later_rounds_wait_for_votes_as_long_as_configured() {
    // one is away and another hears of no proposal: whoever proposes, two prevotes are for it and
    // one is nil
    let prevote = |ms| {
        let change = move |settings: &mut EngineSettings| {
            settings.timeouts.prevote = Duration::from_millis(ms);
        };
        let of = |deaf: usize| {
            let lost = move |_: &[NodeId], to: usize, input: &Inbound| {
                to == deaf
                    && first_round(input)
                        .iter()
                        .any(|(_, said)| *said == Said::Proposal)
            };
            seconds(
                &change,
                Course {
                    away: Some((deaf + 1) % 4),
                    lost: &lost,
                },
            )
        };
        (0..4).map(of).sum::<u64>()
    };
    let (short, long) = (prevote(500), prevote(30_000));
    assert!(long >= short + 25, "prevotes: {short} s and {long} s");
    // the fourth hears of no proposal, the last two miss a prevote, and the fourth's precommit is
    // lost: two precommits are for the proposal and one is nil
    let precommit = |ms| {
        let change = move |settings: &mut EngineSettings| {
            settings.timeouts.precommit = Duration::from_millis(ms);
        };
        let of = |first: usize| {
            let role = move |number: usize| (first + number) % 4;
            let lost = move |ids: &[NodeId], to: usize, input: &Inbound| {
                let is_lost = |(from, said): &(NodeId, Said)| match said {
                    Said::Proposal => to == role(3),
                    Said::Prevote => (to == role(2) || to == role(3)) && *from == ids[role(0)],
                    Said::Precommit => *from == ids[role(3)],
                };
                first_round(input).iter().any(is_lost)
            };
            seconds(
                &change,
                Course {
                    away: None,
                    lost: &lost,
                },
            )
        };
        (0..4).map(of).sum::<u64>()
    };
    let (short, long) = (precommit(500), precommit(30_000));
    assert!(long >= short + 25, "precommits: {short} s and {long} s");
}

#[test]
fn an_old_event_of_another_member_is_endorsed_up_to_the_configured_age() {
    let two_days_old = Event {
        timestamp: "2025-10-09T20:00:00Z".into(),
        ..testing::event("blueprint_tagged", "v1")
    };
    let certified = |days: u64| {
        let settings = EngineSettings {
            max_event_age: Duration::from_hours(24 * days),
            ..EngineSettings::default()
        };
        let mut net = Net::with(testing::manifest(4), settings);
        net.settle();
        net.tick(0, vec![observed(vec![two_days_old.clone()])]);
        net.pass(2);
        net.certified(0).len()
    };
    assert_eq!((certified(1), certified(3)), (0, 1));
}
