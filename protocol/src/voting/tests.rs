//! Whole elections among pure instances: a table of rounds, then the same under every order of
//! delivery.

mod conflicts;
mod inheriting;

use proptest::prelude::*;

use super::*;
use crate::id::{Epoch, SubjectId};
use crate::quorum::VoterSet;
use crate::testing;

const SUBJECT: SubjectId = SubjectId([3; 32]);

/// Four (or n) instances and the messages between them, delivered in an order that the test
/// chooses.
struct Net {
    voters: VoterSet,
    rules: Vec<Rules>,
    nodes: Vec<Instance>,
    /// (to, input)
    in_flight: Vec<(usize, Input)>,
    timers: Vec<(usize, Timer)>,
    signed: Vec<(usize, Vote)>,
    seen: Vec<(usize, Output)>,
}

impl Net {
    fn new(n: usize, automatic: Option<TieBreak>) -> Self {
        let (_, _, voters, _) = testing::federation(n);
        let rules = voters
            .iter()
            .map(|(me, _)| Rules {
                me: Some(me),
                signing: Signing::Now,
                automatic,
            })
            .collect();
        let nodes = (0..n)
            .map(|_| Instance::new(Epoch(0), SUBJECT, false))
            .collect();
        Self {
            voters,
            rules,
            nodes,
            in_flight: vec![],
            timers: vec![],
            signed: vec![],
            seen: vec![],
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        for output in self.nodes[node].process(&self.voters, self.rules[node], input) {
            match &output {
                Output::Sign(vote) => {
                    let twice = self.signed.iter().any(|(who, old)| {
                        *who == node && (old.round, old.phase) == (vote.round, vote.phase)
                    });
                    assert!(!twice, "node {node} signed twice: {vote:?}");
                    self.signed.push((node, *vote));
                    let (round, phase, ballot) = (vote.round, vote.phase, vote.ballot);
                    let voter = self.rules[node].me.unwrap();
                    self.send(
                        node,
                        &Input::Vote {
                            voter,
                            round,
                            phase,
                            ballot,
                        },
                    );
                }
                Output::Propose(proposal) => {
                    let voter = self.rules[node].me.unwrap();
                    self.send(
                        node,
                        &Input::Proposal {
                            voter,
                            proposal: *proposal,
                        },
                    );
                }
                Output::Schedule(timer) => self.timers.push((node, *timer)),
                _ => {}
            }
            self.seen.push((node, output));
        }
    }

    fn send(&mut self, from: usize, input: &Input) {
        let others = (0..self.nodes.len()).filter(|to| *to != from);
        self.in_flight.extend(others.map(|to| (to, input.clone())));
    }

    /// `own`: node whose registry holds it; `endorsed_by`: those that would endorse it.
    fn announce(&mut self, event: &Event, own: usize, endorsed_by: &[usize]) {
        let announced_by = self.rules[own].me;
        for node in 0..self.nodes.len() {
            let candidate = Candidate {
                choice: event.choice(),
                event: event.clone(),
                announced_by,
                prompt: true,
                own: node == own,
                endorsed: endorsed_by.contains(&node),
            };
            if node == own {
                self.input(node, Input::Candidate(candidate));
            } else {
                self.in_flight.push((node, Input::Candidate(candidate)));
            }
        }
    }

    /// Delivers everything, first in first out, and what follows from it.
    fn settle(&mut self) {
        self.settle_by(|_| 0);
    }

    fn settle_by(&mut self, mut pick: impl FnMut(usize) -> usize) {
        while !self.in_flight.is_empty() {
            let (to, input) = self.in_flight.remove(pick(self.in_flight.len()));
            self.input(to, input);
        }
    }

    fn fire_timers(&mut self) {
        for (node, timer) in std::mem::take(&mut self.timers) {
            self.input(node, Input::Timeout(timer));
        }
    }

    fn decisions(&self) -> Vec<Option<Choice>> {
        self.nodes
            .iter()
            .map(|node| node.decided().map(|(_, choice)| choice))
            .collect()
    }
}

use crate::event::Event;

fn event(commit: &str) -> Event {
    Event {
        commit_hash: commit.into(),
        ..testing::event("blueprint_tagged", "v4.4.0")
    }
}

/// The registries of nodes 0 and 1 hold `a`, those of 2 and 3 `b`.
fn announce_two_to_two(net: &mut Net, a: &Event, b: &Event) {
    [(a, 0), (a, 1), (b, 2), (b, 3)]
        .iter()
        .for_each(|(event, node)| net.announce(event, *node, &[]));
}

#[test]
fn all_observe_the_same_and_decide_in_round_0() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    (0..4).for_each(|node| net.announce(&a, node, &[]));
    net.settle();
    assert_eq!(net.decisions(), vec![Some(a.choice()); 4]);
    assert_eq!(net.signed.len(), 8, "one prevote and one precommit each");
}

