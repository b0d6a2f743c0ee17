//! Which members are connected, over which connections, and whether gossip flows over them.
//!
//! libp2p's gossipsub tells a peer its topics on the first of several connections only. A peer that
//! lost its end of a connection and comes back while this node still holds the other end would
//! never hear them: such a peer, and one that says nothing in time, is to be disconnected
//! altogether, so that both sides start afresh.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;

use crate::topics::Topic;
use crate::tuning::GREETING;

/// Topics without which a peer takes no part.
const NEEDED: [Topic; 3] = [Topic::Events, Topic::Votes, Topic::Heartbeats];

#[derive(Debug)]
struct Link {
    since: Instant,
    connections: Vec<Connection>,
    topics: BTreeSet<Topic>,
    announced: bool,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    inbound: bool,
    /// What the latest ping on it took.
    round_trip: Option<Duration>,
}

/// The links to all connected peers; only members connect, so that their number bounds them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    of: HashMap<PeerId, Link>,
}

impl Links {
    /// A connection is up. `true` if the peer seems to have lost an earlier one that this node
    /// still holds: nobody dials while connected, and two who dial at once do so in each other's
    /// direction, and soon.
    pub(crate) fn established(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        inbound: bool,
        now: Instant,
    ) -> bool {
        let new = || Link {
            since: now,
            connections: Vec::new(),
            topics: BTreeSet::new(),
            announced: false,
        };
        let link = self.of.entry(peer).or_insert_with(new);
        let older = link.connections.iter().any(|c| c.inbound)
            || now.saturating_duration_since(link.since) > GREETING;
        let stale = inbound && !link.connections.is_empty() && older;
        link.connections.push(Connection {
            id,
            inbound,
            round_trip: None,
        });
        stale
    }

    /// A connection is gone. `Some` if it was the peer's last: whether the peer had been announced.
    pub(crate) fn closed(&mut self, peer: &PeerId, id: ConnectionId) -> Option<bool> {
        let link = self.of.get_mut(peer)?;
        link.connections.retain(|connection| connection.id != id);
        if !link.connections.is_empty() {
            return None;
        }
        self.of.remove(peer).map(|link| link.announced)
    }

    /// The peer reads a topic. `true` if with it the peer takes part, and is to be announced.
    pub(crate) fn subscribed(&mut self, peer: &PeerId, topic: Topic) -> bool {
        let Some(link) = self.of.get_mut(peer) else {
            return false;
        };
        link.topics.insert(topic);
        let complete = NEEDED.iter().all(|needed| link.topics.contains(needed));
        let news = complete && !link.announced;
        link.announced |= complete;
        news
    }

    /// Peers connected for a while that take no part.
    pub(crate) fn silent(&self, now: Instant) -> Vec<PeerId> {
        let silent =
            |link: &Link| !link.announced && now.saturating_duration_since(link.since) > GREETING;
        self.of
            .iter()
            .filter(|(_, link)| silent(link))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// A ping on a connection was answered after this time.
    pub(crate) fn measured(&mut self, peer: &PeerId, id: ConnectionId, round_trip: Duration) {
        let link = self.of.get_mut(peer);
        let mut connections = link.into_iter().flat_map(|link| &mut link.connections);
        if let Some(connection) = connections.find(|connection| connection.id == id) {
            connection.round_trip = Some(round_trip);
        }
    }

    /// The time to a connected peer and back, on the quicker of its connections; `None` before its
    /// first ping is answered.
    pub(crate) fn round_trip(&self, peer: &PeerId) -> Option<Duration> {
        let connections = self
            .of
            .get(peer)
            .into_iter()
            .flat_map(|link| &link.connections);
        connections
            .filter_map(|connection| connection.round_trip)
            .min()
    }

    /// How many connected peers there are.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn a_peer_is_announced_once_with_its_last_topic_and_gone_with_its_last_connection() {
        let (mut links, peer, now) = (Links::default(), PeerId::random(), Instant::now());
        assert!(!links.subscribed(&peer, Topic::Events), "not connected");
        links.established(peer, id(1), true, now);
        links.established(peer, id(2), false, now);
        assert!(!links.subscribed(&peer, Topic::Events));
        assert!(!links.subscribed(&peer, Topic::Votes));
        assert!(links.subscribed(&peer, Topic::Heartbeats));
        assert!(!links.subscribed(&peer, Topic::Heartbeats));
        assert_eq!(links.closed(&peer, id(1)), None);
        assert_eq!(links.closed(&peer, id(2)), Some(true));
        assert_eq!(links.closed(&peer, id(2)), None);
        assert_eq!(links.len(), 0);
    }

    #[test]
    fn coming_back_is_told_from_dialing_at_once() {
        let now = Instant::now();
        for (first_inbound, later, stale) in [
            (false, Duration::ZERO, false),
            (true, Duration::ZERO, true),
            (false, GREETING + Duration::from_secs(1), true),
        ] {
            let (mut links, peer) = (Links::default(), PeerId::random());
            assert!(!links.established(peer, id(1), first_inbound, now));
            assert_eq!(links.established(peer, id(2), true, now + later), stale);
        }
    }

    #[test]
    fn a_round_trip_is_that_of_the_quickest_connection_that_is_left() {
        let (mut links, peer, now) = (Links::default(), PeerId::random(), Instant::now());
        let of = Duration::from_millis;
        links.measured(&peer, id(1), of(1));
        assert_eq!(links.round_trip(&peer), None, "not connected");
        links.established(peer, id(1), true, now);
        links.established(peer, id(2), false, now);
        assert_eq!(links.round_trip(&peer), None, "not measured");
        links.measured(&peer, id(1), of(9));
        links.measured(&peer, id(1), of(3));
        links.measured(&peer, id(2), of(5));
        assert_eq!(links.round_trip(&peer), Some(of(3)));
        links.closed(&peer, id(1));
        assert_eq!(links.round_trip(&peer), Some(of(5)));
        links.closed(&peer, id(2));
        assert_eq!(links.round_trip(&peer), None);
    }

    #[test]
    fn who_says_nothing_is_noticed() {
        let (mut links, peer, now) = (Links::default(), PeerId::random(), Instant::now());
        links.established(peer, id(1), true, now);
        assert!(links.silent(now + GREETING).is_empty());
        assert_eq!(
            links.silent(now + GREETING + Duration::from_millis(1)),
            [peer]
        );
    }
}
