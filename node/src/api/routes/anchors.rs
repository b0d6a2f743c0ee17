//! `/v1/anchors`: what is anchored on IPFS, and a session now.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use ssid_engine::outbox::ANCHOR;
use ssid_protocol::id::UnixMillis;
use tokio::sync::oneshot;

use super::paging::Paging;
use crate::anchor::task::{AnchorHandle, AnchorRequest};
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{AnchorSession, AnchorView, AnchorsView, Problem};

/// Outbox rows that are counted; more are as many.
const COUNTED: usize = 10_000;

pub(super) async fn list(
    State(state): State<ApiState>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Answer<AnchorsView> {
    let Query(paging) = paging?;
    let limit = paging.limit();
    let seen = paging.before()?.unwrap_or_default();
    let seen = usize::try_from(seen).unwrap_or(usize::MAX);
    state
        .read(move |state| anchors(state, limit, seen))
        .await
        .map(Json)
}

/// A page of what is anchored, after so many that the caller has seen.
fn anchors(state: &ApiState, limit: usize, seen: usize) -> Result<AnchorsView, Failure> {
    let mut rows = state.known.store.anchors().collect::<Result<Vec<_>, _>>()?;
    let total = rows.len() as u64;
    // the latest first; the name so that pages do not overlap where many have one time
    rows.sort_by(|(_, a), (_, b)| b.at.cmp(&a.at).then_with(|| a.name.cmp(&b.name)));
    let until = seen.saturating_add(limit);
    let next = (until < rows.len()).then(|| until.to_string());
    let rows = rows.into_iter().skip(seen).take(limit);
    let view = |(sha256, row): (_, ssid_storage::AnchorRow)| AnchorView {
        name: row.name,
        sha256,
        cid: row.cid,
        at: row.at.iso(),
        services: row.services,
    };
    let doing = state
        .anchors
        .as_ref()
        .map(|handle| handle.state.borrow().clone())
        .unwrap_or_default();
    Ok(AnchorsView {
        items: rows.map(view).collect(),
        next,
        total,
        // counted no further: that many wait is enough to know
        waiting: state.known.store.outbox(ANCHOR, COUNTED)?.len() as u64,
        running: doing.running,
        problem: doing.problem,
        next_try_at: doing.next_try_at.map(UnixMillis::iso),
    })
}

/// Anchors what the registry's log calls for, and what waits.
pub(super) async fn run(State(state): State<ApiState>) -> Answer<AnchorSession> {
    let unable = |detail: String| {
        // its second line is what to do next
        let (detail, hint) = detail
            .split_once("\n  ")
            .map_or((detail.as_str(), None), |(a, b)| (a, Some(b)));
        let problem = Problem::new(409, "not_anchored", "Nothing was anchored", detail);
        Failure::from(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    };
    let Some(AnchorHandle { requests, .. }) = &state.anchors else {
        return Err(unable("this node anchors nothing".to_owned()));
    };
    let (reply, answer) = oneshot::channel();
    let stopping = |_| {
        Failure::from(Problem::new(
            503,
            "stopped",
            "The node is stopping",
            "anchoring has stopped",
        ))
    };
    // asked of the task, which runs one session at a time: two would upload everything twice
    requests
        .send(AnchorRequest { reply })
        .await
        .map_err(|e| stopping(e.to_string()))?;
    let session = answer.await.map_err(|e| stopping(e.to_string()))?;
    session.map(Json).map_err(unable)
}
