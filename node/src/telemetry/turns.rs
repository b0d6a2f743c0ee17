//! The words for conditions that begin to hold or are over.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use ssid_engine::{EngineStatus, InstanceView};
use ssid_protocol::id::{NodeId, SubjectId, UnixMillis};

use super::changes::Proposed;
use super::conditions::{Condition, Turns, waiting};
use super::message::{Message, Names, Severity, Topic};

/// Members or subjects named in one message.
const NAMED: usize = 10;

/// What is known beside the conditions.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The engine's state in numbers.
    pub status: &'a EngineStatus,
    /// Subjects that wait for this node's operator.
    pub reviews: &'a BTreeMap<SubjectId, InstanceView>,
    /// Changes of members that are proposed.
    pub proposals: &'a [Proposed],
    /// What members are called.
    pub names: &'a Names,
    /// The time of the turn, by the wall clock.
    pub now: UnixMillis,
}

/// Messages about what begins and what is over, those of one kind in one.
pub fn messages(turns: &Turns, known: Known<'_>) -> Vec<Message> {
    let mut messages = Vec::new();
    let is_able = |node: &NodeId| known.status.able_voters.contains(node);
    // what began before what is over: a node that came back while another left is told in that
    // order
    for (list, is_over) in [(&turns.begun, false), (&turns.over, true)] {
        // the gravest first; in one message what has one topic, or a lost link would be told five
        // times
        for topic in [
            Topic::NodeStopped,
            Topic::QuorumLost,
            Topic::NodeDown,
            Topic::MembershipProposed,
            Topic::ReviewWaiting,
        ] {
            let mut these: Vec<_> = list
                .iter()
                .filter(|(condition, _)| topic_of(*condition) == topic)
                .collect();
            // who signed nothing and is away now does not sign again
            these.retain(|(condition, _)| {
                !(is_over && matches!(condition, Condition::Mute(node) if !is_able(node)))
            });
            // of reviews that are done one after the other, the last is told
            let still = known.reviews.values().map(waiting);
            let is_told = !is_over || !still.map(topic_of).any(|waits| waits == topic);
            if let (Some((first, since)), true) = (these.first(), is_told) {
                let conditions: Vec<_> = these.iter().map(|(condition, _)| *condition).collect();
                // by the time that it began: the same condition another day is another message
                let cause = format!(
                    "{}:{}:{is_over}:{}",
                    topic.as_str(),
                    since.0,
                    digest(&conditions)
                );
                let make = if is_over { over } else { begun };
                messages.push(Message {
                    cause,
                    ..make(*first, &conditions, known)
                });
            }
        }
    }
    messages
}

fn topic_of(condition: Condition) -> Topic {
    match condition {
        Condition::ReadOnly | Condition::Abstaining | Condition::NoRegistry => Topic::NodeStopped,
        Condition::NoQuorum => Topic::QuorumLost,
        Condition::Away(_) | Condition::Mute(_) => Topic::NodeDown,
        Condition::Review(_) => Topic::ReviewWaiting,
        Condition::Change(_) => Topic::MembershipProposed,
    }
}

fn digest(conditions: &[Condition]) -> String {
    hex::encode(&Sha256::digest(format!("{conditions:?}"))[..8])
}

fn begun(first: Condition, all: &[Condition], known: Known<'_>) -> Message {
    let message =
        |severity, title: &str| Message::new(topic_of(first), severity, "", title, known.now);
    match first {
        Condition::ReadOnly => message(Severity::Critical, "This node has stopped voting")
            .line(known.status.read_only.as_deref().unwrap_or_default()),
        Condition::Abstaining => {
            message(Severity::Critical, "This node abstains: it signs nothing")
                .line(known.status.abstaining.as_deref().unwrap_or_default())
        }
        Condition::NoRegistry => message(
            Severity::Critical,
            "This node does not know what its registry file says",
        )
        .line(known.status.registry.as_deref().unwrap_or_default())
        .line("Until it does it endorses and announces nothing. See also: ssid status"),
        Condition::NoQuorum => message(
            Severity::Critical,
            "There is no quorum: nothing can be decided",
        )
        .line("Events wait until there is, and none is lost.")
        .line("See who is missing with: ssid quorum")
        .fact("Missing", listed(unable(known))),
        // of several members one sentence: which of them signs nothing and which is away stands
        // below
        Condition::Away(_) | Condition::Mute(_) => {
            let title = match &names(all, known)[..] {
                [name] if matches!(first, Condition::Mute(_)) => format!("{name} signs no votes"),
                [name] => format!("{name} cannot be reached"),
                names => format!(
                    "{} members do not take part: {}",
                    names.len(),
                    listed(names.to_vec())
                ),
            };
            let mut message = message(Severity::Warning, &title);
            if all
                .iter()
                .any(|condition| matches!(condition, Condition::Away(_)))
            {
                message = message.line("Not connected for a minute.");
            }
            if all
                .iter()
                .any(|condition| matches!(condition, Condition::Mute(_)))
            {
                message = message.line(
                    "Connected, and signing nothing for a minute; that node's status says why.",
                );
            }
            message.line("Whether the others can decide says: ssid quorum")
        }
        Condition::Review(_) => review(all, known),
        Condition::Change(_) => proposal(known),
    }
}

