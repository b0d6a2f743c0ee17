//! A change of members in a few words, applied to the draft of the next manifest.

use ssid_protocol::card::MemberCard;
use ssid_protocol::id::NodeId;
use ssid_protocol::identity::IdentityError;
use ssid_protocol::manifest::{Manifest, Succession, TieBreak};
use ssid_protocol::member::{Member, Role, Status};

/// One change of a draft.
#[derive(Clone, Debug)]
pub enum Edit {
    /// The node of a card becomes a member.
    Add {
        /// What its organisation handed over.
        card: Box<MemberCard>,
        /// What it is to do; what its card says if nothing is said.
        role: Option<Role>,
        /// 1 to 100; what its card says if nothing is said.
        weight: Option<u64>,
    },
    /// A member leaves.
    Remove(NodeId),
    /// A member takes part again, or does not: by its own wish or by the others'.
    Status(NodeId, Status),
    /// A member does something else.
    Role(NodeId, Role),
    /// Its vote weighs something else where votes weigh by trust: 1 to 100.
    Weight(NodeId, u64),
    /// It is reached elsewhere: its multiaddresses from now on.
    Addresses(NodeId, Vec<String>),
    /// The share of the weight that decides, in basis points: 1 to 10,000.
    Threshold(u32),
    /// How many distinct signers every decision needs.
    MinParticipating(u32),
    /// How automatic rounds choose.
    TieBreaking(TieBreak),
    /// Whether there are automatic rounds.
    AutoResolve(bool),
    /// The key of a card takes the place of a lost one, for good.
    ReplaceLost {
        /// The key that is lost.
        former: NodeId,
        /// The card of the key that takes its place.
        card: Box<MemberCard>,
    },
}

/// Why a draft is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No member has this id.
    #[error("{0} is not a member\n  see them with: ssid nodes list")]
    NoMember(NodeId),
    /// The card's key is a member's.
    #[error(
        "{name} is a member already: its key is {node_id}\n  change what it does with: ssid membership propose role, or set"
    )]
    IsMember {
        /// What the member is called.
        name: String,
        /// Its key.
        node_id: NodeId,
    },
    /// The card is not signed by its key.
    #[error("the card of {name} is not its own: {error}\n  ask for it again: ssid card")]
    Card {
        /// What the card calls the node.
        name: String,
        /// What is wrong with its signature.
        error: IdentityError,
    },
    /// Two members cannot have one network key.
    #[error(
        "the network key of the card is that of {0}\n  its node needs a data directory of its own: ssid init"
    )]
    PeerTaken(String),
    /// Nothing would change.
    #[error("{what} already: nothing would change")]
    Unchanged {
        /// What is so already, in words.
        what: String,
    },
    /// Of the voters nobody would be a coordinator.
    #[error(
        "{0} is the only coordinator that votes, and every epoch needs one\n  make another one first: ssid membership propose role NODE coordinator"
    )]
    LastCoordinator(String),
    /// Fewer voters would be left than a decision needs.
    #[error(
        "only {left} would be left that vote, and every decision needs {needed} signers\n  add a member first, or lower that: ssid membership propose set --min-participating N (2 at least)"
    )]
    TooFewVoters {
        /// How many vote then.
        left: usize,
        /// `min_participating_nodes`.
        needed: u32,
    },
}

/// The draft with these changes, one after the other. Whether the result is a valid manifest, only
/// the chain of epochs can say: it knows the keys that were replaced.
///
/// # Errors
/// If a change is of nobody or of nothing, a card does not verify, or too few are left that decide.
pub fn edited(mut draft: Manifest, edits: &[Edit]) -> Result<Manifest, EditError> {
    for edit in edits {
        apply(&mut draft, edit)?;
    }
    Ok(draft)
}

/// What a change is, in a few words: its reason where nobody gives another.
pub fn in_words(draft: &Manifest, edits: &[Edit]) -> String {
    let name = |id: &NodeId| {
        let member = draft.member(id);
        member.map_or_else(|| id.to_string(), |member| member.node_name.clone())
    };
    let one = |edit: &Edit| match edit {
        Edit::Add { card, .. } => format!("{} joins", card.member.node_name),
        Edit::Remove(id) => format!("{} leaves", name(id)),
        Edit::Status(id, status) => format!("{} is {status}", name(id)),
        Edit::Role(id, role) => format!("{} is {role}", name(id)),
        Edit::Weight(id, weight) => format!("{} weighs {weight}", name(id)),
        Edit::Addresses(id, _) => format!("{} has other addresses", name(id)),
        Edit::Threshold(_) => "another threshold".to_owned(),
        Edit::MinParticipating(_) => "another least number of signers".to_owned(),
        Edit::TieBreaking(_) => "another tie-break".to_owned(),
        Edit::AutoResolve(_) => "automatic rounds".to_owned(),
        Edit::ReplaceLost { former, .. } => format!("{} lost its key", name(former)),
    };
    edits.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn apply(draft: &mut Manifest, edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::Add { card, role, weight } => add(draft, card, *role, *weight),
        Edit::Remove(id) => remove(draft, id),
        Edit::Status(id, status) => {
            change(draft, id, |member| {
                let was = std::mem::replace(&mut member.status, *status);
                (was != *status, format!("is {status}"))
            })?;
            still_decides(draft, id)
        }
        Edit::Role(id, role) => {
            change(draft, id, |member| {
                let was = std::mem::replace(&mut member.role, *role);
                (was != *role, format!("is {role}"))
            })?;
            still_decides(draft, id)
        }
        Edit::Weight(id, weight) => change(draft, id, |member| {
            let was = std::mem::replace(&mut member.weight, *weight);
            (was != *weight, format!("weighs {weight}"))
        }),
        Edit::Addresses(id, addresses) => change(draft, id, |member| {
            let was = std::mem::replace(&mut member.addresses, addresses.clone());
            (was != *addresses, "has these addresses".to_owned())
        }),
        Edit::Threshold(bp) => rule("the threshold", &mut draft.threshold_bp, *bp),
        Edit::MinParticipating(n) => {
            rule("that", &mut draft.min_participating_nodes, *n)?;
            enough_voters(draft)
        }
        Edit::TieBreaking(way) => rule("the tie-break", &mut draft.tie_breaking_strategy, *way),
        Edit::AutoResolve(on) => rule(
            "the choice of automatic rounds",
            &mut draft.auto_resolve_conflicts,
            *on,
        ),
        Edit::ReplaceLost { former, card } => replace(draft, former, card),
    }
}

