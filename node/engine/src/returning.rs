//! A node that was restored from an older copy takes part again under its key (SPEC §7 *State*): in
//! the epoch after the one in which its operator said that no other copy of it runs, and a quorum of
//! the others that they have not closed it. What the former life signed is of epochs before then.

use std::collections::BTreeSet;
use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, NodeId, UnixMillis};
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest, EpochStanding, Request};
use ssid_storage::JournalRecord;

use super::clock::Steady;
use super::engine::{Engine, Tick};

/// How soon voters are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How far this node is on its way back.
#[derive(Debug, Default)]
pub(super) struct Returning {
    /// When its operator said that no other copy of it runs, if that was said.
    alone_since: Option<UnixMillis>,
    /// The epoch after which it takes part again.
    after: Option<Epoch>,
    /// Voters who said since the start that they have not closed the epoch that it is in.
    said: BTreeSet<NodeId>,
    /// The epoch that they spoke of.
    of: Epoch,
    ask_at: Steady,
}

impl Returning {
    /// The vote history was found wanting anew: what was said before holds no more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The journal says that the operator said it.
    pub(super) fn note_alone(&mut self, since: UnixMillis) {
        *self = Self {
            alone_since: Some(since),
            ..Self::default()
        };
    }

    /// The journal says after which epoch it takes part.
    pub(super) fn note_after(&mut self, epoch: Epoch) {
        self.after = Some(epoch);
    }

    /// Whether voters are to be asked.
    fn is_asking(&self) -> bool {
        self.alone_since.is_some() && self.after.is_none()
    }

    /// When voters are asked again.
    pub(super) fn next(&self) -> Option<Steady> {
        self.is_asking().then_some(self.ask_at)
    }

    /// The epoch after which it takes part again, once that is known.
    pub(super) fn after(&self) -> Option<Epoch> {
        self.after
    }

    /// All of it, as the journal is to keep it.
    pub(super) fn records(&self) -> impl Iterator<Item = JournalRecord> {
        let alone = self.alone_since.map(JournalRecord::OldCopyGone);
        let returns = self.after.map(|after| JournalRecord::Returns { after });
        alone.into_iter().chain(returns)
    }

    /// Whether a former life may have announced an event: this one then neither announces it nor
    /// takes it for a sign that its history is wanting.
    pub(super) fn is_of_former_life(&self, event: &Event) -> bool {
        let instant = event.instant();
        let since = self.alone_since.map(|since| i128::from(since.0));
        since.is_some_and(|since| instant.is_none_or(|at| i128::from(at.unix_millis()) <= since))
    }
}

impl Engine {
    /// Asks the voters, and writes down that enough of them have answered.
    pub(super) fn go_on_with_return(&mut self, tick: &mut Tick) {
        let is_waiting = self.standing.abstaining().is_some() && self.returning.is_asking();
        if !is_waiting || self.returning.ask_at > tick.steady {
            return;
        }
        self.returning.ask_at = tick.steady.after(ASK_AGAIN);
        if self.has_epoch_ended() {
            return; // the next epoch is asked about
        }
        let voters = self.epochs.current().voters();
        let connected = self.peers.connected.iter();
        let asked = connected.filter(|node| **node != self.me && voters.index_of(node).is_some());
        for node in asked {
            let request = Request::Change(ChangeRequest::Standing);
            tick.effects.asks.push((*node, request));
        }
    }

    /// What this node says of where it stands.
    pub(super) fn epoch_standing(&self) -> ChangeAnswer {
        let current = self.epochs.current();
        ChangeAnswer::Standing(EpochStanding {
            epoch: current.number(),
            manifest: current.manifest().hash(),
            has_closed: self.has_epoch_ended(),
        })
    }

    /// A voter has said where it stands.
    pub(super) fn take_standing(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        standing: &EpochStanding,
    ) {
        let current = self.epochs.current().clone();
        let is_same =
            (standing.epoch, standing.manifest) == (current.number(), current.manifest().hash());
        let is_waiting = self.standing.abstaining().is_some() && self.returning.is_asking();
        if !is_waiting || !is_same || standing.has_closed || self.has_epoch_ended() {
            return;
        }
        if self.returning.of != current.number() {
            self.returning.said.clear();
            self.returning.of = current.number();
        }
        if from != self.me {
            self.returning.said.insert(from);
        }
        let voters = current.voters();
        let said = self.returning.said.iter();
        let places = said.filter_map(|node| voters.index_of(node));
        let (weight, count) = places.fold((0, 0), |(weight, count), voter| {
            (weight + voters.weight(voter), count + 1)
        });
        if voters.is_quorum(weight, count) {
            let after = current.number();
            tracing::warn!(
                epoch = after.next().0,
                "this node takes part again under its key from that epoch on"
            );
            self.returning.note_after(after);
            tick.journal.push(JournalRecord::Returns { after });
        }
    }

    /// It takes part again, if it has entered a later epoch than the one that it had to wait for.
    pub(super) fn end_abstaining(&mut self) {
        let current = self.epochs.current().number();
        if self.returning.after().is_some_and(|after| after < current) {
            self.standing.end_abstaining();
        }
    }
}
