//! Who has to be there under a proposed manifest, in words: the commonest way to lose a federation is
//! to count on a node that does not run.

use std::collections::BTreeSet;

use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;
use ssid_protocol::quorum::VoterSet;

/// Without whom nothing is decided, of all voters and of those who vote today already.
pub(super) fn who_has_to_be_there(
    today: &Manifest,
    proposed: &Manifest,
    after: &VoterSet,
) -> Vec<String> {
    let mut lines = Vec::new();
    let everybody = ids(after);
    if let Some(who) = all_of(proposed, &indispensable(after, &everybody)) {
        lines.push(format!("Then {who}."));
    }
    let newcomers = newcomers(today, &everybody);
    if newcomers.is_empty() {
        return lines;
    }
    let new = names(proposed, &newcomers);
    let counts = if newcomers.len() == 1 {
        "counts as a voter"
    } else {
        "count as voters"
    };
    lines.push(format!(
        "{new} {counts} from the first moment, whether running or not."
    ));
    let others = &everybody - &newcomers;
    let never = if newcomers.len() == 1 {
        "never starts"
    } else {
        "never start"
    };
    if !decide(after, &others) {
        lines.push(format!(
            "If {new} {never}, nothing is decided any more, not even a change back."
        ));
    } else if let Some(who) = all_of(proposed, &indispensable(after, &others)) {
        lines.push(format!("If {new} {never}, {who}."));
    }
    lines
}

/// Who is away now and is needed then; `away` are today's voters that are not connected.
pub(crate) fn who_is_away(
    today: &Manifest,
    proposed: &Manifest,
    away: &BTreeSet<NodeId>,
) -> Vec<String> {
    let Ok(after) = proposed.voters() else {
        return Vec::new(); // refused for that before it is shown
    };
    let everybody = ids(&after);
    let missing: BTreeSet<_> = everybody.intersection(away).copied().collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let is = if missing.len() == 1 {
        "is away now, and counts"
    } else {
        "are away now, and count"
    };
    let mut lines = vec![format!("{} {is} as before.", names(proposed, &missing))];
    let newcomers = newcomers(today, &everybody);
    let here = &(&everybody - &missing) - &newcomers;
    if !decide(&after, &here) {
        lines.push(
            "Those who vote today and are here now could decide nothing then: wait until more are back."
                .to_owned(),
        );
    }
    lines
}

fn ids(voters: &VoterSet) -> BTreeSet<NodeId> {
    voters.iter().map(|(_, voter)| voter.key.id()).collect()
}

/// Those of them that do not vote today.
fn newcomers(today: &Manifest, voters: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let votes = |id: &NodeId| today.member(id).is_some_and(Member::is_voter);
    voters.iter().filter(|id| !votes(id)).copied().collect()
}

/// Whether these can decide without the others.
fn decide(voters: &VoterSet, present: &BTreeSet<NodeId>) -> bool {
    let here = voters
        .iter()
        .filter(|(_, voter)| present.contains(&voter.key.id()));
    let weights: Vec<_> = here.map(|(_, voter)| voter.weight).collect();
    voters.is_quorum(weights.iter().sum(), weights.len())
}

/// Those of `present` without whom the others of it decide nothing.
fn indispensable(voters: &VoterSet, present: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let is_needed = |id: &&NodeId| {
        let mut others = present.clone();
        others.remove(*id);
        !decide(voters, &others)
    };
    present.iter().filter(is_needed).copied().collect()
}

fn names(manifest: &Manifest, ids: &BTreeSet<NodeId>) -> String {
    // in the manifest's order, as everywhere
    let members = manifest
        .members
        .iter()
        .filter(|it| ids.contains(&it.node_id));
    let names: Vec<_> = members.map(|member| member.node_name.as_str()).collect();
    names.join(", ")
}

fn all_of(manifest: &Manifest, needed: &BTreeSet<NodeId>) -> Option<String> {
    let names = names(manifest, needed);
    let who = match needed.len() {
        0 => return None,
        1 => format!("{names} has to be there"),
        _ => format!("all of {names} have to be there"),
    };
    Some(format!(
        "{who}, or nothing is decided any more, not even a change back"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::member::Status;
    use ssid_protocol::testing::{manifest, successor};

    use super::*;

    fn oslo() -> Member {
        let mut member = manifest(5).members.pop().unwrap();
        member.node_name = "Oslo".into();
        member
    }

    fn words(today: &Manifest, proposed: &Manifest) -> String {
        who_has_to_be_there(today, proposed, &proposed.voters().unwrap()).join("\n")
    }

    #[test]
    fn who_becomes_indispensable_if_a_newcomer_never_starts_is_named() {
        let today = manifest(4);
        let mut proposed = successor(&today);
        proposed.members.push(oslo());
        let said = words(&today, &proposed);
        assert!(
            said.contains("Oslo counts as a voter from the first moment"),
            "{said}"
        );
        let if_never =
            "If Oslo never starts, all of Node-0, Node-1, Node-2, Node-3 have to be there";
        assert!(said.contains(if_never), "{said}");
        assert!(!said.contains("Then all"), "{said}");
    }

    #[test]
    fn two_newcomers_without_whom_nothing_is_decided_are_named() {
        let today = manifest(2);
        let mut proposed = successor(&today);
        proposed.members.extend(manifest(5).members.split_off(3));
        let said = words(&today, &proposed);
        let if_never = "If Node-3, Node-4 never start, nothing is decided any more";
        assert!(said.contains(if_never), "{said}");
    }

    #[test]
    fn a_member_that_returns_counts_like_a_newcomer_and_one_that_goes_on_does_not() {
        let mut today = manifest(4);
        today.members[3].status = Status::Suspended;
        let mut proposed = successor(&today);
        assert!(!words(&today, &proposed).contains("Node-3"));
        proposed.members[3].status = Status::Active;
        let said = words(&today, &proposed);
        assert!(
            said.contains("Node-3 counts as a voter from the first moment"),
            "{said}"
        );
    }

    #[test]
    fn who_is_away_now_and_needed_then_is_named() {
        let today = manifest(4);
        let mut proposed = successor(&today);
        let away = BTreeSet::from([today.members[3].node_id]);
        assert_eq!(
            who_is_away(&today, &proposed, &away),
            ["Node-3 is away now, and counts as before."]
        );
        proposed.members.push(oslo());
        let said = who_is_away(&today, &proposed, &away).join("\n");
        assert!(said.contains("could decide nothing then"), "{said}");
        assert!(who_is_away(&today, &proposed, &BTreeSet::new()).is_empty());
        proposed.members.remove(3);
        assert!(who_is_away(&today, &proposed, &away).is_empty());
    }
}
