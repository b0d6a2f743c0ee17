//! Engines over real storage, joined by a network that the test is: every message is delivered,
//! dropped or held by hand, and time is a number.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, LogId, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::testing;
use ssid_storage::{Journal, Owner, Store};
use tempfile::TempDir;

use super::checking::Checker;
use super::evidence::evidence_answer;
use super::messages::{CheckedAnswer, Validity};
use super::node_event::NodeEvent;
use super::request::{Command, EmitOutcome, Reply};
use super::settings::EngineSettings;
use super::{
    Carried, Effects, Engine, EngineParts, Inbound, Now, Operated, OperatorRefusal, OwnLine,
    RegistryNews, Steady,
};

mod announcing;
mod bounds;
mod clocks;
mod configured;
mod conflicts;
mod evidence;
mod git;
mod hollow;
mod operator;
mod outbox;
mod own_registry;
mod registry_changes;
mod simulated;
mod split_origin;
mod startup_check;
mod trust;
mod verdicts;
mod vote_buffer;

/// 2025-10-11T20:00:00Z, when the fixtures' events happened.
const START: UnixMillis = UnixMillis(1_760_212_800_000);

/// What was said of the one thing delivered.
fn verdict(effects: &Effects) -> Validity {
    match effects.replies.as_slice() {
        [(1, Reply::Verdict(validity))] => *validity,
        other => panic!("{other:?}"),
    }
}

enum Message {
    In(Inbound),
    Ask(NodeId, Request),
    /// The engine has more to do at once.
    Wake,
}

struct Net {
    homes: Vec<TempDir>,
    engines: Vec<Option<Engine>>,
    ids: Vec<NodeId>,
    manifest: Manifest,
    settings: EngineSettings,
    checker: Arc<Checker>,
    /// The time: what the steady clocks show, and the wall clocks that are right.
    now: UnixMillis,
    /// By how many milliseconds each node's wall clock is ahead.
    ahead: Vec<i64>,
    /// Whose answers who found false.
    false_answers: Vec<(usize, NodeId)>,
    messages: VecDeque<(usize, Message)>,
    connected: BTreeSet<usize>,
    events: Vec<(usize, NodeEvent)>,
    outcomes: Vec<EmitOutcome>,
    operated: Vec<Result<Operated, OperatorRefusal>>,
    /// What was asked of whom, in order.
    asked: Vec<(usize, NodeId, Request)>,
    /// Logs begun: each has a name of its own.
    logs: u8,
    /// Whether somebody in the test equivocates.
    is_byzantine: bool,
    /// Whose registry file is looked at as soon as that is asked for.
    readers: Vec<bool>,
    /// The latest look at the registry file that each node asked for.
    looks: Vec<Option<u64>>,
}

impl Net {
    fn new(n: usize) -> Self {
        Self::with(testing::manifest(n), EngineSettings::default())
    }

