//! `/v1/membership` and `/v1/epochs`: who counts, what is proposed, and what was before (SPEC §4).

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use serde::Deserialize;
use serde_json::Value;
use ssid_engine::{InstanceView, NoteKind, Operation};
use ssid_protocol::chain::{Chain, ChainLine, Link};
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{Choice, Epoch, NodeId, UnixMillis};
use ssid_protocol::manifest::{Change, Manifest, Succession};
use ssid_protocol::vote::Phase;

use super::decide::Said;
use super::proposing::Posted;
use crate::api::ApiState;
use crate::api::caller::Caller;
use crate::api::error::{Answer, Failure};
use crate::api::lookup::beginning;
use crate::api::names::{Named, resolve};
use crate::clock;
use crate::membership::consequences::consequences;
use crate::view::{
    ChangeView, CloseView, EpochView, MembershipView, NamedNode, Operated, Page, ProposalView,
    ProposedView, SuccessionView,
};

/// Who counts now, what is proposed, and how far a change is.
pub(super) async fn show(State(state): State<ApiState>) -> Answer<MembershipView> {
    let epoch = state.known.epoch();
    let voted = state.known.engine.instance(epoch.change()).await?;
    let status = state.known.engine.current_status().await?;
    let change = status.change.map(|change| ChangeView {
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
        .read(move |state| proposals(state, voted.as_ref()))
        .await?;
    let voters = epoch.manifest().members.iter();
    let voters = voters
        .filter(|member| member.is_voter())
        .map(|member| NamedNode {
            node_id: member.node_id,
            node_name: member.node_name.clone(),
            organization: member.organization.clone(),
        });
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
    let proposed = ProposedView {
        manifest_hash: manifest.hash(),
        dry_run,
        consequences: consequences(chain.latest(), &manifest),
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

/// The operator approves a proposal.
pub(super) async fn approve(
    State(state): State<ApiState>,
    Path(hash): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Operated> {
    let decider = Said::read(&body?)?.of(caller)?;
    let (_, manifest) = find(&state, &hash).await?;
    let subject = state.known.epoch().change();
    let choice = manifest.epoch_event().choice();
    let open = state.known.engine.instance(subject).await?;
    // in round 0 it is endorsed; later, or once this node has voted, it is the standing choice
    let has_voted = open.as_ref().is_some_and(|open| {
        let mut votes = open.votes.iter();
        open.round.0 > 0 || votes.any(|vote| vote.node == state.known.node_id)
    });
    let kind = if has_voted {
        NoteKind::Stand
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

/// The epochs from genesis on.
pub(super) async fn epochs(State(state): State<ApiState>) -> Answer<Page<EpochView>> {
    let chain = state.read(chain).await?;
    let mut before: Option<&Manifest> = None;
    let mut views = Vec::new();
    for manifest in chain.manifests() {
        let voters = manifest.voters().map_err(Failure::internal)?;
        views.push(EpochView {
            epoch: manifest.epoch,
            manifest_hash: manifest.hash(),
            created_at: manifest.created_at.clone(),
            reason: manifest
                .change
                .as_ref()
                .map(|change| change.reason.clone())
                .unwrap_or_default(),
            voters: voters.len() as u64,
            quorum: voters.quorum(),
            consequences: before
                .map(|before| consequences(before, manifest))
                .unwrap_or_default(),
        });
        before = Some(manifest);
    }
    Ok(Json(Page::whole(views)))
}

/// The chain file: what certificates of later epochs are verified with, offline.
pub(super) async fn chain_file(
    State(state): State<ApiState>,
) -> Result<([(header::HeaderName, &'static str); 1], String), Failure> {
    let links = state.read(links).await?;
    let lines = links
        .into_iter()
        .map(|link| ChainLine::Link(Box::new(link)).to_text());
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((kind, lines.collect()))
}

fn value_of(manifest: &Manifest) -> Result<Value, Failure> {
    let text = manifest.to_json().to_jcs();
    serde_json::from_str(&text).map_err(Failure::internal)
}

fn links(state: &ApiState) -> Result<Vec<Link>, Failure> {
    let mut links = Vec::new();
    for row in state.known.store.epochs(Epoch::ZERO.next()) {
        let (_, row) = row?;
        let manifest = Manifest::parse(row.manifest.as_bytes()).map_err(Failure::internal)?;
        if let Some(certificate) = row.certificate {
            links.push(Link {
                manifest,
                certificate,
            });
        }
    }
    Ok(links)
}

/// The manifests from genesis on, proven again.
fn chain(state: &ApiState) -> Result<Chain, Failure> {
    let epochs = state.known.epochs.borrow().clone();
    let genesis = epochs.get(Epoch::ZERO).unwrap_or_else(|| epochs.current());
    let mut chain = Chain::of_validated(genesis.manifest().clone());
    for link in links(state)? {
        chain.extend(link).map_err(Failure::internal)?;
    }
    Ok(chain)
}

async fn find(state: &ApiState, hash: &str) -> Result<(ProposalView, Manifest), Failure> {
    let hash = beginning("manifest hash", hash)?;
    let change = state.known.epoch().change();
    let voted = state.known.engine.instance(change).await?;
    let found = move |state: &ApiState| {
        let all = proposals(state, voted.as_ref())?.into_iter();
        let named = all.map(|(view, manifest)| Named {
            id: view.manifest_hash.to_string(),
            name: String::new(),
            item: (view, manifest),
        });
        resolve("proposal", &hash, named.collect())
    };
    state.read(found).await
}

/// What is proposed, with how it is voted on.
fn proposals(
    state: &ApiState,
    voted: Option<&InstanceView>,
) -> Result<Vec<(ProposalView, Manifest)>, Failure> {
    let epoch = state.known.epoch();
    let mut all = Vec::new();
    for row in state.known.store.proposals() {
        let (hash, row) = row?;
        let Ok(manifest) = Manifest::parse(row.manifest.as_bytes()) else {
            continue;
        };
        if manifest.epoch != epoch.number().next() {
            continue;
        }
        let choice = manifest.epoch_event().choice();
        let ballots = voted.map(ballots).unwrap_or_default();
        let said = |wanted: &dyn Fn(Option<Choice>) -> bool| {
            let votes = ballots.iter().filter(|(_, ballot)| wanted(**ballot));
            votes.map(|(node, _)| *node).collect::<Vec<_>>()
        };
        let voters = epoch.voters().iter().map(|(_, voter)| voter.key.id());
        let view = ProposalView {
            manifest_hash: hash,
            epoch: manifest.epoch,
            created_at: manifest.created_at.clone(),
            reason: manifest
                .change
                .as_ref()
                .map(|change| change.reason.clone())
                .unwrap_or_default(),
            consequences: consequences(epoch.manifest(), &manifest),
            successions: successions(&manifest, &row.handovers),
            approved_by: said(&|ballot| ballot == Some(choice)),
            refused_by: said(&|ballot| ballot != Some(choice)),
            waits_for: voters.filter(|node| !ballots.contains_key(node)).collect(),
            approved_here: voted.is_some_and(|open| open.standing == Some(choice)),
            manifest: None,
        };
        all.push((view, manifest));
    }
    Ok(all)
}

/// Which keys a proposal replaces, and whether each said so itself. The hand-overs were proven before
/// they were kept.
fn successions(manifest: &Manifest, handovers: &[String]) -> Vec<SuccessionView> {
    let handovers = handovers.iter();
    let signed = handovers.filter_map(|text| Handover::parse(text.as_bytes()).ok());
    let signed: BTreeSet<_> = signed.map(|handover| handover.former).collect();
    let change = manifest.change.iter();
    let named = change.flat_map(|change| &change.succeeds);
    let view = |one: &Succession| SuccessionView {
        node_id: one.member,
        node_name: manifest
            .member(&one.member)
            .map(|member| member.node_name.clone())
            .unwrap_or_default(),
        former_id: one.former,
        handed_over: signed.contains(&one.former),
    };
    named.map(view).collect()
}

/// What each voter prevoted last.
fn ballots(open: &InstanceView) -> BTreeMap<NodeId, Option<Choice>> {
    let mut prevotes: Vec<_> = open
        .votes
        .iter()
        .filter(|vote| vote.phase == Phase::Prevote)
        .collect();
    prevotes.sort_by_key(|vote| vote.round);
    prevotes
        .into_iter()
        .map(|vote| (vote.node, vote.choice))
        .collect()
}
