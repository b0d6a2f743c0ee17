//! Proposed manifests, found and shown.

use std::collections::{BTreeMap, BTreeSet};

use ssid_engine::settings::PROPOSAL_AGE;
use ssid_engine::{EngineStatus, InstanceView};
use ssid_protocol::event::Instant;
use ssid_protocol::id::{Choice, ManifestHash, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::vote::Phase;

use crate::api::ApiState;
use crate::api::error::Failure;
use crate::api::lookup::beginning;
use crate::api::names::{Named, resolve};
use crate::membership::consequences::{consequences, share};
use crate::membership::presence::who_is_away;
use crate::membership::replaced_keys::{handovers_of, replaced_keys};
use crate::view::{NamedNode, ProposalView};

/// When a proposal can be approved no more (SPEC §4, *Approving*).
pub(super) fn expires_at(manifest: &Manifest) -> String {
    let event = manifest.epoch_event();
    let millis = event.instant().map_or(0, Instant::unix_millis);
    let created = UnixMillis(u64::try_from(millis).unwrap_or(0));
    created.after(PROPOSAL_AGE).iso()
}

/// What a proposal changes and what follows, with what only this moment says: who is away, and what
/// is needed until it is in force.
pub(super) fn outlook(
    today: &Manifest,
    proposed: &Manifest,
    away: &BTreeSet<NodeId>,
) -> Vec<String> {
    let mut lines = consequences(today, proposed);
    lines.extend(who_is_away(today, proposed, away));
    if let Ok(voters) = today.voters() {
        let who = share(today, &voters);
        let until = expires_at(proposed);
        let day = until.split('T').next().unwrap_or_default();
        lines.push(format!(
            "To be in force {who} have to approve it; it expires on {day}."
        ));
    }
    lines
}

/// The proposal whose hash begins so.
pub(super) async fn find(
    state: &ApiState,
    hash: &str,
) -> Result<(ProposalView, Manifest), Failure> {
    let hash = beginning("manifest hash", hash)?;
    let change = state.known.epoch().change();
    let voted = state.known.engine.instance(change).await?;
    let status = state.known.engine.current_status().await?;
    let found = move |state: &ApiState| {
        let all = proposals(state, voted.as_ref(), &status)?.into_iter();
        let named = all.map(|(view, manifest)| Named {
            id: view.manifest_hash.to_string(),
            name: String::new(),
            item: (view, manifest),
        });
        resolve("proposal", &hash, named.collect())
    };
    state.read(found).await
}

/// What is proposed, with how it is voted on and what it waits for.
pub(super) fn proposals(
    state: &ApiState,
    voted: Option<&InstanceView>,
    status: &EngineStatus,
) -> Result<Vec<(ProposalView, Manifest)>, Failure> {
    let epoch = state.known.epoch();
    let away = &status.missing_voters.iter().copied().collect();
    let mut all = Vec::new();
    for row in state.known.store.proposals() {
        let (hash, row) = row?;
        let Ok(manifest) = Manifest::parse(row.manifest.as_bytes()) else {
            continue;
        };
        if manifest.epoch != epoch.number().next() {
            continue;
        }
        let handovers = handovers_of(&row);
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
            consequences: outlook(epoch.manifest(), &manifest, away),
            expires_at: expires_at(&manifest),
            replaced_keys: replaced_keys(&manifest, &handovers),
            approved_by: said(&|ballot| ballot == Some(choice)),
            refused_by: said(&|ballot| ballot != Some(choice)),
            waits_for: voters.filter(|node| !ballots.contains_key(node)).collect(),
            not_ready: not_ready(status, &hash, &manifest),
            approved_here: voted.is_some_and(|open| open.endorsed == Some(choice)),
            manifest: None,
        };
        all.push((view, manifest));
    }
    Ok(all)
}

/// Whom a proposal waits for, by the names that it gives them.
fn not_ready(status: &EngineStatus, hash: &ManifestHash, manifest: &Manifest) -> Vec<NamedNode> {
    let of_it = status.not_ready.iter().filter(|(known, _)| known == hash);
    let members = of_it.flat_map(|(_, nodes)| nodes);
    let members = members.filter_map(|node| manifest.member(node));
    members.map(NamedNode::of).collect()
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
