//! Every state of every epoch, and what must hold in them.

mod properties;
mod seen;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use properties::{can_decide, certifies_two, has_opposite_locks, is_asked_for_progress, unbound};
use seen::Seen;

use crate::entering::{Boundary, starts_after};
use crate::rules::{Fault, Rules};
use crate::start::{Start, maximal};
use crate::terms::{Choice, HONEST, Stage, State, pack, unpack};
use crate::voting::{Byzantine, Epoch};

/// What does not hold, and where.
#[derive(Debug)]
#[expect(dead_code, reason = "read by who reads what is printed")]
pub(crate) enum Violation<const K: usize> {
    /// Two choices of one subject are certified, over all epochs.
    TwoCertified {
        epoch: usize,
        start: Start<K>,
        state: State<K>,
    },
    /// A voter entered `epoch` and is not bound to what was or will be certified before it.
    Unbound {
        epoch: usize,
        start: Start<K>,
        choice: Choice,
    },
    /// The three honest voters entered and can never certify alone.
    Stuck { epoch: usize, start: Start<K> },
}

/// How much was explored, by epoch.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    epochs: Vec<Explored>,
    /// Starts in which voters are locked on opposite choices.
    pub(crate) opposite: usize,
}

#[derive(Debug, Default)]
struct Explored {
    starts: usize,
    states: usize,
    boundaries: usize,
}

impl Coverage {
    pub(crate) fn states(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.states).sum()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, epoch) in self.epochs.iter().enumerate() {
            let Explored {
                starts,
                states,
                boundaries,
            } = epoch;
            write!(
                f,
                "epoch {number}: {starts} starts, {states} states, {boundaries} boundaries; "
            )?;
        }
        write!(f, "{} starts with opposite locks", self.opposite)
    }
}

/// All states that `epoch` can reach. `visit` sees each and may end the search; whether it did not.
fn search<const K: usize>(
    epoch: &Epoch<'_, K>,
    mut visit: impl FnMut(&State<K>) -> bool,
) -> (usize, bool) {
    let first = pack(&epoch.start.state());
    let mut seen = Seen::default();
    seen.insert(first);
    let (mut stack, mut next) = (vec![first], Vec::new());
    while let Some(packed) = stack.pop() {
        let state = unpack(packed);
        if !visit(&state) {
            return (seen.len(), false);
        }
        epoch.next(&state, &mut next);
        for state in next.drain(..) {
            let packed = pack(&state);
            if seen.insert(packed) {
                stack.push(packed);
            }
        }
    }
    (seen.len(), true)
}

/// All epochs, until a violation is found.
pub(crate) fn explore<const K: usize>(
    rules: &Rules,
    coverage: &mut Coverage,
) -> Result<(), Violation<K>> {
    let mut starts = vec![Start::genesis()];
    for number in 0..rules.epochs() {
        let boundaries = explore_epoch(number, &starts, rules, coverage)?;
        let next = starts_after(number, &boundaries, rules);
        check_starts(number + 1, &next, rules, coverage)?;
        starts = maximal(next);
    }
    Ok(())
}

/// All states of one epoch from all of its starts: the boundaries at which it can end.
pub(crate) fn explore_epoch<const K: usize>(
    number: usize,
    starts: &[Start<K>],
    rules: &Rules,
    coverage: &mut Coverage,
) -> Result<HashSet<Boundary<K>>, Violation<K>> {
    let mut boundaries = HashSet::new();
    let mut states = 0;
    let ends = number + 1 < rules.epochs();
    for start in starts {
        let epoch = Epoch {
            number,
            start,
            rules,
            byzantine: Byzantine::Helps,
        };
        let mut violation = None;
        let (met, _) = search(&epoch, |state| {
            if certifies_two(&epoch, state) {
                violation = Some(*state);
                return false;
            }
            if ends && state.iter().any(|voter| voter.stage == Stage::Closed) {
                boundaries.insert(Boundary::of(&epoch, state));
            }
            true
        });
        states += met;
        if let Some(state) = violation {
            return Err(Violation::TwoCertified {
                epoch: number,
                start: start.clone(),
                state,
            });
        }
    }
    coverage.epochs.push(Explored {
        starts: starts.len(),
        states,
        boundaries: boundaries.len(),
    });
    Ok(boundaries)
}

/// Properties 2 and 3 of the starts of epoch `number`.
pub(crate) fn check_starts<const K: usize>(
    number: usize,
    starts: &BTreeSet<Start<K>>,
    rules: &Rules,
    coverage: &mut Coverage,
) -> Result<(), Violation<K>> {
    // of a voter that is deceived it is asked what comes of it, not only that it is not bound
    if [Fault::LateEntersByMinted, Fault::LateKeepsWhatItHolds].contains(&rules.fault) {
        return Ok(());
    }
    let mut decides = HashMap::new();
    for start in starts {
        if let Some(choice) = unbound(start, rules) {
            return Err(Violation::Unbound {
                epoch: number,
                start: start.clone(),
                choice,
            });
        }
        if number < rules.epochs() && is_asked_for_progress(start, rules) {
            let count = decides.len();
            let can = *decides
                .entry(start.voters)
                .or_insert_with(|| can_decide(number, start, rules));
            if decides.len() > count && has_opposite_locks(start) {
                coverage.opposite += 1;
            }
            if !can {
                return Err(Violation::Stuck {
                    epoch: number,
                    start: start.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Explores, prints how much, and says what does not hold.
pub(crate) fn run<const K: usize>(name: &str, rules: &Rules) -> Option<Violation<K>> {
    let started = Instant::now();
    let mut coverage = Coverage::default();
    let violation = explore::<K>(rules, &mut coverage).err();
    println!(
        "epoch model {name}: {} states, {:.1} s; {coverage}",
        coverage.states(),
        started.elapsed().as_secs_f32()
    );
    violation
}

const _: () = assert!(HONEST == 3, "quorums are written for four voters");
