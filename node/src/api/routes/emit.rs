//! `POST /v1/events`: events offered by people and programs.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use ssid_engine::EmitOutcome;
use ssid_protocol::event::Event;
use ssid_protocol::id::{SubjectId, UnixMillis};
use ssid_protocol::timeliness::untimely;
use tokio::time::Instant;

use super::count::has_more_than;
use crate::api::error::Failure;
use crate::api::wait::{Ended, Waiter};
use crate::api::{ApiState, EventDefaults};
use crate::clock;
use crate::engine::EMIT_EVENTS;
use crate::view::{EmitView, EventDraft, EventState, FieldDifference, Page, Problem};

/// How long a caller waits who does not say.
const WAIT_SECONDS: u64 = 30;
/// Longest time that a caller may wait, in seconds.
const WAIT_SECONDS_MAX: u64 = 3500;

/// JSON values of an event: itself, and names and values of nine fields, with some room.
const EVENT_VALUES: usize = 32;

/// Whether, and how long, to wait.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wait {
    wait: Option<String>,
    timeout_seconds: Option<u64>,
}

impl Wait {
    /// Until when to wait, if at all.
    pub(super) fn deadline(&self) -> Result<Option<Instant>, Failure> {
        match self.wait.as_deref() {
            None => Ok(None),
            Some("certified") => {
                let seconds = self
                    .timeout_seconds
                    .unwrap_or(WAIT_SECONDS)
                    .min(WAIT_SECONDS_MAX);
                Ok(Some(Instant::now() + Duration::from_secs(seconds)))
            }
            Some(_) => Err(Failure::bad_request("wait takes one value: certified")),
        }
    }
}

/// One event: its outcome, or a problem if it was refused. Several: an outcome for each, in order.
pub(super) async fn emit(
    State(state): State<ApiState>,
    wait: Result<Query<Wait>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let deadline = wait?.deadline()?;
    let (drafts, is_single) = read_drafts(&body?)?;
    // all of them before any is offered: a slip in the third leaves nothing half done
    let mut events = Vec::with_capacity(drafts.len());
    for draft in drafts {
        events.push(complete(draft, &state.defaults, clock::now())?);
    }
    // its own problem, with field and rule; of several each outcome says it
    if let (true, [event]) = (is_single, &events[..]) {
        let epoch = state.known.engine.status().borrow().epoch;
        event
            .check_admissible(epoch)
            .map_err(|refusal| Failure::inadmissible(&refusal))?;
    }
    let mut views = offer(&state, events, deadline).await?;
    if !is_single {
        return Ok(Json(Page::whole(views)).into_response());
    }
    let Some(view) = views.pop() else {
        return Err(Failure::internal("no outcome for the event"));
    };
    if let EmitOutcome::Refused { reason, retry } = &view.outcome {
        return Err(Failure::refused(reason, *retry));
    }
    // accepted, and not decided yet: a client that waits asks again
    let status = if view.state == Some(EventState::Open) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(view)).into_response())
}

/// One object, an array of objects, or one object after another.
fn read_drafts(body: &[u8]) -> Result<(Vec<EventDraft>, bool), Failure> {
    let too_many = || {
        let problem = Problem::new(
            413,
            "too_large",
            "Too many events",
            format!("more than {EMIT_EVENTS} events"),
        );
        let limit = Some("emit_events".to_owned());
        Failure::from(Problem {
            limit,
            ..problem.hint("send them in parts, or import them as a log")
        })
    };
    // before a value is made of it: a few bytes of text may become some hundred of memory
    if has_more_than(EMIT_EVENTS * EVENT_VALUES, body) {
        return Err(too_many());
    }
    let mut drafts = Vec::new();
    let mut saw_array = false;
    // lines of objects, as the registry's log has them, are read as they are
    let body = serde_json::Deserializer::from_slice(body);
    for read in body.into_iter::<Drafts>() {
        match read.map_err(|e| malformed(drafts.len(), &e))? {
            Drafts::One(one) => drafts.push(*one),
            Drafts::Many(many) => {
                saw_array = true;
                drafts.extend(many);
            }
        }
        // the count above is of values and lets some more through
        if drafts.len() > EMIT_EVENTS {
            return Err(too_many());
        }
    }
    if drafts.is_empty() {
        return Err(Failure::bad_request("the body holds no event"));
    }
    let is_single = drafts.len() == 1 && !saw_array;
    Ok((drafts, is_single))
}

/// What is no JSON, or is and holds no event. `before` events were read.
fn malformed(before: usize, error: &serde_json::Error) -> Failure {
    if !error.is_data() {
        return Failure::bad_request(format!("the body is no JSON: {error}"));
    }
    let detail = error.to_string();
    let detail = if detail.starts_with("event ") {
        detail
    } else {
        format!("event {before}: {detail}")
    };
    let problem = Problem::new(422, "not_an_event", "Not an event", detail);
    Failure::from(problem.hint("needed are event, version and commit_hash; every value is text"))
}

