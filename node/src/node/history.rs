//! The vote history and whether it is complete (SPEC §7 State, ARCHITECTURE *Storage*). A key whose history is missing,
//! damaged or rolled back could contradict what it signed; it signs nothing until that is ended.
//!
//! `votes.abstain` beside the journal says that and why. It is on disk before a new journal is begun, so that no later
//! start takes the new journal for a complete one.

use std::path::{Path, PathBuf};

use ssid_protocol::id::NodeId;
use ssid_storage::{Journal, JournalRecord, StorageError, Store};

use super::NodeError;
use crate::config::write_atomic;
use crate::home::Home;

/// A journal, what stood in it, and why it is not enough to vote by, if it is not.
#[derive(Debug)]
pub(super) struct History {
    pub(super) journal: Journal,
    pub(super) records: Vec<JournalRecord>,
    pub(super) abstaining: Option<String>,
}

/// Opens the vote history. One that is missing or damaged is begun anew, abstaining.
pub(super) fn open(home: &Home, node: NodeId, store: &Store) -> Result<History, NodeError> {
    let path = home.votes_journal();
    let marker = path.with_extension("abstain");
    let opened = match Journal::open(&path, node) {
        Err(StorageError::JournalMissing(_)) => {
            begin_abstaining(&marker, "its vote history (votes.journal) was missing")?;
            Journal::create(&path, node)?;
            Journal::open(&path, node)?
        }
        Err(damage @ StorageError::JournalDamaged { .. }) => {
            begin_abstaining(&marker, &damage.to_string())?;
            let aside = set_aside(&path)?;
            tracing::error!(%damage, moved_to = %aside.display(), "the vote history is set aside");
            Journal::create(&path, node)?;
            Journal::open(&path, node)?
        }
        opened => opened?,
    };
    let (journal, records, recovery) = opened;
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "a torn record at the journal's end was cut off: it was never sent"
        );
    }
    if journal.sequence() < store.journal_sequence() {
        let (has, had) = (journal.sequence(), store.journal_sequence());
        begin_abstaining(&marker, &format!("its vote history was rolled back: {has} records of {had}"))?;
    }
    let abstaining = match std::fs::read_to_string(&marker) {
        Ok(reason) => Some(reason.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(NodeError::Read { path: marker, source }),
    };
    if let Some(reason) = &abstaining {
        tracing::error!(reason, "abstaining: this node syncs and serves, but signs nothing under this key");
    }
    Ok(History { journal, records, abstaining })
}

fn begin_abstaining(marker: &Path, reason: &str) -> Result<(), NodeError> {
    if marker.exists() {
        return Ok(());
    }
    write_atomic(marker, format!("{reason}\n").as_bytes())
        .map_err(|source| NodeError::Read { path: marker.to_owned(), source })
}

fn set_aside(path: &Path) -> Result<PathBuf, NodeError> {
    let free = (1..u32::MAX).map(|n| path.with_extension(format!("journal.damaged-{n}"))).find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("journal.damaged"));
    std::fs::rename(path, &aside).map_err(|source| NodeError::Read { path: path.to_owned(), source })?;
    Ok(aside)
}
