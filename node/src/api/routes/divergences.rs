//! `/v1/divergences`: decisions that this node's own registry contradicts.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use ssid_protocol::id::SubjectId;

use super::paging::Paging;
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{DivergenceView, Page};

/// In order of subject id.
pub(super) async fn list(
    State(state): State<ApiState>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Answer<Page<DivergenceView>> {
    let Query(paging) = paging?;
    let after = paging.before.as_ref().map(|text| text.parse::<SubjectId>());
    let after = after
        .transpose()
        .map_err(|e| Failure::bad_request(format!("before is no cursor: {e}")))?;
    let limit = paging.limit();
    let page = state.read(move |state| {
        let rows = state.known.store.divergences().filter(|row| {
            // what cannot be read is an error below
            row.as_ref()
                .map_or(true, |(id, _)| after.is_none_or(|after| *id > after))
        });
        // one more than asked for tells whether there is another page
        let rows = rows.take(limit + 1).collect::<Result<Vec<_>, _>>()?;
        let next = rows
            .get(limit)
            .and(limit.checked_sub(1))
            .and_then(|last| rows.get(last));
        let next = next.map(|(id, _)| id.to_string());
        let items = rows
            .into_iter()
            .take(limit)
            .map(|(id, row)| DivergenceView::of(id, &row))
            .collect();
        Ok(Page { items, next })
    });
    Ok(Json(page.await?))
}
