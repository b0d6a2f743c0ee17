//! `/v1/epochs`: who counted when, and the chain that proves it (SPEC §4).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use serde_json::Value;
use ssid_protocol::chain::{Chain, ChainLine, Link};
use ssid_protocol::id::Epoch;
use ssid_protocol::manifest::Manifest;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::membership::consequences::consequences;
use crate::view::{EpochView, NamedNode, Page};

/// The epochs from genesis on.
pub(super) async fn list(State(state): State<ApiState>) -> Answer<Page<EpochView>> {
    Ok(Json(Page::whole(state.read(views).await?)))
}

/// One epoch, with its manifest.
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(number): Path<String>,
) -> Answer<EpochView> {
    let shown: String = number.chars().take(80).collect();
    let number: u64 = number.parse().map_err(|_| {
        Failure::bad_request(format!(
            "{shown:?} is no number of an epoch: 0, 1, 2 and so on are"
        ))
    })?;
    let found = move |state: &ApiState| {
        let all = views(state)?;
        let latest = all.last().map_or(0, |view| view.epoch.0);
        let manifest = chain(state)?
            .manifests()
            .find(|manifest| manifest.epoch.0 == number)
            .map(value_of)
            .transpose()?;
        let mut all = all.into_iter();
        let view = all.find(|view| view.epoch.0 == number).ok_or_else(|| {
            let detail = format!("there is no epoch {number}: the latest is {latest}");
            Failure::unknown(&detail, Vec::new())
        })?;
        Ok(EpochView { manifest, ..view })
    };
    Ok(Json(state.read(found).await?))
}

/// All epochs, each with what changed with it and who decided that.
fn views(state: &ApiState) -> Result<Vec<EpochView>, Failure> {
    let links = links(state)?;
    let chain = chain(state)?;
    let mut before: Option<&Manifest> = None;
    let mut views = Vec::new();
    for manifest in chain.manifests() {
        let voters = manifest.voters().map_err(Failure::internal)?;
        let change = manifest.change.as_ref();
        let mut links = links.iter();
        let link = links.find(|link| link.manifest.epoch == manifest.epoch);
        views.push(EpochView {
            epoch: manifest.epoch,
            manifest_hash: manifest.hash(),
            created_at: manifest.created_at.clone(),
            reason: change
                .map(|change| change.reason.clone())
                .unwrap_or_default(),
            voters: voters.len() as u64,
            quorum: voters.quorum(),
            consequences: before
                .map(|before| consequences(before, manifest))
                .unwrap_or_default(),
            decided_by: before
                .zip(link)
                .map(|(before, link)| signers(before, link))
                .unwrap_or_default(),
            manifest: None,
        });
        before = Some(manifest);
    }
    Ok(views)
}

/// Whose precommits a certificate has, as the manifest of their epoch names them.
fn signers(manifest: &Manifest, link: &Link) -> Vec<NamedNode> {
    let proofs = link.certificate.precommits.iter();
    let members = proofs.filter_map(|proof| manifest.member(&proof.signer));
    let named = members.map(|member| NamedNode {
        node_id: member.node_id,
        node_name: member.node_name.clone(),
        organization: member.organization.clone(),
    });
    named.collect()
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

/// A manifest as the document that it is.
pub(super) fn value_of(manifest: &Manifest) -> Result<Value, Failure> {
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
pub(super) fn chain(state: &ApiState) -> Result<Chain, Failure> {
    let epochs = state.known.epochs.borrow().clone();
    let genesis = epochs.get(Epoch::ZERO).unwrap_or_else(|| epochs.current());
    let mut chain = Chain::of_validated(genesis.manifest().clone());
    for link in links(state)? {
        chain.extend(link).map_err(Failure::internal)?;
    }
    Ok(chain)
}
