//! What the swarm says: connections up and down, strangers that call, messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::allow_block_list::{Blocked, NotAllowed};
use libp2p::connection_limits::Exceeded;
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::swarm::{ConnectionDenied, ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, mdns, ping};

use ssid_protocol::id::NodeId;

use crate::behaviour::BehaviourEvent;
use crate::gossip::Decision;
use crate::handle::NetworkEvent;
use crate::metrics::Outcome;
use crate::owner::Owner;
use crate::scoring::GUEST_SCORE;
use crate::topics::Topic;
use crate::tuning as t;

impl Owner {
    pub(crate) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_established(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.on_closed(peer_id, connection_id),
            SwarmEvent::IncomingConnectionError {
                error,
                peer_id,
                send_back_addr,
                ..
            } => {
                // a refused stranger is logged once and counted: members that were left out show
                // here
                self.on_incoming_error(error, peer_id, &send_back_addr);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                self.on_dial_error(connection_id, peer_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.listening
                    .send_modify(|all| _ = Arc::make_mut(all).insert(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.stopped_listening(&[address]),
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                if let Err(error) = reason {
                    // said loudly and lived with: who dialed out keeps all its connections
                    tracing::error!(?addresses, %error, "a listener failed; restart the node to listen there again");
                }
                self.stopped_listening(&addresses);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener reports an error");
            }
            _ => {}
        }
    }

    fn stopped_listening(&self, addresses: &[Multiaddr]) {
        self.listening
            .send_modify(|all| Arc::make_mut(all).retain(|address| !addresses.contains(address)));
    }

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: ConnectedPoint) {
        let now = Instant::now();
        if self
            .links
            .established(peer, id, endpoint.is_listener(), now)
        {
            tracing::debug!(%peer, "came back while an earlier connection was held; starting afresh");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.dialer.connected(&peer, id, now);
        self.score_guest(&peer);
        self.admission.know([endpoint.get_remote_address()]);
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.dialer.worked(&peer, address);
        }
    }

    /// Keeps a guest out of every mesh, and lets a member in that was one.
    pub(crate) fn score_guest(&mut self, peer: &PeerId) {
        let score = if self.directory.is_guest(peer) {
            GUEST_SCORE
        } else {
            0.0
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.set_application_score(peer, score);
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let closed = self.links.closed(&peer, id);
        self.round_trips_changed();
        let Some(was_announced) = closed else {
            return;
        };
        self.dialer.failed(&peer, Instant::now());
        if let Some(node) = self.present.remove(&peer).filter(|_| was_announced) {
            self.note_gone(node);
        }
    }

    /// A member is there no more under one of its identities.
    fn note_gone(&mut self, node: NodeId) {
        self.presence_changed();
        // it may have changed its identity, and be there under the new one
        if !self.present.values().any(|present| *present == node) {
            tracing::info!(%node, "disconnected");
            self.notice(NetworkEvent::Disconnected(node));
        }
    }

    /// Members whose voting keys were replaced are there under their new names.
    pub(crate) fn rename_present(&mut self) {
        let renamed: Vec<_> = self
            .present
            .iter()
            .filter_map(|(peer, before)| {
                let now = self.directory.node_of(peer)?;
                (now != *before).then_some((*peer, *before, now))
            })
            .collect();
        for (peer, before, now) in renamed {
            tracing::info!(node = %now, former = %before, "connected under the key that follows");
            self.present.insert(peer, now);
            self.note_gone(before);
            self.notice(NetworkEvent::Connected(now));
            self.tell_addresses(peer);
        }
    }

    /// Publishes the times to the connected members, where they are others than before.
    fn round_trips_changed(&self) {
        let times: BTreeMap<_, _> = self
            .directory
            .others()
            .filter_map(|member| Some((member.node, self.links.round_trip(&member.peer)?)))
            .collect();
        self.round_trips.send_if_modified(|before| {
            let is_changed = **before != times;
            if is_changed {
                *before = Arc::new(times);
            }
            is_changed
        });
    }

    fn on_incoming_error(&mut self, error: ListenError, peer: Option<PeerId>, from: &Multiaddr) {
        let ListenError::Denied { cause } = error else {
            tracing::debug!(%from, %error, "an incoming connection failed");
            return;
        };
        let reason = denial(&cause);
        self.metrics.count_refused_connection(reason);
        let Some(peer) = peer else { return };
        match reason {
            "non_member" if self.strangers.insert(peer) => tracing::warn!(
                %peer, %from,
                "refused: not a member of this federation; if it should be one, add its card with `ssid nodes add`"
            ),
            // a member dials only when it holds no connection: the ones held here are dead
            "limit" => drop(self.swarm.disconnect_peer_id(peer)),
            _ => {}
        }
    }

    fn on_dial_error(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        tracing::debug!(?peer, %error, "dialing failed");
        let now = Instant::now();
        if let DialError::Denied { cause } = error {
            self.metrics.count_refused_connection(denial(cause));
        }
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.dialer.is_self(id);
        }
        self.dialer.dial_failed(id, now);
        if let Some(peer) = peer.filter(|peer| !self.swarm.is_connected(peer)) {
            self.dialer.failed(&peer, now);
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip_event(event),
            BehaviourEvent::Sync(event) => {
                let protocol = &mut self.swarm.behaviour_mut().sync;
                let offence =
                    self.syncing
                        .on_event(protocol, event, &self.directory, &self.consumer);
                if let Some((peer, weight)) = offence {
                    self.blame(peer, weight);
                }
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Ok(time),
            }) => {
                self.links.measured(&peer, connection, time);
                self.round_trips_changed();
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error),
            }) if !matches!(error, ping::Failure::Unsupported) => {
                tracing::debug!(%peer, %error, "no answer to ping; closing the connection");
                // ping closes no connection by itself; who does not answer would stay connected for
                // ever
                self.swarm.close_connection(connection);
            }
            // where it listens, as it says itself: bounded, and tried beside what the manifest says
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.learn(peer_id, info.listen_addrs);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                // anybody on the local network can say this: kept apart from the configured ones,
                // and not for long
                for (peer, address) in found {
                    self.dialer.found(&peer, address, Instant::now());
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(gone)) => {
                for (peer, address) in gone {
                    self.dialer.lost(&peer, &address);
                }
            }
            _ => {}
        }
    }

    fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source: source,
                message_id,
                message,
            } => {
                // a topic that was never subscribed to; gossipsub itself filters these
                let Some(topic) = self.topics.find(&message.topic) else {
                    return;
                };
                let arrived = self.gossiping.arrive(
                    source,
                    message_id.clone(),
                    topic,
                    message.data,
                    &self.directory,
                );
                if let Err(decision) = arrived {
                    self.on_decision(&source, &message_id, topic, decision);
                }
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                // only who reads all topics takes part: before that, what is published would not
                // reach it
                if let Some(topic) = self.topics.find(&topic)
                    && self.links.subscribed(&peer_id, topic)
                {
                    self.announce(peer_id);
                }
            }
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => {
                // it will lack these: the syncs that follow a differing heartbeat bring them
                let lost = failed_messages.priority + failed_messages.non_priority;
                tracing::debug!(peer = %peer_id, lost, "too slow for what is sent to it");
                self.metrics.count_publish_failure("slow_peer", lost);
            }
            _ => {}
        }
    }

    /// Tells gossipsub what this node itself decided about a message, and blames whom it must.
    pub(crate) fn on_decision(
        &mut self,
        source: &PeerId,
        message: &MessageId,
        topic: Topic,
        decision: Decision,
    ) {
        let (acceptance, weight) = match decision {
            // a decision has to come in any case: an undecided message keeps its place until
            // gossipsub forgets it
            Decision::Ignore(outcome) => {
                self.metrics.count_message(topic, outcome);
                (MessageAcceptance::Ignore, 0.0)
            }
            Decision::Unusable(reason) => {
                self.metrics.count_unusable(topic, reason);
                (MessageAcceptance::Ignore, 0.0)
            }
            // ignored and not rejected: a rate is this node's own, others may have had room
            Decision::TooFast(limit) => {
                self.metrics.count_message(topic, Outcome::RateLimited);
                self.metrics.count_rate_limited(limit);
                (MessageAcceptance::Ignore, t::OFFENCE_RATE)
            }
            Decision::Reject(reason) => {
                tracing::debug!(peer = %source, topic = topic.name(), reason, "message rejected");
                self.metrics.count_reject(topic, reason);
                (MessageAcceptance::Reject, t::OFFENCE_INVALID)
            }
        };
        self.swarm
            .behaviour_mut()
            .gossip
            .report_message_validation_result(message, source, acceptance);
        if weight > 0.0 {
            // after the verdict, as blame may end the connection
            self.blame(*source, weight);
        }
    }

    /// Notes an offence; one too many, and the peer is out for a while.
    pub(crate) fn blame(&mut self, peer: PeerId, weight: f64) {
        if let Some(time) = self.offenders.note(peer, weight, Instant::now()) {
            self.shut_out(peer, time);
        }
    }

    /// Disconnects and blocks a peer; housekeeping lets it in again.
    pub(crate) fn shut_out(&mut self, peer: PeerId, time: Duration) {
        let node = self.directory.node_of(&peer).map(|node| node.to_string());
        tracing::warn!(%peer, ?node, seconds = time.as_secs(), "disconnected and blocked: too many invalid messages");
        self.metrics.count_offender();
        self.swarm.behaviour_mut().blocked.block_peer(peer);
    }

    fn announce(&mut self, peer: PeerId) {
        self.dialer.succeeded(&peer);
        if let Some(node) = self.directory.node_of(&peer) {
            tracing::info!(%node, "connected");
            self.present.insert(peer, node);
            self.presence_changed();
            self.notice(NetworkEvent::Connected(node));
            self.tell_addresses(peer);
        }
    }

    fn presence_changed(&self) {
        self.metrics.set_connected(self.present.len());
        self.connected
            .send_replace(Arc::new(self.present.values().copied().collect()));
    }

    /// Adds addresses of a member, and tells the consumer of new ones.
    pub(crate) fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if self.directory.node_of(&peer).is_some() {
            self.admission
                .know(addresses.iter().take(t::ADDRESSES_PER_PEER));
        }
        if self.dialer.add(
            &peer,
            addresses.into_iter().take(t::ADDRESSES_PER_PEER),
            Instant::now(),
        ) {
            self.tell_addresses(peer);
        }
    }

    fn tell_addresses(&mut self, peer: PeerId) {
        let addresses = self.dialer.addresses(&peer).to_vec();
        if let Some(node) = self
            .directory
            .node_of(&peer)
            .filter(|_| !addresses.is_empty())
        {
            self.notice(NetworkEvent::Addresses {
                node,
                peer,
                addresses,
            });
        }
    }

    fn notice(&mut self, notice: NetworkEvent) {
        if self.notices.len() >= t::NOTICES {
            self.notices.pop_front();
            self.metrics.count_notice_dropped();
        }
        self.notices.push_back(notice);
    }
}

/// The metric's label for a connection that a behaviour refused.
fn denial(cause: &ConnectionDenied) -> &'static str {
    if cause.downcast_ref::<NotAllowed>().is_some() {
        "non_member"
    } else if cause.downcast_ref::<Blocked>().is_some() {
        "blocked"
    } else if cause.downcast_ref::<Exceeded>().is_some() {
        "limit"
    } else {
        "other"
    }
}
