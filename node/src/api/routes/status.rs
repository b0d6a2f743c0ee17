//! `/v1/status`, `/healthz`, `/readyz`, `/metrics`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use ssid_engine::EngineStatus;
use ssid_engine::outbox::{ANCHOR, HOOK, TELEMETRY, entries_of};
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::UnixMillis;
use ssid_protocol::member::Status;
use ssid_protocol::record::Transport;
use tokio::time::timeout;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{
    FederationStatus, LogHeadView, MembersStatus, NamedNode, OutboxStatus, ReadyView, Statistics,
    StatusView, TransportStatus, VotingStatus,
};

/// Program and version, as heartbeats say it too.
const SOFTWARE: &str = concat!("ssid/", env!("CARGO_PKG_VERSION"));

/// How long the engine is asked for its state of now; past that its latest is shown, so that a busy
/// node says so.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was certified for a caller is in the status that the same caller asks for next.
pub(super) async fn status(State(state): State<ApiState>) -> Answer<StatusView> {
    let current = timeout(PATIENCE, state.engine.current_status()).await;
    let engine = current
        .ok()
        .and_then(Result::ok)
        .map_or_else(|| state.engine.status().borrow().clone(), Arc::new);
    Ok(Json(view_of(&state, &engine)))
}

/// This node's view of itself and its federation, now.
pub(crate) fn view(state: &ApiState) -> StatusView {
    let engine = state.engine.status().borrow().clone();
    view_of(state, &engine)
}

fn view_of(state: &ApiState, engine: &EngineStatus) -> StatusView {
    let epoch = state.epoch();
    let member = epoch.manifest().member(&state.node_id);
    StatusView {
        node: state.named_node(&state.node_id),
        role: member.map_or("none", |m| m.role.as_str()).to_owned(),
        software: SOFTWARE.to_owned(),
        started_at: state.started_at.iso(),
        federation: federation(state, engine),
        transport: transport(state, engine),
        voting: voting(state, engine),
        members: members(state, engine),
        log: LogHeadView::from(engine.log),
        outbox: outbox(state, engine),
        statistics: statistics(state, engine),
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
fn outbox(state: &ApiState, engine: &EngineStatus) -> OutboxStatus {
    let rows = |kind, limit| state.store.outbox(kind, limit).unwrap_or_default();
    let untold = rows(HOOK, 1).first().and_then(|(_, row)| entries_of(row));
    OutboxStatus {
        anchors: rows(ANCHOR, COUNTED).len() as u64,
        notifications: rows(TELEMETRY, COUNTED).len() as u64,
        certified_untold: untold.map_or(0, |entries| engine.log.size.saturating_sub(entries.start)),
    }
}

fn federation(state: &ApiState, engine: &EngineStatus) -> FederationStatus {
    let context = state.epoch();
    let (manifest, voters) = (context.manifest(), context.voters());
    FederationStatus {
        enabled: state.settings.enabled,
        mode: state.settings.mode.clone(),
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

fn transport(state: &ApiState, engine: &EngineStatus) -> TransportStatus {
    let (peers, git) = (state.peers.borrow().clone(), state.git.state());
    let epoch = state.epoch();
    let others = epoch
        .manifest()
        .members
        .iter()
        .filter(|m| m.node_id != state.node_id);
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
        sync_interval_minutes: state.settings.sync_interval_minutes,
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

fn members(state: &ApiState, engine: &EngineStatus) -> MembersStatus {
    MembersStatus {
        evidence: engine.evidence,
        own_equivocation: engine.own_equivocation,
        flagged: engine
            .flagged
            .iter()
            .map(|node| state.named_node(node))
            .collect(),
    }
}

/// SPEC §7 State: the only ways out of abstaining.
const ABSTAINING_ENDS: &str =
    "it takes part again under a new key, or in the federation's next epoch";

fn voting(state: &ApiState, engine: &EngineStatus) -> VotingStatus {
    let named = |ids: &[_]| {
        ids.iter()
            .map(|id| state.named_node(id))
            .collect::<Vec<_>>()
    };
    let missing_voters = named(&engine.missing_voters);
    VotingStatus {
        has_quorum: engine.has_quorum,
        able_voters: named(&engine.able_voters),
        can_sign: engine.can_sign.to_string(),
        can_sign_reason: engine.can_sign_reason.clone(),
        registry: engine.registry.clone(),
        waiting_for: own_reasons(state, engine)
            .into_iter()
            .chain(no_quorum(state, engine, &missing_voters))
            .collect(),
        connected_voters: named(&engine.connected_voters),
        missing_voters,
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

/// Why nothing can be decided although this node may be well: too few voters that can sign.
fn no_quorum(state: &ApiState, engine: &EngineStatus, missing: &[NamedNode]) -> Option<String> {
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
    let missing = or_none(missing.iter().map(|node| node.node_name.clone()).collect());
    let epoch = state.epoch();
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
        .map(|node| unable_in_words(state, engine, node))
        .collect();
    if !unable.is_empty() {
        words.push_str("; connected and not signing: ");
        words.push_str(&unable.join(", "));
    }
    Some(words)
}

fn unable_in_words(
    state: &ApiState,
    engine: &EngineStatus,
    node: &ssid_protocol::id::NodeId,
) -> String {
    let name = state.named_node(node).node_name;
    let peers = state.peers.borrow();
    let said = peers
        .members
        .get(node)
        .and_then(|peer| peer.heartbeat.as_ref())
        .map(|(heartbeat, _)| heartbeat.can_sign);
    let can_sign = if *node == state.node_id {
        Some(engine.can_sign)
    } else {
        said
    };
    can_sign.map_or(name.clone(), |can_sign| format!("{name} ({can_sign})"))
}

/// Why this node itself does not sign, in words.
fn own_reasons(state: &ApiState, engine: &EngineStatus) -> Vec<String> {
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
        let epoch = state.epoch();
        let others = epoch
            .voters()
            .iter()
            .filter(|(_, voter)| voter.key.id() != state.node_id)
            .count();
        reasons.push(format!(
            "answers: since its start {} of {others} other voters have told it what it signed before; it signs nothing \
             before a quorum has",
            check.heard.len()
        ));
    } else if engine.can_sign == CanSign::Starting {
        reasons
            .push("its registry file: it is read to its end before anything is signed".to_owned());
    }
    if let Some(why) = &engine.registry {
        reasons.push(format!(
            "its registry file: {why}; until then it endorses and announces nothing"
        ));
    }
    reasons
}

fn statistics(state: &ApiState, engine: &EngineStatus) -> Statistics {
    let (syncs, git) = (engine.syncs, state.git.state());
    let epoch = state.epoch();
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

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// What `/readyz` is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// Whether the federation has to be able to decide, too.
    #[serde(default)]
    federation: bool,
}

/// Whether this node serves and signs; with `federation=true` also whether anything can be decided.
pub(super) async fn readyz(
    State(state): State<ApiState>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<impl IntoResponse, Failure> {
    let Query(asked) = asked?;
    let engine = state.engine.status().borrow().clone();
    let mut reasons = own_reasons(&state, &engine);
    if asked.federation {
        let missing: Vec<_> = engine
            .missing_voters
            .iter()
            .map(|id| state.named_node(id))
            .collect();
        reasons.extend(no_quorum(&state, &engine, &missing));
    }
    let code = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((
        code,
        Json(ReadyView {
            ready: reasons.is_empty(),
            reasons,
        }),
    ))
}

pub(super) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse, Failure> {
    let mut text = String::new();
    let registry = state.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    prometheus_client::encoding::text::encode(&mut text, &registry).map_err(Failure::internal)?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    ))
}
