//! Guests (SPEC §10, *Guests*): new voters of a manifest that this node's operator approved. They may
//! connect before they are members, so that they can fetch what is certified and say that they are
//! ready. And this node itself, while it is no member.

use std::sync::Arc;

use ssid_protocol::id::{Epoch, ManifestHash, NodeId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;
use ssid_protocol::sync::{ChangeRequest, Request};

use crate::engine::{Engine, Tick};
use crate::settings::GUESTS;

/// Whom this node lets in before they are members.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// The manifest that would admit them.
    of: Option<ManifestHash>,
    members: Arc<Vec<Member>>,
}

impl Engine {
    /// Those whom this node lets in as guests; at most [`GUESTS`]. The same allocation until they
    /// change.
    pub fn guests(&self) -> &Arc<Vec<Member>> {
        &self.membership.guests.members
    }

    /// Whether a node is one of them.
    pub(crate) fn is_guest(&self, node: &NodeId) -> bool {
        let mut guests = self.membership.guests.members.iter();
        guests.any(|guest| guest.node_id == *node)
    }

    /// Lets in those whom `approved` would admit, and nobody else.
    pub(super) fn admit_guests(&mut self, approved: Option<ManifestHash>) {
        if self.membership.guests.of == approved {
            return;
        }
        let known = |hash| self.membership.proposals.manifest(hash);
        let members = approved
            .as_ref()
            .and_then(known)
            .map(|manifest| &manifest.members);
        let current = self.epochs.current();
        let is_new = |member: &&Member| member.is_voter() && current.key(&member.node_id).is_none();
        let new = members.into_iter().flatten().filter(is_new);
        let members = Arc::new(new.take(GUESTS).cloned().collect());
        self.membership.guests = Guests {
            of: approved,
            members,
        };
    }

    /// Whether this node is a member of the epoch that it is in.
    pub(crate) fn is_member(&self) -> bool {
        self.epochs.current().key(&self.me).is_some()
    }

    /// Who is no member yet may know nobody's key: what anybody says of the epoch cannot be checked
    /// before the chain is here.
    pub(crate) fn ask_for_epochs_as_guest(&self, tick: &mut Tick, node: NodeId) {
        if !self.is_member() {
            let from = self.membership.chain.latest().epoch.next();
            let request = Request::Change(ChangeRequest::Epochs { from });
            tick.effects.asks.push((node, request));
        }
    }

    /// Whether a manifest is the one that the invite pinned, if it is of that epoch.
    pub(super) fn agrees_with_pin(&self, manifest: &Manifest) -> bool {
        let is_pinned = |(epoch, hash): (Epoch, ManifestHash)| {
            epoch != manifest.epoch || hash == manifest.hash()
        };
        self.settings.pin.is_none_or(is_pinned)
    }
}