/// Changes one member; `how` says whether it did, and what is so now.
fn change(
    draft: &mut Manifest,
    id: &NodeId,
    how: impl FnOnce(&mut Member) -> (bool, String),
) -> Result<(), EditError> {
    let mut members = draft.members.iter_mut();
    let member = members.find(|member| member.node_id == *id);
    let member = member.ok_or(EditError::NoMember(*id))?;
    match how(member) {
        (true, _) => Ok(()),
        (false, so) => Err(EditError::Unchanged {
            what: format!("{} {so}", member.node_name),
        }),
    }
}

fn rule<T: PartialEq + Copy>(name: &str, value: &mut T, wanted: T) -> Result<(), EditError> {
    if *value == wanted {
        let what = format!("{name} is so");
        return Err(EditError::Unchanged { what });
    }
    *value = wanted;
    Ok(())
}

fn add(
    draft: &mut Manifest,
    card: &MemberCard,
    role: Option<Role>,
    weight: Option<u64>,
) -> Result<(), EditError> {
    let of_card = checked(draft, card)?;
    draft.members.push(Member {
        role: role.unwrap_or(of_card.role),
        weight: weight.unwrap_or(of_card.weight),
        status: Status::Active,
        ..of_card
    });
    Ok(())
}

/// The member of a card that verifies, and whose keys are nobody's yet.
fn checked(draft: &Manifest, card: &MemberCard) -> Result<Member, EditError> {
    let member = &card.member;
    card.verify().map_err(|error| EditError::Card {
        name: member.node_name.clone(),
        error,
    })?;
    if let Some(known) = draft.member(&member.node_id) {
        return Err(EditError::IsMember {
            name: known.node_name.clone(),
            node_id: known.node_id,
        });
    }
    let mut others = draft.members.iter();
    if let Some(other) = others.find(|other| other.peer_id == member.peer_id) {
        return Err(EditError::PeerTaken(other.node_name.clone()));
    }
    Ok(member.clone())
}

fn remove(draft: &mut Manifest, id: &NodeId) -> Result<(), EditError> {
    let place = place(draft, id)?;
    let gone = draft.members.remove(place);
    is_coordinated(draft, &gone)?;
    enough_voters(draft)
}

fn replace(draft: &mut Manifest, former: &NodeId, card: &MemberCard) -> Result<(), EditError> {
    let place = place(draft, former)?;
    // first taken out: the new key may go with the network key of the former
    let gone = draft.members.remove(place);
    if card.member.node_id == *former {
        return Err(EditError::IsMember {
            name: gone.node_name,
            node_id: *former,
        });
    }
    let of_card = checked(draft, card)?;
    // what it was allowed to, the others gave it: a card only says who it is
    let member = Member {
        role: gone.role,
        status: gone.status,
        weight: gone.weight,
        ..of_card
    };
    let succession = Succession {
        member: member.node_id,
        former: *former,
    };
    draft.members.insert(place, member);
    if let Some(change) = &mut draft.change {
        change.succeeds.push(succession);
    }
    Ok(())
}

fn place(draft: &Manifest, id: &NodeId) -> Result<usize, EditError> {
    let mut members = draft.members.iter();
    members
        .position(|member| member.node_id == *id)
        .ok_or(EditError::NoMember(*id))
}

/// Whether a coordinator votes and enough others do, after the member `id` was changed.
fn still_decides(draft: &Manifest, id: &NodeId) -> Result<(), EditError> {
    if let Some(member) = draft.member(id) {
        is_coordinated(draft, member)?;
    }
    enough_voters(draft)
}

fn is_coordinated(draft: &Manifest, changed: &Member) -> Result<(), EditError> {
    let is_one = |member: &Member| member.is_voter() && member.role == Role::Coordinator;
    if draft.members.iter().any(is_one) {
        return Ok(());
    }
    Err(EditError::LastCoordinator(changed.node_name.clone()))
}

fn enough_voters(draft: &Manifest) -> Result<(), EditError> {
    let left = draft.members.iter().filter(|it| it.is_voter()).count();
    let needed = draft.min_participating_nodes.max(2);
    if left >= needed as usize {
        return Ok(());
    }
    Err(EditError::TooFewVoters { left, needed })
}

#[cfg(test)]
mod tests;
