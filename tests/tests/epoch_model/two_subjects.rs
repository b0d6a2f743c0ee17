//! Several subjects at once. Two are explored together, whole, for one round an epoch; that shows
//! what couples them (the moment of closing, and the closes by which a voter enters) and that they
//! reach nothing that each does not reach alone. So what holds for one subject holds for many.
//!
//! **What is abstracted.** Explored together, each epoch has one round. For more rounds each
//! subject is explored alone, and its boundaries are joined where the same voters have closed,
//! which the first test shows to be exact. What limits several subjects at once and is not modelled
//! – a voter with 100,000 locks precommits nothing but nil, a part of a close that nobody proves
//! sets the whole close aside – leaves out steps that every voter may leave out anyway.

use std::collections::{BTreeSet, HashSet};

use crate::entering::{Boundary, Entering};
use crate::explore::{Coverage, check_starts, explore_epoch};
use crate::rules::Rules;
use crate::start::{Begin, Bound, Start};
use crate::{holds, is_deep};

fn first_epoch<const K: usize>(rules: &Rules) -> HashSet<Boundary<K>> {
    explore_epoch(0, &[Start::genesis()], rules, &mut Coverage::default()).unwrap()
}

/// Pairs of one subject's boundaries in which the same voters have closed.
fn joined(alone: &HashSet<Boundary<1>>) -> HashSet<Boundary<2>> {
    let pairs = alone
        .iter()
        .flat_map(|first| alone.iter().map(move |second| (first, second)));
    pairs
        .filter(|(first, second)| first.closers() == second.closers())
        .map(|(first, second)| Boundary::<2>::joined(first, second))
        .collect()
}

/// Explored together they end an epoch as they do apart, if only the same voters have closed.
#[test]
fn two_subjects_share_nothing_but_the_moment_of_closing() {
    let rules = Rules {
        choices: if is_deep() { 2 } else { 1 },
        ..Rules::current(&[1, 1])
    };
    let (together, apart) = (first_epoch(&rules), joined(&first_epoch(&rules)));
    println!(
        "two subjects, {} choices: {} boundaries together",
        rules.choices,
        together.len()
    );
    assert!(together == apart, "{} apart", apart.len());
}

/// Both epochs of two subjects, explored together.
#[test]
fn two_subjects_are_safe_together() {
    let rules = Rules {
        choices: 1,
        ..Rules::current(&[1, 1])
    };
    holds::<2>("two subjects", &rules);
}

/// The change of members as a subject of its own, beside another one: no voter closes before it is
/// certified, and the other subject ends the epoch as when it may be certified at any time.
#[test]
fn a_subject_beside_the_change_that_ends_the_epoch_is_safe() {
    let rules = Rules {
        change: Some(1),
        ..Rules::current(&[1, 1])
    };
    holds::<2>("a subject and the change", &rules);
}

/// Entering by one set of closes for both subjects: whoever enters is bound on both, and honest
/// voters can certify both.
#[test]
fn two_subjects_entered_by_the_same_closes_are_each_bound() {
    let rules = Rules::current(&[1, 1]);
    let alone = first_epoch::<1>(&rules);
    let (mut ways, mut boundaries) = (0, 0);
    let mut starts = BTreeSet::new();
    for boundary in joined(&alone) {
        let found = Entering::new(0, &boundary, &rules).ways();
        boundaries += 1;
        ways += found.len();
        // whether a voter is bound depends on its own way only; that any mixture of ways can
        // decide is checked of each subject alone, wherever one is explored
        for first in &found {
            let one = [*first; 3].map(Begin::Entered);
            starts.insert(boundary.start(one));
            let other = found.iter().next_back().unwrap();
            starts.insert(boundary.start([*first, *other, *first].map(Begin::Entered)));
        }
    }
    let mut coverage = Coverage::default();
    check_starts(1, &starts, &rules, &mut coverage).unwrap();
    println!(
        "two subjects: {boundaries} boundaries, {ways} ways to enter, {} starts, {} with opposite \
         locks",
        starts.len(),
        coverage.opposite
    );
    let both_locked = starts.iter().any(|start| {
        let locked = |bound: &Bound| matches!(bound, Bound::Locked(..));
        matches!(&start.voters[0], Begin::Entered(way) if way.iter().all(locked))
    });
    assert!(both_locked, "no start binds both subjects");
}
