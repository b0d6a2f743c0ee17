//! The engine itself: everything one tick does, in order, without a clock, a task or a socket
//! (ARCHITECTURE, *One tick*).
//!
//! [`Engine::tick`] takes what arrived, steps the state machines, signs what they want said, writes
//! the journal and one storage batch, flushes both, and only then gives out what may be shown. If
//! either write fails the engine is read-only for good: its memory is ahead of its disk, so nothing
//! it would say could be kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, ContentDigest, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::record::{FirstPrevote, Transport};
use ssid_protocol::vote::{Proposal, Vote};
use ssid_protocol::voting::{Input, Instance, Output, Rules};
use ssid_storage::{
    Changes, ConflictRow, DivergenceRow, Journal, JournalRecord, LogHead, StorageError, Store,
    Writer,
};

use super::catch_up::CatchUp;
use super::clock::{Now, Steady};
use super::closing::Closing;
use super::commits::Commits;
use super::counts::Counts;
use super::evidence::{DoubleVote, EvidencePool, note_rewritten};
use super::heartbeats::Heartbeats;
use super::late::LatePrevotes;
use super::messages::{Effects, Inbound, Ticket, Validity};
use super::node_event::NodeEvent;
use super::offers::Offers;
use super::open::Open;
use super::own_events::OwnEvents;
use super::own_registry::OwnRegistry;
use super::peers::Peers;
use super::proof::WholeBatches;
use super::record::Record;
use super::request::{Command, Reply};
use super::review::Reviews;
use super::settings::{EngineSettings, REMEMBER_AFTER};
use super::shown::Refused;
use super::standing::Standing;
use super::startup_check::StartupCheck;
use super::timers::Timers;
use super::trust::TrustClock;
use super::trust_book::TrustBook;
use super::vote_buffer::VoteBuffer;
use super::wants::Wants;

/// What an engine is made of besides what it remembers.
#[derive(Debug)]
pub struct EngineParts {
    /// The voting key.
    pub key: VotingKey,
    /// The epoch to act in, and others that are known.
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
    /// Until a quorum has said what this node signed in an earlier life.
    pub(super) startup_check: Option<StartupCheck>,
    pub(super) open: BTreeMap<SubjectId, Open>,
    /// Decided in an earlier life, their certificates lost with the database: nothing more is
    /// signed for them.
    pub(super) done: HashSet<SubjectId>,
    pub(super) closing: Closing,
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
    /// Open subjects by the origin of their first candidate, oldest first.
    pub(super) by_origin: HashMap<NodeId, BTreeSet<(UnixMillis, SubjectId)>>,
    /// What the open subjects are, in numbers.
    pub(super) counts: Counts,
    /// Votes for subjects of which no event is known.
    pub(super) vote_buffer: VoteBuffer,
    /// What others' batches take in memory.
    pub(super) whole: WholeBatches,
    /// What was refused for a limit since the start.
    pub(super) refused: Refused,
    pub(super) agreements: u64,
    pub(super) disagreements: u64,
    pub(super) heartbeats: Heartbeats,
    /// Open subjects whose candidates are to be written down, and when.
    unremembered: VecDeque<(Steady, SubjectId)>,
    /// What recovery left to be said, for the first tick.
    pub(super) recovered: Option<Tick>,
    /// When the last tick was.
    pub(super) now: Now,
    /// When this node started.
    pub(super) started: Steady,
    /// Answers given, to vary what comes first in them.
    pub(super) answers: usize,
}

