//! The steps of the tour, in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use ssid_node::view::{EmitView, Page, RecordView, TrustView, VerifyView};
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;

use super::certificate;
use super::report::{INDENT, Report, Shown};
use super::sample;
use super::wait::{Held, until, until_equal};
use crate::cluster::{Cluster, ClusterSpec, Prepare};
use crate::output::{Output, Tone, band, clean, short, when};
use crate::table::{named, prose, whole};

/// How long any step may take, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);
/// The node that announces later events and is asked for the tables; the coordinator.
const SPEAKER: usize = 0;
/// The node that is killed.
const VICTIM: usize = 1;

/// Where the tour runs, and with how many nodes.
#[derive(Debug)]
pub(super) struct Tour<'a> {
    dir: &'a Path,
    nodes: usize,
    out: Output,
}

/// A tour whose nodes run.
struct Running {
    cluster: Cluster,
    manifest: Manifest,
    nodes: usize,
    out: Output,
}

impl<'a> Tour<'a> {
    pub(super) fn new(dir: &'a Path, nodes: usize, out: Output) -> Self {
        Self { dir, nodes, out }
    }

    /// Takes all steps, or ends at the first that does not hold.
    pub(super) async fn take(self, report: &mut Report) -> Result<()> {
        let mut running = None;
        // a step answers with what it shows; the nodes come out beside it
        report
            .step("nodes", "starting nodes", self.start(&mut running))
            .await?;
        let mut tour = running.context("the nodes do not run")?;
        report.step("certified", "voting", tour.certify()).await?;
        report
            .step("divergence", "looking for who differs", tour.divergence())
            .await?;
        report
            .step("killed", "deciding without one node", tour.kill())
            .await?;
        report
            .step("caught_up", "catching up", tour.catch_up())
            .await?;
        report
            .step(
                "history",
                "verifying every certificate on every node",
                tour.history(),
            )
            .await?;
        report
            .step("trust", "asking for trust", tour.trust())
            .await?;
        report
            .step(
                "certificate",
                "verifying offline",
                certificate::check(&tour.cluster, VICTIM),
            )
            .await
    }

    async fn start(&self, running: &mut Option<Running>) -> Result<Shown> {
        let mut spec = ClusterSpec::new(self.nodes);
        "demo".clone_into(&mut spec.name);
        spec.names = sample::names();
        // before the nodes start, as in every real deployment: the registries are there first
        spec.prepare = Prepare::new(sample::feed);
        let mut cluster = Cluster::up(self.dir, &spec, LIMIT).await?;
        let manifest = cluster.manifest()?;
        let quorum = manifest.voters()?.quorum();
        let mut rows = Vec::new();
        let mut facts = Vec::new();
        for (index, member) in manifest.members.iter().enumerate() {
            // in the answer too: whoever watches can look at the processes
            let pid = cluster.pid(index);
            let address = member.addresses.first().cloned().unwrap_or_default();
            facts.push(
                json!({ "node_id": member.node_id, "node_name": member.node_name, "pid": pid, "address": address }),
            );
            let process = pid.map_or_else(String::new, |pid| pid.to_string());
            let cells = [
                short(&member.node_id),
                clean(&member.node_name),
                clean(&member.organization),
                process,
                address,
            ];
            rows.push(cells.iter().map(|text| self.out.plain(text)).collect());
        }
        let line = format!(
            "{} nodes, each with its own key, process and registry, found each other; {quorum} of {} votes decide",
            self.nodes, self.nodes
        );
        let facts =
            json!({ "federation_id": manifest.federation_id(), "quorum": quorum, "nodes": facts });
        *running = Some(Running {
            cluster,
            manifest,
            nodes: self.nodes,
            out: self.out,
        });
        let columns = [
            whole("NODE"),
            named("NAME", 6),
            named("ORGANIZATION", 10),
            whole("PROCESS").goes(1),
            whole("ADDRESS").goes(2),
        ];
        let table = self.out.indented(INDENT).table(&columns, rows);
        Ok(Shown::new(facts, line).below(table))
    }
}

impl Running {
    fn all(&self) -> Vec<usize> {
        (0..self.nodes).collect()
    }

    /// The node whose registry differs in one event: the last.
    fn divergent(&self) -> Result<NodeId> {
        Ok(self
            .manifest
            .members
            .last()
            .context("a federation without members")?
            .node_id)
    }

    fn name(&self, index: usize) -> String {
        self.manifest
            .members
            .get(index)
            .map_or_else(|| index.to_string(), |m| clean(&m.node_name))
    }

    fn name_of(&self, id: &NodeId) -> String {
        self.manifest
            .member(id)
            .map_or_else(|| short(id), |m| clean(&m.node_name))
    }