#[test]
fn one_announces_and_the_others_endorse() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    net.announce(&a, 0, &[1, 2]);
    net.settle();
    assert_eq!(
        net.decisions(),
        vec![Some(a.choice()); 4],
        "the fourth follows without endorsing"
    );
}

#[test]
fn a_candidate_without_its_announcements_proof_is_not_endorsed() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    let candidate = Candidate {
        choice: a.choice(),
        event: a,
        announced_by: None,
        prompt: true,
        own: false,
        endorsed: true,
    };
    net.input(0, Input::Candidate(candidate));
    assert!(net.signed.is_empty());
}

#[test]
fn three_to_one_certifies_the_majority_and_the_fourth_precommits_it() {
    let mut net = Net::new(4, None);
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    net.announce(&b, 3, &[]);
    (0..3).for_each(|node| net.announce(&a, node, &[]));
    net.settle();
    assert_eq!(net.decisions(), vec![Some(a.choice()); 4]);
    let prevote = net
        .signed
        .iter()
        .find(|(who, vote)| *who == 3 && vote.phase == Phase::Prevote)
        .unwrap();
    assert_eq!(prevote.1.ballot, Some(b.choice()));
}

#[test]
fn two_to_two_with_automatic_rounds_takes_the_earliest() {
    let mut net = Net::new(4, Some(TieBreak::TimestampPriority));
    let (mut a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    a.timestamp = "2025-10-13T20:00:00Z".into();
    announce_two_to_two(&mut net, &a, &b);
    net.settle();
    net.fire_timers();
    net.settle();
    assert_eq!(net.decisions(), vec![Some(b.choice()); 4]);
    assert_eq!(net.nodes[0].decided().unwrap().0, Round(1));
}

#[test]
fn without_a_quorum_of_prevotes_nothing_times_out() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    net.announce(&a, 0, &[1]);
    net.in_flight.retain(|(to, _)| *to < 2);
    net.settle();
    assert!(net.timers.is_empty(), "two of four wait");
    assert_eq!(net.decisions(), vec![None; 4]);
    assert!(!net.nodes[0].in_conflict());
}

#[test]
fn a_refusal_is_a_nil_prevote() {
    let mut net = Net::new(4, None);
    net.announce(&event("aaaaaaa"), 0, &[]);
    net.settle();
    (1..4).for_each(|node| net.input(node, Input::Refuse));
    net.settle();
    net.fire_timers();
    net.settle();
    assert!(net.nodes.iter().all(Instance::in_conflict));
}

#[test]
fn candidates_that_do_not_agree_wait_for_review() {
    let mut net = Net::new(4, None);
    let both = [event("aaaaaaa"), event("bbbbbbb")];
    for (origin, event) in both.iter().enumerate() {
        let candidate = Candidate {
            choice: event.choice(),
            event: event.clone(),
            announced_by: net.rules[origin].me,
            prompt: true,
            own: false,
            endorsed: false,
        };
        net.input(3, Input::Candidate(candidate));
    }
    both.iter()
        .for_each(|event| net.input(3, Input::Endorse(event.choice())));
    // the first endorsement stood alone, so it was voted for; a node that learns of both first asks
    // people
    assert_eq!(net.signed.len(), 1);
    let mut late = Net::new(4, None);
    late.announce(&both[0], 0, &[]);
    late.announce(&both[1], 1, &[]);
    late.in_flight.retain(|(to, _)| *to == 3);
    late.rules[3].signing = Signing::Never;
    late.settle();
    both.iter()
        .for_each(|event| late.input(3, Input::Endorse(event.choice())));
    assert!(late.seen.contains(&(3, Output::Review)));
}

