//! Runs the engine: one loop that owns it, drains what has arrived, ticks, and carries out what the
//! tick gave.
//!
//! Everything that can wait is bounded: commands and local inputs by their channels, network events
//! by the network's, and what one tick takes by [`TICK_INPUTS`] and [`TICK_STATEMENTS`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ssid_engine::checking::Checker;
use ssid_engine::settings::{ANSWER_BYTES, UNSENT_BATCHES};
use ssid_engine::{
    CheckedAnswer, Effects, Engine, EngineStatus, Inbound, NodeEvent, PeerState, Reply, Steady,
    Ticket, Validity, evidence_answer,
};
use ssid_network::{Network, NetworkEvent, ReplyHandle, RequestError, Topic, Verdict};
use ssid_protocol::batch::Kind;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::NodeId;
use ssid_protocol::member::Member;
use ssid_protocol::sync::{Answer, LOG_PAGE, Request};
use ssid_protocol::wire;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::inbox::{Arrived, Inbox};
use super::handle::{CALLS, Call, EngineHandle, NODE_EVENTS};
use crate::clock;

mod inbox;

/// Inputs taken into one tick.
const TICK_INPUTS: usize = 1024;
/// Statements taken into one tick: about what a tick can step in ten milliseconds.
const TICK_STATEMENTS: usize = 8192;
/// Local inputs waiting: answers of peers, lines of the registry file.
const LOCAL_INPUTS: usize = 64;
/// The status is published at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(50);
/// How soon a batch that the network's queue had no room for is offered again.
const RESEND_AFTER: Duration = Duration::from_millis(10);

/// What the engine's task lives among.
#[derive(Debug)]
pub struct Context {
    /// The network, to act on it.
    pub network: Network,
    /// What the network tells.
    pub network_events: mpsc::Receiver<NetworkEvent>,
    /// Where the epochs that the engine knows are told.
    pub epochs: watch::Sender<Arc<Epochs>>,
    /// Where questions to peers run.
    pub tracker: TaskTracker,
    /// Cancelled when the node stops.
    pub shutdown: CancellationToken,
}

/// What others hold of a running engine.
#[derive(Clone, Debug)]
pub struct Running {
    /// Commands, events, status.
    pub handle: EngineHandle,
    /// Local inputs: the registry file's lines.
    pub inputs: mpsc::Sender<Inbound>,
    /// The look at the own registry file that is wanted, by its number.
    pub looks: watch::Receiver<u64>,
    /// What is known of the other members, as heartbeats arrive.
    pub peers: watch::Receiver<Arc<Vec<(NodeId, PeerState)>>>,
    /// Whom the network is to let in as guests.
    pub guests: watch::Receiver<Arc<Vec<Member>>>,
    /// Why the engine stopped voting, once it did.
    pub failed: watch::Receiver<Option<String>>,
}

/// Starts the task on the tracker. It ends after `shutdown`, its last tick on disk.
pub fn start(engine: Engine, first: Effects, context: Context) -> Running {
    // bounded: who asks faster than a tick answers waits
    let (calls, calls_inbox) = mpsc::channel(CALLS);
    let (inputs, inputs_inbox) = mpsc::channel(LOCAL_INPUTS);
    let (events, _) = broadcast::channel(NODE_EVENTS);
    let (status_sender, status) = watch::channel(Arc::new(engine.status()));
    let (peers_sender, peers) = watch::channel(Arc::default());
    let (looks_sender, looks) = watch::channel(0);
    let (guests_sender, guests) = watch::channel(engine.guests().clone());
    let (failed_sender, failed) = watch::channel(None);
    // the handle is all that others get; the engine stays with the task
    let running = Running {
        handle: EngineHandle {
            calls,
            events: events.clone(),
            status,
        },
        inputs: inputs.clone(),
        looks,
        peers,
        guests,
        failed,
    };
    // shared state goes in by value: nothing outside can change it while a tick runs
    let tracker = context.tracker.clone();
    let task = Task {
        engine,
        network: context.network,
        epochs: context.epochs,
        tracker: context.tracker,
        shutdown: context.shutdown,
        inputs,
        events,
        status: status_sender,
        peers: peers_sender,
        looks: looks_sender,
        guests: guests_sender,
        failed: failed_sender,
        pending: HashMap::new(),
        next_ticket: 0,
        unsent: VecDeque::new(),
        wake_at: None,
        status_at: tokio::time::Instant::now(),
        connected: Arc::default(),
    };
    let inbox = Inbox {
        network: context.network_events,
        calls: calls_inbox,
        local: inputs_inbox,
    };
    // with what recovery wants to be sent, before anything new is taken in
    tracker.spawn(task.run(inbox, first));
    running
}

