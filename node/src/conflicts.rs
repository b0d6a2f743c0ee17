//! Conflict reports: for each subject in conflict a JSON and a Markdown file in the registry, for
//! people who decide and for those who read later why. A small task writes them as the engine tells
//! of conflicts, and once more when they end.

use crate::clock;

mod markdown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ssid_engine::{NodeEvent, VoteView};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::id::{FederationId, NodeId, SubjectId};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::vote::Phase;
use ssid_storage::{NoteKind, PathContext as _, PathError, StorageError, Store, SubjectState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use markdown::{FIELDS, Field};

use crate::config::{ConflictResolution, Settings};
use crate::engine::{EngineHandle, Listener};
use crate::place::Place;
use crate::registry::paths::RegistryPaths;
use crate::view::{ConflictView, RecordView};

/// What reports are called in their `format`.
const FORMAT: &str = "ssid-conflict-report/1";
/// Bytes of the largest report that is read.
const REPORT_BYTES: u64 = 4 << 20;
/// Files looked at in the reports' directory.
const REPORTS: usize = 100_000;

/// Whether a reported conflict is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// People have to choose.
    InConflict,
    /// The subject is certified.
    Resolved,
}

/// How a conflict ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedResolution {
    /// This node's record of it.
    pub record: RecordView,
    /// Whose precommits are its certificate.
    pub signed_by: Vec<NodeId>,
}

/// One conflict as a node saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConflictReport {
    /// Always the same.
    pub format: String,
    /// In which federation.
    pub federation_id: FederationId,
    /// By which node.
    pub reported_by: NodeId,
    /// When the report was written, RFC 3339.
    pub written_at: String,
    /// Whether it is over.
    pub state: ReportState,
    /// What the members are called; empty with `compliance.anonymize_node_data`.
    pub names: BTreeMap<NodeId, String>,
    /// The candidates and the votes, when the conflict was last told of.
    pub conflict: ConflictView,
    /// How it ended, once it has.
    pub resolution: Option<ReportedResolution>,
}

/// Where reports go, and what stands in all of them.
#[derive(Clone, Debug)]
pub struct Reports {
    /// The directory; made when the first report is written.
    pub directory: Place,
    /// The epochs that the node knows: whose federation it is, and what the members are called.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// The node that wrote the report.
    pub node_id: NodeId,
    /// Whether reports say what the members are called.
    pub shows_names: bool,
    /// Where records and certificates are.
    pub store: Store,
}

/// The directory that the configuration names; its default is the registry's own place, whether in
/// a repository or in a data directory.
pub(crate) fn directory(paths: &RegistryPaths, configured: &ConflictResolution) -> Place {
    if configured.conflict_report_path == ConflictResolution::default().conflict_report_path {
        return paths.conflicts.clone();
    }
    paths.at(&configured.conflict_report_path)
}

/// Writes reports until the end. Subscribes before it looks at what there is, so that nothing falls
/// between.
pub async fn follow(reports: Reports, engine: EngineHandle, shutdown: CancellationToken) {
    let mut listener = Listener::new(&engine);
    let reports = Arc::new(reports);
    // what was in conflict or ended while the node was down
    let mut pending = look_around(&reports, &engine).await;
    loop {
        let heard = tokio::select! {
            () = shutdown.cancelled() => return,
            heard = listener.hear() => heard,
        };
        // the engine has ended
        let Some(heard) = heard else { return };
        for event in heard.events {
            match &*event {
                // … and anew when the operator has decided: who it was and why is part of it
                NodeEvent::Conflict { subject_id, .. }
                | NodeEvent::Decided {
                    subject_id,
                    decision: NoteKind::Stand,
                    ..
                } => {
                    pending.insert(*subject_id);
                    report(&reports, &engine, *subject_id).await;
                }
                // only where there is a report: most subjects never were in conflict
                NodeEvent::Certified { subject_id, .. } if pending.remove(subject_id) => {
                    resolve(&reports, *subject_id).await;
                }
                _ => {}
            }
        }
        // which ones were missed is not known: all are looked at
        if heard.missed > 0 {
            pending = look_around(&reports, &engine).await;
        }
    }
}

