//! `advanced.webhook_on_consensus`: an address that is told of every certified event, for programs
//! rather than people. The certified log itself is what waits: one row of the outbox says which
//! entry is next, so an outage grows nothing, and the order is the log's. Telling begins with what
//! is certified after the key was set.
//!
//! The body is
//! `{"format": "ssid-consensus/1", "federation_id", "node_id", "corrected", "records": […]}`, each
//! record as `/v1/consensus` shows it. It is on disk before it is sent, so that what is sent again,
//! also by a node that was killed meanwhile, is the same bytes under the same key. A record that
//! changes after it was told – an observation came late – is told again in a delivery of its own,
//! with `corrected` true and a key of its own. Bodies are signed like the webhook of
//! `telemetry_config.json`, where `SSID_WEBHOOK_SECRET` is set. Delivery is at least once: a
//! receiver knows a delivery by its key, and a record by its `subject_id`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ssid_engine::outbox::{
    HOOK, HOOK_BODY, HOOK_CHANGED, OUTBOX_ROW_BYTES, OutboxChange, entries_of, row_for, row_of,
    sequences_of,
};
use ssid_protocol::id::{FederationId, NodeId};
use ssid_storage::{OutboxKey, OutboxRow, StorageError, Store};
use tokio_util::sync::CancellationToken;

use super::channels::{Attempt, ConsensusWebhook, Http};
use super::secret::{Secret, SecretUrl, others_can_read};
use crate::config::Settings;
use crate::engine::{EngineError, EngineHandle};
use crate::pace::Pace;
use crate::view::RecordView;

/// The key, for messages.
const KEY: &str = "advanced.webhook_on_consensus";
/// The environment's way to set it.
pub const VARIABLE: &str = "SSID_ADVANCED_WEBHOOK_ON_CONSENSUS";
/// Records in one request.
const RECORDS: usize = 100;
/// Bytes of records in one request; a single larger one goes alone.
const RECORD_BYTES: usize = 256 * 1024;
/// Rows read at once.
const ROWS: usize = 1000;
/// How often changed records are looked for while nothing is certified.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When the task sends. It waits until the observations that come right after a decision are in its
/// record.
pub const PACE: Pace = Pace {
    settle: Duration::from_millis(500),
    first_retry: Duration::from_secs(5),
    last_retry: Duration::from_hours(1),
};

/// The address that is configured, if any.
///
/// # Errors
/// If it is no address, or stands in a file that others can read: what to do, without showing it.
pub fn address(
    settings: &Settings,
    file: &Path,
    in_environment: bool,
) -> Result<Option<SecretUrl>, String> {
    let text = settings
        .advanced
        .webhook_on_consensus
        .as_deref()
        .unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    if !in_environment && others_can_read(file).unwrap_or(false) {
        let file = file.display();
        return Err(format!(
            "{KEY} is a secret, and others can read '{file}'; set {VARIABLE} instead, or run: chmod 600 {file}"
        ));
    }
    SecretUrl::parse(text)
        .map(Some)
        .ok_or_else(|| format!("{KEY} is no https address (http only on this machine)"))
}

/// Forgets what waits: the key is not set any more, and when it is set again telling begins anew.
///
/// # Errors
/// If storage cannot be read, or the engine has stopped.
pub async fn forget(engine: &EngineHandle, store: &Store) -> Result<(), Halt> {
    for kind in [HOOK, HOOK_BODY, HOOK_CHANGED] {
        loop {
            let done = keys(store.outbox(kind, ROWS)?);
            if done.is_empty() {
                break;
            }
            engine
                .outbox(OutboxChange {
                    done,
                    ..OutboxChange::default()
                })
                .await?;
        }
    }
    Ok(())
}

/// What the task works with.
#[derive(Debug)]
pub struct Hook {
    /// The address that is told.
    pub url: SecretUrl,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// The federation that the records are of.
    pub federation: FederationId,
    /// Which node says so.
    pub node: NodeId,
    /// Who writes the outbox, and says when the log has grown.
    pub engine: EngineHandle,
    /// Outbox and log.
    pub store: Store,
    /// When it sends.
    pub pace: Pace,
}

