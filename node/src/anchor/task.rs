//! Anchoring inside a running node: what the engine put into the outbox goes out by itself, with
//! back-off while no provider takes it, and whoever asks gets a session at once. A task of its own
//! with a bounded channel: nothing that certifies ever waits for it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ssid_engine::outbox::{ANCHOR, OutboxChange, entries_of, merged, portion, ready, row_for};
use ssid_protocol::id::UnixMillis;
use ssid_storage::{OutboxKey, OutboxRow, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::documents::{self, DOCUMENT_ENTRIES};
use super::error::AnchorError;
use super::manifest::AnchorManifest;
use super::provider::Providers;
use super::run::{self, Item, Known, Progress, Session};
use super::select::Wanted;
use super::{environment, manifest_gateway};
use crate::clock;
use crate::config::{Anchoring, IpfsFederation, Settings};
use crate::engine::EngineHandle;
use crate::pace::Pace;
use crate::place::Place;
use crate::registry::paths::RegistryPaths;

/// Rows of the outbox in one session.
const ROWS: usize = 32;
/// Log entries in one session: what certificates and records of them are made of is in memory at
/// once. A multiple of what goes into one document, so that a long row is cut between documents.
const SESSION_ENTRIES: u64 = 8 * DOCUMENT_ENTRIES;
/// Rows that wait at most; past that they become one.
const WAITING_ROWS: usize = 4096;
/// Requests for a session, waiting.
const REQUESTS: usize = 4;

/// When the task looks at the outbox.
pub const PACE: Pace = Pace {
    settle: Duration::from_secs(2),
    first_retry: Duration::from_secs(5),
    last_retry: Duration::from_mins(10),
};

/// What the task works with.
#[derive(Debug)]
pub struct Anchorer {
    /// The section `anchoring` of the configuration.
    pub settings: Anchoring,
    /// Servers that tokens are for, besides those that variables name:
    /// [`Config::secret_hosts`](crate::config::Config::secret_hosts).
    pub hosts: BTreeMap<String, String>,
    /// The section `advanced.ipfs_federation` of the configuration.
    pub documents: IpfsFederation,
    /// Where the registry's files are.
    pub paths: RegistryPaths,
    /// Outbox, log and anchors.
    pub store: Store,
    /// Who writes the outbox, and says when the log has grown.
    pub engine: EngineHandle,
    /// When it looks.
    pub pace: Pace,
}

/// What the task is doing, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorState {
    /// The session under way.
    pub running: Option<Progress>,
    /// What the last session failed at.
    pub problem: Option<String>,
    /// When the next is tried, if one is due.
    pub next_try_at: Option<UnixMillis>,
}

/// Asks for a session over everything.
#[derive(Debug)]
pub struct AnchorRequest {
    /// What became of it, or why there was none.
    pub reply: oneshot::Sender<Result<Session, String>>,
}

/// How others reach the task.
#[derive(Clone, Debug)]
pub struct AnchorHandle {
    /// Requests; a sender waits when too many do.
    pub requests: mpsc::Sender<AnchorRequest>,
    /// What it is doing.
    pub state: watch::Receiver<AnchorState>,
}

/// The kinds of outbox rows that this configuration wants for certified events.
pub fn outbox_kinds(settings: &Settings) -> Vec<u8> {
    let wanted = settings.anchoring.after_certified || settings.advanced.ipfs_federation.enabled;
    if wanted { vec![ANCHOR] } else { Vec::new() }
}

/// Makes the task; whoever starts the node spawns it.
pub fn prepare(
    anchorer: Anchorer,
    shutdown: CancellationToken,
) -> (AnchorHandle, impl Future<Output = ()> + use<>) {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (sender, state) = watch::channel(AnchorState::default());
    let task = Task {
        anchorer,
        state: sender,
        failures: 0,
        due: Some(Instant::now()),
    };
    (
        AnchorHandle { requests, state },
        task.follow(inbox, shutdown),
    )
}

struct Task {
    anchorer: Anchorer,
    state: watch::Sender<AnchorState>,
    /// Sessions that failed one after another.
    failures: u32,
    /// When to look next.
    due: Option<Instant>,
}

