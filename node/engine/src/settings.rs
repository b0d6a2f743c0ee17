//! The engine's tuning values, in the order in which operators ask for them, and what it is told of
//! the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::id::{Epoch, ManifestHash};
use ssid_protocol::trust::{ENDORSEMENT_FLOOR, TrustRules};
use ssid_protocol::voting::{Step, Timer};

/// How often a node says what it holds (SPEC §10).
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Gossiped heartbeats of one member are taken this often at most.
pub const HEARTBEAT_AT_LEAST: Duration = Duration::from_secs(1);
/// How long observations that arrive after a decision still count into its record and into trust
/// (SPEC §8).
pub const CLOSING_WINDOW: Duration = Duration::from_mins(1);
/// Decided subjects kept in memory for [`CLOSING_WINDOW`]; past that the oldest are closed early.
pub const CLOSING_SUBJECTS: usize = 2048;
/// Late observations are written to disk together, at most this long after the first of them.
pub const LATE_RECORDS_EVERY: Duration = Duration::from_millis(200);
/// An open subject in which nothing new arrived for this long is asked about; then twice as long,
/// and so on.
pub const STALLED_AFTER: Duration = Duration::from_secs(2);
/// An own subject that was asked about so often, half a minute by then, while a quorum was there,
/// waits for people: it takes no room of [`ANNOUNCED_AT_ONCE`] any more.
pub const QUIET_AFTER: u32 = 4;
/// The longest pause between two questions about one subject.
pub const STALLED_AT_MOST: Duration = Duration::from_mins(1);
/// The same for a subject in which nobody but its origin voted.
pub const UNSUPPORTED_AT_MOST: Duration = Duration::from_hours(1);
/// Open subjects of one origin in which nobody else voted, where its share of all open instances is
/// not less: twice what an honest node announces at once.
pub const UNSUPPORTED_OF_ORIGIN: usize = 2 * ANNOUNCED_AT_ONCE;
/// How long a vote's event may be missing before it is asked for: it is usually on its way.
pub const WANT_AFTER: Duration = Duration::from_millis(100);
/// Votes for a subject of which no event is known are kept this long after the first of them.
pub const WAITING_AT_MOST: Duration = Duration::from_hours(7 * 24);
/// How old a proposal to change the members may be when it is approved (SPEC §12).
pub const PROPOSAL_AGE: Duration = Duration::from_hours(14 * 24);
/// New voters of a proposed manifest that are let in before they are members (SPEC §12).
pub const GUESTS: usize = 16;
/// Proposed manifests kept, of one proposer and in all (SPEC §12).
pub const PROPOSALS_OF_ONE: usize = 2;
/// The same, of all proposers.
pub const PROPOSALS: usize = 64;
/// Own events announced and not yet decided; more are accepted and announced when these are done.
/// Measured: more at once are no faster, and hold more memory.
pub const ANNOUNCED_AT_ONCE: usize = 1024;
/// Events in one announcement: it is released whole, so that it must fit into the room that others
/// leave.
pub const ANNOUNCED_TOGETHER: usize = 256;
/// Bytes of events in one announcement, well below a gossip message.
pub const ANNOUNCEMENT_BYTES: usize = 96 * 1024;
/// Statements that a certificate counts as where ticks and what is handed to them are bounded: it
/// brings a proof of every signer and writes seven rows. A tick of 8192 certificates was seen to
/// hold 80 MB for its write alone.
pub const CERTIFICATE_STATEMENTS: usize = 8;
/// Votes signed together: few enough that a re-offer of one instance, which carries whole batches,
/// fits a frame.
pub const VOTES_IN_A_BATCH: usize = 1024;
/// Candidates of a subject are written down once it has been open for this long.
pub const REMEMBER_AFTER: Duration = Duration::from_secs(1);
/// Recently stored batches remembered, so that each is handed to storage once.
pub const STORED_BATCHES: usize = 8192;
/// Batches that the network's queue had no room for, kept for the next tick; past that the oldest
/// are left to rule 9.
pub const UNSENT_BATCHES: usize = 512;
/// Votes' journal size, above twice what the last compaction left, at which it is compacted.
pub const JOURNAL_SLACK_BYTES: u64 = 8 << 20;
/// Bytes of batches, events and certificates in one answer, well below a sync frame.
pub const ANSWER_BYTES: usize = 768 * 1024;

