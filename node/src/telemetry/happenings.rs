//! What happens in the federation, as messages: from the engine's events and from its count of
//! syncs.

use ssid_engine::{NodeEvent, Syncs};
use ssid_protocol::id::{EvidenceId, NodeId, SubjectId, UnixMillis};

use super::message::{Message, Names, Severity, Topic};
use crate::config::{Channel, Notifications, NotifiedEvents};

/// Whether `notifications` of the node's configuration wants such messages at all. Where it is on,
/// proof that somebody lied and a rewritten history are always wanted.
pub fn is_wanted(wanted: &Notifications, topic: Topic) -> bool {
    let events: &NotifiedEvents = &wanted.events;
    wanted.enabled
        && match topic {
            Topic::SyncCompleted => events.sync_completed,
            Topic::SyncFailed => events.sync_failed,
            Topic::ConsensusAchieved => events.consensus_achieved,
            Topic::ConsensusFailed => events.consensus_failed,
            Topic::NodeAdded => events.node_added,
            Topic::NodeRemoved => events.node_removed,
            Topic::TrustScoreLow => events.trust_score_low,
            Topic::MembershipProposed => events.membership_proposed,
            Topic::EpochChanged => events.epoch_changed,
            Topic::ReviewWaiting => events.review_waiting,
            Topic::NodeDown => events.node_down,
            Topic::QuorumLost => events.quorum_lost,
            Topic::NodeStopped => events.node_stopped,
            Topic::Divergence => events.divergence,
            _ => true,
        }
}

/// Whether messages of this topic are the federation's: `notifications` of the node's configuration
/// decides about them, the telemetry configuration about the others.
pub fn is_of_federation(topic: Topic) -> bool {
    matches!(
        topic,
        Topic::SyncCompleted
            | Topic::SyncFailed
            | Topic::ConsensusAchieved
            | Topic::ConsensusFailed
            | Topic::NodeAdded
            | Topic::NodeRemoved
            | Topic::TrustScoreLow
            | Topic::Equivocation
            | Topic::Divergence
            | Topic::HistoryRewritten
            | Topic::MembershipProposed
            | Topic::EpochChanged
            | Topic::ReviewWaiting
            | Topic::NodeDown
            | Topic::QuorumLost
            | Topic::NodeStopped
            // made of the above, where they are gathered
            | Topic::Digest
    )
}

/// To which of `channels` a message goes.
pub fn route(wanted: &Notifications, topic: Topic, channels: &[Channel]) -> Vec<Channel> {
    if !is_of_federation(topic) {
        return channels.to_vec();
    }
    let named = channels
        .iter()
        .filter(|channel| wanted.channels.contains(channel) && is_wanted(wanted, topic));
    named.copied().collect()
}

/// What an event of the engine is worth telling, if anything.
pub fn message(event: &NodeEvent, names: &Names, now: UnixMillis) -> Option<Message> {
    Some(match event {
        NodeEvent::Certified {
            subject_id,
            choice,
            event,
            version,
            sequence,
            round,
            ..
        } => Message::new(
            Topic::ConsensusAchieved,
            Severity::Info,
            format!("certified:{subject_id}"),
            &format!("Certified: {event} {version}"),
            now,
        )
        .fact("Event Hash", choice.event_hash)
        .fact("Log Entry", sequence)
        .fact("Round", round.0),
        NodeEvent::Conflict {
            subject_id,
            event,
            version,
        } => conflict(subject_id, &format!("{event} {version}"), now),
        NodeEvent::LowTrust { member, score } => low_trust(*member, *score, names, now),
        NodeEvent::Evidence {
            id, member, what, ..
        } => {
            // two certificates are nobody's alone
            let who = member
                .as_ref()
                .map_or_else(|| "Members".to_owned(), |member| names.of(member));
            equivocation(&who, what, now, id)
        }
        NodeEvent::Drift { what } => drift(what, now),
        NodeEvent::Divergence {
            subject_id,
            event,
            version,
            own,
            certified,
        } => divergence(subject_id, &format!("{event} {version}"), now)
            .fact("In The File", own)
            .fact("Certified", certified),
        NodeEvent::HistoryRewritten { node, was, now: is } => Message::new(
            Topic::HistoryRewritten,
            Severity::Warning,
            format!("rewritten:{node}:{is}"),
            &format!("The Git branch of {} was rewritten", names.of(node)),
            now,
        )
        .line("Commits or lines that were read are gone; what was accepted stays.")
        .fact("Read Last", was)
        .fact("There Now", is),
        // conditions are told by `turns`, when they have held for a while, epochs by `changes`
        NodeEvent::Opened { .. }
        | NodeEvent::Decided { .. }
        | NodeEvent::Connected { .. }
        | NodeEvent::Disconnected { .. }
        | NodeEvent::Abstaining { .. }
        | NodeEvent::EpochDecided { .. }
        | NodeEvent::EpochEntered { .. }
        | NodeEvent::ReadOnly { .. }
        | NodeEvent::Transport { .. } => return None,
    })
}

