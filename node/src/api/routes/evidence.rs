//! `/v1/evidence`: equivocation, and two certificates of one subject (SPEC §7, *Evidence*); beside
//! them what this node saw of members' Git branches, which proves nothing to others.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use ssid_protocol::evidence::Verifier;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_storage::{EvidenceRow, RewrittenRow};

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::lookup::beginning;
use crate::api::names::{Named, resolve};
use crate::view::{EvidenceView, OBSERVATION_FORMAT, Observation, Page, REWRITTEN_HISTORY};

pub(super) async fn list(State(state): State<ApiState>) -> Answer<Page<EvidenceView>> {
    let all = |state: &ApiState| {
        let mut all = views(state)?;
        all.sort_by_key(|(at, _)| *at);
        Ok(Page::whole(
            all.into_iter()
                .map(|(_, view)| EvidenceView {
                    document: None,
                    ..view
                })
                .collect(),
        ))
    };
    state.read(all).await.map(Json)
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Answer<EvidenceView> {
    let id = beginning("evidence id", &id)?;
    let one = move |state: &ApiState| {
        let named = |(_, view): (_, EvidenceView)| Named {
            id: view.evidence_id.to_string(),
            name: String::new(),
            item: view,
        };
        resolve(
            "evidence",
            &id,
            views(state)?.into_iter().map(named).collect(),
        )
    };
    state.read(one).await.map(Json)
}

/// Few: one piece a member, kind and epoch, and the latest histories of each member.
fn views(state: &ApiState) -> Result<Vec<(UnixMillis, EvidenceView)>, Failure> {
    let epoch = state.known.epoch();
    let mut all = Vec::new();
    for row in state.known.store.evidence() {
        let (_, row) = row?;
        all.push((row.at, proven(state, epoch.evidence(), &row)?));
    }
    for (member, histories) in state.known.store.rewritten()? {
        for row in histories {
            all.push((row.seen_at, observed(state, member, row)?));
        }
    }
    Ok(all)
}

fn proven(
    state: &ApiState,
    verifier: &Verifier,
    row: &EvidenceRow,
) -> Result<EvidenceView, Failure> {
    // it was verified before it was kept, but a disk may lie: nobody is accused unproven
    let proven = row.evidence.verify(verifier).map_err(Failure::internal)?;
    let document: Value =
        serde_json::from_str(&row.evidence.to_json().to_jcs()).map_err(Failure::internal)?;
    Ok(EvidenceView {
        evidence_id: row.evidence.id(),
        kind: proven.kind.as_str().to_owned(),
        proven: true,
        member: proven.member.map(|member| state.known.named_node(&member)),
        epoch: proven.epoch,
        at: row.at.iso(),
        told_by: row.from.map(|node| state.known.named_node(&node)),
        what: proven.what,
        document: Some(document),
    })
}

fn observed(state: &ApiState, member: NodeId, row: RewrittenRow) -> Result<EvidenceView, Failure> {
    let RewrittenRow {
        seen_at,
        remote,
        was,
        now,
    } = row;
    // as text here: the document is hashed, and its name must not depend on who formats it
    let seen_at = seen_at.iso();
    let observation = Observation {
        format: OBSERVATION_FORMAT.to_owned(),
        federation_id: *state.known.epoch().federation(),
        kind: REWRITTEN_HISTORY.to_owned(),
        observer: state.known.node_id,
        member,
        remote,
        was,
        now,
        seen_at: seen_at.clone(),
    };
    Ok(EvidenceView {
        evidence_id: observation.id(),
        kind: observation.kind.clone(),
        // commits are not signed by the voting key: a server may answer each asker something else
        proven: false,
        member: Some(state.known.named_node(&member)),
        epoch: None,
        at: seen_at,
        told_by: None,
        what: observation.what(),
        document: Some(serde_json::to_value(&observation).map_err(Failure::internal)?),
    })
}
