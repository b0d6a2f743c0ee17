//! What is found under each condition.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::search::{Found, explore};
use super::{Closes, Condition, Model, Stage, Step, Voter};
use crate::group::Group;

/// Groups in which nobody may be deceived: 2 to 10 equal voters, and unequal ones.
fn groups() -> Vec<Group> {
    let unequal: [(&[u64], u64); 5] = [
        (&[5, 3, 1], 4),
        (&[3, 3, 1], 3),
        (&[30, 20, 10, 8], 33),
        (&[1, 1, 1, 8], 5),
        (&[7, 7, 7, 1, 1], 11),
    ];
    (2..=10)
        .map(Group::equal)
        .chain(unequal.map(|(honest, byzantine)| Group::new(honest, byzantine)))
        .collect()
}

fn minted(group: Group, condition: Condition) -> Model {
    Model {
        databases_get_lost: true,
        ..Model::new(group, condition, Closes::Minted)
    }
}

fn report(name: &str, found: &Found) {
    println!("closes {name}: {} states", found.states);
    if let Some(run) = &found.minted {
        println!("  enters by a minted close: {run:?}");
    }
    if let Some(state) = &found.stuck {
        println!("  not all can enter: {state:?}");
    }
}

/// The run by which a voter enters by a minted close.
fn deceived(model: &Model) -> Vec<Step> {
    let found = explore(model);
    report(
        &format!("{:?} of {:?}", model.condition, model.group),
        &found,
    );
    found
        .minted
        .unwrap_or_else(|| panic!("{model:?} is not broken"))
}

fn stuck(condition: Condition) -> bool {
    let model = Model::new(Group::equal(4), condition, Closes::OfFour);
    let found = explore(&model);
    report(&format!("{condition:?}, can all enter?"), &found);
    found.stuck.is_some()
}

#[test]
fn a_minted_close_is_never_confirmed() {
    for group in groups() {
        let found = explore(&minted(group.clone(), Condition::Confirmed));
        report(&format!("Confirmed of {group:?}"), &found);
        assert!(found.minted.is_none(), "{group:?}: {found:?}");
    }
}

#[test]
fn whoever_is_late_can_enter_by_confirmed_closes() {
    assert!(!stuck(Condition::Confirmed));
}

/// The same for larger groups and unequal weights, at every state of random runs.
#[test]
fn whoever_is_late_can_enter_in_any_group() {
    let (mut states, mut entered_early) = (0, 0);
    for (seed, group) in (0..400).zip(groups().into_iter().cycle()) {
        let model = Model::new(group, Condition::Confirmed, Closes::OfFour);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut state = vec![Voter::default(); model.group.honest.len()];
        loop {
            let steps = model.steps(&state);
            if steps.is_empty() {
                break;
            }
            state = Model::after(&state, steps[rng.random_range(0..steps.len())]);
            states += 1;
            let inside = state.iter().filter(|voter| voter.stage != Stage::Outside);
            entered_early += usize::from((1..state.len()).contains(&inside.count()));
            assert!(model.all_can_enter(&state), "seed {seed}: {state:?}");
        }
    }
    println!("closes in any group: {states} states, {entered_early} with some inside");
    assert!(entered_early > 0);
}

/// Not enough to enter by: the others may never come to confirm it.
#[test]
fn closes_confirmed_by_oneself_leave_a_late_voter_outside() {
    assert!(stuck(Condition::ConfirmedByOneself));
}

#[test]
fn without_a_condition_a_late_voter_is_deceived() {
    deceived(&minted(Group::equal(4), Condition::Nothing));
}

/// The condition as it was first written: D and one honest voter that goes on counting after it has
/// entered are more than F of four.
#[test]
fn closes_counted_by_more_than_f_deceive_a_late_voter() {
    let run = deceived(&Model::new(
        Group::equal(4),
        Condition::CountedByMoreThanF,
        Closes::Minted,
    ));
    assert!(
        matches!(
            run[..],
            [
                Step::Enters { .. },
                Step::Enters { .. },
                Step::Counts { .. },
                Step::EntersByMinted { .. }
            ]
        ),
        "{run:?}"
    );
}

/// Without counting after entering it holds for four, unless a database is lost; and for seven not:
/// two late voters and the Byzantine ones are more than F. It also leaves a late voter outside.
#[test]
fn closes_counted_before_entering_are_not_enough() {
    let condition = Condition::CountedBeforeEntering;
    let four = explore(&Model::new(Group::equal(4), condition, Closes::Minted));
    assert!(four.minted.is_none(), "{four:?}");
    deceived(&Model::new(Group::equal(7), condition, Closes::Minted));
    assert!(stuck(condition));
}

/// Safe, but who entered early says no more, and a late voter never has its quorum.
#[test]
fn closes_counted_by_a_quorum_leave_a_late_voter_outside() {
    let condition = Condition::CountedByQuorum;
    for group in groups() {
        let found = explore(&Model::new(group, condition, Closes::Minted));
        assert!(found.minted.is_none(), "{found:?}");
    }
    assert!(stuck(condition));
}

#[test]
fn counting_after_entering_is_caught() {
    deceived(&minted(Group::equal(4), Condition::ConfirmedCountingAfter));
}

#[test]
fn counting_again_after_a_lost_database_is_caught() {
    deceived(&minted(Group::equal(4), Condition::ConfirmedCountingAgain));
}

#[test]
fn confirming_what_fewer_than_a_quorum_counted_is_caught() {
    deceived(&minted(Group::equal(7), Condition::ConfirmedByFewer));
}
