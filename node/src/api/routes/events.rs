//! `GET /v1/events`, `/v1/events/{hash}` and `POST /v1/events/apply`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use ssid_engine::InstanceView;
use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;
use ssid_protocol::record::ConsensusRecord;
use tokio::sync::oneshot;

use super::paging::Paging;
use super::search::{Filter, Wanted};
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::query::proof_anchor;
use crate::registry::task::ApplyRequest;
use crate::view::{AppliedView, EventState, EventView, Page, Problem, ReviewView};

/// Where a page begins.
enum Cursor {
    /// Behind the candidates of this open subject.
    Open(SubjectId),
    /// At certified events before this place in the log.
    Certified(u64),
}

impl Cursor {
    const OPEN: &str = "open-";

    fn of(paging: &Paging) -> Result<Option<Self>, Failure> {
        let open = paging
            .before
            .as_deref()
            .and_then(|text| text.strip_prefix(Self::OPEN)?.parse().ok());
        match open {
            Some(subject) => Ok(Some(Self::Open(subject))),
            None => Ok(paging.before()?.map(Self::Certified)),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Open(subject) => format!("{}{subject}", Self::OPEN),
            Self::Certified(sequence) => sequence.to_string(),
        }
    }
}

/// Open events first, in order of subject, then certified ones, the latest first. The candidates of
/// one subject stand on one page, which is longer than asked for only if they alone are.
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
    let (open_after, before) = match Cursor::of(&paging)? {
        None => (Some(None), None),
        Some(Cursor::Open(subject)) => (Some(Some(subject)), None),
        // what is open has no place in the log: it stands before all that has
        Some(Cursor::Certified(sequence)) => (None, Some(sequence)),
    };
    let open = Open {
        stands,
        review,
        wanted: &wanted,
    };
    let mut items = Vec::new();
    if let Some(after) = open_after
        && (review || stands != Some(EventState::Certified))
    {
        let next;
        (items, next) = open.page(&state, after, limit).await?;
        if let Some(subject) = next {
            let next = Some(Cursor::Open(subject).text());
            return Ok(Json(Page { items, next }));
        }
    }
    if review || !matches!(stands, None | Some(EventState::Certified)) {
        return Ok(Json(Page::whole(items)));
    }
    // more than the limit only where one subject has more candidates
    let left = limit.saturating_sub(items.len());
    if left == 0 {
        let end = state.known.store.log_head().size;
        let next = Some(Cursor::Certified(end).text());
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
    /// Those behind a subject, and behind which one there may be more.
    async fn page(
        &self,
        state: &ApiState,
        mut after: Option<SubjectId>,
        limit: usize,
    ) -> Result<(Vec<EventView>, Option<SubjectId>), Failure> {
        let mut items = Vec::new();
        let is_it = |view: &EventView| {
            self.stands.is_none_or(|stands| stands == view.state)
                && self.wanted.has(&view.event)
                && self.wanted.is_by(view.announced_by)
        };
        loop {
            let page = state.known.engine.instances(after, limit).await?;
            let is_last = page.len() < limit;
            for open in page {
                let subject = open.subject_id;
                if !self.review || open.awaiting_review {
                    let found: Vec<_> = candidates(open).into_iter().filter(is_it).collect();
                    if !items.is_empty() && items.len() + found.len() > limit {
                        return Ok((items, after));
                    }
                    items.extend(found);
                }
                after = Some(subject);
            }
            if is_last {
                return Ok((items, None));
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
        next.map(|sequence| Cursor::Certified(sequence).text()),
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
