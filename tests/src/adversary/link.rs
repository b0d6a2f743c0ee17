//! One connection of the adversary to one victim. Several of them may hold the same keys and say
//! different things.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use ssid_protocol::id::FederationId;
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::wire;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::codec::{After, PROTOCOL, Question, RawCodec};
use super::member::{Member, Victim};
use crate::{SOON, eventually};

const TOPICS: [&str; 4] = ["events", "votes", "heartbeats", "evidence"];
/// Before it knocks again.
const REDIAL: Duration = Duration::from_millis(300);
/// Gossip messages of the victim that are kept.
const HEARD: usize = 1000;

/// What it answers to a request: a frame's content.
pub type Answering = Box<dyn Fn(&Request) -> Vec<u8> + Send>;

/// What has come of it so far.
#[derive(Default)]
struct State {
    is_connected: bool,
    is_subscribed: bool,
    connections: u64,
    refusals: u64,
    asked: Vec<Request>,
    answers: Vec<Vec<u8>>,
    heard: VecDeque<Vec<u8>>,
    answering: Option<Answering>,
}

#[derive(Debug)]
enum Order {
    Gossip(&'static str, Vec<u8>),
    Stream(Vec<u8>, After),
}

/// A connection that is kept up as long as the victim lets it.
pub struct Link {
    orders: mpsc::Sender<Order>,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(
            f,
            "connected {}, {} times, refused {} times",
            state.is_connected, state.connections, state.refusals
        )
    }
}

impl Link {
    pub(super) fn open(runtime: &Handle, member: &Member, victim: &Victim) -> Self {
        let (orders, inbox) = mpsc::channel(64);
        let state = Arc::new(Mutex::new(State::default()));
        let _inside = runtime.enter();
        let swarm = swarm(member);
        let task = Task {
            swarm,
            federation: member.federation,
            victim: victim.clone(),
            state: state.clone(),
        };
        runtime.spawn(task.run(inbox));
        Self { orders, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) {
        // the task ends with the runtime only
        let _ = self.orders.blocking_send(order);
    }

    /// Waits until the victim takes gossip from it.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait_connected(&self) {
        eventually("the adversary is let in", SOON, || {
            let state = self.state();
            if state.is_connected && state.is_subscribed {
                Ok(())
            } else {
                Err(state.refusals)
            }
        });
    }

    /// Gossips bytes.
    pub fn gossip(&self, topic: &'static str, data: Vec<u8>) {
        self.order(Order::Gossip(topic, data));
    }

    /// Opens a sync stream and writes bytes on it.
    pub fn stream(&self, bytes: Vec<u8>, after: After) {
        self.order(Order::Stream(bytes, after));
    }

    /// Answers requests like this from now on.
    pub fn answer_with(&self, answering: Answering) {
        self.state().answering = Some(answering);
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.state().is_connected
    }

    /// How often it was connected.
    pub fn connections(&self) -> u64 {
        self.state().connections
    }

    /// How often the victim refused or broke off a connection.
    pub fn refusals(&self) -> u64 {
        self.state().refusals
    }

    /// What the victim asked.
    pub fn asked(&self) -> Vec<Request> {
        self.state().asked.clone()
    }

    /// Contents of the frames that the victim answered with.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        self.state().answers.clone()
    }

    /// The gossip that came from the victim lately.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.state().heard.iter().cloned().collect()
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    gossip: gossipsub::Behaviour,
    sync: request_response::Behaviour<RawCodec>,
}

fn swarm(member: &Member) -> Swarm<Behaviour> {
    let gossip = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        // nothing is a duplicate: the same bytes may be sent again
        .message_id_fn(|_| MessageId::new(&rand::random::<[u8; 16]>()))
        .max_transmit_size(64 << 20)
        .flood_publish(true)
        .build()
        .unwrap();
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).unwrap();
    for topic in TOPICS {
        gossip.subscribe(&ident(member.federation, topic)).unwrap();
    }
    let sync = request_response::Config::default()
        .with_request_timeout(Duration::from_hours(1))
        .with_max_concurrent_streams(10_000);
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify::Config::new(
            "/ssid/1".into(),
            member.network.public(),
        )),
        ping: ping::Behaviour::default(),
        gossip,
        sync: request_response::Behaviour::with_codec(
            RawCodec::default(),
            [(PROTOCOL, ProtocolSupport::Full)],
            sync,
        ),
    };
    let builder = SwarmBuilder::with_existing_identity(member.network.clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap();
    let builder = builder.with_behaviour(|_| behaviour).unwrap();
    builder
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_hours(1)))
        .build()
}

fn ident(federation: FederationId, topic: &str) -> IdentTopic {
    IdentTopic::new(format!("/ssid/{federation}/{topic}/1"))
}

struct Task {
    swarm: Swarm<Behaviour>,
    federation: FederationId,
    victim: Victim,
    state: Arc<Mutex<State>>,
}

impl Task {
    /// Until the link is dropped.
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut dial_at = Instant::now();
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                order = inbox.recv() => match order {
                    Some(order) => self.carry_out(order),
                    None => return,
                },
                () = sleep_until(dial_at) => {
                    dial_at = Instant::now() + REDIAL;
                    self.dial();
                }
            }
        }
    }

    fn dial(&mut self) {
        let options = DialOpts::peer_id(self.victim.peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![self.victim.address.clone()])
            .allocate_new_port();
        // it is connected, or dialing already
        let _ = self.swarm.dial(options.build());
    }

    fn carry_out(&mut self, order: Order) {
        let behaviour = self.swarm.behaviour_mut();
        match order {
            Order::Gossip(topic, data) => {
                // not connected any more: the victim has shut it out
                let _ = behaviour
                    .gossip
                    .publish(ident(self.federation, topic), data);
            }
            Order::Stream(bytes, after) => {
                behaviour
                    .sync
                    .send_request(&self.victim.peer, Question::Out(bytes, after));
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            SwarmEvent::ConnectionEstablished { .. } => {
                state.is_connected = true;
                state.connections += 1;
            }
            SwarmEvent::ConnectionClosed {
                num_established: 0, ..
            } => {
                state.is_connected = false;
                state.is_subscribed = false;
                state.refusals += 1;
            }
            SwarmEvent::OutgoingConnectionError { .. } => state.refusals += 1,
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed {
                ..
            })) => {
                state.is_subscribed = true;
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
                message,
                ..
            })) => {
                if state.heard.len() >= HEARD {
                    state.heard.pop_front();
                }
                state.heard.push_back(message.data);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Sync(request_response::Event::Message {
                message,
                ..
            })) => {
                match message {
                    Message::Request {
                        request: Question::In(Some(request)),
                        channel,
                        ..
                    } => {
                        let refusal = || wire::encode(&Answer::Refused("no".to_owned()));
                        let answer = state
                            .answering
                            .as_ref()
                            .map_or_else(refusal, |answering| answering(&request));
                        state.asked.push(request);
                        drop(state);
                        // the victim may have gone
                        let _ = self
                            .swarm
                            .behaviour_mut()
                            .sync
                            .send_response(channel, answer);
                    }
                    Message::Request { .. } => {}
                    Message::Response { response, .. } => state.answers.push(response),
                }
            }
            _ => {}
        }
    }
}
