//! The monthly compliance report: what this node holds about a month, as facts. What it does not
//! know it calls unknown; nothing is counted as good because nobody measured it.

pub(crate) mod markdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use ssid_protocol::id::{FederationId, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::{TrustLabel, TrustReason, TrustRules};
use ssid_storage::{StorageError, Store};

use crate::telemetry::checks::day_of;
use crate::telemetry::dashboard::Dashboard;
use crate::telemetry::message::Names;

pub use markdown::page;

/// What reports are called in their `format`.
pub const FORMAT: &str = "ssid-compliance-report/1";
/// Days without a sign of life after which a node is inactive.
pub const INACTIVE_DAYS: u64 = 30;
/// Log entries read at once.
const PAGE: usize = 1000;

/// A month of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    first: Date,
}

/// What a report is made of.
pub struct Sources<'a> {
    /// Records, ledger, evidence, anchors.
    pub store: &'a Store,
    /// The federation's manifest, for members and name.
    pub manifest: &'a Manifest,
    /// The node that writes it.
    pub node: NodeId,
    /// How trust is counted.
    pub trust: TrustRules,
    /// `compliance.anonymize_node_data`: ids instead of names.
    pub anonymize: bool,
    /// Since when this node runs.
    pub started_at: UnixMillis,
    /// When a member was last heard of.
    pub last_seen: &'a dyn Fn(&NodeId) -> Option<UnixMillis>,
    /// The time at which it is written.
    pub now: UnixMillis,
}

/// The compliance report of a month, as JSON and Markdown show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComplianceReport {
    /// Always the same.
    pub format: String,
    /// The month, as `YYYY-MM`.
    pub month: String,
    /// Its first moment.
    pub from: String,
    /// The first moment after it.
    pub until: String,
    /// Whether the month was over when the report was written.
    pub is_complete: bool,
    /// When it was written.
    pub written_at: String,
    /// In which federation.
    pub federation_id: FederationId,
    /// What that is called.
    pub federation_name: String,
    /// By which node.
    pub node_id: NodeId,
    /// The numbers of the month in short.
    pub summary: Summary,
    /// How many members have which trust, now.
    pub trust_distribution: BTreeMap<String, u64>,
    /// Every member, the least trusted first.
    pub members: Vec<MemberLine>,
    /// What was certified, by event type.
    pub consensus: Vec<EventTypeLine>,
    /// Failed syncs that the trust ledger counts, by member.
    pub sync_failures: Vec<CountLine>,
    /// Members without a sign of life for 30 days at the end of the month, or now.
    pub inactive: Vec<InactiveLine>,
    /// Documents anchored on IPFS in the month.
    pub anchors: Vec<AnchorLine>,
    /// What the report does not know, in words.
    pub unknown: Vec<String>,
}

/// The numbers of a month.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The compliance score that the dashboard has last for the month; `null` if it is not known.
    pub compliance_score: Option<f64>,
    /// Violations, as the score.
    pub violations: Option<u64>,
    /// Members of the federation, now.
    pub members: u64,
    /// Subjects certified in the month.
    pub certified: u64,
    /// Of these, in how many somebody observed something else.
    pub with_disagreement: u64,
    /// Mean agreement of the observations, in percent; `null` if there were none.
    pub agreement_percent: Option<f64>,
    /// Median time from a subject's first sight to its certificate, in seconds; `null` if nothing
    /// was certified.
    pub median_seconds: Option<f64>,
    /// Subjects in conflict, now.
    pub open_conflicts: u64,
    /// Pieces of evidence that came in the month.
    pub evidence: u64,
    /// Entries of the certified log, now.
    pub log_size: u64,
    /// Its root, now.
    pub log_root: String,
}

/// What the report says of one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberLine {
    /// The member's node id.
    pub node_id: NodeId,
    /// What it is called.
    pub node_name: String,
    /// Its score, now.
    pub trust_score: i32,
    /// `high`, `medium`, `low` or `very_low`.
    pub trust_label: String,
    /// Points won and lost in the month.
    pub points: i32,
}

/// One event type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventTypeLine {
    /// The event type that is counted.
    pub event_type: String,
    /// How many subjects of it were certified.
    pub certified: u64,
    /// Of these, in how many somebody observed something else.
    pub with_disagreement: u64,
    /// Of these, how many needed more than one round.
    pub later_rounds: u64,
}

/// A count about a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountLine {
    /// The member's node id.
    pub node_id: NodeId,
    /// What it is called.
    pub node_name: String,
    /// How often it happened.
    pub count: u64,
}

/// A member not heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InactiveLine {
    /// The member's node id.
    pub node_id: NodeId,
    /// What it is called.
    pub node_name: String,
    /// When it was last heard of; `null` if this node never heard of it.
    pub last_seen: Option<String>,
}

/// A document anchored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnchorLine {
    /// The name of the document.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its content identifier.
    pub cid: String,
    /// When it was anchored, RFC 3339.
    pub at: String,
    /// Services that hold it.
    pub services: Vec<String>,
}