    /// Of nodes with these settings, in a federation of this genesis whose members are the
    /// fixtures'.
    fn with(manifest: Manifest, settings: EngineSettings) -> Self {
        let n = manifest.members.len();
        let (_, _, _, keys) = testing::federation(n);
        let epochs = Epochs::new(EpochContext::genesis(manifest.clone()).unwrap());
        let checker = Checker::new(Arc::new(epochs));
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
            checker: Arc::new(checker),
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

    fn start(&mut self, node: usize) {
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

    fn stop(&mut self, node: usize) {
        self.engines[node] = None;
        self.connected.remove(&node);
        self.messages.retain(|(to, _)| *to != node);
        self.tell_connections();
    }

    fn tell_connections(&mut self) {
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

    fn clocks(&self, node: usize) -> Now {
        let wall = UnixMillis(self.now.0.saturating_add_signed(self.ahead[node]));
        Now {
            wall,
            steady: Steady(self.now.0),
        }
    }

    fn tick(&mut self, node: usize, inputs: Vec<Inbound>) {
        let now = self.clocks(node);
        let Some(engine) = &mut self.engines[node] else {
            return;
        };
        let effects = engine.tick(now, inputs);
        self.carry_out(node, effects);
    }

    fn carry_out(&mut self, node: usize, effects: Effects) {
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

    fn answer(&mut self, node: usize, asker: NodeId, request: Request) {
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
        };
        let checked = self
            .checker
            .check(self.ids[node], &request, answer)
            .unwrap();
        let to = self.ids.iter().position(|id| *id == asker).unwrap();
        let input = Inbound::Answered {
            from: self.ids[node],
            request,
            answer: Some(checked),
        };
        self.messages.push_back((to, Message::In(input)));
    }

    fn ask_engine(&mut self, node: usize, input: Inbound) -> Answer {
        let mut effects = {
            let now = self.clocks(node);
            self.engines[node].as_mut().unwrap().tick(now, vec![input])
        };
        let Some((1, Reply::Answer(answer))) = effects.replies.pop() else {
            panic!("a question is answered")
        };
        self.carry_out(node, effects);
        answer
    }

    /// Delivers what is under way and what follows, without time passing.
    fn settle(&mut self) {
        self.settle_except(|_, _| false);
    }

    fn settle_except(&mut self, lost: impl Fn(usize, &Inbound) -> bool) {
        while let Some((to, message)) = self.messages.pop_front() {
            match message {
                Message::In(input) if lost(to, &input) => {}
                Message::In(input) => self.tick(to, vec![input]),
                Message::Wake => self.tick(to, Vec::new()),
                Message::Ask(asker, request) => self.answer(to, asker, request),
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.pass_except(seconds, |_, _| false);
    }

    fn pass_except(&mut self, seconds: u64, lost: impl Fn(usize, &Inbound) -> bool) {
        for _ in 0..seconds * 2 {
            self.now = UnixMillis(self.now.0 + 500);
            (0..self.engines.len()).for_each(|node| self.tick(node, Vec::new()));
            self.settle_except(&lost);
        }
    }

    fn emit(&mut self, node: usize, events: &[Event]) {
        self.tick(
            node,
            vec![Inbound::Command {
                command: Command::Emit(events.to_vec()),
                ticket: 1,
            }],
        );
    }

    fn certified(&self, node: usize) -> BTreeSet<Choice> {
        let store = &self.engines[node].as_ref().unwrap().store;
        (0..store.certified_count())
            .map(|at| store.log_entry(at).unwrap().unwrap().choice)
            .collect()
    }

    fn assert_all_certified(&self, events: &[Event]) {
        let accused = self
            .events
            .iter()
            .any(|(_, event)| matches!(event, NodeEvent::Evidence { .. }));
        assert!(
            self.is_byzantine || !accused,
            "honest nodes are never accused: {:?}",
            self.events
        );
        let expected: BTreeSet<_> = events.iter().map(Event::choice).collect();
        for node in self.connected.iter().copied() {
            assert_eq!(self.certified(node), expected, "node {node}");
            let store = &self.engines[node].as_ref().unwrap().store;
            let policies = &self.manifest.event_policies;
            let mut verifier = ssid_protocol::certificate::Verifier::new(
                self.manifest.federation_id(),
                &self.manifest,
                policies,
            )
            .unwrap();
            for certificate in store.certificates(0, usize::MAX, usize::MAX).unwrap() {
                certificate.verify(&mut verifier).unwrap();
            }
        }
    }
}

/// Lines in the own registry file, to be announced.
fn observed(events: Vec<Event>) -> Inbound {
    let lines = events.into_iter().map(|event| OwnLine {
        event,
        announce: true,
    });
    Inbound::Registry(RegistryNews::Lines(lines.collect()))
}

fn events(count: usize) -> Vec<Event> {
    (0..count)
        .map(|i| testing::event("blueprint_tagged", &format!("v{i}")))
        .collect()
}

#[test]
fn four_certify_what_one_emits() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(50);
    net.emit(0, &all);
    net.settle();
    net.assert_all_certified(&all);
    assert!(
        net.outcomes
            .iter()
            .all(|outcome| matches!(outcome, EmitOutcome::Accepted { .. }))
    );
    let engine = net.engines[1].as_ref().unwrap();
    let record = engine.store.record(0).unwrap().unwrap();
    let lists = (
        record.node_hashes.len(),
        record.endorsing_nodes.len(),
        record.silent_nodes.len(),
    );
    assert_eq!(
        lists,
        (1, 3, 0),
        "late prevotes are in the record: {record:?}"
    );
    assert_eq!(
        engine.trust.score(&net.ids[2]),
        53,
        "a sync, and agreement, which counts once a day per origin"
    );
}

#[test]
fn the_same_log_observed_by_all_is_certified_once() {
    let mut net = Net::new(4);
    let all = events(20);
    for node in 0..4 {
        net.tick(node, vec![observed(all.clone())]);
    }
    net.settle();
    net.assert_all_certified(&all);
    net.tick(2, vec![observed(all.clone())]);
    net.settle();
    net.assert_all_certified(&all);
}

#[test]
fn the_majoritys_event_is_certified_and_the_record_names_who_disagreed() {
    let mut net = Net::new(4);
    net.settle();
    let right = testing::event("blueprint_tagged", "v4.4.0");
    let wrong = Event {
        commit_hash: "fffffff".into(),
        ..right.clone()
    };
    net.tick(3, vec![observed(vec![wrong.clone()])]);
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![right.clone()])]));
    net.settle();
    net.assert_all_certified(std::slice::from_ref(&right));
    for node in 0..4 {
        let record = net.engines[node]
            .as_ref()
            .unwrap()
            .store
            .record(0)
            .unwrap()
            .unwrap();
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
        assert_eq!(record.agreement_basis_points(), 7500);
    }
    let status = net.engines[0].as_ref().unwrap().status();
    assert_eq!((status.agreements, status.disagreements), (0, 1));
    assert_eq!(
        net.engines[0].as_ref().unwrap().trust.score(&net.ids[3]),
        46,
        "a sync and a disagreement"
    );
}