fn conflict(subject: &SubjectId, what: &str, now: UnixMillis) -> Message {
    // as many digits as a command needs to find it
    let short: String = subject.to_string().chars().take(12).collect();
    Message::new(
        Topic::ConsensusFailed,
        Severity::Warning,
        conflict_cause(subject),
        &format!("Conflict: {what}"),
        now,
    )
    .line("The vote ended without a decision: people have to choose.")
    .line(&format!(
        "See who voted for what with: ssid conflicts show {short}"
    ))
    .fact("Subject", subject)
}

fn low_trust(member: NodeId, score: i32, names: &Names, now: UnixMillis) -> Message {
    let name = names.of(&member);
    // by the minute: a score that comes back to where it was is told again
    let cause = format!("trust:{member}:{score}:{}", now.0 / 60_000);
    Message::new(
        Topic::TrustScoreLow,
        Severity::Warning,
        cause,
        &format!("Trust in {name} is low: {score}"),
        now,
    )
    .line("Each point and its cause are listed with: ssid trust explain")
    .fact("Node", member)
    .fact("Score", score)
}

fn equivocation(who: &str, what: &str, now: UnixMillis, id: &EvidenceId) -> Message {
    Message::new(
        Topic::Equivocation,
        Severity::Critical,
        format!("evidence:{id}"),
        &format!("Equivocation: {who} signed two things that contradict each other"),
        now,
    )
    .line(what)
    .line("The proof is shown with: ssid evidence show")
    .fact("Evidence", id)
}

fn drift(what: &str, now: UnixMillis) -> Message {
    // by the minute: a file that is rotated each month changes in the same words each time
    let cause = format!("drift:{what}:{}", now.0 / 60_000);
    Message::new(
        Topic::Divergence,
        Severity::Warning,
        cause,
        "The registry file was changed where it had been read",
        now,
    )
    .line(what)
    .line(
        "It is read again from its beginning; nothing is endorsed or announced until that is done.",
    )
}

fn divergence(subject: &SubjectId, what: &str, now: UnixMillis) -> Message {
    Message::new(
        Topic::Divergence,
        Severity::Warning,
        format!("divergence:{subject}"),
        &format!("The registry contradicts a decision: {what}"),
        now,
    )
    .line(
        "The registry file of this node has another event than the one that was certified, and it was found when it could no longer be voted for. The decision stands.",
    )
    .line(
        "Compare both with: ssid conflicts list. If the file is right, record a correction as a new event; if it is wrong, nothing has to be done.",
    )
}

/// The cause of a conflict's message.
pub fn conflict_cause(subject: &SubjectId) -> String {
    format!("conflict:{subject}")
}

