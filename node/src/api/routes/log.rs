//! `/v1/log`: the certified log's head and its proofs.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::view::{ConsistencyView, LogHeadView, Problem, ProofView};

pub(super) async fn head(State(state): State<ApiState>) -> Json<LogHeadView> {
    Json(LogHeadView::from(state.store.log_head()))
}

/// Which event to prove.
#[derive(Debug, Deserialize)]
pub(super) struct Proven {
    hash: String,
}

pub(super) async fn proof(
    State(state): State<ApiState>,
    query: Result<Query<Proven>, QueryRejection>,
) -> Answer<ProofView> {
    let Query(Proven { hash }) = query?;
    let view = state.read(move |state| {
        let found = state.find_event(&hash)?;
        let asked = found.choice.event_hash;
        let entry = state.certified(&found.subject_id)?.filter(|entry| entry.record.choice == found.choice);
        let entry = entry.ok_or_else(|| {
            let detail = format!("event {asked} is not in the certified log");
            let problem = Problem::new(404, "not_certified", "Not in the log", detail);
            Failure::from(problem.hint(format!("see how far it is with: ssid consensus check {asked}")))
        })?;
        let head = state.store.log_head();
        Ok(ProofView {
            event_hash: asked,
            content_digest: found.choice.content_digest,
            subject_id: found.subject_id,
            sequence: entry.sequence,
            path: state.store.inclusion(entry.sequence, head.size)?.ok_or_else(lost)?,
            head: head.into(),
        })
    });
    view.await.map(Json)
}

/// Since which size.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    from: u64,
}

pub(super) async fn consistency(
    State(state): State<ApiState>,
    query: Result<Query<Since>, QueryRejection>,
) -> Answer<ConsistencyView> {
    let Query(Since { from }) = query?;
    let view = state.read(move |state| {
        let head = state.store.log_head();
        if from > head.size {
            return Err(Failure::bad_request(format!("from={from}, but the log has {} events", head.size)));
        }
        Ok(ConsistencyView {
            from,
            from_root: state.store.log_root(from)?.ok_or_else(lost)?,
            path: state.store.consistency(from, head.size)?.ok_or_else(lost)?,
            head: head.into(),
        })
    });
    view.await.map(Json)
}

fn lost() -> Failure {
    Failure::internal("the log's tree does not reach as far as its head; check it with: ssid consensus verify")
}
