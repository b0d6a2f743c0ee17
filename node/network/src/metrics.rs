//! Counters of the network, in Prometheus form.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::topics::Topic;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    topic: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    direction: &'static str,
}

/// What became of a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Handed to the consumer.
    Delivered,
    /// The consumer found it good; passed on.
    Accepted,
    /// The consumer had no use for it.
    Ignored,
    /// Past a limit of the consumer.
    Excess,
    /// Bad; the deliverer was blamed.
    Rejected,
    /// The same message was accepted before.
    Duplicate,
    /// Past a rate.
    RateLimited,
    /// The consumer did not keep up.
    DroppedConsumerBusy,
    /// The verifying threads did not keep up.
    DroppedVerifierBusy,
    /// The verdict came when gossip had forgotten the message; it was not passed on.
    VerdictLate,
    /// Own message given to gossip.
    Published,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Excess => "excess",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::RateLimited => "rate_limited",
            Self::DroppedConsumerBusy => "dropped_consumer_busy",
            Self::DroppedVerifierBusy => "dropped_verifier_busy",
            Self::VerdictLate => "verdict_late",
            Self::Published => "published",
        }
    }
}

/// Whose sync request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Asked of this node.
    In,
    /// Asked by this node.
    Out,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// All counters; cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    messages: Family<MessageLabels, Counter>,
    rejects: Family<ReasonLabel, Counter>,
    unusable: Family<ReasonLabel, Counter>,
    publish_failures: Family<ReasonLabel, Counter>,
    refused_connections: Family<ReasonLabel, Counter>,
    rate_limited: Family<ReasonLabel, Counter>,
    disconnected_offenders: Counter,
    connected: Gauge,
    sync_requests: Family<SyncLabels, Counter>,
    sync_bytes: Family<DirectionLabel, Counter>,
    notices_dropped: Counter,
}

