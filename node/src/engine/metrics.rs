//! The engine's state as metrics, in Prometheus form: read from its status when somebody asks.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use ssid_engine::EngineStatus;
use ssid_protocol::heartbeat::CanSign;
use tokio::sync::watch;

use super::handle::EngineHandle;

/// What operators watch and alert on.
#[derive(Debug)]
pub struct EngineMetrics(watch::Receiver<Arc<EngineStatus>>);

impl EngineMetrics {
    /// Of a running engine.
    pub fn of(engine: &EngineHandle) -> Self {
        Self(engine.status.clone())
    }
}

impl Collector for EngineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.0.borrow().clone();
        let gauges = of_voting(&status)
            .into_iter()
            .chain(of_voters(&status))
            .chain(of_this_node(&status));
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let refused = status.refused;
        let by_limit = [
            ("unknown_votes", refused.unknown_votes),
            ("other_epochs", refused.other_epochs),
            ("late_certificates", refused.late_certificates),
            ("open_instances", refused.open_instances),
        ];
        counters(
            &mut encoder,
            "refused",
            "Votes, certificates and subjects refused, by limit",
            "limit",
            &by_limit,
        )?;
        let syncs = [
            ("successful", status.syncs.successful),
            ("failed", status.syncs.failed),
        ];
        counters(
            &mut encoder,
            "syncs",
            "Conversations to catch up, by outcome",
            "outcome",
            &syncs,
        )
    }
}

/// Name, help, value.
type Gauge = (&'static str, &'static str, u64);

/// What is voted on, and what it takes to hold it.
fn of_voting(status: &EngineStatus) -> [Gauge; 7] {
    [
        ("open_instances", "Subjects being voted on", status.open),
        (
            "conflicts",
            "Subjects in conflict: people have to choose",
            status.conflicts,
        ),
        (
            "awaiting_review",
            "Subjects that wait for this node's operator",
            status.awaiting_review,
        ),
        ("certified", "Subjects certified", status.certified),
        (
            "evidence",
            "Proven contradictions of members",
            status.evidence,
        ),
        (
            "waiting_votes",
            "Votes for subjects of which no event is known",
            status.waiting_votes,
        ),
        (
            "batch_bytes",
            "Bytes of others' batches of which something is in use",
            status.batch_bytes,
        ),
    ]
}

/// Who takes part, as far as this node is told.
fn of_voters(status: &EngineStatus) -> [Gauge; 3] {
    [
        (
            "connected_voters",
            "Voters connected, this node included",
            status.connected_voters.len() as u64,
        ),
        (
            "able_voters",
            "Voters that sign votes, as their heartbeats say",
            status.able_voters.len() as u64,
        ),
        (
            "has_quorum",
            "1 while the voters that can sign are a quorum",
            u64::from(status.has_quorum),
        ),
    ]
}

/// Whether this node does its part, and what keeps it from that.
fn of_this_node(status: &EngineStatus) -> [Gauge; 6] {
    [
        (
            "can_sign",
            "1 while this node signs votes",
            u64::from(status.can_sign == CanSign::Yes),
        ),
        (
            "registry_unread",
            "1 while the registry file cannot be read",
            u64::from(status.registry.is_some()),
        ),
        (
            "divergences",
            "Decisions that the own registry contradicts",
            status.divergences,
        ),
        (
            "kept_offers",
            "Events kept until this node may sign",
            status.kept_offers,
        ),
        (
            "abstaining",
            "1 while the vote history is incomplete",
            u64::from(status.abstaining.is_some()),
        ),
        (
            "read_only",
            "1 once storage failed",
            u64::from(status.read_only.is_some()),
        ),
    ]
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(&str, u64)],
) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (value, count) in values {
        ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}
