//! `/v1/status`, `/healthz`, `/readyz`, `/metrics`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::time::timeout;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{ReadyView, StatusView};

/// How long the engine is asked for its state of now; past that its latest is shown, so that a busy
/// node says so.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was certified for a caller is in the status that the same caller asks for next.
pub(super) async fn status(State(state): State<ApiState>) -> Answer<StatusView> {
    let current = timeout(PATIENCE, state.known.engine.current_status()).await;
    let engine = current
        .ok()
        .and_then(Result::ok)
        .map_or_else(|| state.known.engine.status().borrow().clone(), Arc::new);
    Ok(Json(state.known.status_of(&engine)))
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
    let engine = state.known.engine.status().borrow().clone();
    let mut reasons = state.known.own_reasons(&engine);
    if asked.federation {
        reasons.extend(state.known.no_quorum(&engine));
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
