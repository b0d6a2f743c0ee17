//! The manifest's members as the network needs them.

use libp2p::{Multiaddr, PeerId};
use ssid_network::MemberPeer;
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::manifest::Manifest;

use super::error::NodeError;

/// Every member with its parsed key, peer id and addresses. Observers other than this node only
/// where they are let in.
pub(super) fn peers(
    manifest: &Manifest,
    own: ssid_protocol::id::NodeId,
    observers: bool,
) -> Result<Vec<MemberPeer>, NodeError> {
    let admitted = |member: &&ssid_protocol::member::Member| {
        member.is_voter() || observers || member.node_id == own
    };
    manifest.members.iter().filter(admitted).map(peer).collect()
}

fn peer(member: &ssid_protocol::member::Member) -> Result<MemberPeer, NodeError> {
    let invalid = |field: &str, reason: String| NodeError::Genesis {
        path: format!("member {} ({})", member.node_name, field).into(),
        reason,
    };
    let key = VerifyKey::parse(member.node_id).map_err(|e| invalid("node_id", e.to_string()))?;
    let peer: PeerId = member
        .peer_id
        .parse()
        .map_err(|_| invalid("peer_id", format!("'{}' is no peer id", member.peer_id)))?;
    let place = || format!("address of member {} in the manifest", member.node_name);
    let addresses = member
        .addresses
        .iter()
        .map(|text| address(place(), text))
        .collect::<Result<_, _>>()?;
    Ok(MemberPeer {
        node: member.node_id,
        key,
        peer,
        addresses,
        is_voter: member.is_voter(),
    })
}

/// Parses one multiaddress of a named place.
pub(super) fn address(place: String, text: &str) -> Result<Multiaddr, NodeError> {
    text.parse().map_err(|_| NodeError::Address {
        place,
        value: text.to_owned(),
    })
}
