//! `/v1/nodes`: the members.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::UnixMillis;
use ssid_protocol::member::Member;
use ssid_protocol::trust::{REVIEW_FLOOR, TrustLabel};

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::clock;
use crate::legacy::PlainHandle;
use crate::legacy::plain::{allows_unsigned, observations};
use crate::view::{NodeView, ObservedNodeView, Page};

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Page<NodeView>> {
    state.read(all).await.map(Page::whole).map(Json)
}

fn all(state: &ApiState) -> Result<Vec<NodeView>, Failure> {
    let epoch = state.epoch();
    let members = epoch.manifest().members.iter();
    members.map(|m| view(state, m)).collect()
}

/// The members, for the rest of the node; in words if they cannot be read. Blocks.
pub(crate) fn views(state: &ApiState) -> Result<Vec<NodeView>, String> {
    all(state).map_err(|failure| failure.0.detail)
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Answer<NodeView> {
    state
        .read(move |state| view(state, &state.find_member(&id)?))
        .await
        .map(Json)
}

/// Those without a key.
pub(super) async fn observed(State(state): State<ApiState>) -> Answer<Page<ObservedNodeView>> {
    let all = state.read(|state| {
        state
            .plain
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), without_keys)
    });
    all.await.map(Page::whole).map(Json)
}

fn without_keys(plain: &PlainHandle) -> Result<Vec<ObservedNodeView>, Failure> {
    let places = plain.places();
    let (manifest, members) = places
        .members(&clock::now().iso())
        .map_err(|error| Failure::internal(error.to_string()))?;
    let mut said = manifest.as_ref().map(observations).unwrap_or_default();
    let has_keys = true;
    let is_allowed = allows_unsigned(&places.settings, has_keys);
    let view = |member: crate::legacy::plain::PlainMember| {
        let is_read = is_allowed && member.node.is_active();
        let node = member.node;
        ObservedNodeView {
            observation: said.remove(&node.node_id),
            git_remote: crate::legacy::plain::public_remote(&node.git_remote),
            node_id: node.node_id,
            node_name: node.node_name,
            organization: node.organization,
            role: "observed".to_owned(),
            status: node.status,
            last_seen: node.last_seen,
            trust_score: node.trust_score,
            is_read,
        }
    };
    Ok(members.into_iter().map(view).collect())
}

/// When this node had a heartbeat, and the heartbeat.
type Heard = (Arc<Heartbeat>, UnixMillis);

fn view(state: &ApiState, member: &Member) -> Result<NodeView, Failure> {
    let id = &member.node_id;
    let peer = state
        .peers
        .borrow()
        .members
        .get(id)
        .cloned()
        .unwrap_or_default();
    let is_self = *id == state.node_id;
    let heard: Option<Heard> = peer.heartbeat;
    let said = |part: fn(&Heartbeat) -> u64| heard.as_ref().map(|(heartbeat, _)| part(heartbeat));
    let says = |part: fn(&Heartbeat) -> &String| {
        heard.as_ref().map(|(heartbeat, _)| part(heartbeat).clone())
    };
    let can_sign = heard.as_ref().map(|(heartbeat, _)| heartbeat.can_sign);
    let engine = is_self.then(|| state.engine.status().borrow().clone());
    let own = engine.as_deref();
    let (_, trust_score) = state.trust_of(id)?;
    let epoch = state.epoch();
    let voters = epoch.voters();
    Ok(NodeView {
        node_id: *id,
        peer_id: member.peer_id.clone(),
        node_name: member.node_name.clone(),
        organization: member.organization.clone(),
        role: member.role.to_string(),
        status: member.status.to_string(),
        weight: voters.index_of(id).map_or(0, |voter| voters.weight(voter)),
        addresses: member.addresses.clone(),
        git_remote: member.git_remote.clone(),
        api_endpoint: member.api_endpoint.clone(),
        is_self,
        connected: is_self || peer.connected,
        last_seen: state.last_seen(id)?.map(UnixMillis::iso),
        trust_score,
        trust_label: TrustLabel::of(trust_score).word().to_owned(),
        needs_review: trust_score < REVIEW_FLOOR,
        software: says(|h| &h.software),
        epoch: own
            .map(|e| e.epoch)
            .or(heard.as_ref().map(|(heartbeat, _)| heartbeat.epoch)),
        certified_count: own.map(|e| e.certified).or(said(|h| h.certified_count)),
        log_size: own.map(|e| e.log.size).or(said(|h| h.log_size)),
        open_count: own.map(|e| e.open).or(said(|h| h.open_count)),
        can_sign: own
            .map(|e| e.can_sign)
            .or(can_sign)
            .map(|can| can.to_string()),
        can_sign_reason: own
            .map(|e| e.can_sign_reason.clone())
            .or(says(|h| &h.can_sign_reason)),
        divergences: own.map(|e| e.divergences).or(said(|h| h.divergences)),
        blueprint: says(|h| &h.blueprint),
        compliance_score: says(|h| &h.compliance_score),
        heartbeat_delay_ms: heard.as_ref().map(|(heartbeat, at)| {
            at.0.cast_signed()
                .saturating_sub(heartbeat.sent_at.0.cast_signed())
        }),
        round_trip_ms: peer.round_trip.map(|time| time.as_secs_f64() * 1000.0),
    })
}
