//! `/v1/telemetry`: checks, and what waits to be delivered.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::telemetry::task::Request;
use crate::telemetry::view::{CheckView, EntryView};
use crate::view::{Page, Problem};

pub(super) async fn check(State(state): State<ApiState>) -> Answer<CheckView> {
    ask(&state, Request::Check)
        .await?
        .map(Json)
        .map_err(Failure::internal)
}

pub(super) async fn outbox(State(state): State<ApiState>) -> Answer<Page<EntryView>> {
    ask(&state, Request::Outbox)
        .await
        .map(Page::whole)
        .map(Json)
}

pub(super) async fn retry(State(state): State<ApiState>, Path(id): Path<u64>) -> Answer<Value> {
    found(id, ask(&state, |reply| Request::Retry(id, reply)).await?)
}

pub(super) async fn forget(State(state): State<ApiState>, Path(id): Path<u64>) -> Answer<Value> {
    found(id, ask(&state, |reply| Request::Drop(id, reply)).await?)
}

fn found(id: u64, is_there: bool) -> Answer<Value> {
    if is_there {
        return Ok(Json(json!({"id": id})));
    }
    Err(Failure::not_found(format!(
        "there is no notification {id} in the outbox, or it is being sent right now"
    )))
}

async fn ask<T>(
    state: &ApiState,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, Failure> {
    let none = || {
        let detail =
            "this node has no telemetry: there is no telemetry_config.json that it can use";
        let hint = "write one, check it with: ssid config check; then start the node again";
        Failure::from(Problem::new(404, "not_found", "Not found", detail).hint(hint))
    };
    let telemetry = state.telemetry.as_ref().ok_or_else(none)?;
    let (reply, answer) = oneshot::channel();
    telemetry.send(request(reply)).await.map_err(|_| none())?;
    answer.await.map_err(|_| none())
}