/// One event or several, read as they stand: a key that is there twice is refused, and not read as
/// whichever comes last.
enum Drafts {
    One(Box<EventDraft>),
    Many(Vec<EventDraft>),
}

impl<'de> Deserialize<'de> for Drafts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // not `untagged`, which would say only that nothing fits, and not which field is wrong
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Drafts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event, or an array of events")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Drafts, A::Error> {
                let one = EventDraft::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Drafts::One(Box::new(one)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Drafts, A::Error> {
                let mut many = Vec::new();
                loop {
                    let place = many.len();
                    let next = items.next_element::<Drafts>();
                    match next.map_err(|e| A::Error::custom(format!("event {place}: {e}")))? {
                        Some(Drafts::One(draft)) => many.push(*draft),
                        // nor is an event the array of its values
                        Some(Drafts::Many(_)) => {
                            let what = format!("event {place}: an array in an array is no event");
                            return Err(A::Error::custom(what));
                        }
                        None => return Ok(Drafts::Many(many)),
                    }
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The event a draft means, with everything filled in.
fn complete(
    draft: EventDraft,
    defaults: &EventDefaults,
    now: UnixMillis,
) -> Result<Event, Failure> {
    let or = |value: Option<String>, default: &String| value.unwrap_or_else(|| default.clone());
    let event = Event {
        timestamp: draft
            .timestamp
            // whole seconds, as the scripts write them
            .unwrap_or_else(|| UnixMillis(now.0 / 1000 * 1000).iso()),
        event: draft.event,
        version: draft.version,
        commit_hash: draft.commit_hash,
        blueprint: or(draft.blueprint, &defaults.blueprint),
        root_24_lock: or(draft.root_24_lock, &defaults.root_24_lock),
        compliance_score: or(draft.compliance_score, &defaults.compliance_score),
        emitted_by: or(draft.emitted_by, &defaults.emitted_by),
    };
    // the file it was copied from may have another field changed: better refused than hashed anew
    match draft.event_hash {
        Some(stated) if stated != event.event_hash() => {
            let detail = format!(
                "the event_hash given is {stated}, the fields hash to {}",
                event.event_hash()
            );
            Err(Failure::from(Problem::new(
                422,
                "wrong_hash",
                "The event's hash is another",
                detail,
            )))
        }
        _ => Ok(event),
    }
}

/// Offers events to the engine; with a deadline, waits for their subjects.
async fn offer(
    state: &ApiState,
    events: Vec<Event>,
    deadline: Option<Instant>,
) -> Result<Vec<EmitView>, Failure> {
    let waiter = Waiter::new(state);
    let outcomes = state.known.engine.emit(events.clone()).await?;
    let pending: HashSet<_> = outcomes.iter().filter_map(open_subject).collect();
    let ended = match deadline {
        Some(deadline) => waiter.until_decided(state, pending, deadline).await?,
        None => HashMap::new(),
    };
    let views = state.read(move |state| {
        let view = |(event, outcome)| describe(state, event, outcome, &ended);
        events
            .into_iter()
            .zip(outcomes)
            .map(view)
            .collect::<Result<Vec<_>, _>>()
    });
    views.await
}

/// The subject of an outcome that leaves something to wait for.
pub(super) fn open_subject(outcome: &EmitOutcome) -> Option<SubjectId> {
    match outcome {
        EmitOutcome::Accepted { subject_id, .. }
        | EmitOutcome::Known { subject_id, .. }
        | EmitOutcome::Kept { subject_id, .. } => Some(*subject_id),
        EmitOutcome::Certified { .. } | EmitOutcome::Refused { .. } => None,
    }
}

fn describe(
    state: &ApiState,
    event: Event,
    outcome: EmitOutcome,
    ended: &HashMap<SubjectId, Ended>,
) -> Result<EmitView, Failure> {
    let choice = event.choice();
    // certified meanwhile, it says so by itself; else it is the open one that was named
    let subject = match &outcome {
        EmitOutcome::Certified { subject_id, .. } => Some(*subject_id),
        other => open_subject(other),
    };
    let certified = match &subject {
        Some(subject) => state.known.certified(subject)?,
        None => None,
    };
    let other = certified
        .as_ref()
        .map(|entry| entry.record.choice)
        .filter(|other| *other != choice);
    let other = match other {
        Some(other) => state.known.event_of(&other)?,
        None => None,
    };
    // recorded twice and the same fact: no difference that anybody has to do something about
    let repeats = other
        .as_ref()
        .is_some_and(|other| other.agrees_with(&event));
    let stands = subject.map(|subject| match &certified {
        Some(entry) if repeats || entry.record.choice == choice => EventState::Certified,
        Some(_) => EventState::Outvoted,
        None if ended.get(&subject) == Some(&Ended::Conflict) => EventState::Conflict,
        None => EventState::Open,
    });
    let max_age = Duration::from_hours(24 * state.known.settings.max_event_age_days);
    let untimely = stands
        .filter(|stands| matches!(stands, EventState::Open | EventState::Conflict))
        .and_then(|_| untimely(&event, clock::now(), max_age));
    Ok(EmitView {
        untimely,
        differences: other.map_or_else(Vec::new, |other| differences(&event, &other)),
        repeats,
        event,
        event_hash: choice.event_hash,
        content_digest: choice.content_digest,
        outcome,
        state: stands,
        record: certified.map(|entry| entry.view()),
    })
}

/// One field of an event.
type Part = fn(&Event) -> &String;

/// The fields in which two events of one subject differ.
fn differences(offered: &Event, certified: &Event) -> Vec<FieldDifference> {
    let fields: [(&str, Part); 6] = [
        ("commit_hash", |e| &e.commit_hash),
        ("blueprint", |e| &e.blueprint),
        ("timestamp", |e| &e.timestamp),
        ("root_24_lock", |e| &e.root_24_lock),
        ("compliance_score", |e| &e.compliance_score),
        ("emitted_by", |e| &e.emitted_by),
    ];
    let differing = fields
        .iter()
        .filter(|(_, field)| field(offered) != field(certified));
    let differing = differing.map(|(name, field)| FieldDifference {
        field: (*name).to_owned(),
        offered: field(offered).clone(),
        certified: field(certified).clone(),
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAFT: &str =
        r#"{"event":"blueprint_tagged","version":"v4.4.0","commit_hash":"3dd05d9"}"#;

    #[test]
    fn one_many_and_a_stream_are_read() {
        let read = |text: String| {
            read_drafts(text.as_bytes()).map(|(drafts, single)| (drafts.len(), single))
        };
        assert_eq!(read(DRAFT.into()).unwrap(), (1, true));
        assert_eq!(read(format!("[{DRAFT}]")).unwrap(), (1, false));
        assert_eq!(
            read(format!("{DRAFT}\n{DRAFT}\r\n[{DRAFT}]")).unwrap(),
            (3, false)
        );
        for bad in [
            "",
            "[",
            "7",
            "{}",
            r#"{"event":1}"#,
            &DRAFT.replace("version", "versions"),
            &DRAFT.replace('{', r#"{"event":"other","#),
            &format!("[[{DRAFT}]]"),
            r#"[["2026-11-30T00:00:00Z","a","1","abcdef1",null,null,null,null,null]]"#,
            &format!("[{}]", DRAFT.replace('}', r#","version":"v1"}"#)),
        ] {
            assert!(read(bad.into()).is_err(), "{bad}");
        }
        let twice = format!("[{DRAFT},{}]", DRAFT.replace('}', r#","version":"v1"}"#));
        let refused = read(twice).unwrap_err().0;
        assert_eq!((refused.status, refused.limit.as_deref()), (422, None));
        assert!(
            refused
                .detail
                .starts_with("event 1: duplicate field `version`"),
            "{}",
            refused.detail
        );
        let many = format!("[{}{DRAFT}]", format!("{DRAFT},").repeat(EMIT_EVENTS));
        assert_eq!(
            read(many).unwrap_err().0.limit.as_deref(),
            Some("emit_events")
        );
    }

    #[test]
    fn what_is_left_out_is_filled_in_and_a_stated_hash_is_checked() {
        let draft = || serde_json::from_str::<EventDraft>(DRAFT).unwrap();
        let event = complete(
            draft(),
            &EventDefaults::default(),
            UnixMillis(1_760_212_800_999),
        )
        .unwrap();
        assert_eq!(
            (event.timestamp.as_str(), event.blueprint.as_str()),
            ("2025-10-11T20:00:00Z", "v4.4")
        );
        assert!(
            event
                .check_admissible(ssid_protocol::id::Epoch::ZERO)
                .is_ok()
        );
        let stated = |hash| EventDraft {
            event_hash: Some(hash),
            timestamp: Some(event.timestamp.clone()),
            ..draft()
        };
        assert!(
            complete(
                stated(event.event_hash()),
                &EventDefaults::default(),
                UnixMillis(0)
            )
            .is_ok()
        );
        let wrong = ssid_protocol::id::EventHash([0; 32]);
        assert_eq!(
            complete(stated(wrong), &EventDefaults::default(), UnixMillis(0))
                .unwrap_err()
                .0
                .status,
            422
        );
    }
}
