//! The other members, by the heartbeats that they send: who is there, what they hold, how far their
//! clocks are from this one (SPEC §10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::timeliness::CLOCK_TOLERANCE;
use ssid_storage::PeerRow;

use super::clock::{Now, Steady};
use super::engine::{Engine, Tick};
use super::messages::Validity;
use super::node_event::NodeEvent;
use super::settings::HEARTBEAT_AT_LEAST;

/// A heartbeat older than this says nothing about a clock.
const CLOCK_SAMPLE_AGE: Duration = Duration::from_mins(1);
/// By how much the two clocks may run apart between two ticks before the wall clock counts as set.
const CLOCK_SET: Duration = Duration::from_mins(1);

/// What is known of one member.
#[derive(Clone, Debug, Default)]
pub struct PeerState {
    /// What goes to disk.
    pub row: PeerRow,
    /// Its clock minus this one, in milliseconds, when its latest heartbeat came; network delay
    /// included.
    pub clock_offset_ms: Option<i64>,
    /// When its latest heartbeat came, and what its clock showed when it made that.
    pub(super) heard: Option<(Steady, UnixMillis)>,
    /// When the latest of its heartbeats was taken from gossip.
    pub(super) gossiped: Option<Steady>,
    /// The greatest number of its heartbeats that were numbered far ahead of this node's clock.
    pub(super) far_sequence: u64,
    /// Its latest heartbeat as it signed it, of this life.
    pub heartbeat: Option<Arc<VerifiedBatch>>,
}

impl PeerState {
    /// Whether a heartbeat of this number is newer than what was seen. One numbered far ahead of
    /// this node's clock, as by a node whose clock was wrong for a while, raises no mark on disk,
    /// and none for numbers that are near.
    fn is_news(&mut self, now: UnixMillis, sequence: u64) -> bool {
        let is_near = sequence <= now.after(CLOCK_TOLERANCE).0;
        let mark = if is_near {
            &mut self.row.last_sequence
        } else {
            &mut self.far_sequence
        };
        let is_news = sequence > *mark;
        *mark = sequence.max(*mark);
        is_news
    }
}

/// What is known of the members, this node excluded.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) states: BTreeMap<NodeId, PeerState>,
    pub(super) connected: BTreeSet<NodeId>,
    /// Own listening addresses, for the heartbeat.
    pub(super) own_addresses: Vec<String>,
}

impl Peers {
    /// The median of the peers' clocks minus this one, in milliseconds, over recent heartbeats of
    /// connected peers. What their clocks show now follows from how long ago those came: a wall
    /// clock that was just set is seen at once.
    pub(super) fn clock_offset(&self, now: Now) -> Option<i64> {
        let connected = self
            .states
            .iter()
            .filter(|(node, _)| self.connected.contains(node));
        let heard = connected.filter_map(|(_, state)| state.heard);
        let recent = heard.filter(|(at, _)| now.steady.since(*at) < CLOCK_SAMPLE_AGE);
        let offset = |(at, sent_at): (Steady, UnixMillis)| {
            let shows = sent_at.after(now.steady.since(at));
            i64::try_from(i128::from(shows.0) - i128::from(now.wall.0)).ok()
        };
        let mut offsets: Vec<i64> = recent.filter_map(offset).collect();
        offsets.sort_unstable();
        // the lower middle: of two that disagree, one may be wrong
        offsets.get(offsets.len().checked_sub(1)? / 2).copied()
    }
}

impl Engine {
    /// Whether the peers' clocks say that this one is too far off to be believed.
    pub(super) fn clock_is_off(&self, now: Now) -> bool {
        let offset = self.peers.clock_offset(now).unwrap_or_default();
        u128::from(offset.unsigned_abs()) > CLOCK_TOLERANCE.as_millis()
    }

    /// Whether the wall clock was set since the last tick.
    pub(super) fn was_clock_set(&self, now: Now) -> bool {
        let expected = self.now.wall_at(now.steady);
        expected.since(now.wall).max(now.wall.since(expected)) > CLOCK_SET
    }

    pub(super) fn take_connected(&mut self, tick: &mut Tick, nodes: BTreeSet<NodeId>) {
        let before = std::mem::replace(&mut self.peers.connected, nodes);
        let new: Vec<_> = self.peers.connected.difference(&before).copied().collect();
        let gone: Vec<_> = before.difference(&self.peers.connected).copied().collect();
        for node in gone {
            self.membership.forget_ahead(&node);
            if self.catch_up.break_off(&node, tick.now) {
                self.note_sync(tick, node, false);
            }
            tick.effects.events.push(NodeEvent::Disconnected { node });
        }
        for node in self.by_trust(new) {
            tick.effects.events.push(NodeEvent::Connected { node });
            // a guest has nothing that this node lacks
            if self.is_guest(&node) {
                continue;
            }
            self.ask_for_epochs_as_guest(tick, node);
            self.start_catch_up(tick, node);
        }
    }

    /// A heartbeat; one that is not newer than the last seen is ignored.
    pub(super) fn take_heartbeat(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        heartbeat: &Heartbeat,
        from: NodeId,
    ) -> Validity {
        let node = batch.signer();
        if heartbeat.check().is_err() {
            return Validity::Invalid;
        }
        // before its sequence is looked at: who shows different heads to different peers may number
        // them alike
        self.compare_heads(tick, batch, heartbeat);
        if node == self.me {
            return Validity::Nothing;
        }
        let state = self.peers.states.entry(node).or_default();
        if !state.is_news(tick.now, heartbeat.sequence) {
            return Validity::Nothing;
        }
        state.row.last_seen = tick.now;
        state.heard = Some((tick.steady, heartbeat.sent_at));
        state.clock_offset_ms =
            i64::try_from(i128::from(heartbeat.sent_at.0) - i128::from(tick.now.0)).ok();
        tick.effects
            .addresses
            .push((node, heartbeat.addresses.clone()));
        state.heartbeat = Some(batch.clone());
        state.row.last_heartbeat = Some(heartbeat.clone());
        tick.changes.peers.push((node, state.row.clone()));
        if from == node {
            self.note_epoch_of(tick, node, heartbeat.epoch);
            self.compare(tick, node, heartbeat);
        }
        Validity::New
    }

    pub(super) fn note_addresses(&mut self, tick: &mut Tick, node: NodeId, addresses: Vec<String>) {
        if node == self.me {
            self.peers.own_addresses = addresses;
            return;
        }
        let state = self.peers.states.entry(node).or_default();
        if state.row.addresses != addresses {
            state.row.addresses = addresses;
            tick.changes.peers.push((node, state.row.clone()));
        }
    }

    /// A heartbeat that came by gossip: one a second of each member is taken and passed on, however
    /// many it signs.
    pub(super) fn take_gossiped_heartbeat(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        heartbeat: &Heartbeat,
        from: NodeId,
    ) -> Validity {
        let state = self.peers.states.get_mut(&batch.signer());
        let is_soon = |at: Steady| tick.steady.since(at) < HEARTBEAT_AT_LEAST;
        if heartbeat.check().is_ok()
            && state.is_some_and(|state| state.gossiped.is_some_and(is_soon))
        {
            self.compare_heads(tick, batch, heartbeat);
            return Validity::Nothing;
        }
        let validity = self.take_heartbeat(tick, batch, heartbeat, from);
        if let Some(state) = self
            .peers
            .states
            .get_mut(&batch.signer())
            .filter(|_| validity == Validity::New)
        {
            state.gossiped = Some(tick.steady);
        }
        validity
    }
}
