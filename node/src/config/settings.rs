//! What can be configured: one struct a section, in the order and with the names of the file. Every
//! default works on a laptop. What is allowed beyond the types is in [`keys`](super::keys).

use serde::{Deserialize, Serialize};
use ssid_protocol::event::FEDERATION_EPOCH;

use super::choices::{Channel, ConflictStrategy, GitProtocol, Mode, TieBreaking};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

mod newer;

pub use newer::*;

section!(
    /// The whole configuration.
    Settings {
        /// Whether and how the node takes part.
        federation: Federation = Federation::default(),
        /// Who the node says it is.
        local_node: LocalNode = LocalNode::default(),
        /// When and how it syncs.
        sync_settings: SyncSettings = SyncSettings::default(),
        /// What the federation is expected to have agreed on; its manifest holds.
        consensus_settings: ConsensusSettings = ConsensusSettings::default(),
        /// How trust grows and shrinks.
        trust_settings: TrustSettings = TrustSettings::default(),
        /// What is accepted from others.
        security: Security = Security::default(),
        /// What is notified.
        notifications: Notifications = Notifications::default(),
        /// Which events are federated.
        event_filters: EventFilters = EventFilters::default(),
        /// What happens to conflicting events.
        conflict_resolution: ConflictResolution = ConflictResolution::default(),
        /// How hard the node works.
        performance: Performance = Performance::default(),
        /// How long things are kept, and what is shown.
        compliance: Compliance = Compliance::default(),
        /// What is done with other systems.
        advanced: Advanced = Advanced::default(),
        /// Addresses of the live network.
        network: Network = Network::default(),
        /// The API on TCP.
        api: Api = Api::default(),
        /// Which events of others the node votes for.
        endorsement: EndorsementSettings = EndorsementSettings::default(),
        /// How long the rounds of a vote take.
        voting: Voting = Voting::default(),
        /// Changes to the federation.
        membership: Membership = Membership::default(),
        /// Copies of registry files on IPFS.
        anchoring: Anchoring = Anchoring::default(),
    }
);

section!(
    /// The section `federation`: whether and as what the node takes part.
    Federation {
        /// Whether the node takes part at all: if not, `ssid run` refuses to start.
        enabled: bool = false,
        /// As what, for `status` and the federation's manifest file; what a member may do is said
        /// by the manifest of the federation, and `config check` says where the two differ.
        mode: Mode = Mode::Participant,
        /// Whether it syncs every `sync_settings.interval_minutes` without being asked.
        auto_sync: bool = false,
        /// Whether it announces the events of its own registry without being asked.
        auto_consensus: bool = true,
    }
);

section!(
    /// The section `local_node`: what this node is called.
    LocalNode {
        /// What people call the node, as given to `ssid init`; the member card holds.
        node_name: String = String::new(),
        /// Whose it is, as given to `ssid init`; the member card holds.
        organization: String = String::new(),
        /// Its repository, empty if it has none.
        git_remote: String = String::new(),
        /// Carried, without effect: the address that others are told is the member card's.
        api_endpoint: String = String::new(),
    }
);

section!(
    /// The section `sync_settings`: when and how is synced.
    SyncSettings {
        /// Minutes between two syncs.
        interval_minutes: u64 = 60,
        /// Attempts after a failed one.
        max_retry_attempts: u64 = 3,
        /// Seconds before the first of them; each next waits twice as long.
        retry_delay_seconds: u64 = 30,
        /// Seconds after which an attempt has failed.
        timeout_seconds: u64 = 120,
        /// Commits that are fetched of a repository.
        max_clone_depth: u64 = 100,
        /// The branch on which nodes publish what they signed.
        git_branch: String = "ssid-federation".to_owned(),
    }
);

section!(
    /// The section `consensus_settings`: what decides.
    ConsensusSettings {
        /// Share of the weight that decides, above 0 and at most 1.
        threshold: f64 = 0.66,
        /// Distinct voters that every decision needs.
        min_participating_nodes: u64 = 2,
        /// How automatic rounds choose.
        tie_breaking_strategy: TieBreaking = TieBreaking::TimestampPriority,
        /// Whether there are automatic rounds.
        auto_resolve_conflicts: bool = false,
        /// 0 to 1. Carried, without effect: votes count by their weight in the federation's
        /// manifest, trust never does.
        trust_score_weight: f64 = 0.3,
    }
);

section!(
    /// The section `trust_settings`: points and bounds of trust.
    TrustSettings {
        /// Score of a new member.
        initial_trust_score: u64 = 50,
        /// Highest score that a member can have.
        max_trust_score: u64 = 100,
        /// Lowest score that a member can have.
        min_trust_score: u64 = 0,
        /// Points for agreeing with what was certified.
        agreement_bonus: u64 = 2,
        /// Points lost for not agreeing.
        disagreement_penalty: u64 = 5,
        /// Days of silence after which points are lost.
        inactive_penalty_days: u64 = 30,
        /// Points lost for each day of silence after those.
        inactive_penalty_amount: u64 = 1,
    }
);

