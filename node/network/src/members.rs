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
    /// From the manifest's list.
    pub(crate) fn new(members: impl IntoIterator<Item = MemberPeer>, local: NodeId) -> Self {
        let members: HashMap<_, _> = members
            .into_iter()
            .map(|member| (member.node, member))
            .collect();
        let nodes = members
            .values()
            .map(|member| (member.peer, member.node))
            .collect();
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

    /// Returns this node's own id.
    pub(crate) fn local(&self) -> NodeId {
        self.0.local
    }
}