/// How far telling has come, and what is under way: as it is on disk.
#[derive(Debug)]
struct Progress {
    /// The rows that say so.
    rows: Vec<OutboxKey>,
    /// Entries under way; empty, at the entry that is next, while none are.
    entries: Range<u64>,
    /// What is being sent; empty while nothing is.
    body: Vec<u8>,
}

/// What is done next.
#[derive(Debug)]
struct Step {
    /// The entries that the body is of, as in [`Progress`].
    entries: Range<u64>,
    /// The body under way, as in [`Progress`].
    body: Vec<u8>,
    /// Rows about changed records that were looked at,
    looked_at: Vec<OutboxKey>,
    /// and those of their entries that have yet to be told again.
    changed: BTreeSet<u64>,
}

/// Why nothing can be sent any more.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Storage cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was sent cannot be remembered.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The address says that it is gone.
    #[error("{0}")]
    Gone(String),
}

impl Hook {
    /// Sends until the end.
    pub async fn follow(self, shutdown: CancellationToken) {
        let told = tokio::select! {
            () = shutdown.cancelled() => return,
            halted = self.send_all() => halted,
        };
        if let Err(error) = told {
            tracing::error!(%error, "{KEY}: nothing is sent any more until this node is started again; the rest is kept");
        }
    }

