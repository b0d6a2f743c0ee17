//! All runs of honest voters that enter an epoch, breadth first.

use std::collections::HashMap;

use super::{Closes, Model, OF_D, State, Step, Voter};

/// What was found: the shortest run to a voter that entered by a minted close, and the first state
/// from which not all honest voters can enter.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    /// Equal voters are numbered anew after each step, those outside first.
    pub(crate) minted: Option<Vec<Step>>,
    pub(crate) stuck: Option<State>,
}

/// Breadth first, until something is found.
pub(crate) fn explore(model: &Model) -> Found {
    let first: State = vec![Voter::default(); model.group.honest.len()];
    let mut found = Found {
        states: 0,
        minted: None,
        stuck: None,
    };
    // how each state was reached first
    let mut reached: HashMap<State, Option<(State, Step)>> = HashMap::new();
    reached.insert(first.clone(), None);
    let mut layer = vec![first];
    while !layer.is_empty() {
        let mut next = Vec::new();
        for state in layer {
            if state.iter().any(|voter| voter.deceived) {
                found.minted = Some(run_to(&reached, &state));
            } else if model.closes == Closes::OfFour && !model.all_can_enter(&state) {
                found.stuck = Some(state.clone());
            }
            if found.minted.is_some() || found.stuck.is_some() {
                found.states = reached.len();
                return found;
            }
            for step in model.steps(&state) {
                let after = model.canonical(&Model::after(&state, step));
                if !reached.contains_key(&after) {
                    reached.insert(after.clone(), Some((state.clone(), step)));
                    next.push(after);
                }
            }
        }
        layer = next;
    }
    found.states = reached.len();
    found
}

fn run_to(reached: &HashMap<State, Option<(State, Step)>>, state: &State) -> Vec<Step> {
    let mut run = Vec::new();
    let mut state = state;
    while let Some(Some((before, step))) = reached.get(state) {
        run.push(*step);
        state = before;
    }
    run.reverse();
    run
}

impl Model {
    /// Voters of equal weight are alike, and so are the closes of A, B and C.
    fn canonical(&self, state: &State) -> State {
        let equal = self.group.honest.iter().all(|weight| *weight == 1);
        if !equal {
            return state.clone();
        }
        let orders: &[[usize; 3]] = match self.closes {
            Closes::Minted => &[[0, 1, 2]],
            Closes::OfFour => &[
                [0, 1, 2],
                [0, 2, 1],
                [1, 0, 2],
                [1, 2, 0],
                [2, 0, 1],
                [2, 1, 0],
            ],
        };
        let reordered = orders.iter().map(|order| {
            let mut state: State = state
                .iter()
                .map(|voter| Voter {
                    counted: reorder(voter.counted, order),
                    confirmed: reorder(voter.confirmed, order),
                    ..*voter
                })
                .collect();
            state.sort_unstable();
            state
        });
        reordered.min().unwrap()
    }
}

fn reorder(set: u8, order: &[usize; 3]) -> u8 {
    let moved = order
        .iter()
        .enumerate()
        .map(|(to, from)| (set >> from & 1) << to);
    moved.sum::<u8>() | set & 1 << OF_D
}