/// One tick's work in progress.
#[derive(Debug)]
pub(super) struct Tick {
    /// By the wall clock: for what is signed, shown, stored, or compared with timestamps.
    pub(super) now: UnixMillis,
    /// By the steady clock: for all that waits.
    pub(super) steady: Steady,
    /// Whether the wall clock was set since the last tick, or stood while this machine slept.
    pub(super) clock_was_set: bool,
    /// By which transport what is being taken in came.
    pub(super) transport: Transport,
    pub(super) changes: Changes,
    pub(super) own_events: Vec<Event>,
    pub(super) votes: Vec<Vote>,
    pub(super) proposals: Vec<Proposal>,
    pub(super) journal: Vec<JournalRecord>,
    pub(super) decided: Vec<(SubjectId, Round, Choice)>,
    /// Certificates that decide, with the transport they came by.
    pub(super) certificates: HashMap<SubjectId, (Certificate, Transport)>,
    /// Round-0 prevotes for what is decided.
    pub(super) late: Vec<(SubjectId, FirstPrevote)>,
    pub(super) double_votes: Vec<DoubleVote>,
    /// Why nothing of this tick may be written or shown.
    pub(super) failure: Option<String>,
    /// Why this node must certify nothing more, once this tick is on disk.
    pub(super) forked: Option<String>,
    /// Decisions that the own registry contradicts, to be written once their places in the log are
    /// known.
    pub(super) divergent: Vec<(SubjectId, DivergenceRow)>,
    pub(super) dirty: BTreeSet<SubjectId>,
    /// Who waits for the keys of which of the new rows in the outbox; other parts of a tick may add
    /// rows of their own.
    pub(super) outbox: Vec<(Ticket, Range<usize>)>,
    pub(super) effects: Effects,
}

impl Tick {
    pub(super) fn new(now: impl Into<Now>) -> Self {
        let now = now.into();
        Self {
            now: now.wall,
            steady: now.steady,
            clock_was_set: false,
            transport: Transport::Live,
            changes: Changes::default(),
            own_events: Vec::new(),
            votes: Vec::new(),
            proposals: Vec::new(),
            journal: Vec::new(),
            decided: Vec::new(),
            certificates: HashMap::new(),
            late: Vec::new(),
            double_votes: Vec::new(),
            failure: None,
            forked: None,
            divergent: Vec::new(),
            dirty: BTreeSet::new(),
            outbox: Vec::new(),
            effects: Effects::default(),
        }
    }

    /// Tells whoever waits, once this tick is on disk.
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.effects.replies.push((ticket, reply));
    }

    /// Tells whoever delivered something what it was worth, if they want to know.
    fn verdict(&mut self, ticket: Option<Ticket>, validity: Validity) {
        let reply = ticket.map(|ticket| (ticket, Reply::Verdict(validity)));
        self.effects.replies.extend(reply);
    }

    /// The moment of the tick, by both clocks.
    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.now,
            steady: self.steady,
        }
    }
}

impl Engine {
    /// An engine that has not looked at its disk yet.
    pub(super) fn empty(parts: EngineParts) -> Self {
        let trust = TrustBook::new(parts.settings.trust);
        let me = parts.key.node_id();
        let head = parts.store.log_head();
        Self {
            me,
            rules: parts.epochs.current().rules(&me),
            epochs: parts.epochs,
            settings: parts.settings,
            store: parts.store,
            record: Record::new(parts.writer, parts.journal),
            standing: Standing::new(parts.abstaining),
            startup_check: Some(StartupCheck::since(head)),
            open: BTreeMap::new(),
            done: HashSet::new(),
            closing: Closing::default(),
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
            by_origin: HashMap::new(),
            counts: Counts::default(),
            vote_buffer: VoteBuffer::default(),
            whole: WholeBatches::default(),
            refused: Refused::default(),
            agreements: 0,
            disagreements: 0,
            heartbeats: Heartbeats::default(),
            unremembered: VecDeque::new(),
            recovered: None,
            now: Now::default(),
            started: Steady(0),
            answers: 0,
            key: parts.key,
        }
    }