/// What became of the syncs between two looks at the count.
pub fn syncs(before: Syncs, now: Syncs, node: &NodeId, at: UnixMillis) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut tell = |topic, severity, before: u64, now: u64, verb: &str| {
        let count = now.saturating_sub(before);
        if count > 0 {
            let noun = if count == 1 { "sync" } else { "syncs" };
            // the counter begins anew with each start: time and node make the cause one of its own
            let cause = format!("{verb}:{node}:{}:{now}", at.0);
            let mut message = Message::new(
                topic,
                severity,
                cause,
                &format!("{count} {noun} {verb}"),
                at,
            );
            message.count = count;
            messages.push(message.fact("Since the node's start", now));
        }
    };
    tell(
        Topic::SyncCompleted,
        Severity::Info,
        before.successful,
        now.successful,
        "completed",
    );
    tell(
        Topic::SyncFailed,
        Severity::Warning,
        before.failed,
        now.failed,
        "failed",
    );
    messages
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::{EvidenceId, SubjectId};

    use super::*;

    type Flip = fn(&mut NotifiedEvents);

    const NODE: NodeId = NodeId([0xab; 32]);

    fn told(event: &NodeEvent) -> Option<Message> {
        let names = Names::new([(NODE, "Berlin".to_owned())], false);
        message(event, &names, UnixMillis(60_000))
    }

    fn conflict() -> NodeEvent {
        NodeEvent::Conflict {
            subject_id: SubjectId([1; 32]),
            event: "release".into(),
            version: "v1".into(),
        }
    }

    #[test]
    fn what_people_must_see_is_told() {
        let equivocation = NodeEvent::Evidence {
            id: EvidenceId([2; 32]),
            member: Some(NODE),
            kind: "double_vote".into(),
            what: "two prevotes in round 0".into(),
        };
        let message = told(&equivocation);
        assert!(message.as_ref().is_some_and(
            |m| m.severity == Severity::Critical && m.title.contains("Berlin signed two")
        ));
        let low = told(&NodeEvent::LowTrust {
            member: NODE,
            score: 20,
        });
        assert!(low.is_some_and(|m| m.title == "Trust in Berlin is low: 20"));
        assert!(
            told(&conflict())
                .is_some_and(|m| m.text().contains("ssid conflicts show 010101010101"))
        );
        let differs = told(&NodeEvent::Drift {
            what: "line 7".into(),
        });
        assert!(differs.is_some_and(|m| m.lines[0] == "line 7" && !m.text().contains("by hand")));
        assert!(told(&NodeEvent::Connected { node: NODE }).is_none());
    }

    #[test]
    fn the_same_conflict_has_the_same_cause() {
        assert_eq!(
            told(&conflict()).map(|m| m.cause),
            told(&conflict()).map(|m| m.cause)
        );
    }

    #[test]
    fn each_change_of_the_registry_file_has_a_cause_of_its_own() {
        let rotated = NodeEvent::Drift {
            what: "line 1: lines that had been read are gone".into(),
        };
        let names = Names::default();
        let cause = |minutes: u64| {
            let now = UnixMillis(minutes * 60_000);
            message(&rotated, &names, now).map(|message| message.cause)
        };
        assert!(cause(1).is_some());
        assert_ne!(cause(1), cause(2), "the second one would not be told");
    }

    #[test]
    fn syncs_are_told_by_their_number() {
        let counted = |successful, failed| Syncs {
            successful,
            failed,
            last: None,
        };
        assert!(syncs(counted(3, 1), counted(3, 1), &NODE, UnixMillis(0)).is_empty());
        let told = syncs(counted(3, 1), counted(4, 3), &NODE, UnixMillis(0));
        let titles: Vec<_> = told.iter().map(|message| message.title.as_str()).collect();
        assert_eq!(titles, ["1 sync completed", "2 syncs failed"]);
    }

    #[test]
    fn each_key_of_notifications_makes_a_difference() {
        let all = NotifiedEvents {
            sync_completed: true,
            sync_failed: true,
            consensus_achieved: true,
            consensus_failed: true,
            node_added: true,
            node_removed: true,
            trust_score_low: true,
            membership_proposed: true,
            epoch_changed: true,
            review_waiting: true,
            node_down: true,
            quorum_lost: true,
            node_stopped: true,
            divergence: true,
        };
        let channels = vec![Channel::Slack, Channel::Email];
        let wanted = Notifications {
            enabled: true,
            channels: channels.clone(),
            events: all,
            ..Notifications::default()
        };
        let flips: [(Topic, Flip); 14] = [
            (Topic::SyncCompleted, |e| e.sync_completed = false),
            (Topic::SyncFailed, |e| e.sync_failed = false),
            (Topic::ConsensusAchieved, |e| e.consensus_achieved = false),
            (Topic::ConsensusFailed, |e| e.consensus_failed = false),
            (Topic::NodeAdded, |e| e.node_added = false),
            (Topic::NodeRemoved, |e| e.node_removed = false),
            (Topic::TrustScoreLow, |e| e.trust_score_low = false),
            (Topic::MembershipProposed, |e| e.membership_proposed = false),
            (Topic::EpochChanged, |e| e.epoch_changed = false),
            (Topic::ReviewWaiting, |e| e.review_waiting = false),
            (Topic::NodeDown, |e| e.node_down = false),
            (Topic::QuorumLost, |e| e.quorum_lost = false),
            (Topic::NodeStopped, |e| e.node_stopped = false),
            (Topic::Divergence, |e| e.divergence = false),
        ];
        for (topic, flip) in flips {
            assert_eq!(route(&wanted, topic, &channels), channels);
            let mut other = wanted.clone();
            flip(&mut other.events);
            assert!(route(&other, topic, &channels).is_empty(), "{topic:?}");
        }
        let only_slack = Notifications {
            channels: vec![Channel::Slack],
            ..wanted.clone()
        };
        assert_eq!(
            route(&only_slack, Topic::HistoryRewritten, &channels),
            [Channel::Slack]
        );
        let off = Notifications {
            enabled: false,
            ..wanted
        };
        assert!(route(&off, Topic::Equivocation, &channels).is_empty());
        assert_eq!(
            route(&off, Topic::ScoreChange, &channels),
            channels,
            "telemetry's own"
        );
    }
}
