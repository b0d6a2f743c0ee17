//! `/v1/log`: the certified log's head and its proofs.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use ssid_protocol::batch::Statements;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{
    ConsistencyView, LogHeadView, Problem, ProofView, SIGNED_HEAD_FORMAT, SignedHeadView,
};

pub(super) async fn head(State(state): State<ApiState>) -> Json<LogHeadView> {
    Json(LogHeadView::from(state.known.store.log_head()))
}

/// The head as this node last signed it: at most some seconds old.
pub(super) async fn signed_head(State(state): State<ApiState>) -> Answer<SignedHeadView> {
    let signed = state.known.engine.status().borrow().heartbeat.clone();
    let none = || {
        let detail = "this node has not signed the head of its log yet";
        Failure::from(
            Problem::new(404, "not_found", "Not found", detail).hint("try again in some seconds"),
        )
    };
    let signed = signed.ok_or_else(none)?;
    let Statements::Heartbeat(heartbeat) = signed.statements() else {
        return Err(none());
    };
    Ok(Json(SignedHeadView {
        format: SIGNED_HEAD_FORMAT.to_owned(),
        federation_id: *state.known.epoch().federation(),
        node_id: signed.signer(),
        heartbeat: serde_json::from_str(&heartbeat.to_json().to_jcs())
            .map_err(Failure::internal)?,
        signature: signed.batch().signature,
    }))
}

/// Which event to prove, and in the log of which size; the present one if nothing is said.
#[derive(Debug, Deserialize)]
pub(super) struct Proven {
    hash: String,
    size: Option<u64>,
}

pub(super) async fn proof(
    State(state): State<ApiState>,
    query: Result<Query<Proven>, QueryRejection>,
) -> Answer<ProofView> {
    let Query(Proven { hash, size }) = query?;
    let view = state.read(move |state| {
        let found = state.find_event(&hash)?;
        let asked = found.choice.event_hash;
        let entry = state
            .known
            .certified(&found.subject_id)?
            .filter(|entry| entry.record.choice == found.choice);
        let entry = entry.ok_or_else(|| {
            let detail = format!("event {asked} is not in the certified log");
            let problem = Problem::new(404, "not_certified", "Not in the log", detail);
            Failure::from(problem.hint(format!(
                "see how far it is with: ssid consensus check {asked}"
            )))
        })?;
        let mut head = state.known.store.log_head();
        // of an older head, whoever has it signed can check this against it
        if let Some(size) = size.filter(|size| *size != head.size) {
            // an entry is in no log that ended before it
            if size > head.size || size <= entry.sequence {
                let detail = format!(
                    "size={size}: entry {} is in a log of {}",
                    entry.sequence, head.size
                );
                let problem = Problem::new(404, "not_certified", "Not in the log", detail);
                return Err(Failure::from(
                    problem.hint("a later signed head has it: ssid log head --signed"),
                ));
            }
            head.root = state.known.store.log_root(size)?.ok_or_else(lost)?;
            head.size = size;
        }
        Ok(ProofView {
            event_hash: asked,
            content_digest: found.choice.content_digest,
            subject_id: found.subject_id,
            sequence: entry.sequence,
            // with the head that was read first: entries that come meanwhile are not in it
            path: state
                .known
                .store
                .inclusion(entry.sequence, head.size)?
                .ok_or_else(lost)?,
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
        // read once: root and path have to be of one size
        let head = state.known.store.log_head();
        if from > head.size {
            return Err(Failure::bad_request(format!(
                "from={from}, but the log has {} events",
                head.size
            )));
        }
        Ok(ConsistencyView {
            from,
            from_root: state.known.store.log_root(from)?.ok_or_else(lost)?,
            path: state
                .known
                .store
                .consistency(from, head.size)?
                .ok_or_else(lost)?,
            head: head.into(),
        })
    });
    view.await.map(Json)
}

fn lost() -> Failure {
    Failure::internal(
        "the log's tree does not reach as far as its head; check it with: ssid consensus verify",
    )
}