impl Month {
    /// Reads `YYYY-MM`.
    ///
    /// # Errors
    /// If it is no month: what would be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let first = (text.len() == 7)
            .then(|| format!("{text}-01").parse().ok())
            .flatten();
        first
            .map(|first| Self { first })
            .ok_or_else(|| format!("{text:?} is no month; for example 2026-10"))
    }

    /// The month of a time.
    pub fn of(at: UnixMillis) -> Self {
        Self {
            first: day_of(at).first_of_month(),
        }
    }

    /// Its first moment, and the first after it.
    fn bounds(self) -> (UnixMillis, UnixMillis) {
        const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
        // in days: the last month that can be written ends after the last time that can
        let days = self
            .first
            .duration_since(Date::constant(1970, 1, 1))
            .as_hours()
            / 24;
        let days = u64::try_from(days).unwrap_or_default();
        let length = u64::from(self.first.days_in_month().unsigned_abs());
        (
            UnixMillis(days * DAY_MILLIS),
            UnixMillis((days + length) * DAY_MILLIS),
        )
    }

    /// The first moment after it; of the last month that can be written, its last second.
    fn end(self) -> String {
        match self.first.last_of_month().tomorrow() {
            Ok(next) => format!("{next}T00:00:00Z"),
            Err(_) => format!("{}T23:59:59Z", self.first.last_of_month()),
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl ComplianceReport {
    /// With what the registry's dashboard says of the month: its last row until the month's end
    /// that is not in the future. Call it once, also without a dashboard: then score and violations
    /// are named as unknown.
    #[must_use]
    pub fn with_dashboard(mut self, dashboard: Option<&Dashboard>, now: UnixMillis) -> Self {
        let bounds = Month::parse(&self.month).ok().map(Month::bounds);
        let row = bounds.and_then(|(from, until)| {
            let first = day_of(from);
            let today = day_of(now.min(UnixMillis(until.0.saturating_sub(1))));
            dashboard?
                .until(today)
                .last()
                .filter(|row| row.date >= first)
        });
        self.summary.compliance_score = row.and_then(|row| row.score);
        self.summary.violations = row.and_then(|row| row.violations);
        for (what, is_known) in [
            ("compliance score", self.summary.compliance_score.is_some()),
            ("violations", self.summary.violations.is_some()),
        ] {
            if !is_known {
                self.unknown.push(format!(
                    "{what}: the dashboard says nothing about this month"
                ));
            }
        }
        self
    }

    /// The report of a month.
    ///
    /// # Errors
    /// If storage fails.
    pub fn of(month: Month, sources: &Sources<'_>) -> Result<Self, StorageError> {
        let (from, until) = month.bounds();
        let is_within = |at: UnixMillis| from <= at && at < until;
        let manifest = sources.manifest;
        let members = manifest
            .members
            .iter()
            .map(|m| (m.node_id, m.node_name.clone()));
        let names = Names::new(members, sources.anonymize);
        let ledger = Ledger::read(sources, is_within)?;
        let records = records(sources.store, is_within)?;
        let mut evidence = 0;
        // by when this node learned of it: when it was signed nobody can prove
        for row in sources.store.evidence() {
            evidence += u64::from(is_within(row?.1.at));
        }
        let summary = Summary {
            members: manifest.members.len() as u64,
            open_conflicts: sources.store.conflicts()?.len() as u64,
            evidence,
            log_size: sources.store.log_head().size,
            log_root: sources.store.log_head().root.to_string(),
            ..summary(&records)
        };
        let mut lines: Vec<_> = ledger.lines(&names);
        // the lowest first: these are what a report is read for
        lines.sort_by_key(|line| line.trust_score);
        let mut trust_distribution = BTreeMap::new();
        for line in &lines {
            *trust_distribution
                .entry(line.trust_label.clone())
                .or_default() += 1;
        }
        Ok(Self {
            format: FORMAT.to_owned(),
            month: month.to_string(),
            from: from.iso(),
            until: month.end(),
            is_complete: sources.now >= until,
            written_at: sources.now.iso(),
            federation_id: manifest.federation_id(),
            federation_name: manifest.name.clone(),
            node_id: sources.node,
            // said in words what could not be measured: a gap must not look like a zero
            unknown: unknown(&summary, sources, from, until),
            summary,
            trust_distribution,
            members: lines,
            consensus: by_event_type(&records),
            sync_failures: ledger.sync_failures(&names),
            // of a month that is not over: as of now, not of its end
            inactive: inactive(sources, &names, until.min(sources.now)),
            anchors: anchors(sources.store, is_within)?,
        })
    }
}

/// What the month's ledger says of each member.
struct Ledger(Vec<(NodeId, i32, i32, u64)>);

impl Ledger {
    fn read(
        sources: &Sources<'_>,
        is_within: impl Fn(UnixMillis) -> bool,
    ) -> Result<Self, StorageError> {
        let mut members = Vec::new();
        for member in &sources.manifest.members {
            let changes = sources.store.trust_of(&member.node_id)?;
            let score = sources.trust.score(&changes);
            let of_month: Vec<_> = changes
                .iter()
                .filter(|change| is_within(change.at))
                .collect();
            let points = of_month.iter().map(|change| change.points).sum();
            let failures = of_month
                .iter()
                .filter(|change| change.reason == TrustReason::SyncFailed)
                .count();
            members.push((member.node_id, score, points, failures as u64));
        }
        Ok(Self(members))
    }

    fn lines(&self, names: &Names) -> Vec<MemberLine> {
        let line = |(node_id, score, points, _): &(NodeId, i32, i32, u64)| MemberLine {
            node_id: *node_id,
            node_name: names.of(node_id),
            trust_score: *score,
            trust_label: TrustLabel::of(*score).word().to_owned(),
            points: *points,
        };
        self.0.iter().map(line).collect()
    }

    fn sync_failures(&self, names: &Names) -> Vec<CountLine> {
        let failed = self.0.iter().filter(|(.., count)| *count > 0);
        failed
            .map(|(id, .., count)| CountLine {
                node_id: *id,
                node_name: names.of(id),
                count: *count,
            })
            .collect()
    }
}

/// The month's records, newest first.
fn records(
    store: &Store,
    is_within: impl Fn(UnixMillis) -> bool,
) -> Result<Vec<ConsensusRecord>, StorageError> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = store.records_latest(PAGE, before)?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        before = Some(*last);
        found.extend(
            page.into_iter()
                .map(|(_, record)| record)
                .filter(|record| is_within(record.completed_at)),
        );
    }
}

