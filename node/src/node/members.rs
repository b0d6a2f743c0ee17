//! The manifest's members as the network needs them.

use std::collections::BTreeSet;

use libp2p::{Multiaddr, PeerId};
use ssid_network::MemberPeer;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{Epoch, NodeId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::invite::Invite;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::{Member, Role};

use super::error::NodeError;

/// Whether a member may connect: suspended and inactive ones verify what the others decide, though
/// they do not vote; observers other than this node only where they are let in.
fn is_admitted(member: &Member, own: NodeId, observers: bool) -> bool {
    member.role != Role::Observer || observers || member.node_id == own
}

/// The members of the epoch that the node is in and, once they are decided, of later ones. What of a
/// member cannot be read is left out: others approved that manifest, and the rest can be reached.
fn known_peers(epochs: &Epochs, own: NodeId, observers: bool) -> Vec<MemberPeer> {
    let current = epochs.current();
    let mut later = Vec::new();
    while let Some(next) = epochs.get(Epoch(current.number().0 + later.len() as u64 + 1)) {
        later.push(next);
    }
    // the latest first: it has the addresses of today
    let newcomers = later.iter().rev().flat_map(|next| &next.manifest().members);
    let newcomers = newcomers.filter(|member| current.key(&member.node_id).is_none());
    let members = current.manifest().members.iter().chain(newcomers);
    let mut peers: Vec<MemberPeer> = Vec::new();
    let mut seen = BTreeSet::new();
    let members = members.filter(|member| seen.insert(member.node_id));
    for member in members.filter(|member| is_admitted(member, own, observers)) {
        let mut readable = member.clone();
        readable
            .addresses
            .retain(|text| text.parse::<Multiaddr>().is_ok());
        if readable.addresses.len() < member.addresses.len() {
            tracing::warn!(
                member = member.node_name,
                "some of its addresses in the manifest are none"
            );
        }
        match peer(&readable) {
            Ok(known) => peers.push(MemberPeer {
                // of a later epoch nobody votes yet
                is_voter: known.is_voter && current.key(&member.node_id).is_some(),
                ..known
            }),
            Err(error) => tracing::error!(%error, "this member cannot be reached"),
        }
    }
    let others = other_identities(epochs, &peers);
    peers.extend(others);
    peers
}

/// What an invite says to a node that is no member yet: as whom it connects, and to whom.
#[derive(Clone, Debug)]
pub(super) struct Invited {
    own: MemberPeer,
    peers: Vec<MemberPeer>,
}

impl Invited {
    /// What of a peer cannot be read is left out: the others can be reached.
    pub(super) fn of(invite: &Invite, own: &VerifyKey, identity: PeerId) -> Self {
        let guest = |key: &VerifyKey, peer, addresses| MemberPeer {
            node: key.id(),
            key: key.clone(),
            peer,
            addresses,
            is_voter: false,
            is_guest: false,
        };
        let peers = invite.peers.iter().filter_map(|it| {
            let key = VerifyKey::parse(it.node_id).ok()?;
            let addresses = it.addresses.iter().filter_map(|text| text.parse().ok());
            Some(guest(&key, it.peer_id.parse().ok()?, addresses.collect()))
        });
        Self {
            peers: peers.collect(),
            own: guest(own, identity, Vec::new()),
        }
    }
}

/// Everybody who may connect: the members, whom this node's invite names, and guests.
pub(super) fn admitted(
    epochs: &Epochs,
    guests: &[Member],
    invited: Option<&Invited>,
    own: NodeId,
    observers: bool,
) -> Vec<MemberPeer> {
    let mut all = known_peers(epochs, own, observers);
    let named = invited.iter().flat_map(|invited| {
        let own = std::iter::once(&invited.own);
        own.chain(&invited.peers).cloned()
    });
    let guests = guests.iter().filter_map(|member| {
        let unreadable = |error: &NodeError| tracing::error!(%error, "this guest is not let in");
        let known = peer(member).inspect_err(unreadable).ok()?;
        Some(MemberPeer {
            is_voter: false,
            is_guest: true,
            ..known
        })
    });
    for another in named.chain(guests) {
        let is_known =
            |known: &MemberPeer| known.node == another.node || known.peer == another.peer;
        if !all.iter().any(is_known) {
            all.push(another);
        }
    }
    all
}

/// Identities of members in the epoch before and in the next one that differ from today's: a member
/// whose network key is replaced goes over to it when it enters the epoch, and others enter that
/// sooner or later.
fn other_identities(epochs: &Epochs, peers: &[MemberPeer]) -> Vec<MemberPeer> {
    let current = epochs.current();
    let before = current.number().0.checked_sub(1).map(Epoch);
    let before = before.and_then(|number| epochs.get(number));
    let next = epochs.get(current.number().next());
    let former = |node: &NodeId| {
        let change = current.manifest().change.as_ref();
        let mut named = change.into_iter().flat_map(|change| &change.succeeds);
        let succession = named.find(|succession| succession.member == *node);
        succession.map_or(*node, |succession| succession.former)
    };
    let mut others = Vec::new();
    for known in peers {
        let was = before.and_then(|epoch| epoch.manifest().member(&former(&known.node)));
        let will = next.and_then(|epoch| epoch.manifest().member(&known.node));
        for member in [was, will].into_iter().flatten() {
            // one that cannot be read is nobody's
            let peer = member.peer_id.parse().ok();
            others.extend(
                peer.filter(|peer| *peer != known.peer)
                    .map(|peer| MemberPeer {
                        peer,
                        ..known.clone()
                    }),
            );
        }
    }
    others
}

/// Every member with its parsed key, peer id and addresses.
pub(super) fn peers(
    manifest: &Manifest,
    own: NodeId,
    observers: bool,
) -> Result<Vec<MemberPeer>, NodeError> {
    let members = manifest.members.iter();
    let admitted = members.filter(|member| is_admitted(member, own, observers));
    admitted.map(peer).collect()
}

fn peer(member: &Member) -> Result<MemberPeer, NodeError> {
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
        is_guest: false,
    })
}

