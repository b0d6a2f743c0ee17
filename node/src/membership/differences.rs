//! What differs between two manifests, in words.

use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;

use crate::text::spoken;

/// What differs, a line each: `+`, `-` and `~` are what comes, goes and changes.
pub(super) fn differences(today: &Manifest, proposed: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    let succeeds = || proposed.change.iter().flat_map(|change| &change.succeeds);
    for member in &proposed.members {
        let former = succeeds().find(|one| one.member == member.node_id);
        let former = former.and_then(|one| today.member(&one.former));
        match (today.member(&member.node_id), former) {
            (Some(known), _) => lines.extend(member_differences(known, member)),
            (None, Some(former)) => {
                lines.push(format!(
                    "~ {} ({}): the key that reads {} takes the place of its key {}",
                    former.node_name,
                    former.organization,
                    spoken(&member.node_id),
                    spoken(&former.node_id)
                ));
                lines.extend(member_differences(former, member));
            }
            (None, None) => lines.push(format!(
                "+ {} ({}) joins as {}, {}, weight {}; its key reads {}",
                member.node_name,
                member.organization,
                member.role.as_str(),
                member.status.as_str(),
                member.weight,
                spoken(&member.node_id)
            )),
        }
    }
    let leaves = |member: &&Member| {
        let is_replaced = succeeds().any(|one| one.former == member.node_id);
        !is_replaced && proposed.member(&member.node_id).is_none()
    };
    for member in today.members.iter().filter(leaves) {
        lines.push(format!(
            "- {} ({}) leaves",
            member.node_name, member.organization
        ));
    }
    let mut rule = |name: &str, was: String, is: String| {
        if was != is {
            lines.push(format!("~ {name}: {was} becomes {is}"));
        }
    };
    rule("name", today.name.clone(), proposed.name.clone());
    rule(
        "threshold in basis points",
        today.threshold_bp.to_string(),
        proposed.threshold_bp.to_string(),
    );
    rule(
        "signers that every decision needs",
        today.min_participating_nodes.to_string(),
        proposed.min_participating_nodes.to_string(),
    );
    rule(
        "what a vote weighs",
        today.vote_weighting.as_str().to_owned(),
        proposed.vote_weighting.as_str().to_owned(),
    );
    rule(
        "tie-break",
        today.tie_breaking_strategy.as_str().to_owned(),
        proposed.tie_breaking_strategy.as_str().to_owned(),
    );
    rule(
        "automatic rounds",
        today.auto_resolve_conflicts.to_string(),
        proposed.auto_resolve_conflicts.to_string(),
    );
    let rules = |manifest: &Manifest| manifest.rules.names().collect::<Vec<_>>().join(", ");
    rule("rules", rules(today), rules(proposed));
    lines
}

fn member_differences(was: &Member, is: &Member) -> Vec<String> {
    let name = &was.node_name;
    let mut lines = Vec::new();
    let mut field = |what: &str, was: &str, is: &str| {
        if was != is {
            lines.push(format!("~ {name}: {what} {was:?} becomes {is:?}"));
        }
    };
    field("role", was.role.as_str(), is.role.as_str());
    field("status", was.status.as_str(), is.status.as_str());
    field("weight", &was.weight.to_string(), &is.weight.to_string());
    field("name", &was.node_name, &is.node_name);
    field("organization", &was.organization, &is.organization);
    field("network key", &was.peer_id, &is.peer_id);
    field(
        "addresses",
        &was.addresses.join(" "),
        &is.addresses.join(" "),
    );
    field("repository", &was.git_remote, &is.git_remote);
    field("API", &was.api_endpoint, &is.api_endpoint);
    if was.keys != is.keys {
        lines.push(format!("~ {name}: its further public keys change"));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::manifest::Succession;
    use ssid_protocol::testing::{key, manifest, successor};

    use super::*;

    #[test]
    fn a_replaced_key_is_one_change_and_neither_a_join_nor_a_leave() {
        let today = manifest(4);
        let mut proposed = successor(&today);
        let (member, former) = (key(9).node_id(), today.members[3].node_id);
        proposed.members[3].node_id = member;
        proposed.members[3].peer_id = "another".into();
        proposed.change.as_mut().unwrap().succeeds = vec![Succession { member, former }];
        let lines = differences(&today, &proposed);
        let key = spoken(&member);
        let replaced = format!("~ Node-3 (Org 3): the key that reads {key} takes the place of");
        assert!(lines[0].starts_with(&replaced), "{lines:?}");
        assert_eq!(
            lines[1..],
            ["~ Node-3: network key \"peer-3\" becomes \"another\""]
        );
    }
}