fn summary(records: &[ConsensusRecord]) -> Summary {
    // where nobody observed anything there is no agreement to measure
    let observed = records
        .iter()
        .filter(|record| !record.node_hashes.is_empty());
    let shares: Vec<f64> = observed
        .map(|record| f64::from(record.agreement_basis_points()) / 100.0)
        .collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let mut took: Vec<_> = records
        .iter()
        .map(|record| record.completed_at.since(record.initiated_at))
        .collect();
    // the median: one decision that waited for people for days says nothing of the others
    took.sort_unstable();
    Summary {
        certified: records.len() as u64,
        with_disagreement: records
            .iter()
            .filter(|record| !record.disagreeing_nodes.is_empty())
            .count() as u64,
        agreement_percent: (!shares.is_empty()).then(|| (mean * 100.0).round() / 100.0),
        median_seconds: took
            .get(took.len() / 2)
            .map(std::time::Duration::as_secs_f64),
        ..Summary::default()
    }
}

fn by_event_type(records: &[ConsensusRecord]) -> Vec<EventTypeLine> {
    let mut lines: BTreeMap<&str, EventTypeLine> = BTreeMap::new();
    for record in records {
        let line = lines
            .entry(&record.event_type)
            .or_insert_with(|| EventTypeLine {
                event_type: record.event_type.clone(),
                certified: 0,
                with_disagreement: 0,
                later_rounds: 0,
            });
        line.certified += 1;
        line.with_disagreement += u64::from(!record.disagreeing_nodes.is_empty());
        line.later_rounds += u64::from(record.round.0 > 0);
    }
    lines.into_values().collect()
}

fn inactive(sources: &Sources<'_>, names: &Names, at: UnixMillis) -> Vec<InactiveLine> {
    let limit = std::time::Duration::from_hours(INACTIVE_DAYS * 24);
    let others = sources
        .manifest
        .members
        .iter()
        .map(|m| m.node_id)
        .filter(|node| *node != sources.node);
    let seen = others.map(|node| (node, (sources.last_seen)(&node)));
    let silent = seen.filter(|(_, seen)| seen.is_none_or(|seen| at.since(seen) > limit));
    silent
        .map(|(node_id, seen)| InactiveLine {
            node_id,
            node_name: names.of(&node_id),
            last_seen: seen.map(UnixMillis::iso),
        })
        .collect()
}

fn anchors(
    store: &Store,
    is_within: impl Fn(UnixMillis) -> bool,
) -> Result<Vec<AnchorLine>, StorageError> {
    let mut lines = Vec::new();
    for row in store.anchors() {
        let (sha256, row) = row?;
        if is_within(row.at) {
            let sha256 = sha256.to_string();
            let at = row.at.iso();
            lines.push(AnchorLine {
                name: row.name,
                sha256,
                cid: row.cid,
                at,
                services: row.services,
            });
        }
    }
    lines.sort_by(|a, b| (&a.at, &a.name).cmp(&(&b.at, &b.name)));
    Ok(lines)
}

fn unknown(
    summary: &Summary,
    sources: &Sources<'_>,
    from: UnixMillis,
    until: UnixMillis,
) -> Vec<String> {
    let mut unknown = Vec::new();
    if summary.agreement_percent.is_none() {
        unknown.push("agreement: no voter's observation is recorded in this month".to_owned());
    }
    if from > sources.now {
        unknown.push("everything: this month has not begun".to_owned());
    }
    if from < sources.started_at && sources.started_at < until {
        let since = sources.started_at.iso();
        unknown.push(format!(
            "whether this node ran all the month: it was last started {since}, and was away before"
        ));
    }
    unknown
        .push("failed syncs are counted as the trust ledger counts them, at most one a member and interval".to_owned());
    unknown
}