#[test]
fn two_to_two_certifies_nothing_and_is_a_conflict_everywhere() {
    let mut net = Net::new(4);
    net.settle();
    let a = testing::event("blueprint_tagged", "v4.4.0");
    let b = Event {
        commit_hash: "fffffff".into(),
        ..a.clone()
    };
    for (node, event) in [(0, &a), (1, &a), (2, &b), (3, &b)] {
        net.tick(node, vec![observed(vec![event.clone()])]);
    }
    net.settle();
    net.pass(90);
    net.assert_all_certified(&[]);
    for node in 0..4 {
        assert_eq!(
            net.engines[node].as_ref().unwrap().status().conflicts,
            1,
            "node {node}"
        );
        assert_eq!(
            net.engines[node]
                .as_ref()
                .unwrap()
                .store
                .conflicts()
                .unwrap()
                .len(),
            1
        );
    }
}

#[test]
fn two_of_four_wait_and_go_on_with_a_third() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(2);
    net.stop(3);
    net.settle();
    let all = events(5);
    net.emit(0, &all);
    net.settle();
    net.pass(10);
    net.assert_all_certified(&[]);
    let status = net.engines[0].as_ref().unwrap().status();
    assert!(
        !status.has_quorum && status.missing_voters.len() == 2 && status.open == 5,
        "{status:?}"
    );
    net.start(2);
    net.settle();
    net.pass(10);
    net.assert_all_certified(&all);
}

#[test]
fn a_node_that_was_away_fetches_the_log_and_verifies_it() {
    let mut net = Net::new(4);
    net.settle();
    net.stop(3);
    let all = events(700);
    net.emit(1, &all);
    net.settle();
    net.start(3);
    net.settle();
    net.assert_all_certified(&all);
}

#[test]
fn lost_gossip_is_made_good_by_asking() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(30);
    net.emit(0, &all);
    // node 3 misses everything, and every third message of the others is lost
    let count = std::cell::Cell::new(0_u32);
    net.settle_except(|to, input| {
        count.set(count.get() + 1);
        matches!(input, Inbound::Batch { .. }) && (to == 3 || count.get().is_multiple_of(3))
    });
    net.pass(40);
    net.assert_all_certified(&all);
}

#[test]
fn a_restart_goes_on_where_it_was_and_never_votes_twice() {
    let mut net = Net::new(4);
    net.settle();
    let all = events(10);
    net.emit(0, &all);
    // prevotes arrive nowhere: everybody has voted, nobody knows
    net.settle_except(|_, input| match input {
        Inbound::Batch { batch, .. } => matches!(
            batch.statements(),
            ssid_protocol::batch::Statements::Votes(_)
        ),
        _ => false,
    });
    for node in 0..4 {
        net.stop(node);
    }
    (0..4).for_each(|node| net.start(node));
    net.settle();
    net.pass(10);
    net.assert_all_certified(&all);
}

