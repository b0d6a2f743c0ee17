//! Where rows are kept: in the running node's storage, through the engine, or, for a command
//! without a node, in a file that the node takes over when it starts.

use serde::{Deserialize, Serialize};
use ssid_engine::outbox::{OutboxChange, TELEMETRY};
use ssid_storage::{OutboxKey, OutboxRow, PathContext as _, StorageError, Store};

use super::outbox::{Change, Entry};
use super::state::{StateError, read_json, write_json};
use crate::engine::{EngineError, EngineHandle};
use crate::place::Place;

/// Rows that are read at the start.
const ROWS: usize = 10_000;

/// Where rows are kept.
#[derive(Debug)]
pub enum OutboxStore {
    /// In the node's storage.
    Node {
        /// The handle to the engine, which writes.
        engine: EngineHandle,
        /// The store, which is read.
        store: Store,
    },
    /// In a file that nobody else writes.
    File(FileRows),
}

/// The rows in a file.
#[derive(Debug)]
pub struct FileRows {
    path: Place,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    next: u64,
    rows: Vec<(u64, Entry)>,
}

impl FileRows {
    /// Where the file is of a node whose state is at `state`.
    pub fn path(state: &Place) -> Place {
        state.with_file_name("telemetry_outbox.json")
    }

    /// Reads the file; no rows if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn open(path: &Place) -> Result<Self, StateError> {
        Ok(Self {
            path: path.clone(),
            kept: read_json(path)?.unwrap_or_default(),
        })
    }

    /// Returns the rows, oldest first.
    pub fn rows(&self) -> &[(u64, Entry)] {
        &self.kept.rows
    }

    /// Forgets rows that are kept elsewhere now.
    pub(super) fn forget(&mut self, done: Vec<u64>) -> Result<(), StateError> {
        let put = Vec::new();
        self.write(&Change { put, done }).map(|_| ())
    }

    fn write(&mut self, change: &Change) -> Result<Vec<u64>, StateError> {
        let ids: Vec<u64> = (self.kept.next..).take(change.put.len()).collect();
        let kept = self
            .kept
            .rows
            .iter()
            .filter(|(id, _)| !change.done.contains(id))
            .cloned();
        let rows: Vec<_> = kept
            .chain(ids.iter().copied().zip(change.put.iter().cloned()))
            .collect();
        let next = Kept {
            next: self.kept.next + ids.len() as u64,
            rows,
        };
        if next.rows.is_empty() {
            remove(&self.path)?;
        } else {
            write_json(&self.path, &next)?;
        }
        self.kept = next;
        Ok(ids)
    }
}

/// Removes the file, if it is there.
fn remove(path: &Place) -> Result<(), StateError> {
    match path.remove() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.context("remove", path)?),
    }
}

/// Why rows cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The node's storage fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The engine does not take the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file of a command without a node cannot be written.
    #[error(transparent)]
    File(#[from] StateError),
    /// A notification cannot be put into words for storage.
    #[error("a notification cannot be stored: {0}")]
    Entry(#[from] serde_json::Error),
}

impl OutboxStore {
    /// The rows that are kept. Rows that a newer version wrote are left where they are.
    ///
    /// # Errors
    /// If storage fails.
    pub fn rows(&self) -> Result<Vec<(u64, Entry)>, OutboxError> {
        match self {
            Self::File(file) => Ok(file.rows().to_vec()),
            Self::Node { store, .. } => {
                let rows = store.outbox(TELEMETRY, ROWS)?;
                let parsed = rows.into_iter().filter_map(|(key, row)| match serde_json::from_slice(&row.payload) {
                    Ok(entry) => Some((key.counter, entry)),
                    Err(error) => {
                        tracing::warn!(%error, row = key.counter, "a notification in the outbox is not understood");
                        None
                    }
                });
                Ok(parsed.collect())
            }
        }
    }

    /// Writes a change; the numbers of its new rows once all of it is on disk.
    ///
    /// # Errors
    /// If it is not on disk.
    pub async fn write(&mut self, change: &Change) -> Result<Vec<u64>, OutboxError> {
        match self {
            Self::File(file) => Ok(file.write(change)?),
            Self::Node { engine, .. } => {
                let add = change.put.iter().map(|entry| {
                    // all of it before the engine is asked: a change is written whole or not at all
                    Ok(OutboxRow {
                        kind: TELEMETRY,
                        payload: serde_json::to_vec(entry)?,
                    })
                });
                let add = add.collect::<Result<_, OutboxError>>()?;
                let done = change
                    .done
                    .iter()
                    .map(|counter| OutboxKey {
                        kind: TELEMETRY,
                        counter: *counter,
                    })
                    .collect();
                let change = OutboxChange {
                    add,
                    done,
                    ..OutboxChange::default()
                };
                let keys = engine.outbox(change).await?;
                Ok(keys.into_iter().map(|key| key.counter).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::id::UnixMillis;

    use super::*;
    use crate::config::Channel;
    use crate::telemetry::message::{Message, Severity, Topic};

    fn entry(cause: &str) -> Entry {
        let message = Message::new(Topic::Test, Severity::Info, cause, "t", UnixMillis(0));
        let (queued_at, next_at) = (UnixMillis(0), UnixMillis(0));
        let (recipients, last_error) = (Vec::new(), None);
        Entry {
            channel: Channel::Slack,
            message,
            recipients,
            queued_at,
            attempts: 0,
            next_at,
            last_error,
            dead: false,
        }
    }

    #[test]
    fn a_file_keeps_rows_and_numbers_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = FileRows::path(&directory.path().join("telemetry_state.json").into());
        let mut file = FileRows::open(&path).unwrap();
        let put = vec![entry("a"), entry("b")];
        assert_eq!(
            file.write(&Change {
                put,
                done: Vec::new()
            })
            .unwrap(),
            [0, 1]
        );
        let mut file = FileRows::open(&path).unwrap();
        assert_eq!(
            file.write(&Change {
                put: vec![entry("c")],
                done: vec![0]
            })
            .unwrap(),
            [2]
        );
        let file = FileRows::open(&path).unwrap();
        assert_eq!(
            file.rows()
                .iter()
                .map(|(id, entry)| (*id, entry.message.cause.as_str()))
                .collect::<Vec<_>>(),
            [(1, "b"), (2, "c")]
        );
        let mut file = FileRows::open(&path).unwrap();
        file.write(&Change {
            put: Vec::new(),
            done: vec![1, 2],
        })
        .unwrap();
        assert!(!path.exists(), "nothing waits");
    }
}