fn over(first: Condition, all: &[Condition], known: Known<'_>) -> Message {
    let title = match first {
        Condition::ReadOnly | Condition::Abstaining => "This node votes again".to_owned(),
        Condition::NoRegistry => "This node knows what its registry file says again".to_owned(),
        Condition::NoQuorum => "There is a quorum again".to_owned(),
        Condition::Away(_) | Condition::Mute(_) => match &names(all, known)[..] {
            [name] if matches!(first, Condition::Mute(_)) => format!("{name} signs votes again"),
            [name] => format!("{name} can be reached again"),
            names => format!(
                "{} members are back: {}",
                names.len(),
                listed(names.to_vec())
            ),
        },
        Condition::Review(_) => "No event waits for review any more".to_owned(),
        Condition::Change(_) => "No change of members waits for you any more".to_owned(),
    };
    Message::new(topic_of(first), Severity::Info, "", &title, known.now)
}

/// A change of members that waits for this node's operator: what it changes, and what to do.
fn proposal(known: Known<'_>) -> Message {
    let title = "A change of members is proposed and waits for you";
    let mut message = Message::new(
        Topic::MembershipProposed,
        Severity::Warning,
        "",
        title,
        known.now,
    );
    for proposed in known.proposals.iter().take(NAMED) {
        let Proposed { hash, lines, .. } = proposed;
        let confirm = if proposed.has_lost_keys {
            " --confirm DIGITS"
        } else {
            ""
        };
        message = message.line(&format!("{hash}: {}.", lines.join("; "))).line(&format!(
            "See what follows with: ssid membership show {hash}. Answer with: ssid membership approve {hash}{confirm}, \
             or: ssid membership reject {hash}"
        ));
    }
    message.line("Nothing changes until a quorum's operators have approved the same.")
}

/// What waits for this node's operator: until when, what happens otherwise, and what to do.
fn review(all: &[Condition], known: Known<'_>) -> Message {
    // a review that ended since the list was read has nothing to say any more
    let waiting = all.iter().filter_map(|condition| match condition {
        Condition::Review(subject) => known.reviews.get(subject),
        _ => None,
    });
    let described: Vec<_> = waiting
        .map(|view| (words(view), view.review.as_ref()))
        .collect();
    let title = match &described[..] {
        [(what, _)] => format!("Waits for your review: {what}"),
        _ => format!("{} events wait for your review", all.len()),
    };
    let mut message = Message::new(
        Topic::ReviewWaiting,
        Severity::Warning,
        "",
        &title,
        known.now,
    );
    // some by name: a backlog of hundreds is a number and a command
    for (what, review) in described.iter().take(NAMED) {
        let why = review
            .map(|review| format!(": {}", review.explanation))
            .unwrap_or_default();
        let until = review.and_then(|review| review.until);
        let until =
            until.map(|at| format!(" Without an answer this node votes nil at {}.", at.iso()));
        message = message.line(&format!("{what}{why}.{}", until.unwrap_or_default()));
    }
    if all.len() > NAMED {
        message = message.line(&format!("and {} more", all.len() - NAMED));
    }
    let commands = "See them with: ssid events list --state review. Answer with: ssid events endorse, ssid events refuse";
    let mut message = message.line(commands);
    // it stands for all of them where messages are counted or gathered
    message.count = all.len() as u64;
    message
}

/// A subject as people call it.
fn words(view: &InstanceView) -> String {
    view.subject.as_ref().map_or_else(
        || view.subject_id.to_string(),
        |s| format!("{} {}", s.event, s.version),
    )
}

fn names(all: &[Condition], known: Known<'_>) -> Vec<String> {
    let away = all.iter().filter_map(|condition| match condition {
        Condition::Away(node) | Condition::Mute(node) => Some(known.names.of(node)),
        _ => None,
    });
    away.collect()
}

/// The voters that sign nothing: those who are away, and those who are here and cannot.
fn unable(known: Known<'_>) -> Vec<String> {
    let voters = known
        .status
        .missing_voters
        .iter()
        .chain(&known.status.connected_voters);
    let unable = voters.filter(|node| !known.status.able_voters.contains(node));
    unable.map(|node| known.names.of(node)).collect()
}

/// The first of many names, and how many more there are.
fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(", ");
    if more > 0 {
        format!("{named} and {more} more")
    } else {
        named
    }
}