/// Who waits for the outcome of a ticket.
#[derive(Debug)]
enum Pending {
    Gossip(ssid_network::Ticket),
    Peer(ReplyHandle),
    Caller(oneshot::Sender<Reply>),
}

struct Task {
    engine: Engine,
    network: Network,
    epochs: watch::Sender<Arc<Epochs>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    inputs: mpsc::Sender<Inbound>,
    events: broadcast::Sender<Arc<NodeEvent>>,
    status: watch::Sender<Arc<EngineStatus>>,
    peers: watch::Sender<Arc<Vec<(NodeId, PeerState)>>>,
    looks: watch::Sender<u64>,
    guests: watch::Sender<Arc<Vec<Member>>>,
    failed: watch::Sender<Option<String>>,
    pending: HashMap<Ticket, Pending>,
    next_ticket: Ticket,
    unsent: VecDeque<(Topic, Vec<u8>)>,
    wake_at: Option<Steady>,
    status_at: tokio::time::Instant,
    connected: Arc<BTreeSet<NodeId>>,
}

/// One tick's inputs as they are collected.
#[derive(Default)]
struct Collected {
    inputs: Vec<Inbound>,
    statements: usize,
    queries: Vec<Call>,
}

impl Collected {
    fn take(&mut self, input: Inbound) {
        self.statements += input.weight();
        self.inputs.push(input);
    }
}

