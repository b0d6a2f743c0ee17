//! Every key of the configuration and what it may be set to.

use super::choices::{
    Channel, ConflictStrategy, Endorsement, GitProtocol, IpfsProvider, Mode, TieBreaking,
};

pub(crate) use forms::is_variable;
pub(crate) use rule::Rule;

mod forms;
mod rule;

/// Keys with what each may be set to.
pub(crate) type Keys = [(&'static str, Rule)];

const DAY_SECONDS: u64 = 24 * 60 * 60;
const DAY_MILLIS: u64 = DAY_SECONDS * 1000;
const CENTURY_DAYS: u64 = 36_500;

/// The keys, by section, then by path within it.
pub(super) const KEYS: &[(&str, Rule)] = &[
    ("federation.enabled", Rule::Flag),
    ("federation.mode", Rule::Word(Mode::NAMES)),
    ("federation.auto_sync", Rule::Flag),
    ("federation.auto_consensus", Rule::Flag),
    ("local_node.node_name", Rule::Text),
    ("local_node.organization", Rule::Text),
    ("local_node.git_remote", Rule::Text),
    ("local_node.api_endpoint", Rule::Text),
    (
        "sync_settings.interval_minutes",
        Rule::Whole(1, 365 * 24 * 60),
    ),
    ("sync_settings.max_retry_attempts", Rule::Whole(0, 100)),
    (
        "sync_settings.retry_delay_seconds",
        Rule::Whole(0, DAY_SECONDS),
    ),
    ("sync_settings.timeout_seconds", Rule::Whole(1, DAY_SECONDS)),
    ("sync_settings.max_clone_depth", Rule::Whole(1, 1_000_000)),
    ("sync_settings.git_branch", Rule::Branch),
    ("consensus_settings.threshold", Rule::Share(1, 1000)),
    (
        "consensus_settings.min_participating_nodes",
        Rule::Whole(2, 1000),
    ),
    (
        "consensus_settings.tie_breaking_strategy",
        Rule::Word(TieBreaking::NAMES),
    ),
    ("consensus_settings.auto_resolve_conflicts", Rule::Flag),
    (
        "consensus_settings.trust_score_weight",
        Rule::Share(0, 1000),
    ),
    ("trust_settings.initial_trust_score", Rule::Whole(0, 100)),
    ("trust_settings.max_trust_score", Rule::Whole(0, 100)),
    ("trust_settings.min_trust_score", Rule::Whole(0, 100)),
    ("trust_settings.agreement_bonus", Rule::Whole(0, 100)),
    ("trust_settings.disagreement_penalty", Rule::Whole(0, 100)),
    (
        "trust_settings.inactive_penalty_days",
        Rule::Whole(1, CENTURY_DAYS),
    ),
    (
        "trust_settings.inactive_penalty_amount",
        Rule::Whole(0, 100),
    ),
    ("security.require_ssh_key_verification", Rule::Flag),
    ("security.require_gpg_signature", Rule::Flag),
    (
        "security.allowed_git_protocols",
        Rule::Words(GitProtocol::NAMES),
    ),
    ("security.allow_unsigned_members", Rule::FlagOrNull),
    ("security.max_event_age_days", Rule::Whole(1, CENTURY_DAYS)),
    ("notifications.enabled", Rule::Flag),
    ("notifications.channels", Rule::Words(Channel::NAMES)),
    ("notifications.events.sync_completed", Rule::Flag),
    ("notifications.events.sync_failed", Rule::Flag),
    ("notifications.events.consensus_achieved", Rule::Flag),
    ("notifications.events.consensus_failed", Rule::Flag),
    ("notifications.events.node_added", Rule::Flag),
    ("notifications.events.node_removed", Rule::Flag),
    ("notifications.events.trust_score_low", Rule::Flag),
    ("notifications.events.membership_proposed", Rule::Flag),
    ("notifications.events.epoch_changed", Rule::Flag),
    ("notifications.events.review_waiting", Rule::Flag),
    ("notifications.events.node_down", Rule::Flag),
    ("notifications.events.quorum_lost", Rule::Flag),
    ("notifications.events.node_stopped", Rule::Flag),
    ("notifications.events.divergence", Rule::Flag),
    ("notifications.low_trust_threshold", Rule::Whole(0, 100)),
    ("event_filters.sync_event_types", Rule::EventTypes),
    ("event_filters.exclude_event_types", Rule::EventTypes),
    (
        "conflict_resolution.strategy",
        Rule::Word(ConflictStrategy::NAMES),
    ),
    (
        "conflict_resolution.fallback_strategy",
        Rule::Word(TieBreaking::NAMES),
    ),
    ("conflict_resolution.auto_apply_consensus", Rule::Flag),
    ("conflict_resolution.create_conflict_report", Rule::Flag),
    ("conflict_resolution.conflict_report_path", Rule::Text),
    ("performance.parallel_sync", Rule::Flag),
    ("performance.max_parallel_syncs", Rule::Whole(1, 64)),
    ("performance.cache_remote_events", Rule::Flag),
    (
        "performance.cache_ttl_minutes",
        Rule::Whole(0, 365 * 24 * 60),
    ),
    ("compliance.gdpr_compliant", Rule::Flag),
    (
        "compliance.log_retention_days",
        Rule::Whole(1, CENTURY_DAYS),
    ),
    ("compliance.anonymize_node_data", Rule::Flag),
    ("compliance.data_location_restrictions", Rule::Texts),
    ("advanced.custom_consensus_algorithm", Rule::TextOrNull),
    ("advanced.webhook_on_consensus", Rule::WebAddressOrNull),
    ("advanced.external_validator_api", Rule::TextOrNull),
    ("advanced.blockchain_anchoring.enabled", Rule::Flag),
    ("advanced.blockchain_anchoring.network", Rule::Text),
    ("advanced.blockchain_anchoring.contract_address", Rule::Text),
    ("advanced.ipfs_federation.enabled", Rule::Flag),
    ("advanced.ipfs_federation.pin_consensus_records", Rule::Flag),
    ("network.listen", Rule::Multiaddrs),
    ("network.bootstrap", Rule::Multiaddrs),
    ("network.mdns", Rule::Flag),
    (
        "network.fallback_after_seconds",
        Rule::Whole(1, DAY_SECONDS),
    ),
    (
        "network.fallback_interval_seconds",
        Rule::Whole(1, DAY_SECONDS),
    ),
    ("network.observers", Rule::Flag),
    ("api.listen", Rule::SocketAddress),
    ("api.token_env", Rule::Variable),
    ("endorsement.default", Rule::Word(Endorsement::NAMES)),
    (
        "endorsement.by_event",
        Rule::WordByEvent(Endorsement::NAMES),
    ),
    (
        "endorsement.settle_seconds",
        Rule::WholeByEvent(DAY_SECONDS),
    ),
    ("endorsement.review_timeout_hours", Rule::Whole(1, 365 * 24)),
    ("voting.observe_timeout_ms", Rule::Whole(1, DAY_MILLIS)),
    ("voting.propose_timeout_ms", Rule::Whole(1, DAY_MILLIS)),
    ("voting.prevote_timeout_ms", Rule::Whole(1, DAY_MILLIS)),
    ("voting.precommit_timeout_ms", Rule::Whole(1, DAY_MILLIS)),
    ("voting.timeout_increment_ms", Rule::Whole(0, DAY_MILLIS)),
    ("membership.auto_approve", Rule::Flag),
    ("anchoring.after_certified", Rule::Flag),
    ("anchoring.providers", Rule::Words(IpfsProvider::NAMES)),
    ("anchoring.local_api", Rule::Url),
    ("anchoring.remote_api", Rule::Url),
    ("anchoring.remote_token_env", Rule::Variable),
    ("anchoring.pinning_api", Rule::Url),
    ("anchoring.pinning_token_env", Rule::Variable),
    ("anchoring.gateways", Rule::Urls),
    ("anchoring.cid_version", Rule::Whole(0, 1)),
    ("anchoring.parallel_uploads", Rule::Whole(1, 32)),
    ("anchoring.timeout_seconds", Rule::Whole(1, DAY_SECONDS)),
];

/// Keys that are carried for other tools, and what holds instead of them. Their documentation says
/// the same.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "local_node.api_endpoint",
        "others are told the member card's",
    ),
    (
        "consensus_settings.trust_score_weight",
        "votes count by their weight in the federation's manifest, trust never does",
    ),
    (
        "conflict_resolution.fallback_strategy",
        "the federation's tie_breaking_strategy holds, and after it people decide",
    ),
    ("compliance.gdpr_compliant", "a statement"),
    (
        "compliance.log_retention_days",
        "nothing that was certified is ever deleted",
    ),
    (
        "compliance.data_location_restrictions",
        "every member holds all of the log",
    ),
    (
        "advanced.blockchain_anchoring.enabled",
        "no blockchain is spoken to; anchoring.after_certified anchors on IPFS",
    ),
    (
        "advanced.blockchain_anchoring.network",
        "no blockchain is spoken to",
    ),
    (
        "advanced.blockchain_anchoring.contract_address",
        "no blockchain is spoken to",
    ),
    ("membership.auto_approve", "members cannot be suspended yet"),
];

