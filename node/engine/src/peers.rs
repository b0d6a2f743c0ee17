//! Heartbeats in and out: who is there, what they hold, how far their clocks are from this one
//! (SPEC §10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::heartbeat::{CanSign, Heartbeat, More};
use ssid_protocol::id::{NodeId, Sha256Hash, UnixMillis};
use ssid_protocol::limits;
use ssid_protocol::sync::Answer;
use ssid_storage::PeerRow;

use super::clock::{Now, Steady};
use super::engine::{Engine, Tick};
use super::messages::{Ticket, Validity};
use super::node_event::NodeEvent;
use super::request::Reply;
use super::settings::{CLOCK_TOLERANCE, HEARTBEAT_AT_LEAST, HEARTBEAT_EVERY};

/// A heartbeat older than this says nothing about a clock.
const CLOCK_SAMPLE_AGE: Duration = Duration::from_mins(1);
/// A heartbeat that says something new about this node's state comes so long after the one before,
/// at the earliest.
const STATE_AFTER: Duration = Duration::from_millis(1100);
/// A heartbeat asked for is made anew if the last is older than this.
const FRESH: Duration = Duration::from_secs(1);
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
            if self.catch_up.break_off(&node, tick.now) {
                self.note_sync(tick, node, false);
            }
            tick.effects.events.push(NodeEvent::Disconnected { node });
        }
        for node in self.by_trust(new) {
            tick.effects.events.push(NodeEvent::Connected { node });
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

    /// Gives the heartbeat that is due its number, which goes to disk with this tick: after a
    /// restart, and whatever the clock shows then, numbers go on from there.
    pub(super) fn number_heartbeat(&mut self, tick: &mut Tick) {
        let state = (self.can_sign_kind(), self.registry.divergences);
        if state != self.told_state {
            self.told_state = state;
            self.tell_state_soon(tick.steady);
        }
        // the first one tells the outcome of the start, if that does not take long
        if self.told_at.is_none()
            && self.next_heartbeat == Steady(0)
            && state.0 == CanSign::Starting
        {
            self.next_heartbeat = tick.steady.after(STATE_AFTER);
        }
        if self.next_heartbeat <= tick.steady {
            self.next_sequence(tick);
        }
    }

    fn next_sequence(&mut self, tick: &mut Tick) {
        self.last_sequence = tick.now.0.max(self.last_sequence + 1);
        let row = PeerRow {
            last_sequence: self.last_sequence,
            ..PeerRow::default()
        };
        tick.changes.peers.push((self.me, row));
    }

    /// An own heartbeat that somebody holds: this node may have forgotten how far it had numbered
    /// them.
    pub(super) fn go_on_from(&mut self, own: &VerifiedBatch) {
        if let Statements::Heartbeat(heartbeat) = own.statements()
            && own.signer() == self.me
        {
            self.last_sequence = self.last_sequence.max(heartbeat.sequence);
        }
    }

    /// Sends a heartbeat when it is due. Called after the tick is on disk: the log head it names
    /// is, and its number.
    pub(super) fn send_heartbeat(&mut self, tick: &mut Tick) {
        if self.next_heartbeat > tick.steady {
            return;
        }
        self.told_at = Some(tick.steady);
        self.next_heartbeat = tick.steady.after(HEARTBEAT_EVERY);
        if let Some(batch) = self.make_heartbeat(tick.now()) {
            tick.effects.publish.push(batch);
        }
    }

    /// The heartbeat of the latest number.
    fn make_heartbeat(&mut self, now: Now) -> Option<Arc<VerifiedBatch>> {
        self.heartbeat_made = now.steady;
        let head = self.head_to_sign();
        let (can_sign, can_sign_reason) = self.can_sign();
        let heartbeat = Heartbeat {
            epoch: self.epochs.current().number(),
            sequence: self.last_sequence,
            sent_at: now.wall,
            software: concat!("ssid/", env!("CARGO_PKG_VERSION")).to_owned(),
            protocol_min: 1,
            protocol_max: 1,
            addresses: self.peers.own_addresses.clone(),
            blueprint: self.settings.blueprint.clone(),
            compliance_score: self.settings.compliance_score.clone(),
            log_id: head.log_id,
            log_size: head.size,
            log_root: head.root,
            certified_count: self.store.certified_count(),
            certified_digest: self.store.certified_digest().value(),
            open_count: self.open.len() as u64,
            open_digest: self.open_digest(),
            can_sign,
            can_sign_reason,
            divergences: self.registry.divergences,
            more: More::default(),
        };
        let batch = VerifiedBatch::sign(
            &self.key,
            self.epochs.current().federation(),
            Statements::Heartbeat(Box::new(heartbeat)),
        )
        .ok()?;
        let batch = Arc::new(batch);
        self.heartbeat = Some(batch.clone());
        Some(batch)
    }

    /// Whether this node signs votes now.
    pub(super) fn can_sign_kind(&self) -> CanSign {
        if self.read_only.is_some() {
            CanSign::ReadOnly
        } else if self.abstaining.is_some() {
            CanSign::Abstaining
        } else if !self.is_signing() {
            CanSign::Starting
        } else if self.registry.trouble().is_some() {
            CanSign::NoRegistry
        } else {
            CanSign::Yes
        }
    }

    /// The same, and why not; for its heartbeat and for people.
    pub(super) fn can_sign(&self) -> (CanSign, String) {
        let kind = self.can_sign_kind();
        let mut reason = match (kind, self.startup_check_view()) {
            (CanSign::Yes, _) => String::new(),
            (CanSign::ReadOnly, _) => self.read_only.clone().unwrap_or_default(),
            (CanSign::Abstaining, _) => self.abstaining.clone().unwrap_or_default(),
            (CanSign::NoRegistry, _) => self.registry.trouble().unwrap_or_default().to_owned(),
            (CanSign::Starting, None) => "it reads its registry file".to_owned(),
            (CanSign::Starting, Some(check)) => {
                let others = self
                    .epochs
                    .current()
                    .voters()
                    .len()
                    .saturating_sub(usize::from(self.rules.me.is_some()));
                let heard = check.heard.len();
                format!(
                    "it asks what it signed before its start: {heard} of {others} other voters have answered"
                )
            }
        };
        let end = reason.floor_char_boundary(limits::HEARTBEAT_TEXT_BYTES);
        reason.truncate(end);
        (kind, reason)
    }

    /// Others learn soon what has changed: the next heartbeat does not wait for its turn.
    pub(super) fn tell_state_soon(&mut self, now: Steady) {
        let soon = self
            .told_at
            .map_or(now, |told| told.after(STATE_AFTER).max(now));
        self.next_heartbeat = self.next_heartbeat.min(soon);
    }

    /// `H` over the open instances in order of subject id.
    pub(super) fn open_digest(&self) -> Sha256Hash {
        let entries: Vec<&[u8]> = self
            .open
            .values()
            .map(|open| open.digest_entry(self.epochs.current().voters()))
            .collect();
        Sha256Hash::of(&entries)
    }

    /// Answers with a heartbeat that is at most a second old and names the log as it is.
    pub(super) fn answer_status(&mut self, tick: &mut Tick, ticket: Ticket) {
        let is_current = self
            .heartbeat
            .as_ref()
            .is_some_and(|batch| match batch.statements() {
                Statements::Heartbeat(last) => {
                    last.log_size == self.head_to_sign().size
                        && last.open_count == self.open.len() as u64
                }
                _ => false,
            });
        if !is_current || tick.steady.since(self.heartbeat_made) > FRESH {
            self.next_sequence(tick);
            self.make_heartbeat(tick.now());
        }
        let batch = self
            .heartbeat
            .as_ref()
            .map(|batch| Box::new(batch.batch().clone()));
        tick.reply(ticket, Reply::Answer(Answer::Status(batch)));
    }
}
