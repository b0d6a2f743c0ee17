//! The engine itself: everything one tick does, in order, without a clock, a task or a socket
//! (ARCHITECTURE, *One tick*).
//!
//! [`Engine::tick`] takes what arrived, steps the state machines, signs what they want said, writes
//! the journal and one storage batch, flushes both, and only then gives out what may be shown. If
//! either write fails the engine is read-only for good: its memory is ahead of its disk, so nothing
//! it would say could be kept.

use std::collections::VecDeque;
use std::sync::Arc;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::voting::Rules;
use ssid_storage::{Journal, LogHead, Store, Writer};

use super::answers::Answers;
use super::catch_up::CatchUp;
use super::clock::{Now, Steady};
use super::closing::Closing;
use super::commits::Commits;
use super::counts::Counts;
use super::evidence::EvidencePool;
use super::heartbeats::Heartbeats;
use super::late::LatePrevotes;
use super::membership::Membership;
use super::offers::Offers;
use super::open_subjects::OpenSubjects;
use super::own_events::OwnEvents;
use super::own_registry::OwnRegistry;
use super::peers::Peers;
use super::proof::WholeBatches;
use super::record::Record;
use super::returning::Returning;
use super::review::Reviews;
use super::settings::EngineSettings;
use super::shown::Refused;
use super::standing::Standing;
use super::startup_check::StartupCheck;
use super::timers::Timers;
use super::trust::TrustClock;
use super::trust_book::TrustBook;
use super::vote_buffer::VoteBuffer;
use super::wants::Wants;

pub(super) use tick::Tick;

mod inputs;
mod instances;
mod steps;
mod tick;

/// What an engine is made of besides what it remembers.
#[derive(Debug)]
pub struct EngineParts {
    /// The voting key.
    pub key: VotingKey,
    /// The first epoch. What came after it the store tells.
    pub epochs: Arc<Epochs>,
    /// The configuration.
    pub settings: EngineSettings,
    /// What is remembered, to read.
    pub store: Store,
    /// The same, to write.
    pub writer: Writer,
    /// Own votes.
    pub journal: Journal,
    /// Why this node must sign nothing, if it must not: its vote history is incomplete.
    pub abstaining: Option<String>,
}

/// The engine: owns every voting instance and the write side of storage.
#[derive(Debug)]
pub struct Engine {
    pub(super) key: VotingKey,
    pub(super) me: NodeId,
    /// The epoch that this node has entered, and others that it knows.
    pub(super) epochs: Arc<Epochs>,
    pub(super) settings: EngineSettings,
    /// This node's part in that epoch, and whether it signs.
    pub(super) rules: Rules,
    pub(super) store: Store,
    /// The only one that writes.
    pub(super) record: Record,
    pub(super) standing: Standing,
    /// Its way back, if it abstains and its operator let it.
    pub(super) returning: Returning,
    /// Until a quorum has said what this node signed in an earlier life.
    pub(super) startup_check: Option<StartupCheck>,
    pub(super) open: OpenSubjects,
    pub(super) closing: Closing,
    pub(super) membership: Membership,
    pub(super) timers: Timers,
    pub(super) reviews: Reviews,
    pub(super) commits: Commits,
    pub(super) trust: TrustBook,
    pub(super) trust_clock: TrustClock,
    pub(super) evidence_pool: EvidencePool,
    /// Verified certificates of subjects that another one decided in the same tick: looked at once
    /// that is on disk.
    pub(super) contested: Vec<Certificate>,
    pub(super) wants: Wants,
    pub(super) peers: Peers,
    pub(super) catch_up: CatchUp,
    pub(super) own_events: OwnEvents,
    /// What somebody offers and is not accepted yet.
    pub(super) offers: Offers,
    /// The own registry file.
    pub(super) registry: OwnRegistry,
    /// What was observed of subjects that were decided before this node could say so.
    pub(super) late: LatePrevotes,
    /// What the open subjects and the records are, in numbers.
    pub(super) counts: Counts,
    /// Votes for subjects of which no event is known.
    pub(super) vote_buffer: VoteBuffer,
    /// What others' batches take in memory.
    pub(super) whole: WholeBatches,
    /// What was refused for a limit since the start.
    pub(super) refused: Refused,
    pub(super) heartbeats: Heartbeats,
    /// Open subjects whose candidates are to be written down, and when.
    unremembered: VecDeque<(Steady, SubjectId)>,
    /// What recovery left to be said, for the first tick.
    pub(super) recovered: Option<Tick>,
    /// When the last tick was.
    pub(super) now: Now,
    /// When this node started.
    pub(super) started: Steady,
    pub(super) answers: Answers,
}

impl Engine {
    /// An engine that has not looked at its disk yet.
    pub(super) fn empty(parts: EngineParts) -> Self {
        let trust = TrustBook::new(parts.settings.trust);
        let me = parts.key.node_id();
        let head = parts.store.log_head();
        let membership = Membership::new(parts.epochs.current());
        Self {
            me,
            rules: parts.epochs.current().rules(&me),
            epochs: parts.epochs,
            settings: parts.settings,
            store: parts.store,
            record: Record::new(parts.writer, parts.journal),
            standing: Standing::new(parts.abstaining),
            returning: Returning::default(),
            startup_check: Some(StartupCheck::since(head)),
            open: OpenSubjects::default(),
            closing: Closing::default(),
            membership,
            timers: Timers::default(),
            reviews: Reviews::default(),
            commits: Commits::default(),
            trust,
            trust_clock: TrustClock::default(),
            evidence_pool: EvidencePool::default(),
            contested: Vec::new(),
            wants: Wants::default(),
            peers: Peers::default(),
            catch_up: CatchUp::default(),
            own_events: OwnEvents::default(),
            offers: Offers::default(),
            registry: OwnRegistry::default(),
            late: LatePrevotes::default(),
            counts: Counts::default(),
            vote_buffer: VoteBuffer::default(),
            whole: WholeBatches::default(),
            refused: Refused::default(),
            heartbeats: Heartbeats::default(),
            unremembered: VecDeque::new(),
            recovered: None,
            now: Now::default(),
            started: Steady(0),
            answers: Answers::default(),
            key: parts.key,
        }
    }

    /// Stores a batch that rows refer to, once: one batch serves hundreds of certificates.
    pub(super) fn store_batch(&mut self, tick: &mut Tick, batch: &VerifiedBatch) {
        self.record.store_batch(&mut tick.changes, batch);
    }

    /// The epoch that this node has entered, and others that it knows.
    pub fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
    }

    /// What it has on disk, to read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The head of the certified log.
    pub fn log_head(&self) -> LogHead {
        self.store.log_head()
    }
}