    /// Every event of the registry log is certified on every node; what is none was set aside.
    async fn certify(&self) -> Result<Shown> {
        let log = sample::parsed();
        let events = log.entries.len();
        let held = until_equal(&self.cluster, &self.all(), events, LIMIT).await?;
        let first = log
            .quarantined()
            .map(|s| s.first_line)
            .min()
            .unwrap_or_default();
        let last = log
            .quarantined()
            .map(|s| s.last_line)
            .max()
            .unwrap_or_default();
        let line = format!(
            "{events} events of the registry log certified on all {} nodes; a broken object (lines {first}–{last}) set aside",
            self.nodes
        );
        let facts = json!({ "events": events, "certified_digest": held.digest, "set_aside": { "line": first, "last_line": last } });
        Ok(Shown::new(facts, line))
    }

    /// The record names the node whose registry says otherwise, and the majority's event is
    /// certified.
    async fn divergence(&self) -> Result<Shown> {
        let (event, version) = sample::disputed();
        let divergent = self.divergent()?;
        // late votes count into a record for a minute: it is looked at until they have
        let record = until(LIMIT, async || {
            let held = Held::of(&self.cluster, SPEAKER).await?;
            let record = held
                .find(event, version)
                .context("the disputed event has no record")?;
            let is_named = record.disagreeing_nodes.contains(&divergent);
            let missing = || {
                format!(
                    "no record names {} as disagreeing",
                    self.name_of(&divergent)
                )
            };
            Ok(is_named.then(|| record.clone()).ok_or_else(missing))
        })
        .await?;
        // exactly it: an honest node must not be blamed beside it
        ensure!(
            record.disagreeing_nodes == [divergent],
            "the record names others than {}",
            self.name_of(&divergent)
        );
        let own = record
            .node_hashes
            .get(&divergent)
            .context("its own hash is not in the record")?;
        let certified = record.consensus_hash.context("no hash is certified")?;
        // differing is allowed, deciding alone is not
        ensure!(*own != certified, "the divergent node's hash was certified");
        let total = record.node_hashes.len();
        let agreeing = record.node_hashes.len() - 1;
        let line = format!(
            "{event} {version}: {agreeing} of {total} registries agree, {} differs; the majority's event is certified",
            self.name_of(&divergent)
        );
        let below = format!(
            "certified:\n{certified}\n{}:\n{own}",
            self.name_of(&divergent)
        );
        let facts = json!({ "event_type": event, "event_version": version, "consensus_hash": certified,
            "node_id": divergent, "node_name": self.name_of(&divergent), "event_hash": own });
        Ok(Shown::new(facts, line).below(below))
    }

    /// One node ends as by a power cut; the others decide without it.
    async fn kill(&mut self) -> Result<Shown> {
        // SIGKILL, in the middle of whatever it does
        ensure!(
            self.cluster.kill(VICTIM).await?,
            "{} was not running",
            self.name(VICTIM)
        );
        let drafts = sample::later();
        // the answer comes when all are certified, or not at all
        let query = [
            ("wait", "certified".to_owned()),
            ("timeout_seconds", LIMIT.as_secs().to_string()),
        ];
        let client = self.cluster.client(SPEAKER)?;
        let emitted: Page<EmitView> = client.post_json(&["v1", "events"], &query, &drafts).await?;
        let emitted = emitted.items;
        ensure!(
            emitted.len() == drafts.len(),
            "{} answers for {} events",
            emitted.len(),
            drafts.len()
        );
        if let Some(open) = emitted.iter().find(|e| !e.is_certified()) {
            anyhow::bail!(
                "{} {} is not certified",
                open.event.event,
                open.event.version
            );
        }
        let others: Vec<usize> = self
            .all()
            .into_iter()
            .filter(|index| *index != VICTIM)
            .collect();
        // on all that are left, not only where they were announced
        until_equal(&self.cluster, &others, sample::count(), LIMIT).await?;
        let line = format!(
            "{} killed (SIGKILL); the other {} certified {} new events that {} announced",
            self.name(VICTIM),
            others.len(),
            drafts.len(),
            self.name(SPEAKER)
        );
        Ok(Shown::new(
            json!({ "killed": self.name(VICTIM), "events": drafts.len() }),
            line,
        ))
    }

    /// The killed node, started again, has what the others have.
    async fn catch_up(&mut self) -> Result<Shown> {
        self.cluster.start(VICTIM)?;
        self.cluster.wait_answering(VICTIM, LIMIT).await?;
        let held = until_equal(&self.cluster, &self.all(), sample::count(), LIMIT).await?;
        let own = Held::of(&self.cluster, VICTIM).await?;
        let fetched = own.records.iter().filter(|r| r.transport == "sync").count();
        let line = format!(
            "{} restarted and caught up: all {} nodes hold the same {} certificates",
            self.name(VICTIM),
            self.nodes,
            held.records.len()
        );
        let facts = json!({ "restarted": self.name(VICTIM), "fetched": fetched, "certified": held.records.len(),
            "certified_digest": held.digest });
        let below = format!(
            "certified set, on every node; {fetched} fetched from peers:\n{}",
            held.digest
        );
        Ok(Shown::new(facts, line).below(below))
    }

