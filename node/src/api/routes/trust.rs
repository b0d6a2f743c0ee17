//! `/v1/trust`: this node's ledger, and changing it by hand.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use ssid_engine::Adjustment;
use ssid_protocol::id::SubjectId;
use ssid_protocol::member::Member;
use ssid_protocol::trust::{
    ENDORSEMENT_FLOOR, REVIEW_FLOOR, TrustChange, TrustLabel, TrustNote, TrustReason, TrustRules,
};

use crate::api::ApiState;
use crate::api::caller::{Caller, decider_name};
use crate::api::error::{Answer, Failure};
use crate::api::fields::one_line;
use crate::view::{Page, TrustChangeView, TrustNoteView, TrustRequest, TrustRuleView, TrustView};

/// Characters of a reason.
pub(super) const REASON_CHARS: usize = 500;

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Page<TrustView>> {
    let all = |state: &ApiState| {
        let epoch = state.known.epoch();
        let members = epoch.manifest().members.iter();
        let views = members.map(|member| view(state, member));
        let scores = views.map(|view| {
            Ok(TrustView {
                changes: Vec::new(),
                rules: Vec::new(),
                ..view?
            })
        });
        let mut scores: Vec<_> = scores.collect::<Result<_, Failure>>()?;
        scores.sort_by_key(|view| std::cmp::Reverse(view.trust_score));
        Ok(Page::whole(scores))
    };
    state.read(all).await.map(Json)
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Answer<TrustView> {
    state
        .read(move |state| view(state, &state.find_member(&id)?))
        .await
        .map(Json)
}

/// A boost or a penalty; answers with the ledger that has it.
pub(super) async fn adjust(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<TrustView> {
    let request: TrustRequest = serde_json::from_slice(&body?).map_err(|e| {
        Failure::bad_request(format!(
            "needed is {{\"change\": \"boost\" or \"penalize\", \"reason\": \"…\"}}: {e}"
        ))
    })?;
    let boost = match request.change.as_str() {
        "boost" => true,
        "penalize" => false,
        other => {
            let shown: String = other.chars().take(80).collect();
            return Err(Failure::bad_request(format!(
                "change is {shown:?}; it may be boost or penalize"
            )));
        }
    };
    // it stands in the ledger for good and is shown in one line
    let words = one_line("reason", &request.reason, REASON_CHARS)?;
    let by = decider_name(request.by.as_deref(), caller)?;
    let member = state.find_member(&id)?.clone();
    let adjustment = Adjustment {
        member: member.node_id,
        boost,
        note: TrustNote { by, words },
    };
    state.known.engine.adjust(adjustment).await?;
    // from storage: what the answer shows is on disk
    state
        .read(move |state| view(state, &member))
        .await
        .map(Json)
}

fn view(state: &ApiState, member: &Member) -> Result<TrustView, Failure> {
    let (changes, score) = state.known.trust_of(&member.node_id)?;
    Ok(TrustView {
        node_id: member.node_id,
        node_name: member.node_name.clone(),
        organization: member.organization.clone(),
        trust_score: score,
        trust_label: TrustLabel::of(score).word().to_owned(),
        needs_review: score < REVIEW_FLOOR,
        effects: effects(score),
        changes: with_running_score(state, changes)?,
        rules: rules(&state.known.settings.trust),
    })
}

/// Every reason with its points and how often it counts (SPEC §9).
fn rules(rules: &TrustRules) -> Vec<TrustRuleView> {
    let all = [
        (
            TrustReason::Agreement,
            "at most once a day for events of one origin",
        ),
        (
            TrustReason::Disagreement,
            "at most once in 30 days for events of one origin",
        ),
        (TrustReason::SyncSucceeded, "at most once a sync interval"),
        (TrustReason::SyncFailed, "at most once a sync interval"),
        (
            TrustReason::Inactive,
            "for each day without a sign of life, after 30",
        ),
        (TrustReason::ManualBoost, "as often as an operator does it"),
        (
            TrustReason::ManualPenalty,
            "as often as an operator does it",
        ),
        (
            TrustReason::Equivocation,
            "once; then nothing is earned any more",
        ),
        (
            TrustReason::Succession,
            "once, as far as the score of the key that it replaces differs",
        ),
    ];
    let view = |(reason, limit): (TrustReason, &str)| TrustRuleView {
        reason: reason.as_str().to_owned(),
        points: rules.points(reason),
        limit: limit.to_owned(),
    };
    all.into_iter().map(view).collect()
}

/// The event that a change is about, in words.
fn about(state: &ApiState, reference: &str) -> Result<Option<String>, Failure> {
    let Ok(subject) = reference.parse::<SubjectId>() else {
        return Ok(None);
    };
    let entry = state.known.certified(&subject)?;
    Ok(entry.map(|entry| format!("{} {}", entry.record.event_type, entry.record.event_version)))
}

/// What a score changes on this node, in words.
fn effects(score: i32) -> Vec<String> {
    let all = [
        (REVIEW_FLOOR, "flagged for review"),
        (
            ENDORSEMENT_FLOOR,
            "its events are not endorsed under the policy trusted",
        ),
        (ENDORSEMENT_FLOOR, "synced from last"),
    ];
    all.into_iter()
        .filter(|(floor, _)| score < *floor)
        .map(|(_, what)| what.to_owned())
        .collect()
}

fn with_running_score(
    state: &ApiState,
    changes: Vec<TrustChange>,
) -> Result<Vec<TrustChangeView>, Failure> {
    let rules = &state.known.settings.trust;
    let mut score = rules.initial;
    let view = |change: TrustChange| {
        score = rules.step(score, change.points);
        Ok(TrustChangeView {
            about: about(state, &change.reference)?,
            at: change.at.iso(),
            reason: change.reason.as_str().to_owned(),
            points: change.points,
            trust_score: score,
            origin: change.origin,
            reference: change.reference,
            note: change
                .note
                .map(|TrustNote { by, words }| TrustNoteView { by, words }),
        })
    };
    changes.into_iter().map(view).collect()
}