impl Metrics {
    /// Registers every counter; the caller chooses the prefix.
    ///
    /// ```
    /// use prometheus_client::encoding::text::encode;
    /// use prometheus_client::registry::Registry;
    /// use ssid_network::{Metrics, Topic};
    ///
    /// let metrics = Metrics::default();
    /// let mut registry = Registry::with_prefix("ssid_network");
    /// metrics.register(&mut registry);
    /// let mut text = String::new();
    /// encode(&mut text, &registry)?;
    /// assert!(text.contains("ssid_network_disconnected_offenders_total 0"));
    /// assert_eq!(metrics.messages(Topic::Votes, "delivered"), 0);
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "messages",
            "Gossip messages by topic and what became of them",
            self.messages.clone(),
        );
        registry.register(
            "rejects",
            "Invalid gossip messages by reason",
            self.rejects.clone(),
        );
        let unusable = "Gossip messages that another version or manifest may take, by reason";
        registry.register("unusable", unusable, self.unusable.clone());
        registry.register(
            "publish_failures",
            "Messages that were not sent, by kind",
            self.publish_failures.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections refused, by reason",
            self.refused_connections.clone(),
        );
        registry.register(
            "rate_limited",
            "What was refused for its rate, by limit",
            self.rate_limited.clone(),
        );
        let offenders = self.disconnected_offenders.clone();
        registry.register(
            "disconnected_offenders",
            "Peers disconnected and blocked for a while",
            offenders,
        );
        registry.register(
            "connected_members",
            "Members connected now",
            self.connected.clone(),
        );
        registry.register(
            "sync_requests",
            "Sync requests by direction and outcome",
            self.sync_requests.clone(),
        );
        registry.register_with_unit(
            "sync",
            "Sync frames' size",
            Unit::Bytes,
            self.sync_bytes.clone(),
        );
        let dropped = self.notices_dropped.clone();
        registry.register(
            "notices_dropped",
            "Connection notices that the consumer did not take",
            dropped,
        );
    }

    /// Gossip messages on `topic` with that outcome: `delivered`, `accepted`, `ignored`, `excess`,
    /// `rejected`, `duplicate`, `rate_limited`, `dropped_consumer_busy`, `dropped_verifier_busy`,
    /// `verdict_late`, `published`.
    pub fn messages(&self, topic: Topic, outcome: &'static str) -> u64 {
        self.messages
            .get_or_create(&MessageLabels {
                topic: topic.name(),
                outcome,
            })
            .get()
    }

    /// Messages rejected for that reason: `message_bytes`, `garbage`, `wrong_topic`,
    /// `batch_statements`, `event_bytes`, `inadmissible`, `heartbeat_bytes`, `signature`,
    /// `unproven`, `consumer`.
    pub fn rejects(&self, reason: &'static str) -> u64 {
        self.rejects.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Messages that this node's version or manifest does not do for: `unknown_kind`,
    /// `not_a_member`, `not_a_voter`, `other_manifest`.
    pub fn unusable(&self, reason: &'static str) -> u64 {
        self.unusable.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Messages not published, or not to all, by kind: `all_queues_full`, `no_peers_subscribed`,
    /// `duplicate`, `slow_peer`, `other`.
    pub fn publish_failures(&self, reason: &'static str) -> u64 {
        self.publish_failures
            .get_or_create(&ReasonLabel { reason })
            .get()
    }

    /// Connections refused: `non_member`, `blocked`, `limit`, `handshakes`.
    pub fn refused_connections(&self, reason: &'static str) -> u64 {
        self.refused_connections
            .get_or_create(&ReasonLabel { reason })
            .get()
    }

    /// What was refused for its rate: `peer_messages`, `peer_bytes`, `signer_messages`,
    /// `signer_statements`, `peer_requests`.
    pub fn rate_limited(&self, reason: &'static str) -> u64 {
        self.rate_limited
            .get_or_create(&ReasonLabel { reason })
            .get()
    }

    /// Peers disconnected and blocked for what they did.
    pub fn disconnected_offenders(&self) -> u64 {
        self.disconnected_offenders.get()
    }

    /// Sync requests of others (`in`: `asked`, `answered`, `refused`, `malformed`, `failed`) and
    /// own ones (`out`: `answered`, `refused`, `malformed`, `failed`, `timeout`; and `invalid`:
    /// answered, but with what does not hold).
    pub fn sync_requests(&self, direction: &'static str, outcome: &'static str) -> u64 {
        self.sync_requests
            .get_or_create(&SyncLabels { direction, outcome })
            .get()
    }

    /// Bytes of sync frames, `in` or `out`.
    pub fn sync_bytes(&self, direction: &'static str) -> u64 {
        self.sync_bytes
            .get_or_create(&DirectionLabel { direction })
            .get()
    }

    pub(crate) fn count_message(&self, topic: Topic, outcome: Outcome) {
        self.messages
            .get_or_create(&MessageLabels {
                topic: topic.name(),
                outcome: outcome.name(),
            })
            .inc();
    }

    pub(crate) fn count_reject(&self, topic: Topic, reason: &'static str) {
        self.count_message(topic, Outcome::Rejected);
        self.rejects.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn count_unusable(&self, topic: Topic, reason: &'static str) {
        self.count_message(topic, Outcome::Ignored);
        self.unusable.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn count_publish_failure(&self, reason: &'static str, messages: usize) {
        self.publish_failures
            .get_or_create(&ReasonLabel { reason })
            .inc_by(messages as u64);
    }

    pub(crate) fn count_refused_connection(&self, reason: &'static str) {
        self.refused_connections
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    pub(crate) fn count_rate_limited(&self, reason: &'static str) {
        self.rate_limited
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    pub(crate) fn count_offender(&self) {
        self.disconnected_offenders.inc();
    }

    pub(crate) fn set_connected(&self, members: usize) {
        self.connected
            .set(i64::try_from(members).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_sync(&self, direction: Direction, outcome: &'static str) {
        self.sync_requests
            .get_or_create(&SyncLabels {
                direction: direction.name(),
                outcome,
            })
            .inc();
    }

    pub(crate) fn count_sync_bytes(&self, direction: Direction, bytes: usize) {
        self.sync_bytes
            .get_or_create(&DirectionLabel {
                direction: direction.name(),
            })
            .inc_by(bytes as u64);
    }

    pub(crate) fn count_notice_dropped(&self) {
        self.notices_dropped.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counted_is_exported() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(registry.sub_registry_with_prefix("ssid_network"));
        metrics.count_reject(Topic::Votes, "signature");
        metrics.count_refused_connection("non_member");
        metrics.count_sync_bytes(Direction::In, 7);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "ssid_network_messages_total{topic=\"votes\",outcome=\"rejected\"} 1",
            "ssid_network_rejects_total{reason=\"signature\"} 1",
            "ssid_network_refused_connections_total{reason=\"non_member\"} 1",
            "ssid_network_sync_bytes_total{direction=\"in\"} 7",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
