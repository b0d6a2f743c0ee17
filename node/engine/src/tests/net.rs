//! Engines over real storage, joined by a network that the test is: every message is delivered,
//! dropped or held by hand, and time is a number.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::id::{LogId, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::testing;
use ssid_storage::{Journal, Owner, Store};
use tempfile::TempDir;

use super::observed;
use crate::checking::Checker;
use crate::evidence::evidence_answer;
use crate::settings::EngineSettings;
use crate::{
    Command, Effects, EmitOutcome, Engine, EngineParts, Inbound, NodeEvent, Now, Operated,
    OperatorRefusal, RegistryNews, Reply, Steady,
};

mod look;

/// 2025-10-11T20:00:00Z, when the fixtures' events happened.
pub(super) const START: UnixMillis = UnixMillis(1_760_212_800_000);

pub(super) enum Message {
    In(Inbound),
    Ask(NodeId, Request),
    /// The engine has more to do at once.
    Wake,
}

pub(super) struct Net {
    pub(super) homes: Vec<TempDir>,
    pub(super) engines: Vec<Option<Engine>>,
    pub(super) ids: Vec<NodeId>,
    pub(super) manifest: Manifest,
    pub(super) settings: EngineSettings,
    /// The time: what the steady clocks show, and the wall clocks that are right.
    pub(super) now: UnixMillis,
    /// By how many milliseconds each node's wall clock is ahead.
    pub(super) ahead: Vec<i64>,
    /// Whose answers who found false.
    pub(super) false_answers: Vec<(usize, NodeId)>,
    pub(super) messages: VecDeque<(usize, Message)>,
    pub(super) connected: BTreeSet<usize>,
    pub(super) events: Vec<(usize, NodeEvent)>,
    pub(super) outcomes: Vec<EmitOutcome>,
    pub(super) operated: Vec<Result<Operated, OperatorRefusal>>,
    /// What was asked of whom, in order.
    pub(super) asked: Vec<(usize, NodeId, Request)>,
    /// Logs begun: each has a name of its own.
    logs: u8,
    /// Whether somebody in the test equivocates.
    pub(super) is_byzantine: bool,
    /// Whose registry file is looked at as soon as that is asked for.
    pub(super) readers: Vec<bool>,
    /// The latest look at the registry file that each node asked for.
    pub(super) looks: Vec<Option<u64>>,
}

impl Net {
    pub(super) fn new(n: usize) -> Self {
        Self::with(testing::manifest(n), EngineSettings::default())
    }

    /// Of nodes with these settings, in a federation of this genesis whose members are the
    /// fixtures'.
    pub(super) fn with(manifest: Manifest, settings: EngineSettings) -> Self {
        let n = manifest.members.len();
        Self::of(manifest, n, settings)
    }

    /// Of `n` nodes, of which the genesis may name fewer as members: the others run beside them.
    pub(super) fn of(manifest: Manifest, n: usize, settings: EngineSettings) -> Self {
        let (_, _, _, keys) = testing::federation(n);
        let ids = keys
            .iter()
            .map(ssid_protocol::identity::VotingKey::node_id)
            .collect();
        let mut net = Self {
            homes: (0..n).map(|_| TempDir::new().unwrap()).collect(),
            engines: (0..n).map(|_| None).collect(),
            ids,
            manifest,
            settings,
            now: START,
            ahead: vec![0; n],
            false_answers: Vec::new(),
            messages: VecDeque::new(),
            connected: BTreeSet::new(),
            events: Vec::new(),
            outcomes: Vec::new(),
            operated: Vec::new(),
            asked: Vec::new(),
            logs: 0,
            is_byzantine: false,
            readers: vec![true; n],
            looks: vec![None; n],
        };
        for node in 0..n {
            Journal::create(&net.homes[node].path().join("votes.journal"), net.ids[node]).unwrap();
            net.start(node);
        }
        net
    }

