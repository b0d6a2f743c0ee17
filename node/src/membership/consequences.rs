//! What a proposed manifest changes and what follows from it, in words: whoever approves one decides
//! who counts from then on.

use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;
use ssid_protocol::quorum::VoterSet;

/// What differs between two manifests and what follows from that, a line each. The first words of a
/// line say what it is about, `+`, `-` and `~` what comes, goes and changes.
pub(crate) fn consequences(today: &Manifest, proposed: &Manifest) -> Vec<String> {
    let mut lines = differences(today, proposed);
    if lines.is_empty() {
        lines.push("Members and rules stay as they are.".to_owned());
    }
    let (Ok(before), Ok(after)) = (today.voters(), proposed.voters()) else {
        return lines; // refused for that before it is shown
    };
    lines.push(format!("Today: {}", strength(&before)));
    lines.push(format!("After: {}", strength(&after)));
    if after.may_fail() == 0 {
        let names = proposed.members.iter().filter(|member| member.is_voter());
        let names: Vec<_> = names.map(|member| member.node_name.as_str()).collect();
        let names = names.join(", ");
        lines.push(format!(
            "Then all of {names} have to be there, or nothing is decided any more, not even a change back."
        ));
    }
    if after.max_faulty() < before.max_faulty() {
        lines.push("Less weight may lie than today.".to_owned());
    }
    for member in proposed.members.iter().filter(|member| member.is_voter()) {
        if !today
            .members
            .iter()
            .any(|known| known.node_id == member.node_id)
        {
            lines.push(format!(
                "{} counts as a voter from the first moment, whether its node runs or not.",
                member.node_name
            ));
        }
    }
    lines.push("While members change nothing is decided for a few seconds; what is open then is voted on again.".to_owned());
    lines
}

fn strength(voters: &VoterSet) -> String {
    format!(
        "{} voters of weight {}, {} decides; weight {} may lie, {} may be away.",
        voters.len(),
        voters.total(),
        voters.quorum(),
        voters.max_faulty(),
        voters.may_fail()
    )
}

fn differences(today: &Manifest, proposed: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for member in &proposed.members {
        match today
            .members
            .iter()
            .find(|known| known.node_id == member.node_id)
        {
            None => lines.push(format!(
                "+ {} ({}) joins as {}, {}, weight {}; its key is {}",
                member.node_name,
                member.organization,
                member.role.as_str(),
                member.status.as_str(),
                member.weight,
                member.node_id
            )),
            Some(known) => lines.extend(member_differences(known, member)),
        }
    }
    let leaves = |member: &&Member| {
        let mut others = proposed.members.iter();
        !others.any(|other| other.node_id == member.node_id)
    };
    for member in today.members.iter().filter(leaves) {
        lines.push(format!(
            "- {} ({}) leaves",
            member.node_name, member.organization
        ));
    }
    for one in proposed.change.iter().flat_map(|change| &change.succeeds) {
        lines.push(format!(
            "~ key {} takes the place of {}",
            one.member, one.former
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

    use ssid_protocol::member::Status;
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn nothing_that_changes_is_left_out_and_what_becomes_indispensable_has_a_name() {
        let today = testing::manifest(4);
        let mut proposed = testing::successor(&today);
        assert_eq!(
            consequences(&today, &proposed)[0],
            "Members and rules stay as they are."
        );
        proposed.members.pop();
        proposed.members[0].status = Status::Suspended;
        proposed.members[1]
            .addresses
            .push("/dns/new.example/tcp/1".into());
        proposed.threshold_bp = 7_000;
        let mut newcomer = testing::manifest(5).members.pop().unwrap();
        newcomer.node_name = "Oslo".into();
        proposed.members.push(newcomer);
        let words = consequences(&today, &proposed).join("\n");
        for said in [
            "- Node-3 (Org 3) leaves",
            "~ Node-0: status \"active\" becomes \"suspended\"",
            "~ Node-1: addresses",
            "7000",
            "+ Oslo",
            "Oslo counts as a voter from the first moment",
            "Then all of Node-1, Node-2, Oslo have to be there",
            "Less weight may lie",
        ] {
            assert!(words.contains(said), "{said:?} is not in:\n{words}");
        }
    }
}