    async fn send_all(&self) -> Result<(), Halt> {
        let mut status = self.engine.status();
        let mut progress = self.resume().await?;
        loop {
            if !progress.body.is_empty() {
                self.send(&progress.body).await?;
                let next = progress.entries.end;
                progress = self.keep(progress, Step::at(next)).await?;
            }
            if let Some(step) = self.next_step(progress.entries.end)? {
                progress = self.keep(progress, step).await?;
                continue;
            }
            // ends with the engine
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, status.changed()).await {
                return Ok(());
            }
            tokio::time::sleep(self.pace.settle).await;
        }
    }

    /// Sends a body until the receiver has it.
    async fn send(&self, body: &[u8]) -> Result<(), Halt> {
        let webhook = ConsensusWebhook::new(self.url.clone(), self.secret.clone());
        let http = Http::default();
        let mut failures = 0;
        loop {
            let (why, after) = match webhook.send(&http, body.to_vec(), key(body)).await {
                Attempt::Delivered => return Ok(()),
                Attempt::Later { why, after } => (why, after),
                // an address is one recipient
                Attempt::Refused(why) | Attempt::Partly { why, .. } => (why, None),
                Attempt::Gone(why) => return Err(Halt::Gone(why)),
            };
            if failures == 0 {
                tracing::warn!(why, "{KEY}: what is certified waits, and is sent again");
            }
            tokio::time::sleep(self.pace.back_off(failures).max(after.unwrap_or_default())).await;
            failures = failures.saturating_add(1);
        }
    }

    /// What is kept, or a beginning at the end of the log.
    async fn resume(&self) -> Result<Progress, Halt> {
        let row = self.store.outbox(HOOK, 1)?.into_iter().next();
        // a body is larger than a row may be; its parts stand in order of their keys
        let parts = self.store.outbox(HOOK_BODY, ROWS)?;
        let body = parts
            .iter()
            .flat_map(|(_, row)| row.payload.iter().copied())
            .collect();
        let rows = row.iter().chain(&parts).map(|(key, _)| *key).collect();
        // a row that is not understood is as good as none
        if let Some(entries) = row.and_then(|(_, row)| entries_of(&row)) {
            return Ok(Progress {
                rows,
                entries,
                body,
            });
        }
        // switched on for a log that is there: what was decided before is not told
        let size = self.store.log_head().size;
        let entries = 0..0;
        self.keep(
            Progress {
                rows,
                entries,
                body,
            },
            Step::at(size),
        )
        .await
    }

    /// Puts a step on disk in place of what was there.
    async fn keep(&self, before: Progress, step: Step) -> Result<Progress, Halt> {
        // in one change: cursor and body are never of different steps
        let mut add = vec![row_for(HOOK, step.entries.clone())];
        let parts = step.body.chunks(OUTBOX_ROW_BYTES);
        add.extend(parts.map(|part| OutboxRow {
            kind: HOOK_BODY,
            payload: part.to_vec(),
        }));
        let count = add.len();
        // what changed meanwhile waits for a delivery of its own, behind this one
        add.extend((!step.changed.is_empty()).then(|| row_of(HOOK_CHANGED, step.changed)));
        let done = before.rows.into_iter().chain(step.looked_at).collect();
        let mut rows = self
            .engine
            .outbox(OutboxChange {
                add,
                done,
                ..OutboxChange::default()
            })
            .await?;
        // the row of changes has a key of its own, which is looked up when it is due
        rows.truncate(count);
        Ok(Progress {
            rows,
            entries: step.entries,
            body: step.body,
        })
    }

    /// What is to be sent after the entries before `next` were told; `None` if that is all.
    fn next_step(&self, next: u64) -> Result<Option<Step>, StorageError> {
        // looked at first: a change that comes while records are read is told as one
        let (looked_at, mut changed) = self.changed(next)?;
        let (records, until) = self.load(next..self.store.log_head().size)?;
        if until > next {
            // new entries first: receivers get them in order, and a correction of one they do not
            // have is none
            let body = if records.is_empty() {
                Vec::new()
            } else {
                self.body(&records, false)
            };
            return Ok(Some(Step {
                entries: next..until,
                body,
                looked_at,
                changed,
            }));
        }
        // nothing was looked at: there is no row to do away with either
        if looked_at.is_empty() {
            return Ok(None);
        }
        let (records, count) = self.load(changed.iter().copied())?;
        // as many as a body has room for; the rest is the next step's
        let changed = changed.split_off(&count);
        let body = if records.is_empty() {
            Vec::new()
        } else {
            self.body(&records, true)
        };
        Ok(Some(Step {
            entries: next..next,
            body,
            looked_at,
            changed,
        }))
    }

    /// The oldest rows about changed records, as many as can be one row again, and their entries
    /// before `next`: what comes after is told as it is then.
    fn changed(&self, next: u64) -> Result<(Vec<OutboxKey>, BTreeSet<u64>), StorageError> {
        let mut looked_at = Vec::new();
        let mut changed = BTreeSet::new();
        let mut bytes = 0;
        for (key, row) in self.store.outbox(HOOK_CHANGED, ROWS)? {
            bytes += row.payload.len();
            if bytes > OUTBOX_ROW_BYTES && !looked_at.is_empty() {
                break;
            }
            looked_at.push(key);
            changed.extend(
                sequences_of(&row)
                    .into_iter()
                    .filter(|sequence| *sequence < next),
            );
        }
        Ok((looked_at, changed))
    }

    fn body(&self, records: &[Value], corrected: bool) -> Vec<u8> {
        let document = json!({
            "format": "ssid-consensus/1",
            "federation_id": self.federation,
            "node_id": self.node,
            "corrected": corrected,
            "records": records,
        });
        document.to_string().into_bytes()
    }

    /// The records of entries in their order, as many as go together, and the entry after the last
    /// of them: 0 if there are no entries.
    fn load(&self, entries: impl Iterator<Item = u64>) -> Result<(Vec<Value>, u64), StorageError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut next = 0;
        for sequence in entries {
            if let Some(record) = self.store.record(sequence)? {
                let record = json!(RecordView::of(&record, sequence));
                bytes += record.to_string().len();
                if records.len() == RECORDS || (bytes > RECORD_BYTES && !records.is_empty()) {
                    break;
                }
                records.push(record);
            }
            next = sequence + 1;
        }
        Ok((records, next))
    }
}

impl Step {
    /// Nothing is under way, and this entry is next.
    fn at(next: u64) -> Self {
        Self {
            entries: next..next,
            body: Vec::new(),
            looked_at: Vec::new(),
            changed: BTreeSet::new(),
        }
    }
}

fn keys(rows: Vec<(OutboxKey, OutboxRow)>) -> Vec<OutboxKey> {
    rows.into_iter().map(|(key, _)| key).collect()
}

/// The same body has the same key.
fn key(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body)[..16])
}

#[cfg(test)]
mod tests;