    pub(super) fn start(&mut self, node: usize) {
        let (_, _, _, keys) = testing::federation(self.ids.len());
        let (manifest, federation) = (self.manifest.clone(), self.manifest.federation_id());
        let home = self.homes[node].path();
        let owner = Owner {
            federation,
            node: self.ids[node],
        };
        self.logs += 1;
        let (store, writer) = Store::open(home, owner, LogId([self.logs; 32])).unwrap();
        let (journal, records, _) = Journal::open(
            &home.join("votes.journal"),
            self.ids[node],
            store.journal_sequence(),
        )
        .unwrap();
        let parts = EngineParts {
            key: keys[node].clone(),
            epochs: Arc::new(Epochs::new(EpochContext::genesis(manifest).unwrap())),
            settings: self.settings.clone(),
            store,
            writer,
            journal,
            abstaining: None,
        };
        let (engine, effects) = Engine::recover(parts, records, self.clocks(node)).unwrap();
        self.engines[node] = Some(engine);
        self.carry_out(node, effects);
        self.connected.insert(node);
        self.tell_connections();
    }

    pub(super) fn stop(&mut self, node: usize) {
        self.engines[node] = None;
        self.connected.remove(&node);
        self.messages.retain(|(to, _)| *to != node);
        self.tell_connections();
    }

    pub(super) fn restart(&mut self, node: usize) {
        self.stop(node);
        self.start(node);
        self.settle();
    }

    pub(super) fn tell_connections(&mut self) {
        for node in self.connected.clone() {
            let others = self
                .connected
                .iter()
                .filter(|other| **other != node)
                .map(|other| self.ids[*other])
                .collect();
            self.messages
                .push_back((node, Message::In(Inbound::Connected(others))));
        }
    }

    pub(super) fn clocks(&self, node: usize) -> Now {
        let wall = UnixMillis(self.now.0.saturating_add_signed(self.ahead[node]));
        Now {
            wall,
            steady: Steady(self.now.0),
        }
    }

    pub(super) fn tick(&mut self, node: usize, inputs: Vec<Inbound>) {
        let now = self.clocks(node);
        let Some(engine) = &mut self.engines[node] else {
            return;
        };
        let effects = engine.tick(now, inputs);
        self.carry_out(node, effects);
    }

    pub(super) fn carry_out(&mut self, node: usize, effects: Effects) {
        self.looks[node] = effects.look.or(self.looks[node]);
        let look = effects.look.filter(|_| self.readers[node]);
        if effects.wake_at.is_some_and(|at| at <= Steady(self.now.0)) {
            self.messages.push_back((node, Message::Wake));
        }
        for batch in effects.publish {
            for other in self.connected.iter().filter(|other| **other != node) {
                let input = Inbound::Batch {
                    batch: batch.clone(),
                    from: self.ids[node],
                    ticket: None,
                };
                self.messages.push_back((*other, Message::In(input)));
            }
        }
        for evidence in effects.evidence {
            for other in self.connected.iter().filter(|other| **other != node) {
                let evidence = Box::new((*evidence).clone());
                let input = Inbound::Evidence {
                    evidence,
                    from: self.ids[node],
                    ticket: None,
                };
                self.messages.push_back((*other, Message::In(input)));
            }
        }
        for (to, request) in effects.asks {
            self.asked.push((node, to, request.clone()));
            let to = self.ids.iter().position(|id| *id == to).unwrap();
            self.messages
                .push_back((to, Message::Ask(self.ids[node], request)));
        }
        self.false_answers
            .extend(effects.false_answers.into_iter().map(|from| (node, from)));
        self.events
            .extend(effects.events.into_iter().map(|event| (node, event)));
        for (_, reply) in effects.replies {
            match reply {
                Reply::Operated(outcome) => self.operated.push(outcome),
                Reply::Emitted(outcomes) => self.outcomes.extend(outcomes),
                _ => {}
            }
        }
        if let Some(look) = look {
            // its reader has handed over all that stands in the file
            self.tick(node, vec![Inbound::Registry(RegistryNews::Read { look })]);
        }
    }

