//! `/v1/sync`: how syncs stand, and one now.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::view::{SyncOutcome, SyncState};
use crate::engine::EngineError;
use crate::git::SyncRoad;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    /// Whether a recent sync is no reason against one.
    force: bool,
    /// By which road.
    transport: SyncRoad,
}

pub(super) async fn show(State(state): State<ApiState>) -> Answer<SyncState> {
    Ok(Json((*state.git.state()).clone()))
}

/// Answers when the sync has ended.
pub(super) async fn start(State(state): State<ApiState>, Query(wish): Query<Wish>) -> Answer<SyncOutcome> {
    let outcome = state.git.sync(wish.force, wish.transport).await;
    outcome.map(Json).ok_or_else(|| Failure::from(EngineError::Stopped))
}
