//! The task that owns the swarm: one loop over what the swarm says, what the handles ask, and the
//! clock. It awaits nothing but that loop; whatever takes long runs elsewhere, whatever is full is
//! refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};
use ssid_protocol::id::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::behaviour::Behaviour;
use crate::config::MemberPeer;
use crate::dialer::{Dialer, Target};
use crate::gossip::{Checked, Decision, Gossiping};
use crate::handle::{Command, NetworkEvent, Outgoing, Reply, RequestError, Ticket, Verdict};
use crate::links::Links;
use crate::members::Directory;
use crate::metrics::{Direction, Metrics, Outcome};
use crate::offenders::Offenders;
use crate::recent::Recent;
use crate::sync::Syncing;
use crate::topics::Topics;
use crate::tuning as t;

/// Everything that the loop owns.
pub(crate) struct Owner {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) topics: Topics,
    pub(crate) directory: Directory,
    pub(crate) dialer: Dialer,
    /// Who is in a handshake with this node.
    pub(crate) admission: Admission,
    pub(crate) links: Links,
    /// Members that take part now.
    pub(crate) present: HashMap<PeerId, NodeId>,
    pub(crate) gossiping: Gossiping,
    pub(crate) syncing: Syncing,
    pub(crate) offenders: Offenders,
    /// Strangers whose refusal was logged.
    pub(crate) strangers: Recent<PeerId>,
    /// Notices that the consumer had no room for yet.
    pub(crate) notices: VecDeque<NetworkEvent>,
    pub(crate) consumer: mpsc::Sender<NetworkEvent>,
    pub(crate) connected: watch::Sender<Arc<BTreeSet<NodeId>>>,
    /// The latest time to each connected member and back.
    pub(crate) round_trips: watch::Sender<Arc<BTreeMap<NodeId, Duration>>>,
    pub(crate) listening: watch::Sender<Arc<BTreeSet<Multiaddr>>>,
    pub(crate) metrics: Metrics,
    pub(crate) inbox: Inbox,
}

/// What the handles send.
pub(crate) struct Inbox {
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    pub(crate) verdicts: mpsc::Receiver<(Ticket, Verdict)>,
    pub(crate) replies: mpsc::Receiver<Reply>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) members: watch::Receiver<Vec<MemberPeer>>,
}

