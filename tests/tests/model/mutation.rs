//! Faults put into a node from outside the machine, to show that the checker would see them.

use ssid_protocol::vote::Phase;

use crate::node::Node;
use crate::terms::{Pick, Told};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The machine as it is.
    None,
    /// On entering a round the instance is one whose journal lacks its precommits.
    LockDroppedOnEntering,
    /// Once an operator has chosen, the instance is one whose journal lacks its precommits.
    ChoiceOverridesLock,
    /// Any two of the four voters are a quorum.
    LowerQuorum,
    /// A restart loses what the journal holds of the highest round signed in.
    ResumesEarlier,
    /// A node prevotes, for either choice, in a round it left without prevoting, whatever its lock.
    EarlierPrevoteUnheld,
}

impl Mutation {
    /// Whether the step that leads from `node` to `next` by `path` is one of an instance that knows
    /// no lock.
    pub(crate) fn unlocks(self, node: &Node, path: &[Told], next: &Node) -> bool {
        let chosen = path.iter().any(|told| matches!(told, Told::Choose(_)));
        match self {
            Self::LockDroppedOnEntering => next.round > node.round,
            Self::ChoiceOverridesLock => chosen,
            _ => false,
        }
    }

    /// `node` after a restart's loss of history.
    pub(crate) fn truncated(self, node: &Node) -> Node {
        let mut node = node.clone();
        if self == Self::ResumesEarlier {
            let highest = node.said.highest();
            node.said
                .votes_in(highest)
                .for_each(|cast| node.lost.add(cast));
            node.said
                .bids()
                .filter(|bid| bid.round == highest)
                .for_each(|bid| node.lost.add_bid(bid));
        }
        node
    }
}

/// `node` without its lock: its precommits are counted, and lock nothing.
pub(crate) fn unlocked(node: &Node) -> Node {
    let mut lockless = node.lockless;
    let precommits = node
        .said
        .votes()
        .filter(|cast| cast.phase == Phase::Precommit && cast.pick != Pick::Nil);
    precommits.for_each(|cast| lockless.add(cast));
    let valid = node.polkas.last().copied();
    Node {
        lockless,
        locked: None,
        valid,
        ..node.clone()
    }
}
