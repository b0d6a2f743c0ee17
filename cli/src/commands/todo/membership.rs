//! Changes of members that wait for this node's operator.

use ssid_node::view::{ConflictView, ProposalView};
use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_protocol::id::NodeId;

use super::entry::Todo;
use crate::commands::membership::approve;
use crate::output::{clean, short};

/// The kind of such entries.
pub(super) const MEMBERSHIP: &str = "membership";

/// A proposed change of members that this node's operator has not approved, and nobody has refused
/// for it.
pub(super) fn of_proposal(proposal: &ProposalView, me: &NodeId) -> Option<Todo> {
    if proposal.approved_here || !proposal.waits_for.contains(me) {
        return None;
    }
    let hash = short(&proposal.manifest_hash);
    let changes = proposal.consequences.iter();
    let changes = changes.filter(|line| line.starts_with(['+', '-', '~']));
    let changes: Vec<_> = changes.map(|line| clean(line)).collect();
    let what = format!(
        "a change of members for epoch {}: {} ({})",
        proposal.epoch,
        clean(&proposal.reason),
        changes.join("; ")
    );
    Some(Todo {
        kind: MEMBERSHIP,
        what,
        since: Some(proposal.created_at.clone()),
        until: Some(proposal.expires_at.clone()),
        otherwise: "it is in force once a quorum of the others has approved it".to_owned(),
        commands: vec![
            format!("ssid membership show {hash}"),
            approve(&hash, &proposal.replaced_keys),
            format!("ssid membership reject {hash} --reason TEXT"),
        ],
    })
}

/// A change of members on which the votes ended without a decision, and that is not approved here.
pub(super) fn of_undecided_change(conflict: &ConflictView) -> Option<Todo> {
    let subject = conflict.subject.as_ref()?;
    let waits = conflict.in_conflict && conflict.standing.is_none();
    if subject.event != FEDERATION_EPOCH || !waits {
        return None;
    }
    // the event of a change names its manifest
    let events = conflict.candidates.iter();
    let events = events.filter_map(|candidate| candidate.event.as_ref());
    let commands = events.map(|event| {
        let hash = short(&clean(&event.commit_hash));
        format!("ssid membership approve {hash}")
    });
    Some(Todo {
        kind: MEMBERSHIP,
        what: format!(
            "the votes on a change of members for epoch {} ended without a decision",
            clean(&subject.version)
        ),
        since: Some(conflict.since.clone()),
        until: None,
        otherwise: "the members stay as they are until enough operators approve the same"
            .to_owned(),
        commands: std::iter::once("ssid membership list".to_owned())
            .chain(commands)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use ssid_node::view::ReplacedKeyView;
    use ssid_protocol::id::{Epoch, ManifestHash};

    use super::*;

    const ME: NodeId = NodeId([1; 32]);

    fn proposal() -> ProposalView {
        ProposalView {
            manifest_hash: ManifestHash([0x4b; 32]),
            epoch: Epoch(4),
            created_at: "2026-11-29T00:00:00Z".into(),
            reason: "its disk burnt".into(),
            consequences: vec!["~ key 3f takes the place of 91".into(), "Today: 4".into()],
            expires_at: "2026-12-13T00:00:00Z".into(),
            replaced_keys: vec![ReplacedKeyView {
                node_id: NodeId([0x3f; 32]),
                former_node_id: NodeId([0x91; 32]),
                node_name: "Rome".into(),
                handed_over: false,
            }],
            approved_by: vec![],
            refused_by: vec![],
            waits_for: vec![ME],
            not_ready: Vec::new(),
            approved_here: false,
            manifest: None,
        }
    }

    #[test]
    fn a_change_of_members_waits_until_it_is_answered_here() {
        let todo = of_proposal(&proposal(), &ME).expect("it waits");
        assert_eq!(todo.until.as_deref(), Some("2026-12-13T00:00:00Z"));
        assert!(
            todo.what.contains("its disk burnt (~ key 3f takes"),
            "{}",
            todo.what
        );
        let approve = "ssid membership approve 4b4b4b4b4b4b --confirm DIGITS";
        assert_eq!(todo.commands[1], approve);
        let approved = ProposalView {
            approved_here: true,
            ..proposal()
        };
        assert_eq!(of_proposal(&approved, &ME), None);
        assert_eq!(
            of_proposal(&proposal(), &NodeId([2; 32])),
            None,
            "others' turn"
        );
    }
}