    /// Takes what arrived, decides, writes, and says what to do. Never fails: an engine whose disk
    /// failed answers that it is read-only.
    pub fn tick(&mut self, now: impl Into<Now>, inputs: Vec<Inbound>) -> Effects {
        if self.standing.read_only().is_some() {
            return self.refuse_all(&inputs);
        }
        let Now { wall, steady } = now.into();
        // whatever it is given, this clock does not run back
        let now = Now {
            wall,
            steady: steady.max(self.now.steady),
        };
        let clock_was_set = self.was_clock_set(now);
        self.now = now;
        let mut tick = self.recovered.take().unwrap_or_else(|| Tick::new(now));
        tick.clock_was_set = clock_was_set;
        let contested = std::mem::take(&mut self.contested);
        self.take_certificates(&mut tick, contested);
        for input in inputs {
            self.take(&mut tick, input);
        }
        self.keep_offers(&mut tick);
        self.go_on_with_startup_check(&mut tick);
        for (subject, timer) in self.timers.due(now.steady) {
            self.apply(&mut tick, subject, Input::Timeout(timer));
        }
        self.vote_buffer.expire(now.steady);
        for subject in self.reviews.due(now.steady) {
            self.endorse(&mut tick, subject);
        }
        self.ask_what_is_missing(&mut tick);
        self.announce_lines(&mut tick);
        self.sign_events(&mut tick);
        self.release_backlog(&mut tick);
        self.say_late(&mut tick);
        self.sign_votes(&mut tick);
        self.accuse_voters(&mut tick);
        self.finish_decided(&mut tick);
        self.close_late(&mut tick);
        self.count_time(&mut tick);
        self.remember_open(&mut tick);
        if let Some(reason) = tick.failure.take() {
            return self.halt(tick, reason);
        }
        self.number_heartbeat(&mut tick);
        match self.commit(&mut tick) {
            Ok(()) => self.send_heartbeat(&mut tick),
            Err(failure) => return self.halt(tick, failure.to_string()),
        }
        if let Some(reason) = tick.forked {
            tracing::error!(
                reason,
                "two certificates of one subject: this node certifies nothing more"
            );
            self.standing.make_read_only(reason.clone());
            tick.effects.events.push(NodeEvent::ReadOnly { reason });
        }
        tick.effects.wake_at = self.wake_at(now.steady);
        tick.effects
    }

    pub(super) fn take(&mut self, tick: &mut Tick, input: Inbound) {
        match input {
            Inbound::Batch {
                batch,
                from,
                ticket,
            } => {
                let validity = self.take_batch(tick, &batch, from);
                tick.verdict(ticket, validity);
            }
            Inbound::Evidence {
                evidence,
                from,
                ticket,
            } => {
                let validity = self.file(tick, &evidence, Some(from));
                if validity == Validity::New && ticket.is_none() {
                    tick.effects.evidence.push(Arc::new(*evidence));
                }
                tick.verdict(ticket, validity);
            }
            Inbound::Answered {
                from,
                request,
                answer,
            } => self.take_answer(tick, from, &request, answer),
            Inbound::Carried(carried) => self.take_from_git(tick, carried),
            Inbound::Fetched { node, well } => self.note_sync(tick, node, well),
            Inbound::Rewritten { node, histories } => note_rewritten(tick, node, histories),
            Inbound::Commits(answers) => self.take_commits(tick, answers),
            Inbound::CatchUp => self.catch_up_with_all(tick),
            Inbound::StatusAsked { ticket } => self.answer_status(tick, ticket),
            Inbound::OpenAsked {
                subjects,
                after,
                ticket,
            } => self.answer_open(tick, &subjects, after, ticket),
            Inbound::EventsAsked { digests, ticket } => self.answer_events(tick, &digests, ticket),
            Inbound::OwnAsked { from, ticket } => self.answer_own(tick, from, ticket),
            Inbound::Heard(nodes) => nodes
                .into_iter()
                .for_each(|node| self.note_heard_by_git(tick, node)),
            Inbound::Command { command, ticket } => self.take_command(tick, command, ticket),
            Inbound::Registry(news) => self.take_registry(tick, news),
            Inbound::Projected(sequence) => self.note_projected(tick, sequence),
            Inbound::Connected(nodes) => self.take_connected(tick, nodes),
            Inbound::Addresses { node, addresses } => self.note_addresses(tick, node, addresses),
        }
    }

    fn take_command(&mut self, tick: &mut Tick, command: Command, ticket: Ticket) {
        match command {
            Command::Emit(events) => self.take_emitted(tick, events, ticket),
            Command::Operate(operation, decider) => {
                let outcome = self.operate(tick, operation, decider);
                tick.reply(ticket, Reply::Operated(outcome));
            }
            Command::Adjust(adjustment) => {
                let adjusted = self.adjust(tick, adjustment);
                tick.reply(ticket, Reply::Adjusted(Ok(adjusted)));
            }
            Command::Outbox(change) => Self::note_outbox(tick, change, ticket),
        }
    }

