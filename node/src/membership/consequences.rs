//! What a proposed manifest changes and what follows from it, in words: whoever approves one decides
//! who counts from then on.

use std::collections::BTreeMap;

use ssid_protocol::manifest::{Manifest, Weighting};
use ssid_protocol::member::{Member, Role};
use ssid_protocol::quorum::VoterSet;

use super::differences::differences;
use super::presence::who_has_to_be_there;

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
    lines.extend(who_has_to_be_there(today, proposed, &after));
    lines.extend(what_may_lie(proposed, &before, &after));
    lines.extend(coordinators(today, proposed));
    lines.push("While members change nothing is decided for a few seconds; what is open then is voted on again.".to_owned());
    lines.push(format!(
        "To undo this, {} have to approve.",
        share(proposed, &after)
    ));
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

/// How many voters of a manifest decide, in words: by their number if all weigh the same.
pub(crate) fn share(manifest: &Manifest, voters: &VoterSet) -> String {
    let signers = voters.min_signers();
    match manifest.vote_weighting {
        Weighting::Equal => {
            let quorum = voters.quorum().max(signers as u64);
            format!("{quorum} of {} voters", voters.len())
        }
        Weighting::Trust => {
            let (quorum, total) = (voters.quorum(), voters.total());
            format!("voters of weight {quorum} of {total}, {signers} of them at least,")
        }
    }
}

/// Who could break the rules, alone or with others of one organisation.
fn what_may_lie(proposed: &Manifest, before: &VoterSet, after: &VoterSet) -> Vec<String> {
    let mut lines = Vec::new();
    let most = after.max_faulty();
    if most < before.max_faulty() {
        lines.push("Less weight may lie than today.".to_owned());
    }
    let mut organizations = BTreeMap::<&str, (u64, Vec<&str>)>::new();
    // in the manifest's order, as everywhere
    for member in &proposed.members {
        let place = after.index_of(&member.node_id);
        let Some(voter) = place.and_then(|place| after.get(place)) else {
            continue;
        };
        if most > 0 && voter.weight > most {
            let name = &member.node_name;
            lines.push(format!("{name} alone weighs more than may lie."));
        }
        let of = organizations.entry(&member.organization).or_default();
        of.0 += voter.weight;
        of.1.push(&member.node_name);
    }
    for (organization, (weight, names)) in organizations {
        if names.len() > 1 {
            let all = after.total();
            let enough = if weight > most {
                ": more than may lie"
            } else {
                ""
            };
            let names = names.join(", ");
            lines.push(format!(
                "{names} are of one organisation, {organization}, with weight {weight} of {all}{enough}."
            ));
        }
    }
    lines
}

/// Who alone could propose what needs no operator, and could not before.
fn coordinators(today: &Manifest, proposed: &Manifest) -> Option<String> {
    let of = |manifest: &Manifest| -> Vec<String> {
        let is_one = |member: &&Member| member.is_voter() && member.role == Role::Coordinator;
        let members = manifest.members.iter().filter(is_one);
        members.map(|member| member.node_name.clone()).collect()
    };
    match (&of(today)[..], &of(proposed)[..]) {
        ([_, _, ..], [only]) => Some(format!("{only} is the only coordinator then.")),
        _ => None,
    }
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
            "To undo this, 3 of 3 voters have to approve",
        ] {
            assert!(words.contains(said), "{said:?} is not in:\n{words}");
        }
    }

    #[test]
    fn members_of_one_organisation_are_counted_together() {
        let today = testing::manifest(4);
        let mut proposed = testing::successor(&today);
        let said = |proposed: &Manifest| consequences(&today, proposed).join("\n");
        assert!(!said(&proposed).contains("of one organisation"));
        proposed.members[1].organization = "Org 0".into();
        let words = said(&proposed);
        let together =
            "Node-0, Node-1 are of one organisation, Org 0, with weight 2 of 4: more than may lie";
        assert!(words.contains(together), "{words}");
    }

    #[test]
    fn who_becomes_the_only_coordinator_is_named() {
        let mut today = testing::manifest(4);
        today.members[1].role = Role::Coordinator;
        let mut proposed = testing::successor(&today);
        let said = |proposed: &Manifest| consequences(&today, proposed).join("\n");
        assert!(!said(&proposed).contains("only coordinator"));
        proposed.members.remove(0);
        let words = said(&proposed);
        assert!(
            words.contains("Node-1 is the only coordinator then"),
            "{words}"
        );
    }

    #[test]
    fn by_weight_what_decides_is_said_as_weight() {
        let mut today = testing::manifest(3);
        today.vote_weighting = Weighting::Trust;
        today.members[0].weight = 80;
        let proposed = testing::successor(&today);
        let words = consequences(&today, &proposed).join("\n");
        assert!(
            words.contains("voters of weight") && words.contains("of 180, 2 of them"),
            "{words}"
        );
        assert!(
            words.contains("Node-0 alone weighs more than may lie"),
            "{words}"
        );
    }
}
