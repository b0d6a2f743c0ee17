//! `/v1/consensus`, `/v1/certificates` and `/v1/conflicts`: what was decided, its proof, and what
//! was not.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use ssid_engine::InstanceView;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Round, SubjectId};
use ssid_protocol::record::Resolution;
use ssid_protocol::vote::Phase;

use super::paging::Paging;
use super::search;
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::lookup::beginning;
use crate::api::names::{Named, resolve};
use crate::view::{ConflictView, ConsensusCheck, Page, Problem, RecordView, by_event};

/// Conflicts that one request looks at.
pub(in crate::api) const LOOKED_AT: usize = 2000;

/// The latest records first.
pub(super) async fn history(
    State(state): State<ApiState>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Answer<Page<RecordView>> {
    let Query(paging) = paging?;
    let limit = paging.limit();
    let before = paging.before()?;
    let records = state
        .read(move |state| Ok(state.known.store.records_latest(limit, before)?))
        .await?;
    let next = records
        .last()
        .map(|(sequence, _)| *sequence)
        .filter(|last| *last > 0 && records.len() == limit);
    let items = records
        .iter()
        .map(|(sequence, record)| RecordView::of(record, *sequence))
        .collect();
    Ok(Json(Page {
        items,
        next: next.map(|sequence| sequence.to_string()),
    }))
}

/// How the subject of an event was decided, or how far it is.
pub(super) async fn check(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
) -> Answer<ConsensusCheck> {
    let found = state.read(move |state| {
        let found = state.find_event(&hash)?;
        let certified = state.known.certified(&found.subject_id)?;
        Ok((found, certified))
    });
    let (found, certified) = found.await?;
    if let Some(entry) = certified {
        let certified_as_asked = entry.record.choice == found.choice;
        return Ok(Json(ConsensusCheck {
            record: entry.view(),
            certified_as_asked,
            open: None,
        }));
    }
    let Some(open) = state.known.engine.instance(found.subject_id).await? else {
        return Err(Failure::not_found(format!(
            "event {} is known, but not being voted on",
            found.choice.event_hash
        )));
    };
    let record = open_record(&state, &open, found.choice, &found.event);
    let open = with_decisions(&state, open).await?;
    Ok(Json(ConsensusCheck {
        record,
        certified_as_asked: false,
        open: Some(open),
    }))
}

/// The record of a subject that is not decided, seen from one of its events.
fn open_record(state: &ApiState, open: &InstanceView, asked: Choice, event: &Event) -> RecordView {
    // round 0 only: later votes follow the others and say nothing of a registry
    let first = |v: &&ssid_engine::VoteView| v.round == Round::ZERO && v.phase == Phase::Prevote;
    let prevotes = |observed: bool| -> BTreeMap<_, _> {
        let prevotes = open
            .votes
            .iter()
            .filter(first)
            .filter(|vote| vote.observed == observed);
        prevotes
            .filter_map(|vote| Some((vote.node, vote.choice?)))
            .collect()
    };
    let observed = prevotes(true);
    let endorsed = prevotes(false);
    let said: Vec<_> = observed.keys().chain(endorsed.keys()).copied().collect();
    let epoch = state.known.epoch();
    let voters = epoch.voters().iter().map(|(_, voter)| voter.key.id());
    let of = |choice| {
        open.candidates
            .iter()
            .find(|c| c.choice == choice)
            .and_then(|c| c.event.as_ref())
    };
    // of the same fact recorded twice; of an event that is not known only its choice can tell
    let agrees =
        |choice| choice == asked || of(choice).is_some_and(|other| other.agrees_with(event));
    let disagreeing: Vec<_> = observed
        .iter()
        .filter(|(_, choice)| !agrees(**choice))
        .map(|(node, _)| *node)
        .collect();
    // nobody observed it: 0 and not a division by nothing
    let share = (observed.len() - disagreeing.len()) as f64 / observed.len().max(1) as f64;
    let resolution = if open.in_conflict {
        Resolution::Failed
    } else {
        Resolution::InsufficientNodes
    };
    RecordView {
        event_hash: asked.event_hash,
        event_type: event.event.clone(),
        event_version: event.version.clone(),
        initiated_at: open.since.iso(),
        // computed anew: of an open subject no record is kept, as it may change with each vote
        completed_at: None,
        silent_nodes: voters.filter(|node| !said.contains(node)).collect(),
        participating_nodes: said,
        node_hashes: by_event(&observed),
        endorsing_nodes: by_event(&endorsed),
        consensus_hash: None,
        agreement_percentage: (share * 10_000.0).floor() / 100.0,
        consensus_achieved: false,
        disagreeing_nodes: disagreeing,
        found_later: None,
        resolution: resolution.to_string(),
        subject_id: open.subject_id,
        epoch: open.epoch,
        round: open.round,
        eligible_nodes: u32::try_from(epoch.voters().len()).unwrap_or(u32::MAX),
        quorum: epoch.voters().quorum(),
        transport: "live".to_owned(),
        content_digest: None,
        sequence: None,
    }
}

/// The certificate of an event's subject, in the form that is verified offline.
pub(super) async fn certificate(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let text = state.read(move |state| {
        let found = state.find_event(&hash)?;
        let asked = found.choice.event_hash;
        let Some(entry) = state.known.certified(&found.subject_id)? else {
            let detail = format!("event {asked} is not certified");
            let problem = Problem::new(404, "not_certified", "There is no certificate", detail);
            return Err(Failure::from(problem.hint(format!(
                "see how far it is with: ssid consensus check {asked}"
            ))));
        };
        // a certificate for something else must not be taken for one of what was asked
        if entry.record.choice != found.choice {
            let certified = entry.record.choice.event_hash;
            let detail = format!("the subject of event {asked} is certified for event {certified}");
            let problem = Problem::new(
                409,
                "certified_differently",
                "Another event is certified",
                detail,
            );
            return Err(Failure::from(problem.hint(format!(
                "its certificate: ssid consensus export {certified}"
            ))));
        }
        let certificate = state.known.store.certificate(entry.sequence)?;
        let lost = || {
            Failure::internal(format!(
                "the certificate of log entry {} is lost",
                entry.sequence
            ))
        };
        Ok(certificate.ok_or_else(lost)?.to_pretty())
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], text.await?))
}