/// Reports conflicts that nobody reported, ends reports whose subjects are certified; the subjects
/// still in conflict.
async fn look_around(reports: &Arc<Reports>, engine: &EngineHandle) -> HashSet<SubjectId> {
    let looked = blocking(reports, |reports| {
        // from the files, not from memory: they are what people have seen
        let unfinished = reports.unfinished();
        let missing = reports
            .store
            .conflicts()
            .unwrap_or_default()
            .into_iter()
            .map(|(id, _)| id);
        let missing: Vec<_> = missing.filter(|id| !unfinished.contains(id)).collect();
        Ok((unfinished, missing))
    });
    let Some((mut pending, missing)) = looked.await else {
        // a disk that cannot be read: conflicts to come are reported all the same
        return HashSet::new();
    };
    // decided while the node was down or behind
    for subject in pending.clone() {
        let is_certified = matches!(
            reports.store.subject(&subject),
            Ok(Some(SubjectState::Certified { .. }))
        );
        if is_certified && pending.remove(&subject) {
            resolve(reports, subject).await;
        }
    }
    for subject in missing {
        report(reports, engine, subject).await;
        pending.insert(subject);
    }
    pending
}

/// Why a report is not written.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    /// What is to be reported cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// One of its files cannot be written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// It was broken off.
    #[error("writing it broke off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

async fn report(reports: &Arc<Reports>, engine: &EngineHandle, subject: SubjectId) {
    // the engine has stopped, or decided meanwhile: nothing to report
    let Ok(Some(open)) = engine.instance(subject).await else {
        return;
    };
    let write = move |reports: &Reports| {
        let rows = reports.store.decisions_of(&subject)?;
        reports.write(&ConflictView::from(open).decided(rows))
    };
    blocking(reports, write).await;
}

async fn resolve(reports: &Arc<Reports>, subject: SubjectId) {
    blocking(reports, move |reports| reports.write_resolved(subject)).await;
}

/// Runs `work` where blocking is allowed. What fails is logged: reports are for people, the vote
/// goes on without.
async fn blocking<T: Send + 'static>(
    reports: &Arc<Reports>,
    work: impl FnOnce(&Reports) -> Result<T, ReportError> + Send + 'static,
) -> Option<T> {
    let ours = reports.clone();
    let done = tokio::task::spawn_blocking(move || work(&ours)).await;
    let failed = |error: &ReportError| {
        tracing::warn!(directory = %reports.directory.display(), %error, "no conflict report");
    };
    done.map_err(ReportError::from)
        .and_then(|done| done)
        .inspect_err(failed)
        .ok()
}

impl Reports {
    /// What `conflict_resolution` and `compliance` say; `None` where no reports are wanted.
    pub fn configured(
        settings: &Settings,
        paths: &RegistryPaths,
        epochs: &watch::Receiver<Arc<Epochs>>,
        node_id: NodeId,
        store: &Store,
    ) -> Option<Self> {
        settings
            .conflict_resolution
            .create_conflict_report
            .then(|| Self {
                directory: directory(paths, &settings.conflict_resolution),
                epochs: epochs.clone(),
                node_id,
                shows_names: !settings.compliance.anonymize_node_data,
                store: store.clone(),
            })
    }

    fn epoch(&self) -> Arc<EpochContext> {
        self.epochs.borrow().current().clone()
    }

    /// What the members are called, if reports are to say so.
    fn names(&self) -> BTreeMap<NodeId, String> {
        let epoch = self.epoch();
        let members = epoch.manifest().members.iter();
        members
            .filter(|_| self.shows_names)
            .map(|member| (member.node_id, member.node_name.clone()))
            .collect()
    }

    fn path(&self, subject: &SubjectId, extension: &str) -> Place {
        self.directory.join(format!("{subject}.{extension}"))
    }

    /// Subjects whose reports say that they are in conflict.
    fn unfinished(&self) -> HashSet<SubjectId> {
        let Ok(files) = self.directory.entries(REPORTS) else {
            return HashSet::new();
        };
        let ours = files.into_iter().map(|file| file.place).filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        let reports = ours.filter_map(|path| read(&path));
        let federation = *self.epoch().federation();
        let unfinished = reports.filter(|report| {
            report.state == ReportState::InConflict && report.federation_id == federation
        });
        unfinished
            .map(|report| report.conflict.subject_id)
            .collect()
    }

