//! Telemetry inside a running node: one task, apart from everything that certifies. It listens to
//! the engine's events, gathers what comes together, checks at its interval, and delivers. What it
//! misses because it was slow it counts.

mod gathered;
mod pause;
mod reviews;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssid_engine::{NodeEvent, Syncs};
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{Epoch, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_storage::{Store, SubjectState};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::gathered::Gathered;
use self::pause::Pause;
use self::reviews::Reviews;
use super::changes;
use super::conditions::{Conditions, Turns, holding, waiting};
use super::happenings;
use super::message::{Message, Names, Severity, Source, Topic};
use super::service::TelemetryService;
use super::turns::{self, Known};
use super::view::{CheckView, EntryView};
use crate::clock;
use crate::engine::{EngineHandle, Heard, Listener};
use crate::membership::replaced_keys::replaced_keys;

/// How often the engine's state is looked at for what holds or is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most requests that wait for the task.
const REQUESTS: usize = 8;

/// What the API asks.
#[derive(Debug)]
pub enum Request {
    /// Check dashboard and registry now.
    Check(oneshot::Sender<Result<CheckView, String>>),
    /// List the outbox.
    Outbox(oneshot::Sender<Vec<EntryView>>),
    /// Send a row again at once; whether there is such a row.
    Retry(u64, oneshot::Sender<bool>),
    /// Forget a row; whether there was one.
    Drop(u64, oneshot::Sender<bool>),
}

/// The way to the task.
pub type TelemetryHandle = mpsc::Sender<Request>;

/// What the task works with.
#[derive(Debug)]
pub struct Context {
    /// What it listens to.
    pub engine: EngineHandle,
    /// Where conflicts, evidence and epochs are.
    pub store: Store,
    /// The epochs that the node knows.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// The setting `compliance.anonymize_node_data`.
    pub anonymize: bool,
    /// This node's id, for messages.
    pub node: NodeId,
    /// Cancelled when the node stops.
    pub shutdown: CancellationToken,
}

/// A channel for requests.
pub fn requests() -> (TelemetryHandle, mpsc::Receiver<Request>) {
    mpsc::channel(REQUESTS)
}

/// Follows the node until the end.
pub async fn follow(
    service: TelemetryService,
    mut requests: mpsc::Receiver<Request>,
    context: Context,
) {
    let interval = Duration::from_secs(service.places().config.settings.check_interval_seconds);
    // loudly, once: whoever configured a channel expects to hear through it
    for (channel, why) in &service.senders().unusable {
        tracing::warn!(
            channel = channel.as_str(),
            why,
            "a channel is switched on and cannot be used"
        );
    }
    let mut listener = Listener::new(&context.engine);
    let mut check = tokio::time::interval(interval);
    // after a machine slept: one check, not one for each that was missed
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // a setting may keep names of node and federation out of what leaves the machine
    let source = Source::new(
        context.epochs.borrow().current().manifest(),
        context.node,
        context.anonymize,
    );
    let mut follower = Follower::new(service.of(Some(source)), &context);
    // what a command left behind, before anything new comes after it
    follower.begin().await;
    loop {
        let now = clock::now();
        // first in each turn: whatever was added or ended makes other rows due
        follower.service.delivery().begin(now);
        let gathered = !follower.gathered.is_empty();
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            heard = listener.hear() => match heard {
                Some(heard) => follower.take(&heard),
                None => return,
            },
            () = tokio::time::sleep_until(follower.gathered.until()), if gathered => follower.tell_gathered().await,
            _ = look.tick() => follower.look(Instant::now()).await,
            _ = check.tick() => drop(follower.check().await),
            Some(request) = requests.recv() => follower.answer(request).await,
            ended = follower.service.delivery().wait(now) => if let Some(ended) = ended {
                follower.service.settle(ended, clock::now()).await;
            },
        }
    }
}

struct Follower<'a> {
    service: TelemetryService,
    context: &'a Context,
    members: BTreeMap<NodeId, String>,
    names: Names,
    syncs: Syncs,
    gathered: Gathered,
    conditions: Conditions,
    reviews: Reviews,
    pause: Pause,
}

impl<'a> Follower<'a> {
    fn new(service: TelemetryService, context: &'a Context) -> Self {
        let mut follower = Self {
            conditions: Conditions::new(service.conditions()),
            service,
            context,
            members: BTreeMap::new(),
            names: Names::default(),
            // those so far were told by the process before, or by nobody: only new ones count
            syncs: context.engine.status().borrow().syncs,
            gathered: Gathered::new(),
            reviews: Reviews::default(),
            pause: Pause::default(),
        };
        follower.name_members();
        follower
    }