    pub(super) fn answer(&mut self, node: usize, asker: NodeId, request: Request) {
        let Some(engine) = &mut self.engines[node] else {
            return;
        };
        let answer = match &request {
            Request::Log { from, limit } => Answer::Log {
                log_id: engine.log_head().log_id,
                size: engine.log_head().size,
                entries: engine
                    .store
                    .certificates(*from, *limit as usize, 500_000)
                    .unwrap(),
            },
            Request::Status => self.ask_engine(node, Inbound::StatusAsked { ticket: 1 }),
            Request::Own => self.ask_engine(
                node,
                Inbound::OwnAsked {
                    from: asker,
                    ticket: 1,
                },
            ),
            Request::Open { subjects, after } => self.ask_engine(
                node,
                Inbound::OpenAsked {
                    subjects: subjects.clone(),
                    after: *after,
                    ticket: 1,
                },
            ),
            Request::Evidence { known } => evidence_answer(&engine.store, known),
            Request::Events { digests } => self.ask_engine(
                node,
                Inbound::EventsAsked {
                    digests: digests.clone(),
                    ticket: 1,
                },
            ),
            Request::Change(request) => self.ask_engine(
                node,
                Inbound::ChangeAsked {
                    from: asker,
                    request: request.clone(),
                    ticket: 1,
                },
            ),
        };
        let to = self.ids.iter().position(|id| *id == asker).unwrap();
        if self.engines[to].is_none() {
            return;
        }
        let checked = self
            .checker(to)
            .check(self.ids[node], &request, answer)
            .unwrap();
        let input = Inbound::Answered {
            from: self.ids[node],
            request,
            answer: Some(checked),
        };
        self.messages.push_back((to, Message::In(input)));
    }

    /// What a node checks answers with.
    pub(super) fn checker(&self, node: usize) -> Checker {
        Checker::new(self.engine(node).epochs().clone())
    }

    pub(super) fn ask_engine(&mut self, node: usize, input: Inbound) -> Answer {
        let mut effects = {
            let now = self.clocks(node);
            self.engine_mut(node).tick(now, vec![input])
        };
        let Some((1, Reply::Answer(answer))) = effects.replies.pop() else {
            panic!("a question is answered")
        };
        self.carry_out(node, effects);
        answer
    }

    /// Delivers what is under way and what follows, without time passing.
    pub(super) fn settle(&mut self) {
        self.settle_except(|_, _| false);
    }

    /// The same, but what is lost.
    pub(super) fn settle_except(&mut self, lost: impl Fn(usize, &Inbound) -> bool) {
        while let Some((to, message)) = self.messages.pop_front() {
            match message {
                Message::In(input) if lost(to, &input) => {}
                message => self.deliver(to, message),
            }
        }
    }

    pub(super) fn deliver(&mut self, to: usize, message: Message) {
        match message {
            Message::In(input) => self.tick(to, vec![input]),
            Message::Wake => self.tick(to, Vec::new()),
            Message::Ask(asker, request) => self.answer(to, asker, request),
        }
    }

    /// Lets time pass, every node ticking twice a second.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.pass_except(seconds, |_, _| false);
    }

    pub(super) fn pass_except(&mut self, seconds: u64, lost: impl Fn(usize, &Inbound) -> bool) {
        for _ in 0..seconds * 2 {
            self.now = UnixMillis(self.now.0 + 500);
            (0..self.engines.len()).for_each(|node| self.tick(node, Vec::new()));
            self.settle_except(&lost);
        }
    }

    pub(super) fn emit(&mut self, node: usize, events: &[Event]) {
        self.command(node, Command::Emit(events.to_vec()));
    }

    pub(super) fn command(&mut self, node: usize, command: Command) {
        let input = Inbound::Command { command, ticket: 1 };
        self.tick(node, vec![input]);
    }

    /// Every node finds its own event in its registry.
    pub(super) fn observe(&mut self, events: &[&Event]) {
        for (node, event) in events.iter().enumerate() {
            self.tick(node, vec![observed(vec![(*event).clone()])]);
        }
        self.settle();
    }
}