impl Task {
    async fn follow(
        mut self,
        mut inbox: mpsc::Receiver<AnchorRequest>,
        shutdown: CancellationToken,
    ) {
        // one look at the log's size is enough: rows of the outbox say what is to be done
        let mut status = self.anchorer.engine.status();
        let mut size = status.borrow().log.size;
        loop {
            let due = self.due;
            tokio::select! {
                () = shutdown.cancelled() => return,
                request = inbox.recv() => {
                    let Some(request) = request else { return };
                    // a stop may come in the middle: whatever was uploaded is found again by its
                    // content
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        outcome = self.all() => { request.reply.send(outcome.map_err(|e| e.to_string())).ok(); }
                    }
                }
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = status.borrow().log.size;
                    // a moment later: decisions come together, and one session anchors them all
                    if now != size && self.failures == 0 {
                        self.due.get_or_insert(Instant::now() + self.anchorer.pace.settle);
                    }
                    size = now;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    // broken off, it is found again by its content and costs one session
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        outcome = self.deliver() => self.ended(outcome),
                    }
                }
            }
        }
    }

    /// One session over what waits; `None` if nothing does.
    async fn deliver(&mut self) -> Result<Option<Session>, AnchorError> {
        let rows = self.waiting(ROWS)?;
        if rows.is_empty() {
            return Ok(None);
        }
        // while nobody is there, thousands of certificates are not put together again and again
        let providers =
            Providers::configured(&self.anchorer.settings, &environment(&self.anchorer.hosts))?;
        if let Err(away) = providers.any_answers().await {
            self.merge_rows().await?;
            return Err(away.into());
        }
        let (entries, done) = portion(ANCHOR, &rows, SESSION_ENTRIES);
        let session = self.session(&providers, entries).await?;
        if session.must_retry() {
            self.merge_rows().await?;
        } else if session.left == 0 {
            self.change(done).await?;
        }
        Ok(Some(session))
    }

    /// One session over everything the registry's log calls for, and what waits. If no provider
    /// takes it, it waits too.
    async fn all(&mut self) -> Result<Session, AnchorError> {
        let rows = self.waiting(ROWS)?;
        let (mut entries, _) = portion(ANCHOR, &rows, SESSION_ENTRIES);
        entries.push(0..0);
        let providers =
            Providers::configured(&self.anchorer.settings, &environment(&self.anchorer.hosts))?;
        let session = self.session(&providers, entries).await?;
        if session.must_retry()
            && !rows
                .iter()
                .any(|(_, row)| entries_of(row).is_some_and(|e| e.is_empty()))
        {
            self.change(OutboxChange {
                add: vec![row_for(ANCHOR, 0..0)],
                ..OutboxChange::default()
            })
            .await?;
        }
        self.ended(Ok(Some(session.clone())));
        Ok(session)
    }

    async fn session(
        &self,
        providers: &Providers,
        entries: Vec<Range<u64>>,
    ) -> Result<Session, AnchorError> {
        let settings = &self.anchorer.settings;
        let work = self.anchorer.work();
        // read off the runtime: whole files are hashed
        let (items, known) = blocking(move || work.collect(&entries)).await?;
        let state = &self.state;
        let progress =
            |progress: Progress| state.send_modify(|state| state.running = Some(progress));
        let session = run::session(
            items,
            &known,
            // what others watch while an upload takes minutes
            providers,
            manifest_gateway(settings),
            &progress,
        )
        .await;
        self.state.send_modify(|state| state.running = None);
        let anchored = session.clone();
        let manifest = self.anchorer.paths.ipfs_anchor_manifest.clone();
        // the manifest before the row: a row without its line in the manifest would never be told
        // again
        blocking(move || anchored.record(&manifest)).await?;
        let anchors = session.rows(clock::now());
        if !anchors.is_empty() {
            self.change(OutboxChange {
                anchors,
                ..OutboxChange::default()
            })
            .await?;
        }
        Ok(session)
    }

    /// Says how it went, and when to look again.
    fn ended(&mut self, outcome: Result<Option<Session>, AnchorError>) {
        let (problem, idle) = match outcome {
            Ok(None) => (None, true),
            Ok(Some(session)) => (problem_of(&session), false),
            Err(error) => (Some(error.to_string()), false),
        };
        // asked again at once while something was done: more may have come meanwhile
        self.due = match (&problem, idle) {
            (Some(_), _) => Some(Instant::now() + self.anchorer.pace.back_off(self.failures)),
            (None, false) => Some(Instant::now()),
            (None, true) => None,
        };
        self.failures = if problem.is_some() {
            self.failures.saturating_add(1)
        } else {
            0
        };
        // once, however long an outage lasts; `anchor list` shows the rest
        if let Some(problem) = problem.as_ref().filter(|_| self.failures == 1) {
            tracing::warn!("anchoring waits and is tried again: {problem}");
        }
        let wait = self
            .due
            .filter(|_| problem.is_some())
            .map(|due| due.saturating_duration_since(Instant::now()));
        let next_try_at = wait.map(|wait| clock::now().after(wait));
        self.state
            .send_modify(|state| (state.problem, state.next_try_at) = (problem, next_try_at));
    }

    fn waiting(&self, limit: usize) -> Result<Vec<(OutboxKey, OutboxRow)>, AnchorError> {
        Ok(ready(&self.anchorer.store, ANCHOR, limit)?)
    }

    /// A long outage does not grow the outbox without bound: many rows become one over all their
    /// entries.
    async fn merge_rows(&self) -> Result<(), AnchorError> {
        // some at a time: the engine has other things to write
        loop {
            let rows = self.waiting(WAITING_ROWS)?;
            if rows.len() < WAITING_ROWS {
                return Ok(());
            }
            self.change(merged(ANCHOR, &rows)).await?;
        }
    }

    /// On disk when it returns, so that storage shows it. What is lost with an error is done again:
    /// content that was uploaded is found by its hash.
    async fn change(&self, change: OutboxChange) -> Result<(), AnchorError> {
        self.anchorer.engine.outbox(change).await?;
        Ok(())
    }
}

