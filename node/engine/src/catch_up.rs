//! Catching up: asking a peer for its log and its open instances when it holds something this node
//! lacks (SPEC §7 rule 9, §10), and asking about single subjects and events that are late.
//!
//! Per peer there is at most one conversation: its status, then pages of its log from the cursor,
//! then pages of its open instances. A conversation that breaks off starts again with the peer's
//! next heartbeat.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{LogId, NodeId, UnixMillis};
use ssid_protocol::sync::{LOG_PAGE, Request};
use ssid_storage::Cursor;

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::settings::STALLED_AFTER;
use super::shown::Syncs;

mod answered;
mod missing;

/// While this node itself still certifies, a peer's different set is no news; but it is looked at
/// at least this often.
const COMPARE_AT_LEAST: Duration = Duration::from_mins(1);

/// Conversations under way, and when this node last had any.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// Whom this node is asking, and how far that has come.
    under_way: BTreeMap<NodeId, Conversation>,
    /// When a connected peer was last asked for its status, with which every conversation that this
    /// node starts begins.
    started: BTreeMap<NodeId, Steady>,
    compared: BTreeMap<NodeId, Steady>,
    last_certified: Option<Steady>,
    last_count: u64,
    look_at: Option<Steady>,
    pub(super) syncs: Syncs,
}

/// A conversation under way. Each page of one may be true while all of them cannot: what they may
/// add up to is bounded.
#[derive(Debug, Default)]
struct Conversation {
    /// Entries of the peer's log that this node held already.
    known_entries: u64,
    /// Pages of its open subjects.
    open_pages: u64,
}

impl CatchUp {
    /// A conversation has ended; whether there was one: given up when the peer went away, it was
    /// counted there.
    fn ended(&mut self, node: &NodeId, now: UnixMillis, well: bool) -> bool {
        if self.under_way.remove(node).is_none() {
            return false;
        }
        if well {
            self.syncs.successful += 1;
            self.syncs.last = Some(now);
        } else {
            self.syncs.failed += 1;
        }
        true
    }

    /// Whether a peer is being asked.
    pub(super) fn is_under_way(&self, node: &NodeId) -> bool {
        self.under_way.contains_key(node)
    }

    /// Breaks off every conversation: what they began with does not hold any more.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
        self.compared.clear();
    }

    /// A peer has gone: a conversation with it breaks off. Whether there was one.
    pub(super) fn break_off(&mut self, node: &NodeId, now: UnixMillis) -> bool {
        self.started.remove(node);
        self.ended(node, now, false)
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.look_at
    }

    /// Conversations under way.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.len() as u64
    }
}

impl Engine {
    /// A member has connected: its status says whether there is anything to fetch.
    pub(super) fn start_catch_up(&mut self, tick: &mut Tick, node: NodeId) {
        self.catch_up.started.insert(node, tick.steady);
        if !self.catch_up.is_under_way(&node) {
            self.catch_up
                .under_way
                .insert(node, Conversation::default());
            // a guest has signed nothing that anybody could tell it
            let first = if self.startup_check.is_some() && self.is_member() {
                Request::Own
            } else {
                Request::Status
            };
            tick.effects.asks.push((node, first));
        }
        tick.effects.asks.push((node, self.evidence_question()));
    }

    /// Asks every connected member at once, because its operator wants to.
    pub(super) fn catch_up_with_all(&mut self, tick: &mut Tick) {
        let connected: Vec<NodeId> = self.peers.connected.iter().copied().collect();
        for node in connected {
            self.start_catch_up(tick, node);
        }
    }

    /// Looks at a peer's heartbeat: the same certified set moves the cursor, another one starts a
    /// conversation.
    pub(super) fn compare(&mut self, tick: &mut Tick, node: NodeId, heartbeat: &Heartbeat) {
        let same_certified = heartbeat.certified_digest == self.store.certified_digest().value();
        // all that the peer has is here: nothing of its log is left to read
        if same_certified {
            let cursor = Cursor {
                peer: node,
                log_id: heartbeat.log_id,
            };
            if self
                .store
                .cursor(&cursor)
                .is_ok_and(|at| at < heartbeat.log_size)
            {
                tick.changes.cursors.push((cursor, heartbeat.log_size));
            }
        }
        // who is not trusted is asked when nobody else is
        let waits = self.is_asked_last(&node) && !self.catch_up.under_way.is_empty();
        if waits || self.catch_up.under_way.contains_key(&node) {
            return;
        }
        if self.is_unheard(&node) {
            self.start_catch_up(tick, node); // the conversation broke off
            return;
        }
        // the digest last: working it out costs most
        let same_open = || {
            heartbeat.open_count == self.open_count() && heartbeat.open_digest == self.open_digest()
        };
        if same_certified && same_open() {
            return;
        }
        // while decisions are being made sets differ for a moment, and that means nothing
        let busy = self
            .catch_up
            .last_certified
            .is_some_and(|at| tick.steady.since(at) < STALLED_AFTER);
        let compared = self
            .catch_up
            .compared
            .get(&node)
            .is_some_and(|at| tick.steady.since(*at) < COMPARE_AT_LEAST);
        if !(busy && compared) {
            self.catch_up.compared.insert(node, tick.steady);
            self.catch_up
                .under_way
                .insert(node, Conversation::default());
            self.ask_log(tick, node, heartbeat.log_id);
        }
    }

    fn ask_log(&mut self, tick: &mut Tick, node: NodeId, log_id: LogId) {
        let from = self
            .store
            .cursor(&Cursor { peer: node, log_id })
            .unwrap_or_default();
        tick.effects.asks.push((
            node,
            Request::Log {
                from,
                limit: LOG_PAGE,
            },
        ));
    }
}
