//! The vote history and whether it is complete (SPEC §7 State, ARCHITECTURE *Files*). A key whose
//! history is missing, damaged or rolled back could contradict what it signed; it signs nothing
//! until that is ended.
//!
//! `votes.abstain` beside the journal says that and why. It is on disk before a new journal is
//! begun, so that no later start takes the new journal for a complete one.

use std::path::{Path, PathBuf};

use ssid_protocol::id::NodeId;
use ssid_storage::{Journal, JournalRecord, PathContext as _, StorageError, Store, regular};

use super::error::NodeError;
use crate::config::write_atomic;
use crate::home::Home;

/// Bytes of the longest reason to abstain.
const REASON_BYTES: u64 = 64 << 10;

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
    let marker = home.votes_abstain();
    // how much the database knows to have been written: a whole journal may still be an old one
    let known = store.journal_sequence();
    let opened = match Journal::open(&path, node, known) {
        Err(StorageError::JournalMissing(_)) => {
            // the marker before the journal: a crash in between must not leave an empty history
            // that may sign
            begin_abstaining(&marker, "its vote history (votes.journal) was missing")?;
            Journal::create(&path, node)?;
            Journal::open(&path, node, 0)?
        }
        Err(damage @ StorageError::JournalDamaged { .. }) => {
            begin_abstaining(&marker, &damage.to_string())?;
            let aside = set_aside(&path)?;
            // kept: it may prove what was signed
            tracing::error!(%damage, moved_to = %aside.display(), "the vote history is set aside");
            Journal::create(&path, node)?;
            Journal::open(&path, node, 0)?
        }
        opened => opened?,
    };
    let (mut journal, mut records, recovery) = opened;
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "a torn record at the journal's end was cut off: it was never sent"
        );
    }
    // from a backup or a snapshot: it lacks votes that others may have
    if journal.sequence() < known {
        let has = journal.sequence();
        let reason = format!("its vote history was rolled back: {has} records of {known}");
        begin_abstaining(&marker, &reason)?;
        // also in the journal: what it says of an earlier return holds no more
        let again = JournalRecord::Abstain(reason);
        journal.append(std::slice::from_ref(&again))?;
        journal.commit()?;
        records.push(again);
    }
    // the file decides, also one that a start before this left: a key without its history never
    // signs again
    let abstaining = match regular::read(&marker, REASON_BYTES) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => {
            let reason = read.context("read", &marker)?;
            Some(String::from_utf8_lossy(&reason).trim().to_owned())
        }
    };
    if let Some(reason) = &abstaining {
        tracing::error!(
            reason,
            "abstaining: this node syncs and serves, but signs nothing under this key"
        );
    }
    Ok(History {
        journal,
        records,
        abstaining,
    })
}

fn begin_abstaining(marker: &Path, reason: &str) -> Result<(), NodeError> {
    if marker.exists() {
        return Ok(());
    }
    write_atomic(marker, format!("{reason}\n").as_bytes()).context("write", marker)?;
    Ok(())
}

fn set_aside(path: &Path) -> Result<PathBuf, NodeError> {
    let free = (1..u32::MAX)
        .map(|n| path.with_extension(format!("journal.damaged-{n}")))
        .find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("journal.damaged"));
    std::fs::rename(path, &aside).context("set aside", path)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use ssid_protocol::batch::{Statements, VerifiedBatch};
    use ssid_protocol::id::{Epoch, FederationId, LogId, Round, SubjectId};
    use ssid_protocol::testing;
    use ssid_protocol::vote::{Phase, Vote};
    use ssid_storage::{Changes, Owner};

    use super::*;

    const FEDERATION: FederationId = FederationId([7; 32]);

    fn votes(tick: u8) -> JournalRecord {
        let subject = |n| SubjectId([n; 32]);
        let vote = |n| Vote {
            epoch: Epoch::ZERO,
            subject: subject(n),
            round: Round(u32::from(tick)),
            phase: Phase::Prevote,
            ballot: None,
            observed: false,
        };
        let statements = Statements::Votes((0..90).map(vote).collect());
        JournalRecord::Own(
            VerifiedBatch::sign(&testing::key(0), &FEDERATION, statements)
                .unwrap()
                .batch()
                .clone(),
        )
    }

    /// A node that ticked twice, what it wrote last, and what the last write went over.
    fn torn(dir: &Path, last_is_known: bool) -> (Home, NodeId, Store) {
        let (home, node) = (Home::new(dir.to_owned()), testing::key(0).node_id());
        let mut journal = Journal::create(&home.votes_journal(), node).unwrap();
        let (store, mut writer) = Store::open(
            home.root(),
            Owner {
                federation: FEDERATION,
                node,
            },
            LogId([1; 32]),
        )
        .unwrap();
        journal.append(&[votes(0)]).unwrap();
        journal.commit().unwrap();
        let begun = journal.bytes() as usize;
        let mut known = journal.sequence();
        journal.append(&[votes(1), votes(2), votes(3)]).unwrap();
        journal.commit().unwrap();
        if last_is_known {
            known = journal.sequence();
        }
        writer
            .write(Changes {
                journal_sequence: Some(known),
                ..Changes::default()
            })
            .unwrap();
        drop(journal);
        let mut bytes = std::fs::read(home.votes_journal()).unwrap();
        let page = (begun / 4096 + 1) * 4096;
        bytes[page..page + 4096].fill(0);
        std::fs::write(home.votes_journal(), bytes).unwrap();
        (home, node, store)
    }

    #[test]
    fn a_commit_torn_anywhere_does_not_silence_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let (home, node, store) = torn(dir.path(), false);
        let history = open(&home, node, &store).unwrap();
        assert_eq!(history.abstaining, None);
        assert!(history.records.contains(&votes(0)));
    }

    #[test]
    fn what_may_have_been_sent_and_is_damaged_does() {
        let dir = tempfile::tempdir().unwrap();
        let (home, node, store) = torn(dir.path(), true);
        let history = open(&home, node, &store).unwrap();
        assert!(
            history
                .abstaining
                .is_some_and(|why| why.contains("is damaged at byte"))
        );
        assert!(
            home.votes_journal()
                .with_extension("journal.damaged-1")
                .exists()
        );
    }
}
