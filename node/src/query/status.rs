//! The status: this node, its federation, who can decide and what that waits for.

use ssid_engine::EngineStatus;
use ssid_engine::outbox::{ANCHOR, HOOK, TELEMETRY, entries_of};
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::member::Status;
use ssid_protocol::record::Transport;

use super::Knowledge;
use crate::SOFTWARE;
use crate::view::{
    FederationStatus, LogHeadView, MembersStatus, OutboxStatus, Statistics, StatusView,
    TransportStatus, VotingStatus,
};

impl Knowledge {
    /// This node's view of itself and its federation, by the engine's latest status.
    pub fn status(&self) -> StatusView {
        let engine = self.engine.status().borrow().clone();
        self.status_of(&engine)
    }

    /// This node's view of itself and its federation, by a status of the engine.
    pub fn status_of(&self, engine: &EngineStatus) -> StatusView {
        let epoch = self.epoch();
        let member = epoch.manifest().member(&self.node_id);
        StatusView {
            node: self.named_node(&self.node_id),
            role: member.map_or("none", |m| m.role.as_str()).to_owned(),
            software: SOFTWARE.to_owned(),
            started_at: self.started_at.iso(),
            federation: federation(self, engine),
            transport: transport(self, engine),
            voting: voting(self, engine),
            members: members(self, engine),
            log: LogHeadView::from(engine.log),
            outbox: outbox(self, engine),
            statistics: statistics(self, engine),
        }
    }

    /// Why this node itself does not sign, in words; empty if it does.
    pub fn own_reasons(&self, engine: &EngineStatus) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(why) = &engine.read_only {
            reasons.push(format!("its operators: read-only because {why}"));
        }
        if let Some(why) = &engine.abstaining {
            reasons.push(format!(
                "its vote history: it signs nothing because {why}; {ABSTAINING_ENDS}"
            ));
        }
        if let Some(check) = &engine.startup_check {
            let epoch = self.epoch();
            let others = epoch
                .voters()
                .iter()
                .filter(|(_, voter)| voter.key.id() != self.node_id)
                .count();
            reasons.push(format!(
                "answers: since its start {} of {others} other voters have told it what it signed before; it signs nothing \
                 before a quorum has",
                check.heard.len()
            ));
        } else if engine.can_sign == CanSign::Starting {
            reasons.push(
                "its registry file: it is read to its end before anything is signed".to_owned(),
            );
        }
        if let Some(why) = &engine.registry {
            reasons.push(format!(
                "its registry file: {why}; until then it endorses and announces nothing"
            ));
        }
        reasons
    }

    /// Why nothing can be decided although this node may be well, in words: too few voters that can
    /// sign.
    pub fn no_quorum(&self, engine: &EngineStatus) -> Option<String> {
        if engine.has_quorum {
            return None;
        }
        let or_none = |names: Vec<String>| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let missing = engine.missing_voters.iter();
        let missing = or_none(missing.map(|id| self.named_node(id).node_name).collect());
        let epoch = self.epoch();
        let voters = epoch.voters();
        let (quorum, total) = (voters.quorum(), voters.total());
        let mut words = format!(
            "a quorum: {} of {} voters connected, weight {quorum} of {total} decides; missing: {missing}",
            engine.connected_voters.len(),
            voters.len(),
        );
        let unable = engine
            .connected_voters
            .iter()
            .filter(|node| !engine.able_voters.contains(node));
        let unable: Vec<String> = unable
            .map(|node| unable_in_words(self, engine, node))
            .collect();
        if !unable.is_empty() {
            words.push_str("; connected and not signing: ");
            words.push_str(&unable.join(", "));
        }
        Some(words)
    }
}

impl From<ssid_storage::LogHead> for LogHeadView {
    fn from(head: ssid_storage::LogHead) -> Self {
        Self {
            log_id: head.log_id,
            size: head.size,
            root: head.root,
        }
    }
}

/// Rows of a kind that are counted.
const COUNTED: usize = 100;

/// A status is shown as far as it is known: a failing storage is told elsewhere.
fn outbox(known: &Knowledge, engine: &EngineStatus) -> OutboxStatus {
    let rows = |kind, limit| known.store.outbox(kind, limit).unwrap_or_default();
    let untold = rows(HOOK, 1).first().and_then(|(_, row)| entries_of(row));
    OutboxStatus {
        anchors: rows(ANCHOR, COUNTED).len() as u64,
        notifications: rows(TELEMETRY, COUNTED).len() as u64,
        certified_untold: untold.map_or(0, |entries| engine.log.size.saturating_sub(entries.start)),
    }
}

