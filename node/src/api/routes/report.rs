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
        let epoch = state.epoch();
        let sources = Sources {
            store: &state.store,
            manifest: epoch.manifest(),
            node: state.node_id,
            trust: state.settings.trust,
            anonymize: state.settings.anonymize,
            started_at: state.started_at,
            last_seen: &|node| state.last_seen(node).ok().flatten(),
            now,
        };
        Ok(ComplianceReport::of(month, &sources)?)
    };
    state.read(read).await.map(Json)
}