impl Owner {
    /// Runs until `shutdown`, then [finishes](Self::finish).
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut housekeeping = interval(t::HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let dial_at = self.dialer.next_due();
            let publish_at = self.gossiping.publish_at();
            tokio::select! {
                () = shutdown.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(checked) = self.gossiping.checked() => self.on_checked(checked),
                Some((ticket, verdict)) = self.inbox.verdicts.recv() => self.on_verdict(ticket, verdict),
                Some(reply) = self.inbox.replies.recv() => {
                    self.syncing.answer(&mut self.swarm.behaviour_mut().sync, reply);
                }
                Some(command) = self.inbox.commands.recv() => self.on_command(command),
                Some(outgoing) = paced(publish_at, &mut self.inbox.outgoing) => self.publish(outgoing),
                Ok(()) = self.inbox.members.changed() => self.on_members(),
                () = at(dial_at) => self.dial(),
                _ = housekeeping.tick() => self.do_housekeeping(),
                true = has_room(&self.consumer), if !self.notices.is_empty() => self.send_notices(),
            }
        }
        Box::pin(self.finish()).await;
    }

    /// Publishes what still waits, gives it time to leave, closes the connections. Bounded by
    /// `DRAIN` and `CLOSE`.
    async fn finish(mut self) {
        // callers hear now that nothing more is sent; what was taken is published
        self.inbox.outgoing.close();
        while let Ok(outgoing) = self.inbox.outgoing.try_recv() {
            self.publish(outgoing);
        }
        // a burst that was sent just now is still in the queues of the connections
        let last = self.gossiping.publish_at() + t::PUBLISH_BURST;
        // nobody connected, or nothing sent for a while: then there is nothing to wait for
        if !self.present.is_empty() && last + t::DRAIN > Instant::now() {
            let drain = async {
                loop {
                    let event = self.swarm.select_next_some().await;
                    self.on_swarm_event(event);
                }
            };
            let _: Result<(), _> = timeout(t::DRAIN, drain).await;
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        // the goodbyes leave only while somebody drives the swarm
        let close = async {
            while self.links.len() > 0 {
                let event = self.swarm.select_next_some().await;
                self.on_swarm_event(event);
            }
        };
        let _ = timeout(t::CLOSE, close).await;
    }

    fn publish(&mut self, outgoing: Outgoing) {
        let peers = self.present.len().max(1);
        self.gossiping
            .publish(&mut self.swarm.behaviour_mut().gossip, outgoing, peers);
    }

    fn send_notices(&mut self) {
        while let Ok(place) = self.consumer.try_reserve() {
            let Some(notice) = self.notices.pop_front() else {
                return;
            };
            place.send(notice);
        }
    }

    fn on_checked(&mut self, (arrival, result): Checked) {
        let decision = match (result, self.directory.node_of(&arrival.source)) {
            (Err(refusal), _) if refusal.is_offence() => Err(Decision::Reject(refusal.name())),
            (Err(refusal), _) => Err(Decision::Unusable(refusal.name())),
            (Ok(_), None) => Err(Decision::Ignore(Outcome::Ignored)),
            (Ok(content), Some(from)) => {
                self.gossiping
                    .deliver(&arrival, content, from, &self.consumer)
            }
        };
        if let Err(decision) = decision {
            self.on_decision(&arrival.source, &arrival.message, arrival.topic, decision);
        }
    }

    fn on_verdict(&mut self, ticket: Ticket, verdict: Verdict) {
        let source = ticket.source;
        let weight = self
            .gossiping
            .decide(&mut self.swarm.behaviour_mut().gossip, ticket, verdict);
        if let Some(weight) = weight {
            self.blame(source, weight);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request {
                node,
                request,
                reply,
            } => {
                // libp2p would dial for a request by itself; whom to dial is the dialer's business
                let peer = self
                    .directory
                    .peer_of(&node)
                    .filter(|peer| self.swarm.is_connected(peer));
                match peer {
                    Some(peer) => {
                        self.syncing.ask(
                            &mut self.swarm.behaviour_mut().sync,
                            peer,
                            request,
                            reply,
                        );
                    }
                    None => drop(reply.send(Err(RequestError::NotConnected(node)))),
                }
            }
            Command::BadAnswer { node } => {
                // the consumer found it false, with more knowledge than the checks here have
                self.metrics.count_sync(Direction::Out, "invalid");
                if let Some(peer) = self.directory.peer_of(&node) {
                    self.blame(peer, t::OFFENCE_FALSE_ANSWER);
                }
            }
            Command::AddAddress { node, addresses } => {
                if let Some(peer) = self.directory.peer_of(&node) {
                    self.learn(peer, addresses);
                }
            }
        }
    }

    /// Lets in exactly the members of the list, and drops what is kept of others.
    pub(crate) fn on_members(&mut self) {
        let members = self.inbox.members.borrow_and_update().clone();
        self.directory = Directory::new(members, self.directory.local());
        let now = Instant::now();
        // what is kept of others goes with their right to connect: else it would grow with each
        // epoch
        let allowed = &mut self.swarm.behaviour_mut().allowed;
        let gone: Vec<_> = allowed
            .allowed_peers()
            .iter()
            .filter(|p| self.directory.node_of(p).is_none())
            .copied()
            .collect();
        for peer in gone {
            allowed.disallow_peer(peer);
        }
        for peer in self.directory.other_peers() {
            allowed.allow_peer(peer);
        }
        self.dialer
            .set_members(self.directory.others().map(|member| member.peer), now);
        for member in self.directory.others() {
            // where members come from, too: strangers in their handshake give way to these
            self.admission.know(&member.addresses);
            self.dialer
                .add(&member.peer, member.addresses.iter().cloned(), now);
        }
        // offences of who is no member any more are forgotten; if it comes back it begins anew
        for peer in self
            .offenders
            .retain(|peer| self.directory.node_of(peer).is_some())
        {
            self.swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            self.score_guest(&peer);
        }
        self.gossiping.retain(&self.directory);
        self.syncing.retain(&self.directory);
        self.rename_present();
    }

    fn dial(&mut self) {
        let now = Instant::now();
        for target in self.dialer.due(now) {
            // always from a new port: two nodes that dial each other from their listening ports
            // would meet half-way
            match target {
                // as if it had failed: the pause grows and the dialer needs no state of its own for
                // it
                Target::Peer(peer, _) if self.offenders.is_blocked(&peer) => {
                    self.dialer.failed(&peer, now);
                }
                Target::Peer(peer, addresses) => {
                    // the other side may have been faster since it fell due
                    let condition = PeerCondition::DisconnectedAndNotDialing;
                    let options = DialOpts::peer_id(peer)
                        .condition(condition)
                        .addresses(addresses);
                    if self
                        .swarm
                        .dial(options.allocate_new_port().build())
                        .is_err()
                    {
                        self.dialer.failed(&peer, now);
                    }
                }
                Target::Address(address) => {
                    let options = DialOpts::unknown_peer_id()
                        .address(address.clone())
                        .allocate_new_port()
                        .build();
                    // before the dial: the error of a dial that fails at once has to find it
                    let id = options.connection_id();
                    self.dialer.dialing(&address, id);
                    if self.swarm.dial(options).is_err() {
                        self.dialer.dial_failed(id, now);
                    }
                }
            }
        }
    }

    fn do_housekeeping(&mut self) {
        let now = Instant::now();
        for peer in self.offenders.release(now) {
            self.swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
        let gossip = &self.swarm.behaviour().gossip;
        let bad = |peer: &PeerId| {
            gossip
                .peer_score(peer)
                .is_some_and(|score| score < t::DISCONNECT_SCORE)
        };
        let bad: Vec<_> = self.present.keys().copied().filter(bad).collect();
        for peer in bad {
            if let Some(time) = self.offenders.block(peer, now) {
                self.shut_out(peer, time);
            }
        }
        for peer in self.links.silent(now) {
            tracing::info!(%peer, "connected but takes no part in gossip; disconnecting to start afresh");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}

/// Waits until the consumer takes one more event; `false` if it is gone.
async fn has_room(consumer: &mpsc::Sender<NetworkEvent>) -> bool {
    consumer.reserve().await.is_ok()
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn paced(time: Instant, outgoing: &mut mpsc::Receiver<Outgoing>) -> Option<Outgoing> {
    sleep_until(time.into()).await;
    outgoing.recv().await
}