fn federation(known: &Knowledge, engine: &EngineStatus) -> FederationStatus {
    let context = known.epoch();
    let (manifest, voters) = (context.manifest(), context.voters());
    FederationStatus {
        enabled: known.settings.enabled,
        mode: known.settings.mode.clone(),
        name: manifest.name.clone(),
        federation_id: *context.federation(),
        epoch: engine.epoch,
        threshold_percent: f64::from(manifest.threshold_bp) / 100.0,
        quorum: voters.quorum(),
        total_weight: voters.total(),
        tolerated_weight: voters.max_faulty(),
        voters: voters.len() as u64,
    }
}

fn transport(known: &Knowledge, engine: &EngineStatus) -> TransportStatus {
    let (peers, git) = (known.peers.borrow().clone(), known.git.state());
    let epoch = known.epoch();
    let others = epoch
        .manifest()
        .members
        .iter()
        .filter(|m| m.node_id != known.node_id);
    let is_connected = |id| peers.members.get(id).is_some_and(|peer| peer.connected);
    TransportStatus {
        kind: if git.transport == Transport::Git {
            "git"
        } else {
            "live"
        }
        .to_owned(),
        connected_peers: others.clone().filter(|m| is_connected(&m.node_id)).count() as u64,
        peers: others.count() as u64,
        listening: peers.listening.clone(),
        sync_interval_minutes: known.settings.sync_interval_minutes,
        // both are ISO 8601 in UTC, so that the later one is the greater text
        last_sync: engine
            .syncs
            .last
            .map(UnixMillis::iso)
            .max(git.last_sync.clone()),
        // those of earlier lives among them
        rewritten_histories: git
            .members
            .iter()
            .map(|member| member.rewritten.len() as u64)
            .sum(),
        own_branch_error: git.own.remote.as_ref().and(git.own.error.clone()),
    }
}

fn members(known: &Knowledge, engine: &EngineStatus) -> MembersStatus {
    MembersStatus {
        evidence: engine.evidence,
        own_equivocation: engine.own_equivocation,
        flagged: engine
            .flagged
            .iter()
            .map(|node| known.named_node(node))
            .collect(),
    }
}

/// SPEC §7 State: the only ways out of abstaining.
const ABSTAINING_ENDS: &str = "it takes part again under a new key at once: ssid init --succeeds; or in the next epoch, after: ssid \
     restore --old-copy-is-gone";

fn voting(known: &Knowledge, engine: &EngineStatus) -> VotingStatus {
    let named = |ids: &[_]| {
        ids.iter()
            .map(|id| known.named_node(id))
            .collect::<Vec<_>>()
    };
    VotingStatus {
        has_quorum: engine.has_quorum,
        able_voters: named(&engine.able_voters),
        can_sign: engine.can_sign.to_string(),
        can_sign_reason: engine.can_sign_reason.clone(),
        registry: engine.registry.clone(),
        waiting_for: known
            .own_reasons(engine)
            .into_iter()
            .chain(known.no_quorum(engine))
            .collect(),
        connected_voters: named(&engine.connected_voters),
        missing_voters: named(&engine.missing_voters),
        abstaining: engine.abstaining.clone(),
        abstaining_ends: engine
            .abstaining
            .is_some()
            .then(|| ABSTAINING_ENDS.to_owned()),
        starting: engine
            .startup_check
            .as_ref()
            .map(|check| named(&check.heard)),
        read_only: engine.read_only.clone(),
        awaiting_review: engine.awaiting_review,
        clock_offset_seconds: engine.clock_offset_seconds,
    }
}

fn unable_in_words(known: &Knowledge, engine: &EngineStatus, node: &NodeId) -> String {
    let name = known.named_node(node).node_name;
    let peers = known.peers.borrow();
    let said = peers
        .members
        .get(node)
        .and_then(|peer| peer.heartbeat.as_ref())
        .map(|(heartbeat, _)| heartbeat.can_sign);
    let can_sign = if *node == known.node_id {
        Some(engine.can_sign)
    } else {
        said
    };
    can_sign.map_or(name.clone(), |can_sign| format!("{name} ({can_sign})"))
}

fn statistics(known: &Knowledge, engine: &EngineStatus) -> Statistics {
    let (syncs, git) = (engine.syncs, known.git.state());
    let epoch = known.epoch();
    let members = &epoch.manifest().members;
    Statistics {
        total_nodes: members.len() as u64,
        active_nodes: members
            .iter()
            .filter(|m| m.status == Status::Active)
            .count() as u64,
        total_syncs: syncs.successful + syncs.failed + git.successful + git.failed,
        successful_syncs: syncs.successful + git.successful,
        failed_syncs: syncs.failed + git.failed,
        consensus_agreements: engine.agreements,
        consensus_disagreements: engine.disagreements,
        open: engine.open,
        conflicts: engine.conflicts,
        divergences: engine.divergences,
        kept_offers: engine.kept_offers,
        certified: engine.certified,
    }
}