#[test]
fn own_records_of_one_fact_meet_at_the_earliest() {
    let mut net = Net::new(4, None);
    let first = event("aaaaaaa");
    let mut second = first.clone();
    second.timestamp = "2025-10-11T21:00:00Z".into();
    second.emitted_by = "other".into();
    net.announce(&first, 0, &[]);
    net.settle();
    net.announce(&second, 1, &[]);
    net.settle();
    let prevote = net
        .signed
        .iter()
        .find(|(who, vote)| *who == 1 && vote.phase == Phase::Prevote)
        .unwrap();
    assert_eq!(prevote.1.ballot, Some(first.choice()));
}

#[test]
fn an_equivocators_votes_both_count_towards_choices_and_are_reported() {
    let mut net = Net::new(4, None);
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    net.announce(&a, 0, &[]);
    net.announce(&b, 1, &[]);
    net.in_flight.clear();
    let voter = net.rules[3].me.unwrap();
    let vote = |ballot| Input::Vote {
        voter,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
    };
    net.input(0, vote(Some(b.choice())));
    net.input(0, vote(Some(a.choice())));
    let second = net.rules[2].me.unwrap();
    net.input(
        0,
        Input::Vote {
            voter: second,
            round: Round(0),
            phase: Phase::Prevote,
            ballot: Some(a.choice()),
        },
    );
    let polka = net.nodes[0].locked().map(|lock| lock.choice);
    assert_eq!(
        polka,
        Some(a.choice()),
        "own, the equivocator's second and another's are a quorum"
    );
    assert!(
        net.seen
            .iter()
            .any(|(_, output)| matches!(output, Output::Equivocation { .. }))
    );
    let precommit = |ballot| Input::Vote {
        voter,
        round: Round(0),
        phase: Phase::Precommit,
        ballot,
    };
    for ballot in [None, Some(a.choice()), Some(b.choice())] {
        net.input(0, precommit(ballot));
    }
    let held = net.nodes[0]
        .tally(Round(0), Phase::Precommit)
        .unwrap()
        .iter()
        .filter(|(v, _)| *v == voter)
        .count();
    assert_eq!(held, 2, "a third vote that proves nothing is dropped");
}

#[test]
fn a_restart_resumes_locked_in_the_highest_signed_round() {
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    let mut net = Net::new(4, None);
    (0..3).for_each(|node| net.announce(&a, node, &[]));
    net.in_flight.retain(|(to, input)| {
        *to == 0
            && matches!(
                input,
                Input::Vote {
                    phase: Phase::Prevote,
                    ..
                }
            )
    });
    net.settle();
    let votes: Vec<_> = net
        .signed
        .iter()
        .filter(|(who, _)| *who == 0)
        .map(|(_, v)| (v.round, v.phase, v.ballot))
        .collect();
    assert_eq!(votes.len(), 2, "a prevote and a precommit");
    let me = net.rules[0].me.unwrap();
    let history = OwnHistory {
        votes,
        ..OwnHistory::default()
    };
    let mut again = Instance::resume(Epoch(0), SUBJECT, false, &history, &net.voters, me);
    assert_eq!(again.locked().map(|lock| lock.choice), Some(a.choice()));
    let other = Candidate {
        choice: b.choice(),
        event: b.clone(),
        announced_by: net.rules[1].me,
        prompt: true,
        own: true,
        endorsed: true,
    };
    assert!(
        again
            .process(&net.voters, net.rules[0], Input::Candidate(other))
            .is_empty(),
        "signs nothing twice"
    );
}

#[test]
fn a_polka_completed_by_the_own_prevote_is_valid_at_once() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    (1..3).for_each(|node| net.announce(&a, node, &[]));
    net.in_flight
        .retain(|(to, input)| *to == 0 && matches!(input, Input::Vote { .. }));
    net.settle();
    net.announce(&a, 0, &[]);
    let node = &net.nodes[0];
    assert_eq!(node.locked().map(|lock| lock.choice), Some(a.choice()));
    assert_eq!(node.valid(), node.locked());
}

