//! `POST /v1/events/import`: a registry log as found in the wild, read and offered in one go.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ssid_engine::EmitOutcome;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, SubjectId};
use ssid_protocol::timeliness::{Untimely, untimely};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::emit::{Wait, open_subject};
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::wait::{Ended, Waiter};
use crate::clock;
use crate::registry::parse::{ParsedLog, Position, parse};
use crate::view::{ImportView, LineNote};

/// Events offered to the engine at once.
const CHUNK: usize = 2048;
/// Remarks an answer carries; past that only the counts go on.
const NOTES: usize = 200;
/// How long an import goes on offering while the engine, at a limit, takes nothing.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(100);
/// Imports at once: each holds its whole file.
static IMPORTS: Semaphore = Semaphore::const_new(1);

/// Lets one import through at a time, from before its body is read.
pub(super) async fn alone(request: Request, next: Next) -> Response {
    match IMPORTS.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Failure::busy("imports", "another import is under way").into_response(),
    }
}

/// Reads the body as a registry log, offers its events, and says what became of each kind.
pub(super) async fn import(
    State(state): State<ApiState>,
    wait: Result<Query<Wait>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ImportView> {
    let deadline = wait?.deadline()?;
    let body = body?;
    // parsing a log of megabytes would hold up whoever else is answered by this thread
    let (log, mut view) = tokio::task::spawn_blocking(move || read(&body))
        .await
        .map_err(Failure::internal)?;
    // before the first offer: what is decided meanwhile is heard
    let waiter = Waiter::new(&state);
    let mut pending = HashMap::new();
    let mut entries = log
        .entries
        .into_iter()
        .map(|entry| (entry.event, entry.first_line, entry.last_line))
        .peekable();
    // in parts: the engine's tick must not grow with the file
    while entries.peek().is_some() {
        let (events, lines): (Vec<_>, Vec<_>) = entries
            .by_ref()
            .take(CHUNK)
            .map(|(event, first, last)| (event, (first, last)))
            .unzip();
        offer(&state, events, &lines, &mut view, &mut pending).await?;
    }
    if let Some(deadline) = deadline {
        let subjects: HashSet<_> = pending.keys().copied().collect();
        let ended = waiter.until_decided(&state, subjects, deadline).await?;
        count_ended(&state, &mut view, &pending, &ended)?;
    }
    Ok(Json(view))
}

fn read(body: &[u8]) -> (ParsedLog, ImportView) {
    let log = parse(body, Position::START);
    let mut view = ImportView {
        events: log.entries.len() as u64,
        ..ImportView::default()
    };
    for skipped in &log.skipped {
        view.skipped += 1;
        note(
            &mut view,
            (skipped.first_line, skipped.last_line),
            skipped.reason.to_string(),
        );
    }
    if let Some(tail) = &log.incomplete {
        // only here: lines are counted in the rare case that the end is missing
        let lines = |end: u64| {
            let end = usize::try_from(end).unwrap_or(usize::MAX).min(body.len());
            1 + body[..end].split(|byte| *byte == b'\n').skip(1).count() as u64
        };
        view.skipped += 1;
        note(
            &mut view,
            (lines(tail.start), lines(tail.end)),
            "the file ends in the middle of this".to_owned(),
        );
    }
    (log, view)
}

fn note(view: &mut ImportView, (line, last_line): (u64, u64), reason: String) {
    if view.notes.len() < NOTES {
        view.notes.push(LineNote {
            line,
            last_line,
            reason,
        });
    }
}

/// Offers one chunk, again and again what is refused by a limit, as long as anything is taken now
/// and then.
async fn offer(
    state: &ApiState,
    mut events: Vec<Event>,
    lines: &[(u64, u64)],
    view: &mut ImportView,
    pending: &mut HashMap<SubjectId, Choice>,
) -> Result<(), Failure> {
    let mut lines = lines.to_vec();
    let mut give_up = Instant::now() + PATIENCE;
    // asked only for those that open a vote: what is known already may be as old as it likes
    let max_age = Duration::from_hours(24 * state.known.settings.max_event_age_days);
    let now = clock::now();
    loop {
        // in their order: of several of one subject the first counts
        let outcomes = state.known.engine.emit(events.clone()).await?;
        let offered = events.len();
        let mut again = (Vec::new(), Vec::new());
        let may_retry = Instant::now() < give_up;
        // the limit may be full for hours: then the rest is reported as refused
        for ((event, line), outcome) in events.into_iter().zip(lines).zip(outcomes) {
            match outcome {
                EmitOutcome::Refused { retry: true, .. } if may_retry => {
                    again.0.push(event);
                    again.1.push(line);
                }
                outcome => {
                    let timing =
                        open_subject(&outcome).and_then(|_| untimely(&event, now, max_age));
                    view.old += u64::from(timing == Some(Untimely::Old));
                    view.ahead += u64::from(timing == Some(Untimely::Ahead));
                    let repeats = match &outcome {
                        EmitOutcome::Certified { certified, .. } => {
                            state.known.records_the_same(certified, &event)?
                        }
                        _ => false,
                    };
                    count(view, pending, repeats, line, outcome);
                }
            }
        }
        if again.0.is_empty() {
            return Ok(());
        }
        // something went through: others decide, and it is worth waiting
        if again.0.len() < offered {
            give_up = Instant::now() + PATIENCE;
        }
        (events, lines) = again;
        sleep(PAUSE).await;
    }
}

fn count(
    view: &mut ImportView,
    pending: &mut HashMap<SubjectId, Choice>,
    repeats: bool,
    line: (u64, u64),
    outcome: EmitOutcome,
) {
    match outcome {
        EmitOutcome::Accepted { subject_id, choice } => {
            pending.insert(subject_id, choice);
            view.accepted += 1;
        }
        EmitOutcome::Kept {
            subject_id,
            choice,
            reason,
        } => {
            pending.insert(subject_id, choice);
            view.accepted += 1;
            note(
                view,
                line,
                format!("it is kept and sent once this node may sign: {reason}"),
            );
        }
        EmitOutcome::Known { subject_id, choice } => {
            pending.insert(subject_id, choice);
            view.known += 1;
        }
        EmitOutcome::Certified { .. } if repeats => view.certified += 1,
        EmitOutcome::Certified { certified, .. } => {
            view.certified_differently += 1;
            note(
                view,
                line,
                format!(
                    "its subject is certified for event {}",
                    certified.event_hash
                ),
            );
        }
        EmitOutcome::Refused { reason, .. } => {
            view.refused += 1;
            note(view, line, reason);
        }
    }
}

fn count_ended(
    state: &ApiState,
    view: &mut ImportView,
    pending: &HashMap<SubjectId, Choice>,
    ended: &HashMap<SubjectId, Ended>,
) -> Result<(), Failure> {
    for (subject, choice) in pending {
        match ended.get(subject) {
            Some(Ended::Certified(certified)) if certified == choice => view.now_certified += 1,
            Some(Ended::Certified(certified)) => {
                let offered = state.known.event_of(choice)?;
                let repeats = offered
                    .map(|event| state.known.records_the_same(certified, &event))
                    .transpose()?;
                match repeats {
                    Some(true) => view.now_certified += 1,
                    _ => view.now_certified_differently += 1,
                }
            }
            Some(Ended::Conflict) => view.now_in_conflict += 1,
            None => view.still_open += 1,
        }
    }
    Ok(())
}
