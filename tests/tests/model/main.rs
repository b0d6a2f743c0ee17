//! Model check of the voting machine: the real [`ssid_protocol::voting::Instance`], explored with
//! stateright.
//!
//! **What is explored.** Four voters, one of them Byzantine, two choices A and B. Every order in
//! which votes and proposals reach the three honest nodes (loss is a vote that never arrives; votes
//! for earlier rounds arrive at any time; later rounds are joined by rule 8), every ballot and
//! proposal the Byzantine member can send to each of them separately, every timer that was
//! scheduled, every choice of every operator, at most one crash and restart from the journal.
//! Rounds are bounded: a node that would enter a later round stops. Both events are known to all.
//!
//! **How it stays small.** A vote that changes nothing but a node's tallies is invisible to others,
//! so it may as well arrive just before the one that makes the node act: a step is such a whole run
//! of inputs at one node (`moves`). After it the node forgets what it received and keeps what it
//! signed, its round, lock and valid choice (`node`). Forgetting loses no behaviour: what was
//! received once can be received again, and the rules ask only for *enough* votes of one round and
//! phase, so a node that remembers less can still do all that one that remembers more can. It adds
//! some (the Byzantine member's "first" vote may be another one after forgetting, and an operator
//! chooses anew), so the check is of slightly more than the protocol allows. The instance is
//! rebuilt by `Instance::resume` and inputs, and must come out in the same round with the same lock
//! and valid choice, or the check panics.
//!
//! **What is not covered.** Other numbers of voters and weights, several epochs and inherited
//! locks, events that become known late, rounds beyond the bound. `SSID_MODEL_DEEP=1` explores more
//! observations, ballots and restarts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod completion;
mod model;
mod moves;
mod mutation;
mod node;
mod terms;

use std::time::Instant;

use model::{AGREEMENT, Ask, COMPLETES, CROSSED, DECIDES, LOWER, ONCE, Voting};
use moves::Setting;
use mutation::Mutation;
use node::Node;
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::vote::Phase;
use stateright::{Checker, HasDiscoveries, Model, UniformChooser};
use terms::{Cast, Federation, HONEST, Pick};

const AUTOMATIC: Option<TieBreak> = Some(TieBreak::TimestampPriority);
const ANY: &[Pick] = &[Pick::Nil, Pick::A, Pick::B];
const TWO_TO_ONE: [&[Pick]; HONEST] = [&[Pick::A], &[Pick::A], &[Pick::B]];

fn is_deep() -> bool {
    std::env::var_os("SSID_MODEL_DEEP").is_some_and(|value| value == "1")
}

/// What each honest node may observe: any of A, B and nothing in the deep run.
fn observations() -> [&'static [Pick]; HONEST] {
    if is_deep() { [ANY; HONEST] } else { TWO_TO_ONE }
}

fn setting(automatic: Option<TieBreak>, last: u8) -> Setting {
    let fed = Federation::new(0, automatic, false);
    Setting {
        fed,
        last,
        lies: 1,
        restarts: false,
        keeps_lies: false,
        mutation: Mutation::None,
    }
}

fn explore(name: &str, model: Voting) -> impl Checker<Voting> + use<> {
    let started = Instant::now();
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "model {name}: {} states ({} generated), depth {}, {} different nodes, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().node_count(),
        started.elapsed().as_secs_f32()
    );
    checker
}

fn holds(name: &str, model: Voting) {
    let ask = model.ask;
    let checker = explore(name, model);
    assert_safe(&checker);
    if ask == Ask::SafetyAndCompletion {
        checker.assert_no_discovery(COMPLETES);
    } else {
        for example in [DECIDES, CROSSED] {
            checker.assert_any_discovery(example);
        }
    }
}

fn assert_safe(checker: &impl Checker<Voting>) {
    [AGREEMENT, ONCE, LOWER]
        .into_iter()
        .for_each(|property| checker.assert_no_discovery(property));
}

/// The counterexample that the checker finds, printed.
fn refuted(mutation: Mutation, model: Voting, property: &'static str) {
    let checker = explore(&format!("{mutation:?}"), model);
    let path = checker.assert_any_discovery(property).into_actions();
    println!("  refutes \"{property}\" in {} steps:", path.len());
    path.iter().for_each(|action| println!("    {action:?}"));
}

fn mutated(mutation: Mutation) -> Setting {
    let fed = Federation::new(0, None, mutation == Mutation::LowerQuorum);
    Setting {
        fed,
        mutation,
        ..setting(None, 1)
    }
}

#[test]
fn operator_rounds_are_safe() {
    holds(
        "operator rounds 0-1",
        Voting::new(setting(None, 1), observations(), Ask::Safety),
    );
}

#[test]
fn automatic_rounds_are_safe() {
    holds(
        "automatic rounds 0-1",
        Voting::new(setting(AUTOMATIC, 1), observations(), Ask::Safety),
    );
}

#[test]
fn a_restart_is_safe() {
    for (name, automatic) in [
        ("operator, restart", None),
        ("automatic, restart", AUTOMATIC),
    ] {
        if automatic.is_none() || is_deep() {
            let setting = Setting {
                restarts: true,
                ..setting(automatic, 1)
            };
            holds(name, Voting::new(setting, TWO_TO_ONE, Ask::Safety));
        }
    }
}

#[test]
fn equivocation_to_one_node_is_safe_in_round_0() {
    let setting = Setting {
        lies: 3,
        restarts: true,
        ..setting(None, 0)
    };
    assert_safe(&explore(
        "round 0, three ballots",
        Voting::new(setting, [ANY; HONEST], Ask::Safety),
    ));
}