/// Keys at the top that say something to people only. Whatever stands under them is left alone.
pub(super) const FOR_PEOPLE: &[&str] = &[
    "blueprint_version",
    "config_version",
    "description",
    "last_updated",
    "example_nodes",
    "usage_instructions",
    "documentation_links",
    "version_compatibility",
];

/// The rule of a key.
pub(super) fn rule_of(keys: &Keys, path: &str) -> Option<Rule> {
    keys.iter()
        .find(|(key, _)| *key == path)
        .map(|(_, rule)| *rule)
}

/// Whether keys stand under this one.
pub(super) fn is_section(keys: &Keys, path: &str) -> bool {
    keys.iter().any(|(key, _)| {
        key.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The names of the keys directly under `section`, which is empty for the whole file.
pub(super) fn names_in(keys: &Keys, section: &str) -> Vec<&'static str> {
    let below = |key: &'static str| match section {
        "" => Some(key),
        _ => key.strip_prefix(section)?.strip_prefix('.'),
    };
    let mut names: Vec<&str> = keys
        .iter()
        .filter_map(|(key, _)| below(key)?.split('.').next())
        .collect();
    names.dedup();
    names
}

/// The environment variable that overrides a key: `SSID_SYNC_SETTINGS_TIMEOUT_SECONDS`.
pub(super) fn variable_of(path: &str) -> String {
    format!("SSID_{}", path.replace('.', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::settings::Settings;
    use crate::config::testing::leaves;

    #[test]
    fn the_table_has_every_field_and_no_other() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let fields = leaves(&settings, &["by_event", "settle_seconds"]);
        assert_eq!(
            fields,
            KEYS.iter().map(|(key, _)| (*key).to_owned()).collect()
        );
        let variables: BTreeSet<String> = KEYS.iter().map(|(key, _)| variable_of(key)).collect();
        assert_eq!(
            variables.len(),
            KEYS.len(),
            "each has a variable of its own"
        );
    }

    #[test]
    fn defaults_are_allowed() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        for (key, rule) in KEYS {
            let value = defaults
                .pointer(&format!("/{}", key.replace('.', "/")))
                .unwrap();
            assert!(
                rule.allows(value),
                "{key} = {value}, allowed {}",
                rule.allowed()
            );
        }
    }

    #[test]
    fn what_a_rule_allows_the_types_take() {
        for (key, rule) in KEYS {
            let text = match rule {
                Rule::Flag | Rule::FlagOrNull => "true".to_owned(),
                Rule::Word(words) | Rule::Words(words) => words[0].to_owned(),
                Rule::Whole(_, most) => most.to_string(),
                Rule::Share(_, most) => (f64::from(*most) / 1000.0).to_string(),
                Rule::WordByEvent(words) => format!("{{\"a\":\"{}\"}}", words[0]),
                Rule::WholeByEvent(most) => format!("{{\"a\":{most}}}"),
                Rule::EventTypes => "[\"a\"]".to_owned(),
                Rule::Multiaddrs => "/ip4/127.0.0.1/tcp/1, /ip6/::1/udp/2/quic-v1".to_owned(),
                Rule::SocketAddress => "[::1]:80".to_owned(),
                Rule::Url | Rule::Urls => "https://[::1]:5001/x".to_owned(),
                Rule::Variable => "SSID_A_TOKEN".to_owned(),
                Rule::Text | Rule::TextOrNull | Rule::Texts | Rule::Branch => "A_B".to_owned(),
                Rule::WebAddress | Rule::WebAddressOrNull => "https://example.org/".to_owned(),
                Rule::Mailbox | Rule::Mailboxes => "a@example.org".to_owned(),
                Rule::Headers => "{}".to_owned(),
            };
            let mut value = rule.read(&text);
            assert!(rule.allows(&value), "{key} = {value}");
            for name in key.rsplit('.') {
                value = Value::Object([(name.to_owned(), value)].into_iter().collect());
            }
            let settings: Settings = serde_json::from_value(value).unwrap();
            let _ = settings;
        }
    }
}
