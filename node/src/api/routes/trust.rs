//! `/v1/trust`: this node's ledger.

use axum::Json;
use axum::extract::{Path, State};
use ssid_protocol::member::Member;
use ssid_protocol::trust::{TrustChange, TrustLabel, TrustRules};

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::view::{TrustChangeView, TrustView, iso};

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<TrustView>> {
    let all = |state: &ApiState| {
        let views = state.manifest.members.iter().map(|member| view(state, member));
        let scores = views.map(|view| Ok(TrustView { changes: Vec::new(), ..view? }));
        let mut scores: Vec<_> = scores.collect::<Result<_, Failure>>()?;
        scores.sort_by_key(|view| std::cmp::Reverse(view.score));
        Ok(scores)
    };
    state.read(all).await.map(Json)
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Answer<TrustView> {
    state.read(move |state| view(state, state.find_member(&id)?)).await.map(Json)
}

fn view(state: &ApiState, member: &Member) -> Result<TrustView, Failure> {
    let (changes, score) = state.trust_of(&member.node_id)?;
    Ok(TrustView {
        node_id: member.node_id,
        node_name: member.node_name.clone(),
        organization: member.organization.clone(),
        score,
        label: TrustLabel::of(score).as_str().to_owned(),
        changes: with_running_score(&state.settings.trust, changes),
    })
}

fn with_running_score(rules: &TrustRules, changes: Vec<TrustChange>) -> Vec<TrustChangeView> {
    let mut score = rules.initial;
    let view = |change: TrustChange| {
        score = rules.step(score, change.points);
        TrustChangeView {
            at: iso(change.at),
            reason: change.reason.as_str().to_owned(),
            points: change.points,
            score,
            origin: change.origin,
            reference: change.reference,
        }
    };
    changes.into_iter().map(view).collect()
}
