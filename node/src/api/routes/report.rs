//! `/v1/report`: the compliance report of a month.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::clock;
use crate::report::{ComplianceReport, Month, Sources};

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    month: Option<String>,
}

pub(super) async fn report(
    State(state): State<ApiState>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer<ComplianceReport> {
    let now = clock::now();
    let month = match &query?.month {
        Some(text) => Month::parse(text).map_err(Failure::bad_request)?,
        None => Month::of(now),
    };
    let read = move |state: &ApiState| {
        let epoch = state.known.epoch();
        let sources = Sources {
            store: &state.known.store,
            manifest: epoch.manifest(),
            node: state.known.node_id,
            trust: state.known.settings.trust,
            anonymize: state.known.settings.anonymize,
            started_at: state.known.started_at,
            last_seen: &|node| state.known.last_seen(node).ok().flatten(),
            now,
        };
        Ok(ComplianceReport::of(month, &sources)?)
    };
    state.read(read).await.map(Json)
}