#[test]
fn certification_stays_reachable() {
    let setting = Setting {
        keeps_lies: true,
        ..setting(None, 0)
    };
    holds(
        "completion from round 0, operators",
        Voting::new(setting, [ANY; HONEST], Ask::SafetyAndCompletion),
    );
    let setting = Setting {
        keeps_lies: true,
        ..self::setting(AUTOMATIC, 0)
    };
    holds(
        "completion from round 0, automatic",
        Voting::new(setting, [ANY; HONEST], Ask::SafetyAndCompletion),
    );
}

/// The same from states that are too many to visit all: every state of random walks through rounds
/// 0 to 3, with a restart that loses what the Byzantine member had said.
#[test]
fn certification_stays_reachable_from_later_rounds() {
    let states = if is_deep() { 40_000 } else { 5_000 };
    for (name, automatic) in [("operators", None), ("automatic", AUTOMATIC)] {
        let setting = Setting {
            keeps_lies: true,
            restarts: true,
            ..setting(automatic, 3)
        };
        let model = Voting::new(setting, observations(), Ask::SafetyAndCompletion);
        let started = Instant::now();
        let checker = model
            .checker()
            .target_state_count(states)
            .finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_simulation(0, UniformChooser).join();
        let (seconds, depth) = (started.elapsed().as_secs_f32(), checker.max_depth());
        println!(
            "model completion in rounds 0-3, {name}: {} states, depth {depth}, {seconds:.1} s",
            checker.state_count()
        );
        assert_safe(&checker);
        checker.assert_no_discovery(COMPLETES);
    }
}

/// One member is locked on A in round 0, another on B in round 1, as the search first reaches it:
/// certified all the same once operators choose the later lock's choice, or by itself in automatic
/// rounds.
#[test]
fn crossed_locks_are_resolved() {
    for automatic in [None, AUTOMATIC] {
        let checker = explore(
            "crossed locks",
            Voting::new(setting(automatic, 1), TWO_TO_ONE, Ask::Safety),
        );
        let path = checker.assert_any_discovery(CROSSED);
        let fed = &checker.model().setting.fed;
        let nodes = checker.model().nodes(path.last_state());
        let outcome = |pick| completion::certified(fed, &nodes, pick);
        assert_eq!(outcome(Pick::B), Some(Pick::B), "the later lock's choice");
        println!(
            "  crossed locks: operators for B certify {:?}, for A {:?}",
            outcome(Pick::B),
            outcome(Pick::A)
        );
    }
}

#[test]
fn a_lock_dropped_on_entering_a_round_is_caught() {
    let mutation = Mutation::LockDroppedOnEntering;
    refuted(
        mutation,
        Voting::new(mutated(mutation), TWO_TO_ONE, Ask::Agreement),
        AGREEMENT,
    );
}

#[test]
fn an_operators_choice_over_a_lock_is_caught() {
    let mutation = Mutation::ChoiceOverridesLock;
    refuted(
        mutation,
        Voting::new(mutated(mutation), TWO_TO_ONE, Ask::Agreement),
        AGREEMENT,
    );
}

#[test]
fn a_lower_quorum_is_caught() {
    let mutation = Mutation::LowerQuorum;
    refuted(
        mutation,
        Voting::new(mutated(mutation), TWO_TO_ONE, Ask::Agreement),
        AGREEMENT,
    );
}

#[test]
fn a_restart_in_an_earlier_round_is_caught() {
    let mutation = Mutation::ResumesEarlier;
    let setting = Setting {
        restarts: true,
        ..mutated(mutation)
    };
    refuted(
        mutation,
        Voting::new(setting, TWO_TO_ONE, Ask::Safety),
        ONCE,
    );
}

/// Two nodes precommitted A in round 0, where with the Byzantine member's it may be certified; all
/// then saw two nil precommits in round 1, of the Byzantine member and of node 0. The search begins
/// there, because the counterexample needs round 2; without the mutation there is none.
#[test]
fn an_earlier_prevote_not_held_to_the_lock_is_caught() {
    let (prevote, precommit) = (Phase::Prevote, Phase::Precommit);
    let node = |round, locked, casts: &[(u8, Phase, Pick)]| Node {
        said: casts
            .iter()
            .map(|&(round, phase, pick)| Cast { round, phase, pick })
            .collect(),
        round,
        locked,
        valid: locked,
        ..Node::default()
    };
    let (on_a, nil) = (Some((0, Pick::A)), (1, precommit, Pick::Nil));
    let start = [
        node(
            1,
            on_a,
            &[
                (0, prevote, Pick::A),
                (0, precommit, Pick::A),
                (1, prevote, Pick::Nil),
                nil,
            ],
        ),
        node(
            2,
            on_a,
            &[(0, prevote, Pick::A), (0, precommit, Pick::A), nil],
        ),
        node(
            2,
            None,
            &[(0, prevote, Pick::B), (0, precommit, Pick::Nil), nil],
        ),
    ];
    for mutation in [Mutation::None, Mutation::EarlierPrevoteUnheld] {
        let mut model = Voting::new(
            Setting {
                mutation,
                ..setting(AUTOMATIC, 2)
            },
            TWO_TO_ONE,
            Ask::Agreement,
        );
        model.start = start.clone();
        match mutation {
            Mutation::None => {
                explore("the same start, unmutated", model).assert_no_discovery(AGREEMENT);
            }
            _ => refuted(mutation, model, AGREEMENT),
        }
    }
}
