//! When a voter that lost its votes, and was restored from an older copy, may sign again under the
//! same key: not in an epoch in which its former life may have signed.
//!
//! **As it was first written** it takes part from epoch k + 1 on, if after its restart voters of a
//! quorum of k other than itself say that k is current and that they have not closed it. While k
//! *is* current that is right: entering k + 1 takes closes of a quorum of k, so nobody had entered,
//! its former life included. But once k + 1 has been entered and the keys of k are anybody's, the
//! same words can be minted for a voter that is cut off; and when it is connected again it signs
//! in k + 1 without what it signed there.
//!
//! **What closes it**: it asks under a number of its own, those that answer remember it, and when it
//! enters k + 1 they say so again, under the keys that they have *there*. Who left does not count.
//! Without a quorum of k among the voters of k + 1 it waits for the next epoch, or takes a new key.

use std::collections::HashSet;

use crate::group::Group;

/// What the returning voter needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Voters of a quorum of k say that they have not closed it, under their keys of k.
    SaidByKeysOfTheEpoch,
    /// They say so again under their keys of k + 1.
    SaidAgainInTheNext,
    /// They say under their keys of k + 1 that they had not entered it.
    NotEnteredSaidAgain,
}

/// One other honest voter, of both epochs; all but the returning one have new keys in k + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
struct Other {
    has_closed: bool,
    has_entered: bool,
    /// It was asked after the restart, and had not closed k.
    answered: bool,
    /// It was asked after the restart, and had not entered k + 1.
    noted: bool,
    /// Somebody says under its key of k that it has not closed k.
    minted: bool,
}

/// The returning voter is the first of the honest ones; its former life ends with the restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    former_has_closed: bool,
    former_has_entered: bool,
    has_restarted: bool,
    others: Vec<Other>,
}

struct Model {
    group: Group,
    condition: Condition,
}

impl Model {
    fn first(&self) -> State {
        State {
            others: vec![Other::default(); self.group.honest.len() - 1],
            ..State::default()
        }
    }

    /// The weight of the others of whom `is_one` is true, and of the Byzantine voters.
    fn others(&self, state: &State, is_one: impl Fn(&Other) -> bool) -> u64 {
        self.group.byzantine
            + self
                .group
                .weight(|voter| voter > 0 && is_one(&state.others[voter - 1]))
    }

    fn former(&self, is_one: bool) -> u64 {
        if is_one { self.group.honest[0] } else { 0 }
    }

    fn can_enter(&self, state: &State) -> bool {
        let closed = self.others(state, |other| other.has_closed);
        closed + self.former(state.former_has_closed) >= self.group.quorum
    }

    fn are_keys_stolen(&self, state: &State) -> bool {
        let entered = self.others(state, |other| other.has_entered);
        entered + self.former(state.former_has_entered) >= self.group.quorum
    }

    fn next(&self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        let mut push = |change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            next.push(after);
        };
        if !state.has_restarted {
            push(&|after| after.has_restarted = true);
            // who has entered without a close signs none
            if !state.former_has_entered {
                push(&|after| after.former_has_closed = true);
            }
            if self.can_enter(state) {
                push(&|after| after.former_has_entered = true);
            }
        }
        for (i, other) in state.others.iter().enumerate() {
            if !other.has_entered {
                push(&|after| after.others[i].has_closed = true);
            }
            if self.can_enter(state) {
                push(&|after| after.others[i].has_entered = true);
            }
            if state.has_restarted {
                push(&|after| {
                    after.others[i].answered |= !other.has_closed && !other.has_entered;
                    after.others[i].noted |= !other.has_entered;
                });
                if self.are_keys_stolen(state) {
                    push(&|after| after.others[i].minted = true);
                }
            }
        }
        next
    }

    fn may_take_part(&self, state: &State) -> bool {
        let said = self.others(state, |other| match self.condition {
            Condition::SaidByKeysOfTheEpoch => other.answered || other.minted,
            Condition::SaidAgainInTheNext => other.answered,
            Condition::NotEnteredSaidAgain => other.noted && (other.answered || other.minted),
        });
        state.has_restarted && said >= self.group.quorum
    }

    /// A state in which the voter signs in an epoch that its former life had entered; how many
    /// states there are, and in how many of them it takes part.
    fn explore(&self) -> (Option<State>, usize, usize) {
        let (mut seen, mut stack) = (HashSet::from([self.first()]), vec![self.first()]);
        let mut returned = 0;
        while let Some(state) = stack.pop() {
            if self.may_take_part(&state) {
                returned += 1;
                if state.former_has_entered {
                    return (Some(state), seen.len(), returned);
                }
            }
            for after in self.next(&state) {
                if seen.insert(after.clone()) {
                    stack.push(after);
                }
            }
        }
        (None, seen.len(), returned)
    }
}

fn explore(group: Group, condition: Condition) -> Option<State> {
    let name = format!("{condition:?} of {group:?}");
    let (broken, states, returned) = Model { group, condition }.explore();
    println!("returning, {name}: {states} states, it takes part in {returned}; {broken:?}");
    assert!(returned > 0, "{name}: nobody ever returns");
    broken
}

#[test]
fn a_voter_returns_to_no_epoch_that_it_may_have_signed_in() {
    let unequal = [
        Group::new(&[1, 5, 3], 4),
        Group::new(&[2, 3, 3, 4], 5),
        Group::new(&[8, 30, 20, 10], 33),
    ];
    for group in [4, 5, 7].map(Group::equal).into_iter().chain(unequal) {
        assert_eq!(explore(group, Condition::SaidAgainInTheNext), None);
    }
}

#[test]
fn words_by_the_keys_of_an_ended_epoch_are_not_enough_to_return() {
    for voters in [4, 7] {
        let broken = explore(Group::equal(voters), Condition::SaidByKeysOfTheEpoch);
        assert!(broken.is_some(), "of {voters}");
    }
}

/// Its former life may have entered before everybody else, by their closes.
#[test]
fn having_entered_later_is_not_enough_to_return() {
    let broken = explore(Group::equal(4), Condition::NotEnteredSaidAgain);
    assert!(broken.is_some());
}
