//! The engine's state in numbers, and small bookkeeping for its surroundings.

use std::collections::BTreeMap;

use ssid_protocol::batch::Statements;
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::NodeId;
use ssid_protocol::trust::REVIEW_FLOOR;
use ssid_storage::{Cursor, StorageError};

use super::engine::{Engine, Tick};
use super::peers::PeerState;
use super::shown::EngineStatus;

/// Records read at once when they are counted at start.
const RECORDS_PAGE: usize = 1000;

impl Engine {
    /// The state in numbers.
    pub fn status(&self) -> EngineStatus {
        let (can_sign, can_sign_reason) = self.can_sign();
        let (agreements, disagreements) = self.counts.records();
        let able = self
            .epochs
            .current()
            .voters()
            .iter()
            .map(|(_, voter)| voter.key.id())
            .filter(|node| self.is_able(node))
            .collect();
        let voter_ids = self
            .epochs
            .current()
            .voters()
            .iter()
            .map(|(_, voter)| voter.key.id());
        let (connected_voters, missing_voters): (Vec<_>, Vec<_>) =
            voter_ids.partition(|node| self.is_here(node));
        EngineStatus {
            change: self.change(),
            not_ready: self.all_not_ready(),
            heartbeat: self.heartbeats.latest().cloned(),
            epoch: self.epochs.current().number(),
            abstaining: self.abstaining_in_words(),
            startup_check: self.startup_check_view(),
            read_only: self.standing.read_only().map(str::to_owned),
            open: self.open.len() as u64 + self.waiting_to_be_announced(),
            conflicts: self.counts.conflicts(),
            awaiting_review: self.counts.reviews(),
            log: self.store.log_head(),
            certified: self.store.certified_count(),
            agreements,
            disagreements,
            is_connected: self.has_quorum(),
            able_voters: able,
            has_quorum: self.can_decide(),
            can_sign,
            can_sign_reason,
            registry: self.registry.trouble().map(str::to_owned),
            divergences: self.registry.divergences(),
            kept_offers: self.offers.kept_count() as u64,
            connected_voters,
            missing_voters,
            clock_offset_seconds: self
                .peers
                .clock_offset(self.now)
                .map(|offset| offset / 1000),
            syncs: self.catch_up.syncs,
            syncing: self.catch_up.under_way(),
            refused: self.refused,
            waiting_votes: self.vote_buffer.len() as u64,
            batch_bytes: self.whole.bytes() as u64,
            evidence: self.evidence_pool.held.len() as u64,
            own_equivocation: self
                .evidence_pool
                .held
                .iter()
                .any(|slot| slot.member == self.me),
            commits_asked: self.commits.count,
            flagged: self
                .epochs
                .current()
                .keys()
                .keys()
                .filter(|node| self.trust.score(node) < REVIEW_FLOOR)
                .copied()
                .collect(),
        }
    }

    /// Why this node abstains, if it does, and until when if that is known.
    fn abstaining_in_words(&self) -> Option<String> {
        let reason = self.standing.abstaining()?;
        Some(match self.returning.after() {
            Some(after) => format!("{reason}; from epoch {} on it votes again", after.next()),
            None => reason.to_owned(),
        })
    }

    /// Own events that are not announced yet: accepted, kept, or lines of the registry file.
    fn waiting_to_be_announced(&self) -> u64 {
        let accepted = self
            .own_events
            .accepted_subjects()
            .filter(|subject| !self.open.contains_key(subject))
            .count();
        (accepted + self.offers.kept_count()) as u64 + self.registry.to_announce()
    }

    fn is_here(&self, node: &NodeId) -> bool {
        *node == self.me || self.peers.connected.contains(node)
    }

    /// Whether a voter signs votes as far as known: this node itself, or one that is connected and
    /// whose latest heartbeat says so. A connected one of which no heartbeat came yet is taken to.
    fn is_able(&self, node: &NodeId) -> bool {
        if *node == self.me {
            return self.can_sign_kind() == CanSign::Yes;
        }
        let heartbeat = self
            .peers
            .states
            .get(node)
            .and_then(|state| state.heartbeat.as_ref());
        let says = heartbeat.and_then(|batch| match batch.statements() {
            Statements::Heartbeat(heartbeat) => Some(heartbeat.can_sign),
            _ => None,
        });
        self.peers.connected.contains(node) && says.is_none_or(|can_sign| can_sign == CanSign::Yes)
    }

    /// Whether the voters that sign votes now, this node included, are a quorum: what can be
    /// decided.
    pub(super) fn can_decide(&self) -> bool {
        self.is_quorum_of(|node| self.is_able(node))
    }

    /// Whether the voters connected now, this node included, are a quorum.
    pub(super) fn has_quorum(&self) -> bool {
        self.is_quorum_of(|node| self.is_here(node))
    }

    fn is_quorum_of(&self, is_counted: impl Fn(&NodeId) -> bool) -> bool {
        let counted = self
            .epochs
            .current()
            .voters()
            .iter()
            .filter(|(_, voter)| is_counted(&voter.key.id()));
        let (weight, count) = counted.fold((0, 0), |(weight, count), (_, voter)| {
            (weight + voter.weight, count + 1)
        });
        self.epochs.current().voters().is_quorum(weight, count)
    }

    /// What is known of the other members.
    pub fn peers(&self) -> &BTreeMap<NodeId, PeerState> {
        &self.peers.states
    }

    fn own_cursor(&self) -> Cursor {
        Cursor {
            peer: self.me,
            log_id: self.store.log_head().log_id,
        }
    }

    pub(super) fn note_projected(&mut self, tick: &mut Tick, sequence: u64) {
        tick.changes.cursors.push((self.own_cursor(), sequence));
    }

    /// Counts the records that are on disk.
    pub(super) fn count_records(&mut self) -> Result<(), StorageError> {
        let mut before = None;
        loop {
            let page = self.store.records_latest(RECORDS_PAGE, before)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            before = Some(*last);
            for (_, record) in &page {
                self.counts.note_record(record.disagreeing_nodes.is_empty());
            }
        }
    }
}