    /// Every node verifies every certificate and its log's tree again.
    async fn history(&self) -> Result<Shown> {
        let mut verified = 0;
        for index in self.all() {
            // by its own storage: nodes have certificates with different sets of signers
            let view: VerifyView = self
                .cluster
                .client(index)?
                .get_slowly(&["v1", "consensus", "verify"])
                .await?;
            ensure!(
                view.ok,
                "{}: {} certificates do not verify",
                self.name(index),
                view.failures
            );
            // all of them, or a node that lost some would pass
            ensure!(
                view.certificates == sample::count() as u64,
                "{} verified {} certificates",
                self.name(index),
                view.certificates
            );
            verified += view.certificates;
        }
        // of one node is enough: that they are equal was seen in the steps before
        let records = Held::of(&self.cluster, SPEAKER).await?.records;
        let line = format!(
            "{verified} certificates verified again, {} on each node; the history:",
            sample::count()
        );
        Ok(
            Shown::new(json!({ "verified": verified, "history": records }), line)
                .below(self.table(&records)),
        )
    }

    fn table(&self, records: &[RecordView]) -> String {
        let row = |r: &RecordView| {
            let disagreeing: Vec<_> = r
                .disagreeing_nodes
                .iter()
                .map(|id| self.name_of(id))
                .collect();
            let tone = if disagreeing.is_empty() {
                Tone::Good
            } else {
                Tone::Warn
            };
            let agreeing = r.node_hashes.len().saturating_sub(disagreeing.len());
            vec![
                self.out
                    .plain(r.consensus_hash.as_ref().map_or(String::new(), short)),
                self.out.plain(clean(&r.event_type)),
                self.out.plain(clean(&r.event_version)),
                self.out
                    .plain(r.completed_at.as_deref().map_or(String::new(), when)),
                self.out
                    .cell(tone, format!("{agreeing} of {}", r.eligible_nodes)),
                self.out.cell(Tone::Warn, disagreeing.join(" ")),
            ]
        };
        let columns = [
            whole("HASH"),
            named("EVENT", 10),
            named("VERSION", 8),
            whole("CERTIFIED"),
            whole("OBSERVED"),
            named("DIFFERING", 9),
        ];
        self.out
            .indented(INDENT)
            .table(&columns, records.iter().map(row))
    }

    /// In the coordinator's ledger the node that differed has lost points for it, and nobody else
    /// has.
    async fn trust(&self) -> Result<Shown> {
        let client = self.cluster.client(SPEAKER)?;
        let divergent = self.divergent()?;
        let mut all = Vec::new();
        for member in &self.manifest.members {
            let trust: TrustView = client
                .get(&["v1", "trust", &member.node_id.to_string()], &[])
                .await?;
            let disagreed = trust
                .changes
                .iter()
                .any(|change| change.reason == "disagreement");
            // both ways: who differed lost points for it, and no one else did
            let is_divergent = member.node_id == divergent;
            ensure!(
                disagreed == is_divergent,
                "{}: {:?}",
                clean(&member.node_name),
                trust.changes
            );
            all.push(trust);
        }
        let row = |t: &TrustView| {
            let tone = if t.node_id == divergent {
                Tone::Warn
            } else {
                Tone::Good
            };
            let cells = [
                self.out.plain(clean(&t.node_name)),
                self.out.cell(tone, t.trust_score),
                self.out.cell(tone, band(&t.trust_label)),
            ];
            cells
                .into_iter()
                .chain([self.out.plain(points(t))])
                .collect()
        };
        let table = self.out.indented(INDENT).table(
            &[
                whole("NAME"),
                whole("SCORE"),
                whole("TRUST"),
                prose("POINTS"),
            ],
            all.iter().map(row),
        );
        let line = format!(
            "trust follows: {}'s ledger, in which everybody began with 50",
            self.name(SPEAKER)
        );
        Ok(Shown::new(
            json!({ "as_seen_by": self.name(SPEAKER), "trust": all }),
            line,
        )
        .below(table))
    }
}

/// Points by reason.
fn points(trust: &TrustView) -> String {
    let mut sums: BTreeMap<&str, i32> = BTreeMap::new();
    trust
        .changes
        .iter()
        .for_each(|change| *sums.entry(&change.reason).or_default() += change.points);
    sums.iter()
        .map(|(reason, points)| format!("{points:+} {reason}"))
        .collect::<Vec<_>>()
        .join(", ")
}
