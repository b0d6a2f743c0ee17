//! `advanced.webhook_on_consensus`: an address that is told of every certified event, for programs rather than people.
//! The certified log itself is what waits: one row of the outbox says which entry is next, and is replaced once the
//! receiver has what is before. So nothing is written for an event that the log does not hold anyway, an outage grows
//! nothing, and the order is the log's. Telling begins with what is certified after the key was set.
//!
//! The body is `{"format": "ssid-consensus/1", "federation_id", "node_id", "records": […]}`, each record as
//! `/v1/consensus` shows it. It is signed like the webhook of `telemetry_config.json`, where `SSID_WEBHOOK_SECRET` is set.
//! Delivery is at least once: a receiver tells what it has by a record's `subject_id`.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use ssid_protocol::id::{FederationId, NodeId};
use ssid_storage::{OutboxKey, StorageError, Store};
use tokio_util::sync::CancellationToken;

use super::channels::{Attempt, ConsensusWebhook, Http};
use super::secret::{Secret, SecretUrl, others_can_read};
use crate::api::view::RecordView;
use crate::config::Settings;
use crate::engine::outbox::{HOOK, OutboxChange, entries_of, row_for};
use crate::engine::{EngineError, EngineHandle};
use crate::pace::Pace;

/// The key, for messages.
const KEY: &str = "advanced.webhook_on_consensus";
/// The environment's way to set it.
pub const VARIABLE: &str = "SSID_ADVANCED_WEBHOOK_ON_CONSENSUS";
/// Records in one request.
const RECORDS: usize = 100;
/// Bytes of records in one request; a single larger one goes alone.
const RECORD_BYTES: usize = 256 * 1024;

/// When the task sends.
pub const PACE: Pace = Pace {
    settle: Duration::from_millis(200),
    first_retry: Duration::from_secs(5),
    last_retry: Duration::from_hours(1),
};

/// The address that is configured, if any.
///
/// # Errors
/// If it is no address, or stands in a file that others can read: what to do, without showing it.
pub fn address(settings: &Settings, file: &Path, in_environment: bool) -> Result<Option<SecretUrl>, String> {
    let text = settings.advanced.webhook_on_consensus.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    if !in_environment && others_can_read(file).unwrap_or(false) {
        let file = file.display();
        return Err(format!(
            "{KEY} is a secret, and others can read '{file}'; set {VARIABLE} instead, or run: chmod 600 {file}"
        ));
    }
    SecretUrl::parse(text).map(Some).ok_or_else(|| format!("{KEY} is no https address (http only on this machine)"))
}

/// Forgets which entry is next: the key is not set any more, and when it is set again telling begins anew.
///
/// # Errors
/// If storage cannot be read, or the engine has stopped.
pub async fn forget(engine: &EngineHandle, store: &Store) -> Result<(), Halt> {
    let done: Vec<OutboxKey> = store.outbox(HOOK, 1)?.into_iter().map(|(key, _)| key).collect();
    if !done.is_empty() {
        engine.outbox(OutboxChange { done, ..OutboxChange::default() }).await?;
    }
    Ok(())
}

/// What the task works with.
#[derive(Debug)]
pub struct Hook {
    /// Where to.
    pub url: SecretUrl,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// Which federation.
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

/// The row that says which entry is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    key: OutboxKey,
    next: u64,
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
        let webhook = ConsensusWebhook::new(self.url.clone(), self.secret.clone());
        let (http, mut status) = (Http::default(), self.engine.status());
        let (mut cursor, mut failures) = (self.cursor().await?, 0);
        loop {
            let (records, next) = self.load(cursor.next)?;
            if next == cursor.next {
                // ends with the engine
                if status.changed().await.is_err() {
                    return Ok(());
                }
                tokio::time::sleep(self.pace.settle).await;
                continue;
            }
            let attempt = match records.as_slice() {
                [] => Attempt::Delivered,
                records => webhook.send(&http, &self.body(records), key(records)).await,
            };
            let (why, after) = match attempt {
                Attempt::Delivered => {
                    cursor = self.advance(Some(cursor), next).await?;
                    failures = 0;
                    continue;
                }
                Attempt::Later { why, after } => (why, after),
                Attempt::Refused(why) => (why, None),
                Attempt::Gone(why) => return Err(Halt::Gone(why)),
            };
            if failures == 0 {
                tracing::warn!(why, "{KEY}: what is certified waits, and is sent again");
            }
            tokio::time::sleep(self.pace.back_off(failures).max(after.unwrap_or_default())).await;
            failures = failures.saturating_add(1);
        }
    }

    /// The cursor that is kept, or a new one at the end of the log.
    async fn cursor(&self) -> Result<Cursor, Halt> {
        let kept = self.store.outbox(HOOK, 1)?.into_iter().next();
        match kept.and_then(|(key, row)| Some(Cursor { key, next: entries_of(&row)?.start })) {
            Some(cursor) => Ok(cursor),
            None => self.advance(None, self.store.log_head().size).await,
        }
    }

    async fn advance(&self, from: Option<Cursor>, next: u64) -> Result<Cursor, Halt> {
        let done = from.into_iter().map(|cursor| cursor.key).collect();
        let change = OutboxChange { add: vec![row_for(HOOK, next..next)], done, ..OutboxChange::default() };
        let keys = self.engine.outbox(change).await?;
        // one row was added, so there is one key
        let key = keys.first().copied().unwrap_or(OutboxKey { kind: HOOK, counter: 0 });
        Ok(Cursor { key, next })
    }

    fn body(&self, records: &[serde_json::Value]) -> serde_json::Value {
        json!({
            "format": "ssid-consensus/1",
            "federation_id": self.federation,
            "node_id": self.node,
            "records": records,
        })
    }

    /// The records from an entry of the log on, as many as go together, and the entry after them.
    fn load(&self, from: u64) -> Result<(Vec<serde_json::Value>, u64), StorageError> {
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
        for sequence in from..self.store.log_head().size {
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

/// The same records have the same key.
fn key(records: &[serde_json::Value]) -> String {
    let digest =
        records.iter().fold(Sha256::new(), |hash, record| hash.chain_update(record.to_string()).chain_update([0]));
    hex::encode(&digest.finalize()[..16])
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