    /// Steps one instance and notes what it wants.
    pub(super) fn apply(&mut self, tick: &mut Tick, subject: SubjectId, input: Input) {
        let Some(open) = self.open.get_mut(&subject) else {
            return;
        };
        let rules = open.rules(self.rules);
        for output in open.step(self.epochs.current().voters(), rules, input) {
            self.note_output(tick, subject, &output);
        }
        self.recount(&subject);
    }

    fn note_output(&mut self, tick: &mut Tick, subject: SubjectId, output: &Output) {
        match *output {
            Output::Sign(vote) => {
                if let Some(open) = self.open.get_mut(&subject) {
                    open.is_supported |= open.origin != Some(self.me);
                }
                tick.votes.push(vote);
            }
            Output::Propose(proposal) => tick.proposals.push(proposal),
            Output::Schedule(timer) => {
                let at = tick.steady.after(self.timeout_of(timer));
                self.timers.start(at, subject, timer);
            }
            Output::Want(choice) => self.wants.add(choice.content_digest, subject, tick.steady),
            Output::Decided { round, choice } => tick.decided.push((subject, round, choice)),
            Output::Conflict(round) => {
                self.own_events.give_way(&subject);
                tick.changes.conflicts.push((
                    subject,
                    ConflictRow {
                        since: tick.now,
                        round,
                    },
                ));
                let (event, version) = self.words_for(subject);
                tracing::warn!(%subject, event, version, round = round.0, "in conflict: people have to choose");
                tick.effects.events.push(NodeEvent::Conflict {
                    subject_id: subject,
                    event,
                    version,
                });
            }
            Output::Review => {
                tracing::info!(%subject, "candidates do not agree: waiting for review");
            }
            Output::Equivocation {
                voter,
                round,
                phase,
                first,
                second,
            } => {
                tick.double_votes.push(DoubleVote {
                    subject,
                    voter,
                    round,
                    phase,
                    ballots: [first, second],
                });
            }
        }
    }

    /// A non-nil precommit goes to disk with the prevotes that justify it (SPEC §7 State). Once all
    /// that arrived is taken: a batch of which the first votes are taken looks hollow, and each of
    /// them would be kept alone.
    pub(super) fn keep_justification(&mut self, tick: &mut Tick, vote: Vote) {
        use ssid_protocol::vote::Phase;
        let (Phase::Precommit, Some(choice)) = (vote.phase, vote.ballot) else {
            return;
        };
        let Some(open) = self.open.get(&vote.subject) else {
            return;
        };
        for held in open.votes_for(vote.round, Phase::Prevote, choice) {
            tick.journal.extend(super::proof::support(
                self.record.journaled(),
                held,
                vote.epoch,
                vote.subject,
            ));
        }
    }

    /// The instance of a subject, made if it is new, with the votes that waited for it; `None` if
    /// it is decided already.
    pub(super) fn ensure_open(&mut self, tick: &mut Tick, subject: SubjectId) -> Option<&mut Open> {
        if !self.open.contains_key(&subject) {
            if self.has_decision(&subject) {
                return None;
            }
            let machine = Instance::new(
                self.epochs.current().number(),
                subject,
                subject == self.epochs.current().change(),
            );
            let waiting = self.vote_buffer.take(&subject);
            let heard = waiting.as_ref().map(|unheard| Now {
                wall: unheard.first_seen,
                steady: unheard.since,
            });
            let mut open = Open::new(machine, heard.unwrap_or(tick.now()));
            open.may_sign = !self.done.contains(&subject);
            self.open.insert(subject, open);
            for vote in waiting.into_iter().flat_map(|unheard| unheard.votes) {
                self.count_vote(tick, subject, vote);
            }
        }
        self.open.get_mut(&subject)
    }

    pub(super) fn has_decision(&self, subject: &SubjectId) -> bool {
        self.closing.contains(subject) || self.is_certified(subject)
    }