    /// Writes the report of a conflict, or writes it anew when more is known.
    fn write(&self, conflict: &ConflictView) -> Result<(), ReportError> {
        let report = ConflictReport {
            format: FORMAT.to_owned(),
            federation_id: *self.epoch().federation(),
            reported_by: self.node_id,
            written_at: clock::now().iso(),
            state: ReportState::InConflict,
            names: self.names(),
            conflict: conflict.clone(),
            resolution: None,
        };
        self.save(report)
    }

    /// Says in a report how its conflict ended.
    fn write_resolved(&self, subject: SubjectId) -> Result<(), ReportError> {
        // a report that somebody took away is not made again for its end
        let Some(report) = read(&self.path(&subject, "json")) else {
            return Ok(());
        };
        let Some(SubjectState::Certified { sequence }) = self.store.subject(&subject)? else {
            // asked too early: the next look finds it
            return Ok(());
        };
        let Some(record) = self.store.record(sequence)? else {
            return Ok(());
        };
        let certificate = self.store.certificate(sequence)?;
        let signed_by: Vec<NodeId> = certificate
            .into_iter()
            .flat_map(|c| c.precommits)
            .map(|proof| proof.signer)
            .collect();
        // the certificate has the votes that decided; of some of them the engine kept nothing
        let next_step = "none: it is certified".to_owned();
        let rows = self.store.decisions_of(&subject)?;
        let votes = with_precommits(report.conflict.votes, &record, &signed_by);
        let resolution = Some(ReportedResolution {
            record: RecordView::of(&record, sequence),
            signed_by,
        });
        let conflict = ConflictView {
            in_conflict: false,
            next_step,
            votes,
            ..report.conflict
        }
        .decided(rows);
        self.save(ConflictReport {
            written_at: clock::now().iso(),
            state: ReportState::Resolved,
            names: self.names(),
            conflict,
            resolution,
            ..report
        })
    }

    /// Puts both files in place, each whole or not at all, unless they say the same already.
    fn save(&self, mut report: ConflictReport) -> Result<(), ReportError> {
        let subject = report.conflict.subject_id;
        let json = self.path(&subject, "json");
        let text = self.path(&subject, "md");
        // the time alone is no change: watchers and Git would see one at each start
        if let Some(known) = read(&json) {
            let written_at = std::mem::replace(&mut report.written_at, known.written_at.clone());
            if known == report && text.exists() {
                return Ok(());
            }
            report.written_at = written_at;
        }
        let put = |path: &Place, bytes: &[u8]| path.replace(bytes).context("write", path);
        self.directory.make().context("make", &self.directory)?;
        let mut document = serde_json::to_vec_pretty(&report).context("write", &json)?;
        document.push(b'\n');
        // the page first: the document counts as the report, and is there only with its page
        put(&text, markdown::page(&report).as_bytes())?;
        Ok(put(&json, &document)?)
    }
}

/// The votes that were known, and the precommits of the certificate: the round in which people
/// decided is there too.
fn with_precommits(
    mut votes: Vec<VoteView>,
    record: &ConsensusRecord,
    signers: &[NodeId],
) -> Vec<VoteView> {
    let precommits = signers.iter().map(|signer| VoteView {
        node: *signer,
        round: record.round,
        phase: Phase::Precommit,
        choice: Some(record.choice),
        observed: false,
    });
    let is_new = |vote: &VoteView| {
        let same = |v: &VoteView| (v.node, v.round, v.phase) == (vote.node, vote.round, vote.phase);
        !votes.iter().any(same)
    };
    let new: Vec<_> = precommits.filter(is_new).collect();
    votes.extend(new);
    votes
}

/// A report that was written before; `None` if there is none, or something else.
fn read(path: &Place) -> Option<ConflictReport> {
    let report: ConflictReport = serde_json::from_slice(&path.read(REPORT_BYTES).ok()?).ok()?;
    (report.format == FORMAT).then_some(report)
}
