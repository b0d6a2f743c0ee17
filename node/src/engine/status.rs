//! The engine's state in numbers, and small bookkeeping for its surroundings.

use std::collections::BTreeMap;

use ssid_protocol::id::NodeId;
use ssid_protocol::trust::REVIEW_FLOOR;
use ssid_storage::{Cursor, StorageError};

use super::core::{Engine, Tick};
use super::handle::EngineStatus;
use super::peers::PeerState;

/// Records read at once when they are counted at start.
const RECORDS_PAGE: usize = 1000;

impl Engine {
    /// The state in numbers.
    pub fn status(&self) -> EngineStatus {
        let voter_ids = self.voters.iter().map(|(_, voter)| voter.key.id());
        let (connected_voters, missing_voters): (Vec<_>, Vec<_>) = voter_ids.partition(|node| self.is_here(node));
        EngineStatus {
            epoch: self.epoch,
            abstaining: self.abstaining.clone(),
            hearing: self.hearing_view(),
            read_only: self.read_only.clone(),
            open: (self.open.len() + self.backlog_choices.len() + self.observed_waiting()) as u64,
            conflicts: self.open.values().filter(|open| self.is_in_conflict(open)).count() as u64,
            awaiting_review: self.open.values().filter(|open| self.awaits_review(open)).count() as u64,
            log: self.store.log_head(),
            certified: self.store.certified_count(),
            agreements: self.agreements,
            disagreements: self.disagreements,
            has_quorum: self.has_quorum(),
            connected_voters,
            missing_voters,
            syncs: self.catch_up.syncs,
            syncing: self.catch_up.under_way(),
            refused: self.refused,
            waiting_votes: self.waiting.len() as u64,
            batch_bytes: self.whole.bytes() as u64,
            evidence: self.dossier.held.len() as u64,
            own_equivocation: self.dossier.held.iter().any(|slot| slot.member == self.me),
            commits_asked: self.commits.count,
            flagged: self.names.keys().filter(|node| self.trust.score(node) < REVIEW_FLOOR).copied().collect(),
        }
    }

    fn is_here(&self, node: &NodeId) -> bool {
        *node == self.me || self.peers.connected.contains(node)
    }

    /// Whether the voters connected now, this node included, are a quorum.
    pub(super) fn has_quorum(&self) -> bool {
        let here = self.voters.iter().filter(|(_, voter)| self.is_here(&voter.key.id()));
        let (weight, count) = here.fold((0, 0), |(weight, count), (_, voter)| (weight + voter.weight, count + 1));
        self.voters.is_quorum(weight, count)
    }

    /// What is known of the other members.
    pub fn peers(&self) -> &BTreeMap<NodeId, PeerState> {
        &self.peers.states
    }

    fn own_cursor(&self) -> Cursor {
        Cursor { peer: self.me, log_id: self.store.log_head().log_id }
    }

    pub(super) fn note_projected(&mut self, tick: &mut Tick, sequence: u64) {
        tick.changes.cursors.push((self.own_cursor(), sequence));
    }

    /// Records in which all observations agreed, and those in which somebody disagreed.
    pub(super) fn count_agreements(&self) -> Result<(u64, u64), StorageError> {
        let (mut agreed, mut disagreed, mut before) = (0, 0, None);
        loop {
            let page = self.store.records_latest(RECORDS_PAGE, before)?;
            let Some((last, _)) = page.last() else { return Ok((agreed, disagreed)) };
            before = Some(*last);
            for (_, record) in &page {
                *(if record.disagreeing_nodes.is_empty() { &mut agreed } else { &mut disagreed }) += 1;
            }
        }
    }
}
