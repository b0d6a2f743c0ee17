//! `GET /v1/events`, `/v1/events/{hash}` and `POST /v1/events/apply`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use ssid_engine::InstanceView;
use ssid_protocol::event::Event;
use ssid_protocol::record::ConsensusRecord;
use tokio::sync::oneshot;

use super::paging::Paging;
use super::search::{Filter, Wanted};
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::query::proof_anchor;
use crate::registry::task::ApplyRequest;
use crate::view::{AppliedView, EventState, EventView, Page, Problem, ReviewView};

/// Open events first, then certified ones, the latest first.
pub(super) async fn list(
    State(state): State<ApiState>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Answer<Page<EventView>> {
    let Query(filter) = filter?;
    let wanted = filter.wanted(&state)?;
    let Filter {
        state: stands,
        review,
        limit,
        before,
        ..
    } = filter;
    let paging = Paging { limit, before };
    let limit = paging.limit();
    let before = paging.before()?;
    let open = Open {
        stands,
        review,
        wanted: &wanted,
    };
    // of these there is one page: an operator answers them, and they get fewer
    if review {
        let items = if before.is_none() {
            open.events(&state, limit).await?
        } else {
            Vec::new()
        };
        return Ok(Json(Page::whole(items)));
    }
    let mut items = Vec::new();
    if before.is_none() && stands != Some(EventState::Certified) {
        items = open.events(&state, limit).await?;
    }
    // what is open has no place in the log: it stands on the first page only
    let left = limit - items.len();
    // full of open ones: the page after it begins at the log's end
    if !matches!(stands, None | Some(EventState::Certified)) || left == 0 {
        let next =
            (left == 0 && stands.is_none()).then(|| state.known.store.log_head().size.to_string());
        return Ok(Json(Page { items, next }));
    }
    let (certified, next) = state
        .read(move |state| certified_events(state, &wanted, left, before))
        .await?;
    items.extend(certified);
    Ok(Json(Page { items, next }))
}

/// Which of the events that are being voted on.
struct Open<'a> {
    stands: Option<EventState>,
    review: bool,
    wanted: &'a Wanted,
}

impl Open<'_> {
    async fn events(&self, state: &ApiState, limit: usize) -> Result<Vec<EventView>, Failure> {
        let mut items = Vec::new();
        let mut after = None;
        let is_it = |view: &EventView| {
            self.stands.is_none_or(|stands| stands == view.state)
                && self.wanted.has(&view.event)
                && self.wanted.is_by(view.announced_by)
        };
        loop {
            let page = state.known.engine.instances(after, limit).await?;
            after = page.last().map(|open| open.subject_id);
            let is_last = page.len() < limit;
            for open in page
                .into_iter()
                .filter(|open| !self.review || open.awaiting_review)
            {
                items.extend(candidates(open).into_iter().filter(is_it));
            }
            if is_last || items.len() >= limit {
                items.truncate(limit);
                return Ok(items);
            }
        }
    }
}

fn candidates(open: InstanceView) -> Vec<EventView> {
    let stands = if open.in_conflict {
        EventState::Conflict
    } else {
        EventState::Open
    };
    let review = open.review.map(ReviewView::from);
    let view = |candidate: ssid_engine::CandidateView| {
        let event = candidate.event?;
        Some(EventView {
            event_hash: candidate.choice.event_hash,
            content_digest: candidate.choice.content_digest,
            proof_anchor: proof_anchor(&event),
            event,
            subject_id: open.subject_id,
            state: stands,
            sequence: None,
            announced_by: candidate.announced_by,
            review: review.clone(),
        })
    };
    open.candidates.into_iter().filter_map(view).collect()
}

/// A page of certified events and the cursor of the next.
fn certified_events(
    state: &ApiState,
    wanted: &Wanted,
    limit: usize,
    before: Option<u64>,
) -> Result<(Vec<EventView>, Option<String>), Failure> {
    let (found, next) = wanted.records(state, limit, before)?;
    let view = |(sequence, record, event): (u64, ConsensusRecord, Event)| EventView {
        event_hash: record.choice.event_hash,
        content_digest: record.choice.content_digest,
        proof_anchor: proof_anchor(&event),
        event,
        subject_id: record.subject_id,
        state: EventState::Certified,
        sequence: Some(sequence),
        announced_by: None,
        review: None,
    };
    Ok((
        found.into_iter().map(view).collect(),
        next.map(|sequence| sequence.to_string()),
    ))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
) -> Answer<EventView> {
    let found = state.read(move |state| {
        let found = state.find_event(&hash)?;
        let choice = found.choice;
        Ok((choice, state.known.event_view(found)?))
    });
    let (choice, mut view) = found.await?;
    if matches!(view.state, EventState::Open | EventState::Conflict)
        && let Some(open) = state.known.engine.instance(view.subject_id).await?
    {
        let candidate = open
            .candidates
            .iter()
            .find(|candidate| candidate.choice == choice);
        view.announced_by = candidate.and_then(|candidate| candidate.announced_by);
        view.review = open.review.map(ReviewView::from);
    }
    Ok(Json(view))
}

/// Writes every certified event to the registry's own log.
pub(super) async fn apply(State(state): State<ApiState>) -> Answer<AppliedView> {
    let Some(applier) = &state.applier else {
        let problem = Problem::new(
            409,
            "no_registry",
            "No registry",
            "this node serves no registry",
        );
        return Err(Failure::from(
            problem.hint("start it with: ssid run --repo DIR"),
        ));
    };
    // the task that owns the file appends: two writers would tear each other's lines
    let (reply, answer) = oneshot::channel();
    let stopped = || {
        Failure::from(Problem::new(
            503,
            "stopped",
            "The node is stopping",
            "the registry's writer has stopped",
        ))
    };
    applier
        .send(ApplyRequest { reply })
        .await
        .map_err(|_| stopped())?;
    match answer.await {
        Ok(Ok(done)) => Ok(Json(done)),
        Ok(Err(reason)) => Err(Failure::from(Problem::new(
            500,
            "apply",
            "The registry could not be written",
            reason,
        ))),
        Err(_) => Err(stopped()),
    }
}
