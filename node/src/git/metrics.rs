//! Counters of Git, in Prometheus form.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Counters; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct GitMetrics {
    fetches: Family<OutcomeLabel, Counter>,
    pushes: Family<OutcomeLabel, Counter>,
    lines: Family<OutcomeLabel, Counter>,
    bytes: Counter,
    rewritten: Counter,
    fallback: Gauge<i64, AtomicI64>,
}

impl GitMetrics {
    /// Registers the metrics under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "fetches",
            "Fetches of members' branches, by outcome",
            self.fetches.clone(),
        );
        registry.register(
            "pushes",
            "Pushes of the own branch, by outcome",
            self.pushes.clone(),
        );
        registry.register(
            "lines",
            "Lines of members' branches, by what became of them",
            self.lines.clone(),
        );
        registry.register_with_unit(
            "received",
            "New lines of members' branches",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "rewritten",
            "Branches whose history was rewritten",
            self.rewritten.clone(),
        );
        registry.register(
            "fallback",
            "1 while votes go over Git",
            self.fallback.clone(),
        );
    }

    pub(super) fn fetched(&self, outcome: &'static str) {
        self.fetches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn pushed(&self, outcome: &'static str) {
        self.pushes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn read(&self, bytes: u64, taken: u64, settled: u64, bad: u64) {
        self.bytes.inc_by(bytes);
        for (outcome, count) in [("taken", taken), ("settled", settled), ("bad", bad)] {
            self.lines
                .get_or_create(&OutcomeLabel { outcome })
                .inc_by(count);
        }
    }

    pub(super) fn rewritten(&self) {
        self.rewritten.inc();
    }

    pub(super) fn fallback(&self, is_on: bool) {
        self.fallback.set(i64::from(is_on));
    }
}
