//! The federation as a stateright model: a global state is three honest nodes; everything else
//! follows from them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use stateright::{Model, Property};

use crate::completion;
use crate::moves::{Others, Part, Run, Setting, parts, runs};
use crate::node::Node;
use crate::terms::{HONEST, Pick, Said, Told};

/// A node's number in the [`Table`].
type Id = u32;
/// The three honest nodes.
pub(crate) type State = [Id; HONEST];

/// One node's run of inputs, up to what others or a restart can notice.
#[derive(Clone)]
pub(crate) struct Action {
    node: usize,
    to: Id,
    path: Arc<[Told]>,
}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        (self.node, self.to) == (other.node, other.to)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: {:?}", self.node, self.path)
    }
}

type Step = (Id, Arc<[Told]>);
type Steps = Arc<[Step]>;
/// What a part of a node's next steps depends on: itself, and what of it the two others have said.
type Key = (usize, Id, Part, Said, Said);

/// The nodes, by number and the other way round.
type Numbered = (Vec<Arc<Node>>, HashMap<Arc<Node>, Id>);

/// The nodes met so far, by number, and the steps from them: each is worked out by the real machine
/// once.
#[derive(Default)]
struct Table {
    nodes: RwLock<Numbered>,
    steps: RwLock<HashMap<Key, Steps>>,
}

impl Table {
    fn id(&self, node: Node) -> Id {
        if let Some(id) = self.nodes.read().unwrap().1.get(&node) {
            return *id;
        }
        let mut nodes = self.nodes.write().unwrap();
        let next = nodes.0.len() as Id;
        let node = Arc::new(node);
        let id = *nodes.1.entry(node.clone()).or_insert(next);
        if id == next {
            nodes.0.push(node);
        }
        id
    }

    fn node(&self, id: Id) -> Arc<Node> {
        self.nodes.read().unwrap().0[id as usize].clone()
    }
}

/// What is asked of every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Agreement, vote-once, and no vote in an earlier round.
    Safety,
    /// That, and that certification can still be reached.
    SafetyAndCompletion,
    /// Agreement alone.
    Agreement,
}

pub(crate) struct Voting {
    pub(crate) setting: Setting,
    /// What each honest node may come to observe.
    pub(crate) observes: [&'static [Pick]; HONEST],
    pub(crate) ask: Ask,
    /// Where the exploration begins.
    pub(crate) start: [Node; HONEST],
    table: Table,
}

impl Voting {
    pub(crate) fn new(setting: Setting, observes: [&'static [Pick]; HONEST], ask: Ask) -> Self {
        Self {
            setting,
            observes,
            ask,
            start: Default::default(),
            table: Table::default(),
        }
    }

    pub(crate) fn nodes(&self, state: &State) -> [Arc<Node>; HONEST] {
        state.map(|id| self.table.node(id))
    }

    /// How many different nodes were met.
    pub(crate) fn node_count(&self) -> usize {
        self.table.nodes.read().unwrap().0.len()
    }

    fn steps(&self, node: usize, id: Id, part: Part, others: &Others) -> Steps {
        let key = (node, id, part, others[0].1, others[1].1);
        if let Some(steps) = self.table.steps.read().unwrap().get(&key) {
            return steps.clone();
        }
        let found = runs(
            &self.setting,
            self.setting.fed.voter(node),
            &self.table.node(id),
            part,
            others,
            self.observes[node],
        );
        let steps: Steps = found
            .into_iter()
            .map(|Run { path, to }| (self.table.id(to), path.into()))
            .collect();
        self.table.steps.write().unwrap().insert(key, steps.clone());
        steps
    }

    fn actions_of(
        &self,
        state: &State,
        nodes: &[Arc<Node>; HONEST],
        node: usize,
        actions: &mut Vec<Action>,
    ) {
        let others = [(node + 1) % HONEST, (node + 2) % HONEST];
        let others: Others = others.map(|other| (self.setting.fed.voter(other), nodes[other].said));
        let start = actions.len();
        for (part, others) in parts(&self.setting, &nodes[node], &others) {
            for (to, path) in self.steps(node, state[node], part, &others).iter() {
                if !actions[start..].iter().any(|known| known.to == *to) {
                    actions.push(Action {
                        node,
                        to: *to,
                        path: path.clone(),
                    });
                }
            }
        }
    }

    fn restart(&self, node: usize, before: &Node) -> Id {
        let before = self.setting.mutation.truncated(before);
        self.table
            .id(before.restart(&self.setting.fed, self.setting.fed.voter(node)))
    }
}

impl Model for Voting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start.clone().map(|node| self.table.id(node))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let nodes = self.nodes(state);
        let may_restart = self.setting.restarts && !nodes.iter().any(|node| node.restarted);
        for node in 0..HONEST {
            self.actions_of(state, &nodes, node, actions);
            if may_restart && !nodes[node].said.is_empty() {
                let to = self.restart(node, &nodes[node]);
                actions.push(Action {
                    node,
                    to,
                    path: [Told::Restart].into(),
                });
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        next[action.node] = action.to;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let agreement = Property::always(AGREEMENT, |model: &Self, state| {
            let nodes = model.nodes(state);
            let mut decisions = nodes.iter().filter_map(|node| node.first_decision);
            let first = decisions.next();
            decisions.all(|decision| Some(decision) == first)
        });
        let once = Property::always(ONCE, |model: &Self, state| {
            !model.nodes(state).iter().any(|n| n.signed_twice)
        });
        let never_lower = Property::always(LOWER, |model: &Self, state| {
            !model.nodes(state).iter().any(|n| n.signed_lower)
        });
        let completes = Property::always(COMPLETES, |model: &Self, state| {
            completion::completes(&model.setting.fed, &model.nodes(state))
        });
        let decides = Property::sometimes(DECIDES, |model: &Self, state| {
            model
                .nodes(state)
                .iter()
                .all(|node| node.first_decision == Some(Pick::B))
        });
        let crossed = Property::sometimes(CROSSED, |model: &Self, state| {
            let nodes = model.nodes(state);
            let locked = |round, pick| {
                nodes
                    .iter()
                    .any(|n| n.decided.is_none() && n.locked == Some((round, pick)))
            };
            locked(0, Pick::A) && locked(1, Pick::B)
        });
        match self.ask {
            Ask::Agreement => vec![agreement],
            Ask::Safety => vec![agreement, once, never_lower, decides, crossed],
            Ask::SafetyAndCompletion => {
                vec![agreement, once, never_lower, decides, crossed, completes]
            }
        }
    }
}

pub(crate) const AGREEMENT: &str = "no two honest nodes decide differently";
pub(crate) const ONCE: &str = "no honest node signs two ballots for one round and phase";
pub(crate) const LOWER: &str = "no honest node signs in a round lower than before";
pub(crate) const COMPLETES: &str = "certification can be reached";
pub(crate) const DECIDES: &str = "all honest nodes decide the second choice";
pub(crate) const CROSSED: &str = "one is locked on A in round 0, another on B in round 1";