/// Parses one multiaddress of a named place.
pub(super) fn address(place: String, text: &str) -> Result<Multiaddr, NodeError> {
    text.parse().map_err(|_| NodeError::Address {
        place,
        value: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::epoch::EpochContext;
    use ssid_protocol::manifest::Succession;
    use ssid_protocol::member::Status;
    use ssid_protocol::testing;

    use super::*;

    /// With peer ids that are some.
    fn manifest(members: usize) -> Manifest {
        let mut manifest = testing::manifest(members);
        for member in &mut manifest.members {
            let key = libp2p::identity::Keypair::generate_ed25519();
            member.peer_id = key.public().to_peer_id().to_string();
            member.addresses.clear();
        }
        manifest
    }

    #[test]
    fn a_member_is_known_by_its_identities_of_the_epochs_before_and_after_as_well() {
        let first = manifest(4);
        let own = first.members[0].node_id;
        let identities = |epochs: &Epochs, node: NodeId| {
            let peers = known_peers(epochs, own, false).into_iter();
            let peers = peers.filter(|known| known.node == node);
            peers
                .map(|known| known.peer.to_string())
                .collect::<Vec<_>>()
        };
        // one replaces its network key, and then its voting key
        let (node, following) = (first.members[3].node_id, testing::key(9).node_id());
        let mut second = testing::successor(&first);
        second.members[3].peer_id = manifest(1).members[0].peer_id.clone();
        let mut third = testing::successor(&second);
        third.members[3].node_id = following;
        third.members[3].peer_id = manifest(1).members[0].peer_id.clone();
        third.change.as_mut().unwrap().succeeds = vec![Succession {
            member: following,
            former: node,
        }];
        let peer = |manifest: &Manifest| manifest.members[3].peer_id.clone();
        let genesis = EpochContext::genesis(first.clone()).unwrap();
        let contexts = [&second, &third].map(|it| genesis.successor(it.clone()).unwrap());
        let mut epochs = Epochs::new(genesis);
        assert_eq!(identities(&epochs, node), [peer(&first)]);
        for context in contexts {
            epochs.add(context);
        }
        assert_eq!(identities(&epochs, node), [peer(&first), peer(&second)]);
        epochs.enter(Epoch(1));
        assert_eq!(identities(&epochs, node), [peer(&second), peer(&first)]);
        assert_eq!(identities(&epochs, following), [peer(&third)]);
        epochs.enter(Epoch(2));
        assert_eq!(
            identities(&epochs, following),
            [peer(&third), peer(&second)]
        );
    }

    #[test]
    fn suspended_members_connect_newcomers_once_it_is_decided_and_one_that_is_unreadable_alone_is_left_out()
     {
        let mut all = manifest(6);
        let newcomer = all.members.pop().unwrap();
        all.members[1].status = Status::Suspended;
        all.members[2].role = Role::Observer;
        let own = all.members[0].node_id;
        let genesis = EpochContext::genesis(all.clone()).unwrap();
        let mut next = testing::successor(&all);
        next.members.push(newcomer.clone());
        let next = genesis.successor(next).unwrap();
        let mut epochs = Epochs::new(genesis);
        let count = |epochs: &Epochs| known_peers(epochs, own, false).len();
        assert_eq!(count(&epochs), 4, "all but the observer");
        assert_eq!(known_peers(&epochs, own, true).len(), 5);
        epochs.add(next);
        let peers = known_peers(&epochs, own, false);
        let it = peers.iter().find(|peer| peer.node == newcomer.node_id);
        assert!(!it.unwrap().is_voter, "not yet");
        all.members[3].peer_id = "nothing".into();
        all.members[4].addresses = vec!["nowhere".into(), "/ip4/127.0.0.1/tcp/1".into()];
        let epochs = Epochs::new(EpochContext::genesis(all.clone()).unwrap());
        assert_eq!(count(&epochs), 3);
        let peers = known_peers(&epochs, own, false);
        let fourth = peers
            .iter()
            .find(|peer| peer.node == all.members[4].node_id);
        assert_eq!(fourth.unwrap().addresses.len(), 1);
    }
}
