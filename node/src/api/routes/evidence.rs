//! `/v1/evidence`: equivocation, and two certificates of one subject (SPEC §7, *Evidence*).

use axum::Json;
use axum::extract::{Path, State};
use ssid_protocol::evidence::Verifier;
use ssid_storage::EvidenceRow;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::names::{Named, resolve};
use crate::api::view::{EvidenceView, iso};

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<EvidenceView>> {
    let all = |state: &ApiState| {
        let verifier = verifier(state);
        let mut rows = rows(state)?;
        rows.sort_by_key(|row| row.at);
        rows.iter().map(|row| view(state, &verifier, row)).collect()
    };
    state.read(all).await.map(Json)
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Answer<EvidenceView> {
    let one = move |state: &ApiState| {
        let named = |row: EvidenceRow| Named { id: row.evidence.id().to_string(), name: String::new(), item: row };
        let row = resolve("evidence", &id, rows(state)?.into_iter().map(named).collect())?;
        let document = serde_json::from_str(&row.evidence.to_json().to_jcs()).map_err(Failure::internal)?;
        Ok(EvidenceView { document: Some(document), ..view(state, &verifier(state), &row)? })
    };
    state.read(one).await.map(Json)
}

/// Few: one piece a member, kind and epoch.
fn rows(state: &ApiState) -> Result<Vec<EvidenceRow>, Failure> {
    state.store.evidence().map(|row| Ok(row?.1)).collect()
}

fn verifier(state: &ApiState) -> Verifier {
    let policies = state.manifest.event_policies.clone();
    Verifier::new(state.federation_id, &state.manifest, (*state.voters).clone(), policies)
}

fn view(state: &ApiState, verifier: &Verifier, row: &EvidenceRow) -> Result<EvidenceView, Failure> {
    // it was verified before it was kept, but a disk may lie: nobody is accused unproven
    let proven = row.evidence.verify(verifier).map_err(Failure::internal)?;
    Ok(EvidenceView {
        id: row.evidence.id(),
        kind: proven.kind.as_str().to_owned(),
        member: proven.member.map(|member| state.named_node(&member)),
        epoch: proven.epoch,
        at: iso(row.at),
        told_by: row.from.map(|node| state.named_node(&node)),
        what: proven.what,
        document: None,
    })
}