    pub(super) fn is_certified(&self, subject: &SubjectId) -> bool {
        match self.store.subject(subject) {
            Ok(state) => matches!(state, Some(ssid_storage::SubjectState::Certified { .. })),
            Err(error) => {
                // claiming it certified signs nothing for it, which is safe; the next write will
                // fail for good
                tracing::error!(%error, %subject, "cannot look up a subject");
                true
            }
        }
    }

    /// Stores a batch that rows refer to, once: one batch serves hundreds of certificates.
    pub(super) fn store_batch(&mut self, tick: &mut Tick, batch: &VerifiedBatch) {
        self.record.store_batch(&mut tick.changes, batch);
    }

    /// Event type and version of an open subject, empty while unknown.
    pub(super) fn words_for(&self, subject: SubjectId) -> (String, String) {
        let known = self
            .open
            .get(&subject)
            .and_then(|open| open.subject.as_ref());
        known
            .map(|s| (s.event.clone(), s.version.clone()))
            .unwrap_or_default()
    }

    /// Writes down candidates that have been open for a while: most subjects are decided before,
    /// and a restart can ask peers for the others. What was voted for is in the journal and among
    /// the events already.
    fn remember_open(&mut self, tick: &mut Tick) {
        let due = tick.steady.after(REMEMBER_AFTER);
        self.unremembered.extend(
            std::mem::take(&mut tick.dirty)
                .into_iter()
                .map(|subject| (due, subject)),
        );
        while let Some((_, subject)) = self
            .unremembered
            .front()
            .copied()
            .filter(|(at, _)| *at <= tick.steady)
        {
            self.unremembered.pop_front();
            tick.changes
                .open_subjects
                .extend(self.open.get(&subject).and_then(Open::row));
        }
    }

    /// Journal first, then the database: only what both hold may be shown.
    fn commit(&mut self, tick: &mut Tick) -> Result<(), StorageError> {
        if !tick.journal.is_empty() {
            let sequence = self.record.sign(&std::mem::take(&mut tick.journal))?;
            tick.changes.journal_sequence = Some(sequence);
        }
        self.queue_certified(tick);
        self.queue_divergences(tick, self.store.log_head().size);
        let mut keys = Vec::new();
        if tick.changes != Changes::default() {
            let written = self.record.write(std::mem::take(&mut tick.changes))?;
            self.number_certified(tick, written.first_sequence);
            self.registry.written();
            keys = written.outbox;
        }
        for (ticket, rows) in tick.outbox.drain(..) {
            let keys = keys.get(rows).map(<[_]>::to_vec).unwrap_or_default();
            tick.effects.replies.push((ticket, Reply::Outbox(Ok(keys))));
        }
        if self.record.is_long(self.settings.journal_slack_bytes) {
            self.compact_journal()?;
        }
        Ok(())
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

    /// When the engine has something to do even if nothing arrives.
    fn wake_at(&self, now: Steady) -> Option<Steady> {
        let has_own =
            self.can_release() || self.has_lines_to_announce(now) || self.has_late_prevotes();
        let backlog = (has_own || !self.contested.is_empty()).then_some(now);
        let remember = self.unremembered.front().map(|(at, _)| *at);
        // what is missing is asked for on connecting; until then it is always due
        let may_ask = !self.peers.connected.is_empty();
        [
            self.timers.next(),
            self.reviews.next(),
            self.wants.next().filter(|_| may_ask),
            self.closing.next(),
            self.catch_up.next().filter(|_| may_ask),
            self.startup_check.as_ref().and_then(StartupCheck::next),
            self.offers.next().filter(|_| !self.is_signing()),
            self.announce_again_at(),
            self.trust_clock.next(),
            backlog,
            remember,
            Some(self.heartbeats.next()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Digests of events that votes name and nobody has sent yet.
    pub(super) fn is_wanted(&self, digest: &ContentDigest, subject: &SubjectId) -> bool {
        let names = |open: &Open| {
            open.machine
                .wanted()
                .any(|choice| choice.content_digest == *digest)
        };
        self.open.get(subject).is_some_and(names)
            || self.vote_buffer.votes_for(subject, digest).next().is_some()
    }
}
