//! One simulated machine: the real engine over the real storage, fed and obeyed as `engine::task`
//! does it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssid_engine::settings::EngineSettings;
use ssid_engine::{Effects, Engine, EngineParts, Inbound, Now, OwnLine, RegistryNews, Ticket};
use ssid_protocol::batch::{BatchId, Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::id::LogId;
use ssid_protocol::sync::Request;
use ssid_protocol::vote::Phase;
use ssid_storage::simulation::{Disk, Snapshot};
use ssid_storage::{JournalRecord, Owner, Store};
use tempfile::TempDir;

use super::blocks::Offences;
use super::federation::Federation;
use super::mutation::Mutation;
use super::world::Asker;

/// Who waits for the outcome of a ticket.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// A batch, passed on if it was new, and the member that handed it on.
    Gossip(Arc<VerifiedBatch>, usize),
    /// Who asked what.
    Peer(Asker, Request),
}

/// A machine. Its disk outlives its node's lives.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) member: usize,
    pub(super) is_honest: bool,
    pub(super) disk: Disk,
    home: TempDir,
    pub(super) engine: Option<Engine>,
    pub(super) store: Option<Store>,
    /// Counts starts: what was meant for an earlier life is lost.
    pub(super) life: u32,
    pub(super) inbox: Vec<Inbound>,
    /// What stands in the registry file; it outlives every life.
    pub(super) file: Vec<Event>,
    /// How many of its lines were handed over in this life.
    pub(super) handed: usize,
    /// What the last tick gave, while its writes take their time.
    pub(super) pending: Option<Effects>,
    pub(super) turn_at: Option<u64>,
    /// When it last ticked, and how often then.
    pub(super) ticks: (u64, u32),
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
    pub(super) next_ticket: Ticket,
    /// What it passed on, by signer and root: as gossipsub, each message once.
    pub(super) passed_on: HashSet<BatchId>,
    /// Questions that are not answered yet.
    pub(super) asked: BTreeSet<u64>,
    pub(super) connected: BTreeSet<usize>,
    pub(super) skew: i64,
    /// The node dies after so many more messages of a tick.
    pub(super) dies_after: Option<u32>,
    /// How long it is down then.
    pub(super) down_ms: u64,
    /// Of mutated machines: what restarts find, what is synced, and what a death leaves.
    pub(super) old: Option<Snapshot>,
    pub(super) flushed: Option<Snapshot>,
    pub(super) left: Option<Snapshot>,
    /// What it holds against members.
    pub(super) offences: Offences,
    /// Of a twin: the members that it talks to.
    pub(super) side: Option<BTreeSet<usize>>,
}

impl Machine {
    /// A machine with a new key: an empty data directory, in memory where the system has such a
    /// place.
    pub(super) fn new(
        fed: &Federation,
        member: usize,
        is_honest: bool,
        in_files: bool,
    ) -> Result<Self, String> {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        let home = tempfile::Builder::new()
            .prefix("ssid-simulation-")
            .tempdir_in(parent)
            .map_err(|e| e.to_string())?;
        let machine = Self {
            member,
            is_honest,
            disk: if in_files {
                Disk::in_files()
            } else {
                Disk::in_memory()
            },
            home,
            engine: None,
            store: None,
            life: 0,
            inbox: Vec::new(),
            file: Vec::new(),
            handed: 0,
            pending: None,
            turn_at: None,
            ticks: (0, 0),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            passed_on: HashSet::new(),
            asked: BTreeSet::new(),
            connected: BTreeSet::new(),
            skew: 0,
            dies_after: None,
            down_ms: 1_000,
            old: None,
            flushed: None,
            left: None,
            offences: Offences::default(),
            side: None,
        };
        let journal = ssid_storage::Journal::create(&machine.journal(), fed.node_id(member));
        journal.map_err(|error| error.to_string())?;
        Ok(machine)
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.home.path().join("votes.journal")
    }

    /// Starts the node. What is on disk must be good enough to go on: whatever killed it.
    pub(super) fn start(
        &mut self,
        fed: &Federation,
        settings: &EngineSettings,
        now: Now,
        mutation: Mutation,
    ) -> Result<Effects, String> {
        self.life += 1;
        self.handed = 0;
        let node = fed.node_id(self.member);
        let failed =
            |what: &str, error: &dyn std::fmt::Display| format!("{what} after a restart: {error}");
        let owner = Owner {
            federation: fed.id,
            node,
        };
        let log = LogId([self.member as u8; 32]);
        let (store, writer) = self
            .disk
            .open_store(self.home.path(), owner, log)
            .map_err(|e| failed("the database", &e))?;
        let had = store.journal_sequence();
        let (journal, mut records, _) = self
            .disk
            .open_journal(&self.journal(), node, had)
            .map_err(|e| failed("the journal", &e))?;
        if journal.sequence() < had {
            let has = journal.sequence();
            return Err(failed(
                "the journal",
                &format!("rolled back, {has} records of {had}"),
            ));
        }
        if mutation == Mutation::DropsLocks {
            records.retain(|record| !is_precommit(record));
        }
        let parts = EngineParts {
            key: fed.key(self.member).clone(),
            epochs: fed.epochs.clone(),
            settings: settings.clone(),
            store: store.clone(),
            writer,
            journal,
            abstaining: None,
        };
        let (engine, effects) =
            Engine::recover(parts, records, now).map_err(|e| failed("the engine", &e))?;
        (self.engine, self.store) = (Some(engine), Some(store));
        Ok(effects)
    }

    /// The node is gone, with everything that is not on its disk.
    pub(super) fn stop(&mut self) {
        self.engine = None;
        self.store = None;
        self.inbox.clear();
        self.pending = None;
        self.turn_at = None;
        self.waiting.clear();
        self.passed_on.clear();
        self.asked.clear();
        self.connected.clear();
        self.dies_after = None;
        self.offences = Offences::default();
    }

    /// What the reader of the registry file tells: its new lines, and that a look is done if one
    /// was asked for.
    pub(super) fn read_file(&mut self, look: Option<u64>) -> Vec<Inbound> {
        let lines: Vec<_> = self.file[self.handed..]
            .iter()
            .map(|event| OwnLine {
                event: event.clone(),
                announce: true,
            })
            .collect();
        self.handed = self.file.len();
        let lines = (!lines.is_empty()).then_some(RegistryNews::Lines(lines));
        let read = look.map(|look| RegistryNews::Read { look });
        lines
            .into_iter()
            .chain(read)
            .map(Inbound::Registry)
            .collect()
    }

    pub(super) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    pub(super) fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    /// Whether it talks to that member at all: a twin talks to a part of them.
    pub(super) fn hears(&self, member: usize) -> bool {
        member != self.member && self.side.as_ref().is_none_or(|side| side.contains(&member))
    }
}

fn is_precommit(record: &JournalRecord) -> bool {
    let JournalRecord::Own(batch) = record else {
        return false;
    };
    let Statements::Votes(votes) = &batch.statements else {
        return false;
    };
    votes.iter().any(|vote| vote.phase == Phase::Precommit)
}