#[test]
fn who_leaves_a_failed_round_has_precommitted_in_it() {
    let mut net = Net::new(4, Some(TieBreak::TimestampPriority));
    net.announce(&event("aaaaaaa"), 0, &[]);
    for who in [1, 2] {
        let voter = net.rules[who].me.unwrap();
        net.input(
            0,
            Input::Vote {
                voter,
                round: Round(0),
                phase: Phase::Precommit,
                ballot: None,
            },
        );
    }
    assert_eq!(
        net.nodes[0].round(),
        Round(1),
        "two nils of four: round 0 can certify nothing"
    );
    let own = net.rules[0].me.unwrap();
    let precommits = net.nodes[0].tally(Round(0), Phase::Precommit).unwrap();
    assert_eq!(
        precommits.first(own),
        Some(None),
        "one of the nils may have been sent to this node only"
    );
}

#[test]
fn who_leaves_a_failed_round_has_prevoted_in_it() {
    let mut net = Net::new(4, Some(TieBreak::TimestampPriority));
    for who in [1, 2] {
        let voter = net.rules[who].me.unwrap();
        net.input(
            0,
            Input::Vote {
                voter,
                round: Round(0),
                phase: Phase::Precommit,
                ballot: None,
            },
        );
    }
    assert_eq!(
        net.nodes[0].round(),
        Round(1),
        "it knows no event, and round 0 can certify nothing"
    );
    let own = net.rules[0].me.unwrap();
    let prevotes = net.nodes[0].tally(Round(0), Phase::Prevote).unwrap();
    assert_eq!(
        prevotes.first(own),
        Some(None),
        "others may wait for it in round 0"
    );
}

#[test]
fn later_rounds_of_more_than_f_are_joined() {
    let mut net = Net::new(4, None);
    let a = event("aaaaaaa");
    let vote = |net: &Net, who: usize, round| Input::Vote {
        voter: net.rules[who].me.unwrap(),
        round: Round(round),
        phase: Phase::Prevote,
        ballot: Some(a.choice()),
    };
    let first = vote(&net, 1, 7);
    net.input(0, first);
    assert_eq!(net.nodes[0].round(), Round(0), "one of four may lie");
    let second = vote(&net, 2, 5);
    net.input(0, second);
    assert_eq!(net.nodes[0].round(), Round(5), "both voted in 5 or later");
}

#[test]
fn votes_far_ahead_are_bounded_to_each_voters_latest() {
    let mut net = Net::new(4, None);
    let voter = net.rules[1].me.unwrap();
    for round in 2..5000 {
        net.input(
            0,
            Input::Vote {
                voter,
                round: Round(round),
                phase: Phase::Prevote,
                ballot: None,
            },
        );
    }
    assert_eq!(net.nodes[0].votes().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the order of delivery and whoever observed what: no two decisions differ, no vote
    /// is signed twice, and once everything is delivered all have decided, or all are in conflict.
    #[test]
    fn every_order_of_delivery_agrees(
        observed in proptest::collection::vec(0..3_usize, 4..8),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 600),
        automatic in any::<bool>(),
    ) {
        let events = [event("aaaaaaa"), event("bbbbbbb"), event("ccccccc")];
        let mut net = Net::new(observed.len(), automatic.then_some(TieBreak::TrustWeighted));
        for (node, which) in observed.iter().enumerate() {
            net.announce(&events[*which], node, &[]);
        }
        let mut picks = order.iter().cycle();
        for _ in 0..24 {
            net.settle_by(|len| picks.next().map_or(0, |index| index.index(len)));
            net.fire_timers();
        }
        let decided: Vec<_> = net.decisions();
        let first = decided.iter().flatten().next();
        prop_assert!(decided.iter().flatten().all(|choice| Some(choice) == first));
        let all = decided.iter().all(Option::is_some);
        let none = decided.iter().all(Option::is_none) && net.nodes.iter().all(Instance::in_conflict);
        prop_assert!(all || none, "{decided:?}");
    }
}

#[test]
fn a_restart_in_an_automatic_round_waits_for_its_proposal_anew() {
    let net = Net::new(4, Some(TieBreak::TimestampPriority));
    let me = net.rules[0].me.unwrap();
    let history = OwnHistory {
        votes: vec![(Round(1), Phase::Precommit, None)],
        ..OwnHistory::default()
    };
    let mut again = Instance::resume(Epoch(0), SUBJECT, false, &history, &net.voters, me);
    let out = again.process(&net.voters, net.rules[0], Input::Refuse);
    assert!(
        out.contains(&Output::Schedule(Timer {
            round: Round(1),
            step: Step::Propose
        })),
        "{out:?}"
    );
}