section!(
    /// The section `security`: what is taken from whom.
    Security {
        /// Whether the commit that brought a plain log must be signed with the member's SSH key.
        require_ssh_key_verification: bool = false,
        /// Whether the commit that brought a plain log must be signed with the member's GPG key.
        require_gpg_signature: bool = false,
        /// How remotes may be reached.
        allowed_git_protocols: Vec<GitProtocol> = vec![GitProtocol::Https, GitProtocol::Ssh],
        /// Whether the plain logs of members without a key are read; null: as long as no member has
        /// a key.
        allow_unsigned_members: Option<bool> = None,
        /// Days after which an event is too old to be endorsed.
        max_event_age_days: u64 = 365,
    }
);

section!(
    /// The section `notifications`: what of the federation people are told.
    Notifications {
        /// Whether anything is notified.
        enabled: bool = false,
        /// The channels, which `telemetry_config.json` describes.
        channels: Vec<Channel> = Vec::new(),
        /// What people are told of.
        events: NotifiedEvents = NotifiedEvents::default(),
        /// Score below which a member's trust is low.
        low_trust_threshold: u64 = 25,
    }
);

section!(
    /// The section `notifications.events`, a switch each.
    NotifiedEvents {
        /// A sync that succeeded.
        sync_completed: bool = false,
        /// A sync that failed.
        sync_failed: bool = false,
        /// An event that was certified.
        consensus_achieved: bool = false,
        /// A vote that ended without a decision.
        consensus_failed: bool = true,
        /// A member that joined.
        node_added: bool = true,
        /// A member that left.
        node_removed: bool = true,
        /// A member whose trust fell below the threshold.
        trust_score_low: bool = true,
        /// A change of members that waits for this node's operator, and when none does any more.
        membership_proposed: bool = true,
        /// Another epoch that is in force: who joined, left, was suspended or has another key.
        epoch_changed: bool = true,
        /// An event that waits for this node's operator, and when none does any more.
        review_waiting: bool = true,
        /// A voter that has not been connected, or signed no votes, for a minute, and when it does
        /// again.
        node_down: bool = true,
        /// Too few voters that sign votes to decide anything, and when there are enough again.
        quorum_lost: bool = true,
        /// This node that abstains, is read-only or cannot read its registry, and when that is
        /// over.
        node_stopped: bool = true,
        /// The own registry that contradicts what was certified, or of which lines that were read
        /// are changed or gone.
        divergence: bool = true,
    }
);

section!(
    /// The section `event_filters`: which event types are federated.
    EventFilters {
        /// The event types that are federated; none: all.
        sync_event_types: Vec<String> = Vec::new(),
        /// The event types that are not, whatever the other list says.
        exclude_event_types: Vec<String> = vec!["telemetry_notification".to_owned()],
    }
);

section!(
    /// The section `conflict_resolution`: what is done with conflicts and decisions.
    ConflictResolution {
        /// How conflicting events are decided.
        strategy: ConflictStrategy = ConflictStrategy::HashMajorityVoting,
        /// Carried, without effect: automatic rounds are the federation's `tie_breaking_strategy`,
        /// and after them people decide.
        fallback_strategy: TieBreaking = TieBreaking::ManualReview,
        /// Whether certified events are written to the repository's log at once.
        auto_apply_consensus: bool = false,
        /// Whether a report is written for each conflict.
        create_conflict_report: bool = true,
        /// Into which directory, relative to the repository.
        conflict_report_path: String = "24_meta_orchestration/registry/conflicts/".to_owned(),
    }
);

section!(
    /// The section `performance`: fetches at a time and their cache.
    Performance {
        /// Whether several repositories are fetched at a time.
        parallel_sync: bool = false,
        /// How many at most.
        max_parallel_syncs: u64 = 3,
        /// Whether fetched repositories are kept for the next sync.
        cache_remote_events: bool = true,
        /// Minutes after which they are fetched anew.
        cache_ttl_minutes: u64 = 30,
    }
);

section!(
    /// The section `compliance`: statements, and ids for names.
    Compliance {
        /// A statement of the operator's, without effect.
        gdpr_compliant: bool = true,
        /// Carried, without effect: nothing that was certified is ever deleted.
        log_retention_days: u64 = 365,
        /// Whether reports show ids instead of names.
        anonymize_node_data: bool = false,
        /// A statement of the operator's, without effect: every member holds all of the log.
        data_location_restrictions: Vec<String> = Vec::new(),
    }
);

impl ConsensusSettings {
    /// [`threshold`](Self::threshold) in basis points: 0.66 is 6600.
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    pub fn threshold_bp(&self) -> u32 {
        (self.threshold * 10_000.0).round().clamp(0.0, 10_000.0) as u32
    }
}

impl EventFilters {
    /// Whether events of this type are federated. Those that change the federation itself always
    /// are.
    pub fn admits(&self, event_type: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|t| t == event_type);
        event_type == FEDERATION_EPOCH
            || (self.sync_event_types.is_empty() || named(&self.sync_event_types))
                && !named(&self.exclude_event_types)
    }
}