impl Task {
    async fn run(mut self, mut inbox: Inbox, first: Effects) {
        self.carry_out(first);
        loop {
            let mut collected = Collected::default();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                arrived = inbox.next() => match arrived {
                    Some(arrived) => self.collect(&mut collected, arrived),
                    None => break,
                },
                () = tokio::time::sleep(self.pause()) => {}
            }
            while collected.inputs.len() < TICK_INPUTS && collected.statements < TICK_STATEMENTS {
                let Some(arrived) = inbox.try_next() else {
                    break;
                };
                self.collect(&mut collected, arrived);
            }
            self.turn(collected);
        }
        // what was taken in is on disk already; what was not is offered again by whoever sent it
        self.publish_status();
    }

    fn turn(&mut self, collected: Collected) {
        let now = clock::moment();
        let effects = tokio::task::block_in_place(|| self.engine.tick(now, collected.inputs));
        self.publish_members();
        self.carry_out(effects);
        for query in collected.queries {
            self.answer_query(query);
        }
        self.resend();
        if self.status_at.elapsed() >= STATUS_EVERY {
            self.publish_status();
        }
    }

    /// How long to wait if nothing arrives.
    fn pause(&self) -> Duration {
        let now = clock::moment().steady;
        let engine = self
            .wake_at
            .map_or(Duration::from_secs(1), |at| at.since(now));
        let resend = if self.unsent.is_empty() {
            Duration::MAX
        } else {
            RESEND_AFTER
        };
        let status = STATUS_EVERY.saturating_sub(self.status_at.elapsed());
        let status = if status.is_zero() {
            Duration::MAX
        } else {
            status
        };
        engine.min(resend).min(status).min(Duration::from_secs(1))
    }

    fn ticket(&mut self, pending: Pending) -> Ticket {
        self.next_ticket += 1;
        self.pending.insert(self.next_ticket, pending);
        self.next_ticket
    }

    fn collect(&mut self, collected: &mut Collected, arrived: Arrived) {
        match arrived {
            Arrived::Network(event) => self.collect_network(collected, event),
            Arrived::Call(Call::Command { command, reply }) => {
                let ticket = self.ticket(Pending::Caller(reply));
                collected.take(Inbound::Command { command, ticket });
            }
            Arrived::Call(query) => collected.queries.push(query),
            Arrived::Local(input) => collected.take(input),
        }
    }

    fn collect_network(&mut self, collected: &mut Collected, event: NetworkEvent) {
        match event {
            NetworkEvent::Batch {
                from,
                batch,
                ticket,
                ..
            } => {
                // gossip waits for a verdict: it is passed on only if the engine found it good
                let ticket = Some(self.ticket(Pending::Gossip(ticket)));
                collected.take(Inbound::Batch {
                    batch,
                    from,
                    ticket,
                });
            }
            NetworkEvent::Evidence {
                from,
                evidence,
                ticket,
            } => {
                let ticket = Some(self.ticket(Pending::Gossip(ticket)));
                collected.take(Inbound::Evidence {
                    evidence,
                    from,
                    ticket,
                });
            }
            NetworkEvent::Asked {
                from,
                request,
                reply,
            } => self.collect_question(collected, from, request, reply),
            NetworkEvent::Connected(node) => {
                // all who are connected, anew: one set for the engine, status and metrics
                let mut connected = (*self.connected).clone();
                connected.insert(node);
                self.set_connected(collected, connected);
            }
            NetworkEvent::Disconnected(node) => {
                let mut connected = (*self.connected).clone();
                connected.remove(&node);
                self.set_connected(collected, connected);
            }
            NetworkEvent::Addresses {
                node, addresses, ..
            } => {
                let addresses = addresses.iter().map(ToString::to_string).collect();
                collected.take(Inbound::Addresses { node, addresses });
            }
        }
    }

    fn set_connected(&mut self, collected: &mut Collected, connected: BTreeSet<NodeId>) {
        self.connected = Arc::new(connected);
        collected.take(Inbound::Connected((*self.connected).clone()));
    }

    fn collect_question(
        &mut self,
        collected: &mut Collected,
        from: NodeId,
        request: Request,
        reply: ReplyHandle,
    ) {
        match request {
            // from storage and beside the tick: a page of the log may be a mebibyte
            Request::Log {
                from: sequence,
                limit,
            } => self.answer_log(sequence, limit, reply),
            Request::Evidence { known } => {
                let store = self.engine.store().clone();
                self.tracker
                    .spawn_blocking(move || reply.answer(evidence_answer(&store, &known)));
            }
            // these need what the engine holds: answered at the end of a tick, when it is on disk
            Request::Status => {
                let ticket = self.ticket(Pending::Peer(reply));
                collected.take(Inbound::StatusAsked { ticket });
            }
            Request::Own => {
                let ticket = self.ticket(Pending::Peer(reply));
                collected.take(Inbound::OwnAsked { from, ticket });
            }
            Request::Change(request) => {
                let ticket = self.ticket(Pending::Peer(reply));
                collected.take(Inbound::ChangeAsked {
                    from,
                    request,
                    ticket,
                });
            }
            Request::Open { subjects, after } => {
                let ticket = self.ticket(Pending::Peer(reply));
                collected.take(Inbound::OpenAsked {
                    subjects,
                    after,
                    ticket,
                });
            }
            Request::Events { digests } => {
                let ticket = self.ticket(Pending::Peer(reply));
                collected.take(Inbound::EventsAsked { digests, ticket });
            }
        }
        tracing::trace!(%from, "asked");
    }

    /// The log is answered from storage, beside the engine.
    fn answer_log(&self, from: u64, limit: u32, reply: ReplyHandle) {
        let store = self.engine.store().clone();
        self.tracker.spawn_blocking(move || {
            let head = store.log_head();
            let answer = match store.certificates(from, limit.min(LOG_PAGE) as usize, ANSWER_BYTES)
            {
                Ok(entries) => Answer::Log {
                    log_id: head.log_id,
                    size: head.size,
                    entries,
                },
                Err(error) => {
                    tracing::error!(%error, "cannot read the log for a peer");
                    Answer::Refused("this node cannot read its log".to_owned())
                }
            };
            reply.answer(answer);
        });
    }

    /// Does what a tick gave: everything it rests on is on disk.
    fn carry_out(&mut self, effects: Effects) {
        // before the network: nothing of others is endorsed until the look that began after it came
        // is done
        if let Some(look) = effects.look {
            self.looks.send_replace(look);
        }
        for batch in effects.publish {
            self.publish(
                topic_of(batch.statements().kind()),
                wire::encode(batch.batch()),
            );
        }
        for evidence in effects.evidence {
            self.publish(Topic::Evidence, wire::encode(&*evidence));
        }
        for (ticket, reply) in effects.replies {
            self.reply(ticket, reply);
        }
        for (node, request) in effects.asks {
            self.ask(node, request);
        }
        for (node, addresses) in effects.addresses {
            self.network.add_address(
                node,
                addresses.iter().filter_map(|a| a.parse().ok()).collect(),
            );
            self.publish_peers();
        }
        for node in effects.false_answers {
            self.network.bad_answer(node);
        }
        for event in effects.events {
            // it ends with an error when it is stopped, and says why
            if let NodeEvent::ReadOnly { reason } = &event {
                self.failed.send_replace(Some(reason.clone()));
            }
            // no subscriber is no error
            self.events.send(Arc::new(event)).ok();
        }
        // none: nothing is due before something arrives
        self.wake_at = effects.wake_at;
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        match (self.pending.remove(&ticket), reply) {
            (Some(Pending::Gossip(ticket)), Reply::Verdict(validity)) => {
                self.network.verdict(ticket, verdict_of(validity));
            }
            (Some(Pending::Peer(to)), Reply::Answer(answer)) => to.answer(answer),
            // whoever asked may have gone: what was taken holds all the same
            (Some(Pending::Caller(to)), reply) => drop(to.send(reply)),
            (Some(_), reply) => tracing::error!(ticket, ?reply, "nobody waits for such a reply"),
            (None, _) => {}
        }
    }

    fn publish(&mut self, topic: Topic, data: Vec<u8>) {
        if !self.unsent.is_empty() || self.network.publish(topic, data.clone()).is_err() {
            self.unsent.push_back((topic, data));
            if self.unsent.len() > UNSENT_BATCHES {
                self.unsent.pop_front();
            }
        }
    }

    fn resend(&mut self) {
        while let Some((topic, data)) = self.unsent.pop_front() {
            if self.network.publish(topic, data.clone()).is_err() {
                self.unsent.push_front((topic, data));
                return;
            }
        }
    }

    /// Asks a peer beside the engine, checks what it answers, and hands that in.
    fn ask(&self, node: NodeId, request: Request) {
        let (network, inputs) = (self.network.clone(), self.inputs.clone());
        // epochs as of the question: an answer is checked against what was asked
        let checker = Checker::new(self.engine.epochs().clone());
        let shutdown = self.shutdown.clone();
        // a peer may take its whole time: the engine goes on
        self.tracker.spawn(async move {
            let question = request.clone();
            let checked = async {
                let answer = match network.request(node, request.clone()).await {
                    Ok(answer) => answer,
                    // it was not asked: no failure of its own
                    Err(error @ (RequestError::NotConnected(_) | RequestError::Busy | RequestError::Closed)) => {
                        return Ok(CheckedAnswer::Refused(error.to_string()));
                    }
                    Err(error) => return Err(error.to_string()),
                };
                // a page of certificates is hundreds of signatures: off the runtime
                let check = move || checker.check(node, &request, answer);
                let checked = tokio::task::spawn_blocking(check).await.map_err(|error| error.to_string())?;
                checked.map_err(|bad| {
                    network.bad_answer(node);
                    bad.to_string()
                })
            };
            // no question outlives the node
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                checked = checked => checked.inspect_err(|error| tracing::debug!(%node, error, "no answer")).ok(),
            };
            // also a failure: the engine counts it and asks somebody else. Nobody takes it once the
            // task has ended
            inputs.send(Inbound::Answered { from: node, request: question, answer }).await.ok();
        });
    }

    fn answer_query(&self, query: Call) {
        match query {
            Call::Instances {
                subject,
                limit,
                after,
                reply,
            } => {
                reply
                    .send(self.engine.instances(subject, after, limit))
                    .ok();
            }
            Call::CommitQuestions { after, reply } => {
                reply
                    .send(self.engine.commit_questions(after.as_ref()))
                    .ok();
            }
            Call::Status { reply } => {
                reply.send(self.engine.status()).ok();
            }
            Call::Offer {
                relayed,
                after,
                reply,
            } => {
                reply.send(self.engine.offer(&relayed, after)).ok();
            }
            // taken into a tick
            Call::Command { .. } => {}
        }
    }

    /// Tells everybody before what follows from it is done.
    /// Tells the epochs that are known, and whom to let in beside their members.
    fn publish_members(&self) {
        publish(&self.epochs, self.engine.epochs());
        publish(&self.guests, self.engine.guests());
    }

    fn publish_status(&mut self) {
        self.status_at = tokio::time::Instant::now();
        let status = Arc::new(self.engine.status());
        self.status.send_if_modified(|old| {
            let differs = **old != *status;
            *old = status.clone();
            differs
        });
    }

    fn publish_peers(&self) {
        let peers = self
            .engine
            .peers()
            .iter()
            .map(|(node, state)| (*node, state.clone()))
            .collect();
        self.peers.send_replace(Arc::new(peers));
    }
}

fn topic_of(kind: Kind) -> Topic {
    match kind {
        Kind::Events => Topic::Events,
        Kind::Votes | Kind::Proposals | Kind::Closes | Kind::Ready => Topic::Votes,
        Kind::Heartbeat => Topic::Heartbeats,
    }
}

fn verdict_of(validity: Validity) -> Verdict {
    match validity {
        Validity::New => Verdict::Accept,
        Validity::Nothing => Verdict::Ignore,
        Validity::Excess => Verdict::Excess,
        Validity::Invalid => Verdict::Reject,
    }
}

/// Tells a value again if it is another one than before.
fn publish<T>(told: &watch::Sender<Arc<T>>, value: &Arc<T>) {
    told.send_if_modified(|before| {
        let differs = !Arc::ptr_eq(before, value);
        before.clone_from(value);
        differs
    });
}