/// What collecting a session needs, apart from the task so that it can run where blocking is
/// allowed.
struct Work {
    files: bool,
    documents: IpfsFederation,
    paths: RegistryPaths,
    store: Store,
    manifest: Place,
}

impl Anchorer {
    fn work(&self) -> Work {
        Work {
            files: self.settings.after_certified,
            documents: self.documents.clone(),
            paths: self.paths.clone(),
            store: self.store.clone(),
            manifest: self.paths.ipfs_anchor_manifest.clone(),
        }
    }
}

impl Work {
    /// What these entries of the log call for, and what is anchored already. An empty range is the
    /// registry's own log.
    fn collect(&self, rows: &[Range<u64>]) -> Result<(Vec<Item>, Known), AnchorError> {
        let mut wanted = Wanted::default();
        let mut items = Vec::new();
        for entries in rows {
            if entries.is_empty() {
                wanted.add_registry(&self.paths)?;
            }
            if self.files {
                self.note_events(&mut wanted, entries.clone())?;
            }
            if self.documents.enabled {
                let pin = self.documents.pin_consensus_records;
                items.extend(documents::of_entries(&self.store, entries.clone(), pin)?);
            }
        }
        items.extend(wanted.files(&self.paths)?.into_iter().map(Item::from));
        // both: the manifest may have been written by the scripts, and storage outlives a manifest
        // that is lost
        let mut known = Known::of(&AnchorManifest::read(&self.manifest)?.anchors);
        for row in self.store.anchors() {
            let (sha256, row) = row?;
            known.add(
                &sha256.to_string(),
                row.services.iter().any(|service| service == "pinning"),
            );
        }
        Ok((items, known))
    }

    fn note_events(&self, wanted: &mut Wanted, entries: Range<u64>) -> Result<(), AnchorError> {
        for sequence in entries {
            let Some(entry) = self.store.log_entry(sequence)? else {
                break;
            };
            if let Some(event) = self.store.event(&entry.choice.content_digest)? {
                wanted.add(&event);
            }
        }
        Ok(())
    }
}

/// What failed and may succeed later; what never will is only said.
fn problem_of(session: &Session) -> Option<String> {
    for failure in session.failed.iter().filter(|failure| !failure.retry) {
        tracing::warn!(file = failure.file, reason = failure.reason, "not anchored");
    }
    for remark in &session.remarks {
        tracing::warn!("anchored, but {remark}");
    }
    tracing::debug!(
        anchored = session.anchored.len(),
        unchanged = session.unchanged,
        "anchoring session"
    );
    let failed = session.failed.iter().find(|failure| failure.retry);
    failed.map(|failure| format!("{}: {}", failure.file, failure.reason))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnchorError> + Send + 'static,
) -> Result<T, AnchorError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
