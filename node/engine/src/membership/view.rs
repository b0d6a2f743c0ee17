//! A change of members that is under way, for people.

use serde::Serialize;
use ssid_protocol::id::{Epoch, ManifestHash, NodeId};

use super::close::Close;
use crate::engine::Engine;

/// How far this node is on its way into the next epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// The epoch that ends.
    pub ending: Epoch,
    /// The manifest of the next.
    pub manifest: ManifestHash,
    /// Whether this node has compared its own sets with others' yet: until then it waits for what
    /// they decided, or for what it signed before its start.
    pub has_sets: bool,
    /// The closes that it holds.
    pub closes: Vec<CloseView>,
}

/// One voter's close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CloseView {
    /// Whose it is.
    pub node: NodeId,
    /// Whether all that it names is here.
    pub is_counted: bool,
    /// Who says to have counted it, before entering the next epoch.
    pub counted_by: Vec<NodeId>,
    /// Who says that a quorum of the next epoch's voters have counted it.
    pub confirmed_by: Vec<NodeId>,
    /// Whether it names sets that are none.
    pub is_refused: bool,
}

impl Engine {
    /// The change that is under way, if one is.
    pub fn change(&self) -> Option<ChangeView> {
        let boundary = self.membership.boundary.as_ref()?;
        let view = |(node, close): (&NodeId, &Close)| CloseView {
            node: *node,
            is_counted: close.counted.is_some(),
            counted_by: close.counted_by.iter().copied().collect(),
            confirmed_by: close.confirmed_by.iter().copied().collect(),
            is_refused: close.is_refused,
        };
        Some(ChangeView {
            ending: boundary.epoch,
            manifest: boundary.next,
            has_sets: boundary.sets.is_some(),
            closes: boundary.closes.iter().map(view).collect(),
        })
    }
}
