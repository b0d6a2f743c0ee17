//! Voters that come late (SPEC §4, *Entering*): who has entered an epoch goes on confirming the
//! closes of the one before for those who have not, once voters of more than F confirmed them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Epoch, NodeId};
use ssid_protocol::sync::{ChangeRequest, HeldClose, Request};

use super::Membership;
use super::boundary::weight_of;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};

/// How often others are asked what they confirmed, while somebody is late.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What others confirmed of the closes of the epoch that this node has left.
#[derive(Debug, Default)]
pub(super) struct LateOnes {
    /// Whether somebody has asked since others were.
    is_asked: bool,
    ask_at: Steady,
    /// By closer: a close, and who confirms just that.
    confirmed_by: BTreeMap<NodeId, (Signed, BTreeSet<NodeId>)>,
}

impl LateOnes {
    /// When others are asked.
    pub(super) fn next(&self) -> Option<Steady> {
        self.is_asked.then_some(self.ask_at)
    }
}

impl Membership {
    /// Somebody asks for closes: of the epoch before the current one it is late.
    pub(super) fn note_late(&mut self, asked: Epoch, current: Epoch) {
        self.late.is_asked |= asked.next() == current;
    }

    /// Another epoch has begun.
    pub(super) fn forget_late(&mut self) {
        self.late = LateOnes::default();
    }
}

impl Engine {
    /// Asks what others confirmed, for somebody who is late.
    pub(super) fn ask_for_late_ones(&mut self, tick: &mut Tick) {
        let late = &mut self.membership.late;
        let current = self.epochs.current();
        if !late.is_asked || late.ask_at > tick.steady || self.peers.connected.is_empty() {
            return;
        }
        late.is_asked = false;
        late.ask_at = tick.steady.after(ASK_EVERY);
        let epoch = Epoch(current.number().0.saturating_sub(1));
        let is_voter = |node: &&NodeId| current.voters().index_of(node).is_some();
        for node in self.peers.connected.iter().filter(is_voter) {
            let request = Request::Change(ChangeRequest::Closes { epoch });
            tick.effects.asks.push((*node, request));
        }
    }

    /// What a voter says of the closes of the epoch that this node has left.
    pub(super) fn confirm_for_others(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        epoch: Epoch,
        held: Vec<HeldClose>,
    ) {
        let current = self.epochs.current().clone();
        let ending = self.epochs.get(epoch).cloned();
        let is_voter = current.voters().index_of(&self.me).is_some();
        let Some(ending) = ending.filter(|_| is_voter && epoch.next() == current.number()) else {
            return;
        };
        let next = current.manifest().hash();
        for HeldClose { close, .. } in held.into_iter().filter(|held| held.is_confirmed) {
            let closer = close.proof.signer;
            let Statement::Close(named) = close.statement else {
                continue;
            };
            let is_of_it = (named.epoch, named.next) == (epoch, next);
            if !is_of_it || ending.voters().index_of(&closer).is_none() {
                continue;
            }
            let known = self.membership.late.confirmed_by.entry(closer);
            let (first, voters) = known.or_insert_with(|| (close.clone(), BTreeSet::new()));
            if first.statement != close.statement {
                continue;
            }
            voters.insert(from);
            let (weight, _) = weight_of(voters, current.voters());
            let key = (epoch, closer);
            let is_new = !self.membership.confirmed.contains_key(&key);
            if is_new && current.voters().exceeds_faulty(weight) {
                tick.changes.confirmed.push((key, Some(close.clone())));
                self.membership.confirmed.insert(key, close);
            }
        }
    }
}
