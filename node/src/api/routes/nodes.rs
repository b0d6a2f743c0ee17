//! `/v1/nodes`: the members.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::clock;
use crate::legacy::PlainHandle;
use crate::legacy::plain::{allows_unsigned, observations};
use crate::view::{NodeView, ObservedNodeView, Page};

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Page<NodeView>> {
    let all = state.read(|state| Ok(state.known.nodes()?)).await?;
    Ok(Json(Page::whole(all)))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Answer<NodeView> {
    state
        .read(move |state| Ok(state.known.node(&state.find_member(&id)?)?))
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
    // in the manifest, because the task that reads their logs keeps nothing else
    let mut said = manifest.as_ref().map(observations).unwrap_or_default();
    let has_keys = true;
    let is_allowed = allows_unsigned(&places.settings, has_keys);
    let view = |member: crate::legacy::plain::PlainMember| {
        let is_read = is_allowed && member.node.is_active();
        let node = member.node;
        ObservedNodeView {
            observation: said.remove(&node.node_id),
            // an address may hold a password, and the API may be read by others on this machine
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
