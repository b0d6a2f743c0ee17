//! `/v1/membership`: who counts, what is proposed, and what operators say to it (SPEC §4).

mod invite;
mod proposals;

pub(super) use invite::invite;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::Value;
use ssid_engine::{NoteKind, Operation};
use ssid_protocol::id::UnixMillis;
use ssid_protocol::manifest::{Change, Manifest};

use self::proposals::{expires_at, find, outlook, proposals};
use super::decide::Said;
use super::epochs::{chain, value_of};
use super::proposing::Posted;
use crate::api::ApiState;
use crate::api::caller::Caller;
use crate::api::error::{Answer, Failure};
use crate::clock;
use crate::membership::replaced_keys::{CONFIRMED_DIGITS, replaced_keys, unconfirmed};
use crate::view::{
    ChangeView, CloseView, MembershipView, NamedNode, Operated, Problem, ProposalView, ProposedView,
};

/// Who counts now, what is proposed, and how far a change is.
pub(super) async fn show(State(state): State<ApiState>) -> Answer<MembershipView> {
    let epoch = state.known.epoch();
    let voted = state.known.engine.instance(epoch.change()).await?;
    let status = state.known.engine.current_status().await?;
    let change = status.change.clone().map(|change| ChangeView {
        ending_epoch: change.ending,
        manifest_hash: change.manifest,
        closes: change
            .closes
            .into_iter()
            .map(|close| CloseView {
                node_id: close.node,
                counted: close.is_counted,
                confirmed_by: close.confirmed_by.len() as u64,
            })
            .collect(),
    });
    let proposals = state
        .read(move |state| proposals(state, voted.as_ref(), &status))
        .await?;
    let voters = epoch.manifest().members.iter();
    let voters = voters.filter(|member| member.is_voter()).map(NamedNode::of);
    Ok(Json(MembershipView {
        epoch: epoch.number(),
        manifest_hash: epoch.manifest().hash(),
        voters: epoch.voters().len() as u64,
        voter_list: voters.collect(),
        quorum: epoch.voters().quorum(),
        tolerated_weight: epoch.voters().max_faulty(),
        may_fail: epoch.voters().may_fail() as u64,
        change,
        proposals: proposals.into_iter().map(|(view, _)| view).collect(),
    }))
}

/// The manifest of the next epoch as it would be with nothing changed: to be edited, and proposed.
pub(super) async fn draft(State(state): State<ApiState>) -> Answer<Value> {
    let current = state.known.epoch().manifest().clone();
    let change = Change {
        previous: current.hash(),
        succeeds: Vec::new(),
        reason: "why".to_owned(),
    };
    let seconds = UnixMillis(clock::now().0 / 1000 * 1000);
    let draft = Manifest {
        epoch: current.epoch.next(),
        created_at: seconds.iso(),
        change: Some(change),
        ..current
    };
    Ok(Json(value_of(&draft)?))
}

/// One proposal, with its manifest.
pub(super) async fn proposal(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
) -> Answer<ProposalView> {
    let (view, manifest) = find(&state, &hash).await?;
    let manifest = Some(value_of(&manifest)?);
    Ok(Json(ProposalView { manifest, ..view }))
}

/// How a proposal is made.
#[derive(Debug, Deserialize)]
pub(super) struct Proposing {
    /// Only to say what would follow.
    #[serde(default)]
    dry_run: bool,
    /// Who decided it, recorded beside the operating system's user.
    by: Option<String>,
}

/// Proposes a manifest, and approves it for this node; or says what would follow.
pub(super) async fn propose(
    State(state): State<ApiState>,
    Query(Proposing { dry_run, by }): Query<Proposing>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ProposedView> {
    let body = body?;
    let refuse = |error: &dyn std::fmt::Display| Failure::bad_request(error.to_string());
    let Posted {
        manifest,
        handovers,
    } = Posted::parse(&body).map_err(|error| refuse(&error))?;
    let chain = state.read(chain).await?;
    chain
        .check_next(&manifest)
        .map_err(|error| refuse(&error))?;
    let status = state.known.engine.current_status().await?;
    let away = status.missing_voters.iter().copied().collect();
    let (federation, in_force) = (chain.federation_id(), chain.latest().hash());
    let signed: Vec<_> = handovers
        .iter()
        .filter(|handover| handover.verify(&federation, &in_force).is_ok())
        .cloned()
        .collect();
    let proposed = ProposedView {
        manifest_hash: manifest.hash(),
        epoch: manifest.epoch,
        expires_at: expires_at(&manifest),
        replaced_keys: replaced_keys(&manifest, &signed),
        dry_run,
        consequences: outlook(chain.latest(), &manifest, &away),
    };
    if !dry_run {
        let reason = manifest.change.as_ref().map(|change| change.reason.clone());
        let decider = Said { reason, by }.of(caller)?;
        state
            .known
            .engine
            .propose(manifest, handovers, decider)
            .await?;
    }
    Ok(Json(proposed))
}

/// Who approves and why, and the new keys that were heard on another channel.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    reason: Option<String>,
    by: Option<String>,
    #[serde(default)]
    confirm: Vec<String>,
    /// Whether it is voted for although new voters have not said that they are ready.
    #[serde(default)]
    not_ready: bool,
}

impl Approval {
    fn read(body: &[u8]) -> Result<Self, Failure> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let wanted = "if there is a body it is {\"reason\": \"…\", \"by\": \"…\", \"confirm\": [\"…\"], \"not_ready\": true}";
        serde_json::from_slice(body).map_err(|e| Failure::bad_request(format!("{wanted}: {e}")))
    }
}

/// 409: a key takes the place of a lost one, and nobody said that it is its organisation's.
fn not_confirmed(name: &str, manifest: &Manifest) -> Failure {
    let detail = format!("it replaces the lost key of {name}, and the old key did not sign that");
    let hash: String = manifest.hash().to_string().chars().take(12).collect();
    let hint = format!(
        "ask its organisation, on another channel, for the first {CONFIRMED_DIGITS} digits of its new key, and give \
         them: ssid membership approve {hash} --confirm DIGITS"
    );
    let problem = Problem::new(409, "unconfirmed", "The new key is not confirmed", detail);
    Failure::from(problem.hint(hint))
}

/// The operator approves a proposal.
pub(super) async fn approve(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    let Approval {
        reason,
        by,
        confirm,
        not_ready,
    } = Approval::read(&body?)?;
    let decider = Said { reason, by }.of(caller)?;
    let (view, manifest) = find(&state, &hash).await?;
    if let Some(key) = unconfirmed(&view.replaced_keys, &confirm) {
        return Err(not_confirmed(&key.node_name, &manifest));
    }
    let subject = state.known.epoch().change();
    let choice = manifest.epoch_event().choice();
    let kind = if not_ready {
        NoteKind::Waive
    } else {
        NoteKind::Endorse
    };
    let operation = Operation {
        kind,
        subject,
        choice,
    };
    Ok(Json(state.known.engine.operate(operation, decider).await?))
}

/// The operator refuses what is proposed: a nil prevote.
pub(super) async fn reject(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    let decider = Said::read(&body?)?.of(caller)?;
    let (_, manifest) = find(&state, &hash).await?;
    let operation = Operation {
        kind: NoteKind::Refuse,
        subject: state.known.epoch().change(),
        choice: manifest.epoch_event().choice(),
    };
    Ok(Json(state.known.engine.operate(operation, decider).await?))
}
