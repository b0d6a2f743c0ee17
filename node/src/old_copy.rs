//! The word of an operator that no other copy of a node runs: it lets one that abstains, as it was
//! restored from an older copy, take part again (SPEC §7 *State*).

use std::fs;
use std::path::PathBuf;

use ssid_protocol::id::{Epoch, NodeId, UnixMillis};
use ssid_storage::{Journal, JournalRecord, PathContext as _, PathError, StorageError};

use crate::home::Home;

/// Why that word is not taken.
#[derive(Debug, thiserror::Error)]
pub enum OldCopyError {
    /// It abstains for no reason.
    #[error("this node does not abstain: nothing is to be restored; see: ssid status")]
    NotAbstaining,
    /// It was said before, and others have answered.
    #[error("this node takes part again from epoch {} on: nothing more is to be done", .0.next())]
    Returning(Epoch),
    /// There is no vote history that could say so.
    #[error("the vote history {} cannot be used: {reason}\n  start the node once, which begins another: ssid run", path.display())]
    History {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: StorageError,
    },
    /// The node runs.
    #[error("this node runs; stop it first")]
    Running,
    /// Storage failed.
    #[error(transparent)]
    Storage(StorageError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

/// What was done with a node's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the older copy's database is now, if there was one.
    pub set_aside: Option<PathBuf>,
}

/// Writes into the vote history of a stopped node that no other copy of it runs, at `now`; and sets
/// its database aside, which is filled again from the others under a new log id: heads of the older
/// log may have been signed that this one contradicts.
///
/// # Errors
/// If the node runs, does not abstain, is on its way back already, or a file cannot be written.
pub fn is_gone(home: &Home, node: NodeId, now: UnixMillis) -> Result<Restored, OldCopyError> {
    let path = home.votes_journal();
    // held until the end: the node cannot be started meanwhile
    let (mut journal, records, _) = Journal::open(&path, node, 0).map_err(|error| match error {
        StorageError::InUse(_) => OldCopyError::Running,
        reason @ (StorageError::JournalMissing(_) | StorageError::JournalDamaged { .. }) => {
            OldCopyError::History { path, reason }
        }
        other => OldCopyError::Storage(other),
    })?;
    check_abstaining(home.votes_abstain().exists(), &records)?;
    let set_aside = set_database_aside(home)?;
    // last: a crash before leaves a node that abstains, and the same to be done again
    journal
        .append(&[JournalRecord::OldCopyGone(now)])
        .and_then(|()| journal.commit())
        .map_err(OldCopyError::Storage)?;
    Ok(Restored { set_aside })
}

fn check_abstaining(is_marked: bool, records: &[JournalRecord]) -> Result<(), OldCopyError> {
    let (mut abstains, mut returns) = (is_marked, None);
    for record in records {
        match record {
            JournalRecord::Abstain(_) => (abstains, returns) = (true, None),
            JournalRecord::OldCopyGone(_) => returns = None,
            JournalRecord::Returns { after } => returns = Some(*after),
            _ => {}
        }
    }
    match returns {
        Some(after) => Err(OldCopyError::Returning(after)),
        None if abstains => Ok(()),
        None => Err(OldCopyError::NotAbstaining),
    }
}

/// Moves the database and its head to the first free `db.old-copy-<n>`.
fn set_database_aside(home: &Home) -> Result<Option<PathBuf>, OldCopyError> {
    let database = home.database();
    if !database.exists() && !home.log_head().exists() {
        return Ok(None);
    }
    let mut names = (1_u32..).map(|n| home.root().join(format!("db.old-copy-{n}")));
    let aside = names.find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| home.root().join("db.old-copy"));
    fs::create_dir(&aside).context("create", &aside)?;
    // the head first: a database without it is set aside by the next start, too
    for path in [home.log_head(), database] {
        let Some(name) = path.file_name().filter(|_| path.exists()) else {
            continue;
        };
        fs::rename(&path, aside.join(name)).context("set aside", &path)?;
    }
    let root = fs::File::open(home.root()).and_then(|dir| dir.sync_all());
    root.context("sync", home.root())?;
    Ok(Some(aside))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::testing;

    use super::*;

    fn home() -> (tempfile::TempDir, Home, NodeId) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let node = testing::key(0).node_id();
        drop(Journal::create(&home.votes_journal(), node).unwrap());
        (dir, home, node)
    }

    fn append(home: &Home, node: NodeId, record: JournalRecord) {
        let (mut journal, _, _) = Journal::open(&home.votes_journal(), node, 0).unwrap();
        journal.append(&[record]).unwrap();
        journal.commit().unwrap();
    }

    #[test]
    fn only_a_stopped_node_that_abstains_is_restored_and_its_database_set_aside() {
        let (_dir, home, node) = home();
        let now = UnixMillis(7);
        let refused = is_gone(&home, node, now).unwrap_err();
        assert!(matches!(refused, OldCopyError::NotAbstaining), "{refused}");
        fs::write(home.votes_abstain(), "its history was rolled back").unwrap();
        fs::create_dir(home.database()).unwrap();
        fs::write(home.log_head(), "head").unwrap();
        let running = Journal::open(&home.votes_journal(), node, 0).unwrap();
        let refused = is_gone(&home, node, now).unwrap_err();
        assert!(matches!(refused, OldCopyError::Running), "{refused}");
        assert!(home.database().exists());
        drop(running);
        let restored = is_gone(&home, node, now).unwrap();
        let aside = restored.set_aside.unwrap();
        assert!(aside.join("db").exists() && aside.join("log.head").exists());
        assert!(!home.database().exists() && !home.log_head().exists());
        let (_, records, _) = Journal::open(&home.votes_journal(), node, 0).unwrap();
        assert_eq!(records[1..], [JournalRecord::OldCopyGone(now)]);
    }

    #[test]
    fn it_is_said_once_until_the_history_is_found_wanting_again() {
        let (_dir, home, node) = home();
        append(&home, node, JournalRecord::Abstain("rolled back".into()));
        is_gone(&home, node, UnixMillis(1)).unwrap();
        append(&home, node, JournalRecord::Returns { after: Epoch(3) });
        let refused = is_gone(&home, node, UnixMillis(2)).unwrap_err();
        assert!(refused.to_string().contains("from epoch 4 on"), "{refused}");
        append(&home, node, JournalRecord::Abstain("again".into()));
        is_gone(&home, node, UnixMillis(3)).unwrap();
    }
}
