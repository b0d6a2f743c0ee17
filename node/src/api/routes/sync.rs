//! `/v1/sync`: how syncs stand, and one now.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::engine::EngineError;
use crate::git::SyncTransport;
use crate::legacy::plain::{PlainSyncReport, Skipped};
use crate::view::{SyncOutcome, SyncState};

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    /// Whether a recent sync is no reason against one.
    force: bool,
    /// By which transport.
    transport: SyncTransport,
}

pub(super) async fn show(State(state): State<ApiState>) -> Answer<SyncState> {
    Ok(Json((*state.known.git.state()).clone()))
}

/// Answers when the sync has ended.
pub(super) async fn start(
    State(state): State<ApiState>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Answer<SyncOutcome> {
    let Query(wish) = wish?;
    let synced = async {
        let mut outcome = state.known.git.sync(wish.force, wish.transport).await?;
        // not done: too soon, or there is no member's branch to fetch, which is no reason against
        // plain logs
        let is_too_soon =
            !outcome.done && (outcome.state.uses_git || wish.transport != SyncTransport::Git);
        if wish.transport != SyncTransport::Live && !is_too_soon {
            add_plain(&state, &mut outcome).await;
        }
        Some(outcome)
    };
    synced
        .await
        .map(Json)
        .ok_or_else(|| Failure::from(EngineError::Stopped))
}

/// The logs of members without a key, if there are any.
async fn add_plain(state: &ApiState, outcome: &mut SyncOutcome) {
    let Some(plain) = &state.plain else { return };
    match plain.sync(true).await {
        Ok(PlainSyncReport {
            skipped: Some(Skipped::NoNodes | Skipped::NotEnabled),
            ..
        }) => {}
        Ok(report) => {
            outcome.done |= report.skipped.is_none();
            outcome.plain = Some(report);
        }
        Err(error) => outcome
            .remarks
            .push(format!("members without a key: {error}")),
    }
}