/// Which conflicts are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct WantedConflicts {
    limit: Option<usize>,
    before: Option<String>,
    /// Only those with a candidate of a commit whose hash begins so.
    commit: Option<String>,
}

/// Subjects in conflict, in order of their ids.
pub(super) async fn conflicts(
    State(state): State<ApiState>,
    wanted: Result<Query<WantedConflicts>, QueryRejection>,
) -> Answer<Page<ConflictView>> {
    let Query(wanted) = wanted?;
    let commit = wanted.commit.as_deref().map(search::commit).transpose()?;
    let (limit, before) = (wanted.limit, wanted.before);
    let paging = Paging { limit, before };
    let after = paging.before.as_ref().map(|text| text.parse::<SubjectId>());
    let after = after
        .transpose()
        .map_err(|e| Failure::bad_request(format!("before is no cursor: {e}")))?;
    let rows = state
        .read(|state| Ok(state.known.store.conflicts()?))
        .await?;
    let subjects = rows
        .into_iter()
        .map(|(id, _)| id)
        .filter(|id| after.is_none_or(|after| *id > after));
    let (mut items, mut next, mut last) = (Vec::<ConflictView>::new(), None, None);
    for (looked_at, id) in subjects.enumerate() {
        // a commit that no candidate is of would ask for every conflict in one request: the answer
        // names where to go on
        if looked_at == LOOKED_AT {
            next = last;
            break;
        }
        last = Some(id);
        // what was decided meanwhile is not open
        let Some(open) = state.known.engine.instance(id).await? else {
            continue;
        };
        if commit.as_ref().is_some_and(|commit| !is_of(&open, commit)) {
            continue;
        }
        // one more than asked for tells whether there is another page
        if items.len() == paging.limit() {
            next = items.last().map(|item| item.subject_id);
            break;
        }
        items.push(with_decisions(&state, open).await?);
    }
    let next = next.map(|id| id.to_string());
    Ok(Json(Page { items, next }))
}

/// Whether a candidate is about a commit whose hash begins so.
fn is_of(open: &InstanceView, commit: &str) -> bool {
    let mut events = open.candidates.iter().filter_map(|c| c.event.as_ref());
    events.any(|event| event.commit_hash.starts_with(commit))
}

/// One open subject, in conflict or not, by the start of its id.
pub(super) async fn conflict(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
) -> Answer<ConflictView> {
    let id = find_subject(&state, subject).await?;
    let open = state.known.engine.instance(id).await?;
    let open = open.ok_or_else(|| Failure::not_found(format!("subject {id} is not open")))?;
    with_decisions(&state, open).await.map(Json)
}

/// An open subject with what this node's operator decided about it.
async fn with_decisions(state: &ApiState, open: InstanceView) -> Result<ConflictView, Failure> {
    let id = open.subject_id;
    let rows = state
        .read(move |state| Ok(state.known.store.decisions_of(&id)?))
        .await?;
    Ok(ConflictView::from(open).decided(rows))
}

/// The subject of this id, or the one in conflict whose id begins so.
pub(super) async fn find_subject(state: &ApiState, subject: String) -> Result<SubjectId, Failure> {
    let beginning = beginning("subject id", &subject)?;
    let id = state.read(move |state| {
        let rows = state.known.store.conflicts()?;
        let named = rows.into_iter().map(|(id, _)| Named {
            id: id.to_string(),
            name: String::new(),
            item: id,
        });
        match beginning.parse::<SubjectId>() {
            Ok(whole) => Ok(whole),
            Err(_) => resolve("conflict", &beginning, named.collect()),
        }
    });
    id.await
}