#[test]
fn the_journal_is_compacted_and_remembers_what_was_decided() {
    let mut net = Net::new(2);
    net.settle();
    let all = events(20);
    net.emit(0, &all[..10]);
    net.settle();
    net.messages.clear();
    net.stop(1);
    net.emit(0, &all[10..]);
    let engine = net.engines[0].as_mut().unwrap();
    let before = engine.record.journal_bytes();
    engine.compact_journal().unwrap();
    assert!(engine.record.journal_bytes() < before);
    // the database is lost, the journal is not: nothing is signed again for the ten that were
    // decided
    net.stop(0);
    std::fs::remove_dir_all(net.homes[0].path().join("db")).unwrap();
    std::fs::remove_file(net.homes[0].path().join("log.head")).unwrap();
    net.start(0);
    let other = Event {
        commit_hash: "fffffff".into(),
        ..all[0].clone()
    };
    net.emit(0, &[other]);
    assert!(
        matches!(
            net.outcomes.last(),
            Some(EmitOutcome::Refused { retry: true, .. })
        ),
        "{:?}",
        net.outcomes.last()
    );
    net.start(1);
    net.settle();
    net.pass(5);
    assert_eq!(net.certified(0).len(), 20);
    assert_eq!(net.certified(1).len(), 20);
}

#[test]
fn a_clock_that_is_off_refuses_to_announce() {
    let mut net = Net::new(4);
    net.settle();
    net.now = UnixMillis(START.0 + 16_000);
    (1..4).for_each(|node| net.tick(node, Vec::new()));
    net.ahead[0] = -616_000;
    net.messages.retain(|(to, _)| *to == 0);
    net.settle();
    net.emit(0, &events(1));
    let outcome = format!("{:?}", net.outcomes.last());
    assert!(outcome.contains("clock is 616 s behind"), "{outcome}");
}

#[test]
fn an_observation_from_before_the_connection_still_counts() {
    let mut net = Net::new(4);
    net.settle();
    let right = testing::event("blueprint_tagged", "v4.4.0");
    let wrong = Event {
        commit_hash: "fffffff".into(),
        ..right.clone()
    };
    net.tick(3, vec![observed(vec![wrong])]);
    net.messages.clear();
    // the others decide while node 3 is alone
    net.connected.remove(&3);
    net.tell_connections();
    (0..3).for_each(|node| net.tick(node, vec![observed(vec![right.clone()])]));
    net.settle_except(|to, _| to == 3);
    net.connected.insert(3);
    net.tell_connections();
    net.settle();
    net.pass(1);
    for node in 0..3 {
        let record = net.engines[node]
            .as_ref()
            .unwrap()
            .store
            .record(0)
            .unwrap()
            .unwrap();
        assert_eq!(record.node_hashes.len(), 4, "node {node}");
        assert_eq!(record.disagreeing_nodes, [net.ids[3]], "node {node}");
    }
}

fn deliver(net: &mut Net, to: usize, signer: usize, statements: ssid_protocol::batch::Statements) {
    let (_, federation, _, keys) = testing::federation(net.ids.len());
    let batch =
        ssid_protocol::batch::VerifiedBatch::sign(&keys[signer], &federation, statements).unwrap();
    let input = Inbound::Batch {
        batch: Arc::new(batch),
        from: net.ids[signer],
        ticket: Some(9),
    };
    net.tick(to, vec![input]);
}

#[test]
fn votes_far_ahead_hold_one_proof_a_voter() {
    use ssid_protocol::batch::Statements;
    use ssid_protocol::id::{Epoch, Round};
    use ssid_protocol::vote::{Phase, Vote};
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    let subject = *net.engines[0].as_ref().unwrap().open.keys().next().unwrap();
    for round in 2..60 {
        let vote = Vote {
            epoch: Epoch(0),
            subject,
            round: Round(round),
            phase: Phase::Prevote,
            ballot: None,
            observed: false,
        };
        deliver(&mut net, 0, 1, Statements::Votes(vec![vote]));
    }
    let held = &net.engines[0].as_ref().unwrap().open[&subject].held;
    assert_eq!(held.len(), 2, "the own prevote and the other's latest");
}
