//! What a newcomer is handed (SPEC §4): genesis, the manifest in force, and members to ask.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::Value;
use ssid_protocol::id::{Epoch, ManifestHash, NodeId};
use ssid_protocol::invite::{Invite, InvitePeer};
use ssid_protocol::limits;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::{Member, Status};

use super::proposals::find;
use crate::api::ApiState;
use crate::api::error::{Answer, Failure};

/// What the invite is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api::routes) struct Inviting {
    /// The beginning of the hash of the proposal that would admit the newcomer.
    proposal: Option<String>,
}

/// An invite to this federation as it is now.
pub(in crate::api::routes) async fn invite(
    State(state): State<ApiState>,
    Query(Inviting { proposal }): Query<Inviting>,
) -> Answer<Value> {
    let proposal = match proposal {
        Some(hash) => Some(find(&state, &hash).await?.1.hash()),
        None => None,
    };
    let status = state.known.engine.current_status().await?;
    let connected = status.connected_voters.iter().copied().collect();
    let epochs = state.known.epochs.borrow().clone();
    let genesis = epochs.get(Epoch::ZERO).unwrap_or_else(|| epochs.current());
    let current = state.known.epoch();
    let invite = of(
        genesis.manifest(),
        current.manifest(),
        proposal,
        &state.known.node_id,
        &connected,
    );
    // a genesis manifest that this node runs by is valid; what else it holds comes from manifests
    invite.check().map_err(Failure::internal)?;
    let text = invite.to_json().to_jcs();
    Ok(Json(
        serde_json::from_str(&text).map_err(Failure::internal)?,
    ))
}

/// The invite that the node `me` writes: itself first, then who is connected, then other members
/// that take part.
fn of(
    genesis: &Manifest,
    current: &Manifest,
    proposal: Option<ManifestHash>,
    me: &NodeId,
    connected: &BTreeSet<NodeId>,
) -> Invite {
    let members = current.members.iter();
    let mut asked: Vec<&Member> = members.filter(|it| it.status == Status::Active).collect();
    asked.sort_by_key(|it| (it.node_id != *me, !connected.contains(&it.node_id)));
    asked.truncate(limits::INVITE_PEERS);
    Invite {
        federation_id: genesis.federation_id(),
        genesis: genesis.clone(),
        epoch: current.epoch,
        manifest_hash: current.hash(),
        proposal,
        peers: asked.into_iter().map(InvitePeer::of).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::testing::{manifest, successor};

    use super::*;

    #[test]
    fn the_inviter_and_those_who_are_there_are_asked_first() {
        let genesis = manifest(20);
        let mut current = successor(&genesis);
        current.members[1].status = Status::Suspended;
        let id = |i: usize| genesis.members[i].node_id;
        let connected = BTreeSet::from([id(7), id(18)]);
        let invite = of(&genesis, &current, None, &id(4), &connected);
        assert_eq!(invite.check(), Ok(()));
        let asked: Vec<_> = invite.peers.iter().map(|peer| peer.node_id).collect();
        assert_eq!(asked[..4], [id(4), id(7), id(18), id(0)]);
        assert!(asked.len() == 16 && !asked.contains(&id(1)));
        assert_eq!(invite.manifest_hash, current.hash());
    }
}
