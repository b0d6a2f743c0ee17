//! The gossip topics of a federation: what travels on which, and under what name (SPEC §10).

use libp2p::gossipsub::{IdentTopic, TopicHash};
use ssid_protocol::id::FederationId;

/// A gossip topic, `/ssid/<federation_id>/<name>/1`.
///
/// ```
/// use ssid_network::Topic;
///
/// assert_eq!(Topic::ALL.map(Topic::name), ["events", "votes", "heartbeats", "evidence"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Announcements: batches of kind 1.
    Events,
    /// Votes, proposals and epoch closes: kinds 2, 4, 5.
    Votes,
    /// Heartbeats: kind 3.
    Heartbeats,
    /// Single pieces of evidence.
    Evidence,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Events, Self::Votes, Self::Heartbeats, Self::Evidence];

    /// The part of its name that tells it from the others.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Votes => "votes",
            Self::Heartbeats => "heartbeats",
            Self::Evidence => "evidence",
        }
    }
}

/// The four topics of one federation.
#[derive(Clone, Debug)]
pub(crate) struct Topics([(Topic, IdentTopic); 4]);

impl Topics {
    /// The four topics of `federation`, named `/ssid/<federation_id>/<name>/1`.
    pub(crate) fn of(federation: &FederationId) -> Self {
        Self(Topic::ALL.map(|topic| {
            (
                topic,
                IdentTopic::new(format!("/ssid/{federation}/{}/1", topic.name())),
            )
        }))
    }

    /// The topic of that hash.
    pub(crate) fn find(&self, hash: &TopicHash) -> Option<Topic> {
        self.0
            .iter()
            .find(|(_, ident)| ident.hash() == *hash)
            .map(|(topic, _)| *topic)
    }

    /// The hash of a topic.
    pub(crate) fn hash(&self, topic: Topic) -> Option<TopicHash> {
        self.0
            .iter()
            .find(|(other, _)| *other == topic)
            .map(|(_, ident)| ident.hash())
    }

    /// All of them.
    pub(crate) fn idents(&self) -> impl Iterator<Item = &IdentTopic> {
        self.0.iter().map(|(_, ident)| ident)
    }
}
