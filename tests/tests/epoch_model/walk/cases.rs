//! Walks that hold, and faults that they find.

use super::{Fault, Met, Walk};
use crate::group::Group;
use crate::is_deep;

/// For each honest voter.
const STEPS: usize = 250;

/// 2, 3, 5 and 7 equal voters, and unequal ones, with as much Byzantine weight as may be or less.
fn groups() -> Vec<Group> {
    let unequal: [(&[u64], u64); 5] = [
        (&[5, 3, 1], 4),
        (&[4, 3, 3, 2], 5),
        (&[30, 20, 10, 8], 33),
        (&[2, 2, 1, 1, 1], 3),
        (&[9, 4, 4, 4, 1], 0),
    ];
    [2, 3, 4, 5, 7]
        .map(Group::equal)
        .into_iter()
        .chain(unequal.map(|(honest, byzantine)| Group::new(honest, byzantine)))
        .collect()
}

fn first_failure(group: &Group, seeds: u64, fault: Fault) -> (Met, Option<String>) {
    let mut all = Met::default();
    for seed in 0..seeds {
        let mut walk = Walk::new(group, seed, fault);
        let result = walk.run(STEPS * group.honest.len());
        all.steps += walk.met.steps;
        all.certified += walk.met.certified;
        all.entered += walk.met.entered;
        all.inherited += walk.met.inherited;
        all.late += walk.met.late;
        if let Err(why) = result {
            return (all, Some(format!("seed {seed}: {why}")));
        }
    }
    (all, None)
}

#[test]
fn random_changes_of_members_hold_with_any_weights() {
    let seeds = if is_deep() { 4_000 } else { 1_000 };
    for group in groups() {
        let (met, failure) = first_failure(&group, seeds, Fault::None);
        println!("walks of {group:?}: {seeds} seeds, {met:?}");
        assert!(failure.is_none(), "{group:?}, {failure:?}");
        // what is never reached proves nothing
        let reached = [met.certified, met.entered, met.inherited];
        assert!(reached.iter().all(|count| *count > 0), "{group:?}: {met:?}");
        assert!(met.late > 0 || group.byzantine == 0, "{group:?}: {met:?}");
    }
}

/// The seed and the violation that walks of one of `voters` equal voters find.
fn caught(voters: u64, fault: Fault) {
    let (met, failure) = first_failure(&Group::equal(voters), 10_000, fault);
    println!(
        "walks, {fault:?} of {voters}: {failure:?} after {} steps",
        met.steps
    );
    assert!(failure.is_some(), "{fault:?} of {voters}: nothing is found");
}

#[test]
fn walks_catch_closes_counted_by_more_than_f() {
    caught(4, Fault::CountedByMoreThanF);
    caught(7, Fault::CountedByMoreThanF);
}

#[test]
fn walks_catch_one_close_that_names_what_is_old() {
    caught(4, Fault::OneNamesWhatIsOld);
    caught(7, Fault::OneNamesWhatIsOld);
}

#[test]
fn walks_catch_a_minted_certificate_that_is_kept() {
    caught(4, Fault::LateKeepsWhatItHolds);
    caught(7, Fault::LateKeepsWhatItHolds);
}

#[test]
fn walks_catch_that_nothing_is_inherited() {
    caught(3, Fault::NothingInherited);
    caught(7, Fault::NothingInherited);
}

#[test]
fn walks_catch_too_few_closes() {
    caught(4, Fault::FewCloses);
    caught(7, Fault::FewCloses);
}