/// When a node stands behind an event that is not in its own registry (SPEC §7 rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endorsement {
    /// When the announcing member's trust is at least 25.
    Trusted,
    /// When the commit exists in the announcing member's Git repository as fetched; until then it
    /// waits, for a person too.
    Commit,
    /// When a person confirms.
    Operator,
    /// Never: only what this node observed itself.
    Observed,
}

/// Voting timeouts (SPEC §7): each grows by `increment` a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Round 0: how long prevotes are awaited after a quorum of them disagrees.
    pub observe: Duration,
    /// How long a proposal is awaited.
    pub propose: Duration,
    /// Later rounds' prevotes.
    pub prevote: Duration,
    /// Precommits.
    pub precommit: Duration,
    /// Added a round.
    pub increment: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            observe: seconds(60),
            propose: seconds(2),
            prevote: seconds(1),
            precommit: seconds(1),
            increment: Duration::from_millis(500),
        }
    }
}

impl Timeouts {
    /// How long a timer runs.
    pub fn of(&self, timer: Timer) -> Duration {
        let base = match timer.step {
            Step::Propose => self.propose,
            Step::Prevote if timer.round.0 == 0 => return self.observe,
            Step::Prevote => self.prevote,
            Step::Precommit => self.precommit,
        };
        base.saturating_add(self.increment.saturating_mul(timer.round.0))
    }
}

/// What the engine is told of the node's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Endorsement of event types without an entry of their own.
    pub endorsement: Endorsement,
    /// Endorsement by event type.
    pub endorsement_by_event: BTreeMap<String, Endorsement>,
    /// `endorsement.settle_seconds`: how long to wait before endorsing, by event type.
    pub settle_by_event: BTreeMap<String, Duration>,
    /// `endorsement.review_timeout_hours`: how long a candidate waits for a person before the
    /// prevote is nil.
    pub review_timeout: Duration,
    /// The manifest that the invite named, and its epoch: a chain without it is refused.
    pub pin: Option<(Epoch, ManifestHash)>,
    /// `security.max_event_age_days`: older events of others are not endorsed.
    pub max_event_age: Duration,
    /// [`JOURNAL_SLACK_BYTES`], less in simulations.
    pub journal_slack_bytes: u64,
    /// The voting timeouts.
    pub timeouts: Timeouts,
    /// How often branches are fetched while votes go over Git; `None` if this node uses no Git.
    pub git_fetch_every: Option<Duration>,
    /// `trust_settings`: how points are counted.
    pub trust: TrustRules,
    /// `notifications.low_trust_threshold`: a member that falls below it is alerted on.
    pub trust_alert_below: i32,
    /// `sync_settings.interval_minutes`: every connected member is asked this often, and syncs
    /// count once in it.
    pub sync_interval: Duration,
    /// Kinds of deliveries that get a row in the outbox for what is certified.
    pub certified_outbox: Vec<u8>,
    /// Kinds of deliveries that get a row in the outbox for records that change after they were
    /// written.
    pub changed_outbox: Vec<u8>,
    /// What the heartbeat says of the registry: blueprint and compliance score, empty if none.
    pub blueprint: String,
    /// See `blueprint`.
    pub compliance_score: String,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            endorsement: Endorsement::Trusted,
            endorsement_by_event: BTreeMap::new(),
            settle_by_event: BTreeMap::new(),
            review_timeout: Duration::from_hours(72),
            pin: None,
            max_event_age: Duration::from_hours(365 * 24),
            timeouts: Timeouts::default(),
            git_fetch_every: None,
            journal_slack_bytes: JOURNAL_SLACK_BYTES,
            trust: TrustRules::default(),
            trust_alert_below: ENDORSEMENT_FLOOR,
            sync_interval: Duration::from_hours(1),
            certified_outbox: Vec::new(),
            changed_outbox: Vec::new(),
            blueprint: String::new(),
            compliance_score: String::new(),
        }
    }
}

impl EngineSettings {
    /// How events of this type are endorsed.
    pub fn endorsement_of(&self, event_type: &str) -> Endorsement {
        self.endorsement_by_event
            .get(event_type)
            .copied()
            .unwrap_or(self.endorsement)
    }

    /// How long to wait before endorsing events of this type.
    pub fn settle_of(&self, event_type: &str) -> Duration {
        self.settle_by_event
            .get(event_type)
            .copied()
            .unwrap_or_default()
    }
}
