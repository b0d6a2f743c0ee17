//! Who is who: node ids, libp2p identities and keys of the epoch's members.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use ssid_protocol::id::NodeId;

use crate::config::MemberPeer;

/// The members of one epoch, found by either name. Shared with the verifying threads.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Maps>);

#[derive(Debug)]
struct Maps {
    members: HashMap<NodeId, MemberPeer>,
    nodes: HashMap<PeerId, NodeId>,
    local: NodeId,
}

impl Directory {
    /// From the manifest's list. Whoever stands in it again has one more identity by which it may
    /// connect; it is reached by the first. An identity that several have is the first one's.
    pub(crate) fn new(list: impl IntoIterator<Item = MemberPeer>, local: NodeId) -> Self {
        let (mut members, mut nodes) = (HashMap::new(), HashMap::new());
        for member in list {
            nodes.entry(member.peer).or_insert(member.node);
            members.entry(member.node).or_insert(member);
        }
        Self(Arc::new(Maps {
            members,
            nodes,
            local,
        }))
    }

    /// The member of that name.
    pub(crate) fn member(&self, node: &NodeId) -> Option<&MemberPeer> {
        self.0.members.get(node)
    }

    /// The member that connects under that identity.
    pub(crate) fn node_of(&self, peer: &PeerId) -> Option<NodeId> {
        self.0.nodes.get(peer).copied()
    }

    /// Whether whoever connects under that identity is a guest.
    pub(crate) fn is_guest(&self, peer: &PeerId) -> bool {
        let node = self.node_of(peer);
        let member = node.and_then(|node| self.member(&node));
        member.is_some_and(|member| member.is_guest)
    }

    /// The identity under which another member connects; `None` for this node itself.
    pub(crate) fn peer_of(&self, node: &NodeId) -> Option<PeerId> {
        self.member(node)
            .filter(|_| *node != self.0.local)
            .map(|member| member.peer)
    }

    /// All but this node.
    pub(crate) fn others(&self) -> impl Iterator<Item = &MemberPeer> {
        self.0
            .members
            .values()
            .filter(|member| member.node != self.0.local)
    }

    /// The identities under which others may connect.
    pub(crate) fn other_peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        let nodes = self.0.nodes.iter();
        nodes
            .filter(|(_, node)| **node != self.0.local)
            .map(|(peer, _)| *peer)
    }

    /// Returns this node's own id.
    pub(crate) fn local(&self) -> NodeId {
        self.0.local
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use libp2p::identity::Keypair;
    use ssid_protocol::identity::VerifyKey;
    use ssid_protocol::testing::key;

    use super::*;

    fn member(place: u8, peer: PeerId) -> MemberPeer {
        let node = key(place).node_id();
        MemberPeer {
            node,
            key: VerifyKey::parse(node).unwrap(),
            peer,
            addresses: Vec::new(),
            is_voter: true,
            is_guest: false,
        }
    }

    #[test]
    fn a_member_may_have_a_former_identity_and_is_reached_by_the_present_one() {
        let [own, present, former] =
            [(); 3].map(|()| Keypair::generate_ed25519().public().to_peer_id());
        let list = [
            member(0, own),
            member(1, present),
            member(1, former),
            member(2, present),
        ];
        let directory = Directory::new(list, key(0).node_id());
        assert_eq!(directory.peer_of(&key(1).node_id()), Some(present));
        for peer in [present, former] {
            assert_eq!(directory.node_of(&peer), Some(key(1).node_id()));
        }
        let mut others: Vec<_> = directory.other_peers().collect();
        others.sort_unstable();
        let mut expected = [present, former];
        expected.sort_unstable();
        assert_eq!(others, expected);
    }
}
