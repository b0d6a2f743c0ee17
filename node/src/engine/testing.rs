//! An engine that has certified events, for tests of what is delivered then: the only running
//! member of a federation whose other members say what it says.

use std::sync::{Arc, Mutex};

use ssid_engine::settings::{EngineSettings, LATE_RECORDS_EVERY};
use ssid_engine::{Command, Effects, Engine, EngineParts, Inbound, RegistryNews};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::id::{FederationId, LogId, UnixMillis};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::testing;
use ssid_protocol::vote::Vote;
use ssid_storage::{Journal, Owner, Store};
use tempfile::TempDir;
use tokio::sync::{broadcast, mpsc, watch};

use super::{Call, EngineHandle};

const MEMBERS: usize = 4;
/// 2025-10-11T20:00:00Z, when the fixtures' events happened.
const START: UnixMillis = UnixMillis(1_760_212_800_000);

/// An engine that has certified `events`, with where it stores and what it has stored.
pub(crate) fn certified(settings: EngineSettings, events: &[Event]) -> (TempDir, Engine, Store) {
    let mut member = Member::start(settings);
    member.emit(events);
    member.hear_the_last();
    let store = member.engine.store().clone();
    (member.home, member.engine, store)
}

/// An engine that has certified `events` without having heard what the last member observed.
pub(crate) fn certified_without_the_last(
    settings: EngineSettings,
    events: &[Event],
) -> (TempDir, Late) {
    let mut member = Member::start(settings);
    member.emit(events);
    let late = Late {
        store: member.engine.store().clone(),
        engine: Arc::new(Mutex::new(member.engine)),
        now: START,
        withheld: member.of_the_last,
    };
    (member.home, late)
}

/// An engine from which something was withheld.
pub(crate) struct Late {
    pub(crate) engine: Arc<Mutex<Engine>>,
    pub(crate) store: Store,
    pub(crate) now: UnixMillis,
    withheld: Vec<Inbound>,
}

impl Late {
    /// Lets it hear what was withheld; its records say so then.
    pub(crate) fn hear(&mut self) {
        let mut engine = self.engine.lock().unwrap();
        engine.tick(self.now, std::mem::take(&mut self.withheld));
        engine.tick(self.now.after(LATE_RECORDS_EVERY), Vec::new());
    }
}

/// A handle over such an engine that takes commands, and nothing else.
pub(crate) fn served(engine: Engine) -> EngineHandle {
    shared(Arc::new(Mutex::new(engine)), crate::clock::now())
}

/// The same over an engine that others use as well, for which it is `now`.
pub(crate) fn shared(engine: Arc<Mutex<Engine>>, now: UnixMillis) -> EngineHandle {
    let (calls, mut inbox) = mpsc::channel(8);
    let (told, status) = watch::channel(Arc::new(engine.lock().unwrap().status()));
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            let Call::Command { command, reply } = call else {
                panic!("asked for something else")
            };
            let command = Inbound::Command { command, ticket: 1 };
            let effects = engine.lock().unwrap().tick(now, vec![command]);
            let (_, outcome) = effects.replies.into_iter().next().unwrap();
            // whoever asked may have been stopped by its test
            drop(reply.send(outcome));
        }
        drop(told);
    });
    EngineHandle {
        calls,
        events: broadcast::Sender::new(1),
        status,
    }
}

/// What everybody is told of epochs in a federation of this genesis.
pub(crate) fn epochs(genesis: Manifest) -> watch::Receiver<Arc<Epochs>> {
    let genesis = EpochContext::genesis(genesis).unwrap();
    watch::channel(Arc::new(Epochs::new(genesis))).1
}

/// The member that runs, and what the last one said, which is held back.
struct Member {
    home: TempDir,
    engine: Engine,
    federation: FederationId,
    others: Vec<VotingKey>,
    of_the_last: Vec<Inbound>,
}

impl Member {
    fn start(settings: EngineSettings) -> Self {
        let (manifest, federation, _, mut keys) = testing::federation(MEMBERS);
        let others = keys.split_off(1);
        let key = keys.remove(0);
        let home = TempDir::new().unwrap();
        let owner = Owner {
            federation,
            node: key.node_id(),
        };
        let (store, writer) = Store::open(home.path(), owner, LogId([1; 32])).unwrap();
        let path = home.path().join("votes.journal");
        Journal::create(&path, owner.node).unwrap();
        let (journal, records, _) =
            Journal::open(&path, owner.node, store.journal_sequence()).unwrap();
        let parts = EngineParts {
            key,
            epochs: Arc::new(Epochs::new(EpochContext::genesis(manifest).unwrap())),
            settings,
            store,
            writer,
            journal,
            abstaining: None,
        };
        let (engine, effects) = Engine::recover(parts, records, START).unwrap();
        let mut member = Self {
            home,
            engine,
            federation,
            others,
            of_the_last: Vec::new(),
        };
        let heard = member.others.iter().map(VotingKey::node_id).collect();
        member.go_on(effects, vec![Inbound::Heard(heard)]);
        member
    }

    /// Offers events, and has the other members agree.
    fn emit(&mut self, events: &[Event]) {
        let emit = Inbound::Command {
            command: Command::Emit(events.to_vec()),
            ticket: 1,
        };
        self.go_on(Effects::default(), vec![emit]);
        let certified = self.engine.store().certified_count();
        assert_eq!(certified, events.len() as u64, "all is certified");
    }

    fn hear_the_last(&mut self) {
        let withheld = std::mem::take(&mut self.of_the_last);
        self.engine.tick(START, withheld);
        self.engine
            .tick(START.after(LATE_RECORDS_EVERY), Vec::new());
    }

    /// Ticks until there is nothing more to do at once.
    fn go_on(&mut self, mut effects: Effects, mut inputs: Vec<Inbound>) {
        loop {
            let look = effects.look.take();
            inputs.extend(look.map(|look| Inbound::Registry(RegistryNews::Read { look })));
            for batch in std::mem::take(&mut effects.publish) {
                self.say_the_same(&batch, &mut inputs);
            }
            let is_due = effects.wake_at.is_some_and(|at| at.0 <= START.0);
            if inputs.is_empty() && !is_due {
                return;
            }
            effects = self.engine.tick(START, std::mem::take(&mut inputs));
        }
    }

    /// The other members vote alike, without having observed anything.
    fn say_the_same(&mut self, batch: &VerifiedBatch, inputs: &mut Vec<Inbound>) {
        let Statements::Votes(votes) = batch.statements() else {
            return;
        };
        let votes: Vec<Vote> = votes
            .iter()
            .map(|vote| Vote {
                observed: false,
                ..*vote
            })
            .collect();
        for (place, key) in self.others.iter().enumerate() {
            let said = Statements::Votes(votes.clone());
            let said = VerifiedBatch::sign(key, &self.federation, said).unwrap();
            let input = Inbound::Batch {
                batch: Arc::new(said),
                from: key.node_id(),
                ticket: None,
            };
            if place + 1 == self.others.len() {
                self.of_the_last.push(input);
            } else {
                inputs.push(input);
            }
        }
    }
}