    /// What waits from before, and what began while nobody listened.
    async fn begin(&mut self) {
        if let Err(error) = self.service.adopt(clock::now()).await {
            tracing::warn!(%error, "notifications left by a command are not taken over");
        }
        let store = &self.context.store;
        let conflicts = store
            .conflicts()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(subject_id, _)| {
                let Ok(Some(SubjectState::Open(open))) = store.subject(&subject_id) else {
                    return None;
                };
                Some(NodeEvent::Conflict {
                    subject_id,
                    event: open.subject.event,
                    version: open.subject.version,
                })
            });
        let events: Vec<_> = conflicts.collect();
        for event in &events {
            self.gather(event);
        }
    }

    /// The members of the latest epoch, as this node knows it.
    fn name_members(&mut self) {
        let latest = self
            .context
            .store
            .epochs(Epoch::ZERO)
            .filter_map(Result::ok)
            .last();
        let manifest = latest.and_then(|(_, row)| Manifest::parse(row.manifest.as_bytes()).ok());
        let epoch = self.context.epochs.borrow().current().clone();
        let members = &manifest.as_ref().unwrap_or(epoch.manifest()).members;
        self.members = members
            .iter()
            .map(|member| (member.node_id, member.node_name.clone()))
            .collect();
        // those who left are still called what they were called
        let all = members.iter().chain(&epoch.manifest().members);
        self.names = Names::new(
            all.map(|m| (m.node_id, m.node_name.clone())),
            self.context.anonymize,
        );
    }

    fn take(&mut self, heard: &Heard) {
        heard.events.iter().for_each(|event| self.gather(event));
        if heard.missed > 0 {
            self.missed(heard.missed);
        }
    }

    fn gather(&mut self, event: &NodeEvent) {
        self.pause.time(event, Instant::now());
        let is_certified = matches!(event, NodeEvent::Certified { .. });
        // more than wait singly become a digest anyway, in which these count
        if is_certified
            && self.gathered.is_a_digest()
            && self.service.wants(Topic::ConsensusAchieved)
        {
            self.gathered.count_certified();
            return;
        }
        if let Some(message) = happenings::message(event, &self.names, clock::now()) {
            self.add(message);
        }
    }

    /// What holds now and did not, or did and does not.
    async fn look(&mut self, at: Instant) {
        let status = self.context.engine.status().borrow().clone();
        let engine = &self.context.engine;
        self.reviews.list(engine, status.awaiting_review).await;
        let mut holding = holding(&status, &self.context.node);
        holding.extend(self.reviews.waiting.values().map(waiting));
        let now = clock::now();
        self.tell_epochs(now);
        let turns = self.conditions.look(&holding, at, now);
        if turns == Turns::default() {
            return;
        }
        self.service.set_conditions(self.conditions.told());
        let today = self.context.epochs.borrow().current().clone();
        let proposals = changes::proposed(
            &self.context.store,
            today.manifest(),
            self.context.anonymize,
        );
        let known = Known {
            status: &status,
            reviews: &self.reviews.waiting,
            proposals: &proposals,
            names: &self.names,
            now,
        };
        turns::messages(&turns, known)
            .into_iter()
            .for_each(|message| self.add(message));
    }

    /// Each epoch that is in force or was, and is not told yet. The first that is known is none: who
    /// begins to be told is not told what was.
    fn tell_epochs(&mut self, now: UnixMillis) {
        let epochs = self.context.epochs.borrow().clone();
        let current = epochs.current().number();
        let told = self.service.epoch().unwrap_or(current);
        if self.service.epoch() == Some(current) {
            return;
        }
        self.service.set_epoch(current);
        let mut epoch = told;
        while epoch < current {
            let before = epochs.get(epoch);
            epoch = epoch.next();
            let (Some(before), Some(after)) = (before, epochs.get(epoch)) else {
                continue; // not known here: a later one says who counts
            };
            let paused = self.pause.before(epoch);
            let anonymize = self.context.anonymize;
            let (before, after) = (before.manifest(), after.manifest());
            for key in replaced_keys(after, &[]) {
                let (former, member) = (key.former_node_id, key.node_id);
                self.service.replace_member(&former, member);
            }
            self.add(changes::in_force(before, after, paused, anonymize, now));
        }
        self.name_members();
    }

    fn missed(&mut self, count: u64) {
        let noun = if count == 1 {
            "notification was"
        } else {
            "notifications were"
        };
        let title = format!("{count} {noun} not made: this node was too busy");
        let at = clock::now();
        let mut message = Message::new(
            Topic::Digest,
            Severity::Warning,
            format!("missed:{}", at.0),
            &title,
            at,
        );
        message.count = count;
        self.add(message.fact("not told", count));
    }

    fn add(&mut self, message: Message) {
        // what nobody wants is not even gathered: thousands of certified events a second
        if !self.service.wants(message.topic) {
            return;
        }
        self.gathered.add(message);
    }

    async fn tell_gathered(&mut self) {
        let now = clock::now();
        let messages = self.gathered.take(now);
        if let Err(error) = self.service.tell(&messages, now).await {
            tracing::warn!(%error, "telemetry's state is not kept");
        }
    }

    async fn check(&mut self) -> Result<CheckView, String> {
        self.name_members();
        let now = clock::now();
        let syncs = self.context.engine.status().borrow().syncs;
        for message in happenings::syncs(self.syncs, syncs, &self.context.node, now) {
            self.add(message);
        }
        self.syncs = syncs;
        let checked = self
            .service
            .check(Some(self.members.clone()), self.names.clone(), now)
            .await;
        if let Ok(view) = &checked {
            view.notes
                .iter()
                .for_each(|note| tracing::debug!(note, "telemetry"));
        }
        checked
            .map_err(|error| error.to_string())
            .inspect_err(|error| tracing::warn!(error, "telemetry check"))
    }

    async fn answer(&mut self, request: Request) {
        let now = clock::now();
        // whoever asked may have gone
        match request {
            Request::Check(reply) => drop(reply.send(self.check().await)),
            Request::Outbox(reply) => {
                let rows = EntryView::all(self.service.delivery().queue());
                drop(reply.send(rows));
            }
            Request::Retry(id, reply) => {
                let found = self.service.delivery().retry(id, now).await;
                reply.send(found).ok();
            }
            Request::Drop(id, reply) => {
                let found = self.service.delivery().forget(id).await;
                reply.send(found).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests;
