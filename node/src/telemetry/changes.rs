//! Changes of members as messages: proposed and waiting for this node's operator, or in force.

use std::time::Duration;

use ssid_protocol::id::UnixMillis;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Status;
use ssid_storage::Store;

use super::message::{Message, Names, Severity, Topic, short_id};
use crate::membership::replaced_keys::{handovers_of, replaced_keys};

/// Lines of one message that say what changes; past that it says how many more there are.
const LINES: usize = 10;

/// A proposed change, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The beginning of its manifest's hash.
    pub hash: String,
    /// What it changes.
    pub lines: Vec<String>,
    /// Whether keys in it have to be confirmed before it is approved.
    pub has_lost_keys: bool,
}

/// What is proposed to follow the manifest `today`.
pub fn proposed(store: &Store, today: &Manifest, anonymize: bool) -> Vec<Proposed> {
    let rows = store.proposals().filter_map(Result::ok);
    let manifests = rows.filter_map(|(_, row)| {
        let manifest = Manifest::parse(row.manifest.as_bytes()).ok()?;
        Some((manifest, handovers_of(&row)))
    });
    let next = manifests.filter(|(manifest, _)| manifest.epoch == today.epoch.next());
    let view = |(manifest, handovers): (Manifest, Vec<_>)| {
        let replaced = replaced_keys(&manifest, &handovers);
        Proposed {
            hash: short_id(&manifest.hash().to_string()),
            lines: lines(today, &manifest, anonymize),
            has_lost_keys: replaced.iter().any(|key| !key.handed_over),
        }
    };
    next.map(view).collect()
}

/// The message that members changed from `before` to `now`; `paused` is how long nothing was decided
/// here, if that is known.
pub fn in_force(
    before: &Manifest,
    now: &Manifest,
    paused: Option<Duration>,
    anonymize: bool,
    at: UnixMillis,
) -> Message {
    // whether the former key signed that is not kept once it is in force
    let is_replaced = !replaced_keys(now, &[]).is_empty();
    let severity = if is_replaced {
        Severity::Warning
    } else {
        Severity::Info
    };
    let hash = now.hash();
    let mut message = Message::new(
        Topic::EpochChanged,
        severity,
        format!("epoch:{}:{hash}", now.epoch),
        &format!("Epoch {}: the members changed", now.epoch),
        at,
    );
    for line in lines(before, now, anonymize) {
        message = message.line(&line);
    }
    // people write names into it
    let reason = now.change.as_ref().map(|change| &change.reason);
    if let Some(reason) = reason.filter(|_| !anonymize) {
        message = message.line(&format!("Why: {reason}"));
    }
    if let Some(paused) = paused {
        let seconds = format!("{:.1} s", paused.as_secs_f64());
        message = message.fact("Without Decisions", seconds);
    }
    message
        .line("See who counts now with: ssid federation show")
        .fact("Manifest", hash)
}

/// What differs, a line each, by names or, where they are not to leave this machine, by ids.
fn lines(before: &Manifest, now: &Manifest, anonymize: bool) -> Vec<String> {
    let all = before.members.iter().chain(&now.members);
    let names = Names::new(all.map(|m| (m.node_id, m.node_name.clone())), anonymize);
    let replaced = replaced_keys(now, &[]);
    let mut lines = Vec::new();
    for key in &replaced {
        let (name, former) = (names.of(&key.node_id), key.former_node_id.to_string());
        lines.push(format!(
            "{name} has another key, in the place of {}",
            short_id(&former)
        ));
    }
    for member in &now.members {
        let name = names.of(&member.node_id);
        match before.member(&member.node_id) {
            None if replaced.iter().any(|key| key.node_id == member.node_id) => {}
            None => lines.push(format!("{name} joins as {}", member.role)),
            Some(was) => {
                if was.status != member.status {
                    lines.push(match member.status {
                        Status::Active => format!("{name} takes part again"),
                        Status::Inactive => format!("{name} takes no part, by its own wish"),
                        Status::Suspended => format!("{name} is suspended"),
                    });
                }
                if was.role != member.role {
                    lines.push(format!("{name} is {}, no longer {}", member.role, was.role));
                }
            }
        }
    }
    for member in &before.members {
        let is_replaced = replaced
            .iter()
            .any(|key| key.former_node_id == member.node_id);
        if now.member(&member.node_id).is_none() && !is_replaced {
            lines.push(format!("{} leaves", names.of(&member.node_id)));
        }
    }
    if lines.is_empty() {
        lines.push("Rules, weights or addresses change; the same members take part".to_owned());
    }
    let more = lines.len().saturating_sub(LINES);
    if more > 0 {
        lines.truncate(LINES);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::manifest::Succession;
    use ssid_protocol::member::Role;
    use ssid_protocol::testing::{key, manifest, successor};

    use super::*;

    /// One joins, one leaves, one is suspended, one becomes coordinator, one has another key.
    fn changed() -> (Manifest, Manifest) {
        let before = manifest(5);
        let mut now = successor(&before);
        now.members[1].status = Status::Suspended;
        now.members[2].role = Role::Coordinator;
        let former = now.members[3].node_id;
        now.members[3].node_id = key(9).node_id();
        now.members.pop();
        let mut oslo = manifest(6).members.pop().unwrap();
        oslo.node_name = "Oslo".into();
        now.members.push(oslo);
        let member = key(9).node_id();
        now.change.as_mut().unwrap().succeeds = vec![Succession { member, former }];
        (before, now)
    }

    #[test]
    fn who_joined_left_was_suspended_and_has_another_key_is_told() {
        let (before, now) = changed();
        let paused = Some(Duration::from_millis(2_400));
        let message = in_force(&before, &now, paused, false, UnixMillis(0));
        let text = message.text();
        for part in [
            "Epoch 1: the members changed",
            "Node-3 has another key",
            "Node-1 is suspended",
            "Node-2 is coordinator, no longer participant",
            "Oslo joins as participant",
            "Node-4 leaves",
            "Why: as agreed",
            "2.4 s",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(message.severity, Severity::Warning);
        let again = in_force(&before, &now, None, false, UnixMillis(7));
        assert_eq!(again.cause, message.cause, "it would be told twice");
        assert!(!again.text().contains("Without Decisions"));
    }

    #[test]
    fn names_that_are_not_to_leave_the_machine_do_not() {
        let (before, now) = changed();
        let text = in_force(&before, &now, None, true, UnixMillis(0)).text();
        assert!(!text.contains("Node-") && !text.contains("Oslo"), "{text}");
        assert!(!text.contains("as agreed"), "{text}");
        let id = short_id(&now.members[1].node_id.to_string());
        assert!(text.contains(&format!("{id} is suspended")), "{text}");
    }

    #[test]
    fn what_changes_no_member_says_so() {
        let before = manifest(4);
        let mut now = successor(&before);
        now.threshold_bp = 7_000;
        let message = in_force(&before, &now, None, false, UnixMillis(0));
        assert!(message.text().contains("the same members take part"));
        assert_eq!(message.severity, Severity::Info);
    }
}
