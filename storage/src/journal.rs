//! `votes.journal`: what this node signed and must not contradict (SPEC §7, *State*). The one file
//! whose loss could make a node lie; so it is synced before anything leaves, refuses to go on after
//! a failed write, and tells a torn end, which is cut off, from damage, which is not repaired. The
//! format is drawn in `frame`.
//!
//! ```
//! use ssid_protocol::id::SubjectId;
//! use ssid_protocol::testing;
//! use ssid_storage::{Journal, JournalRecord};
//!
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("votes.journal");
//! let node = testing::key(0).node_id();
//!
//! let mut journal = Journal::create(&path, node)?;
//! let done = JournalRecord::Done(vec![SubjectId([3; 32])]);
//! journal.append(&[done.clone()])?;
//! journal.commit()?; // on disk now; only now may it be sent
//! drop(journal);
//!
//! let (journal, records, recovery) = Journal::open(&path, node, 0)?;
//! assert_eq!(records, [JournalRecord::Created { node }, done]);
//! assert_eq!(journal.sequence(), 2);
//! assert_eq!(recovery.torn_bytes, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod recover;
mod sink;
mod succession;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssid_protocol::batch::SignedBatch;
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Choice, Epoch, NodeId, SubjectId, UnixMillis};

use crate::error::StorageError;
use crate::hooks::{Hooks, Point};
use crate::lock::{lock, lock_current};
use crate::path_error::PathContext as _;
use crate::regular;
use crate::replace::{Points, sync_parent, take_place, write_beside};
use frame::Header;
use sink::Sink;

/// Where a compaction may be cut short.
const COMPACTION: Points = Points {
    write: Point::CompactionWrite,
    replace: Point::CompactionReplace,
    sync: Point::CompactionSync,
};

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalRecord {
    /// Always the first, and only there.
    Created {
        /// Whose votes these are.
        node: NodeId,
    },
    /// Something this node signed: events, votes, proposals, closes.
    Own(SignedBatch),
    /// A foreign batch whose prevotes justify an own precommit.
    Support(SignedBatch),
    /// Certified subjects whose votes were compacted away: this node signs nothing more for them.
    Done(Vec<SubjectId>),
    /// What an operator decided.
    Note(OperatorNote),
    /// Others hold statements of this node's that stood in no journal: it was rolled back, and this
    /// node abstains. Why.
    Abstain(String),
    /// A foreign prevote that justifies an own precommit, without the batch it came in.
    SupportAlone(Box<Signed>),
    /// This node has entered an epoch: it says no more that it counts closes of the one before.
    Entered(Epoch),
    /// The key of this journal took the place of another, whose journal this one replaced. The
    /// second record of such a journal; the epoch is entered.
    Succeeds {
        /// The key that is given up.
        former: NodeId,
        /// The epoch with which it was.
        epoch: Epoch,
    },
    /// The operator said, at this time, that no other copy of this node runs: it may take part again
    /// though its vote history is incomplete.
    OldCopyGone(UnixMillis),
    /// Enough voters have said since that they had not closed an epoch: this node, which abstains,
    /// takes part again in the one after.
    Returns {
        /// The epoch in which it still abstains.
        after: Epoch,
    },
}

/// An operator's decision about a subject; the latest of each kind holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorNote {
    /// The subject that it is about.
    pub subject: SubjectId,
    /// What kind of decision.
    pub kind: NoteKind,
    /// For which choice; none withdraws, or refuses whatever there is.
    pub choice: Option<Choice>,
}

/// What an operator can decide (SPEC §7 rules 1 and 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// Confirms an observation that is not the node's own.
    Endorse,
    /// Refuses one: a nil prevote.
    Refuse,
    /// A standing choice for operator rounds.
    #[serde(rename = "choose")]
    Stand,
    /// Beside the approval of a change of members: whether or not its new voters are ready.
    Waive,
}

impl NoteKind {
    /// What its operator has done, for people and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Endorse => "endorsed",
            Self::Refuse => "refused",
            Self::Stand => "chose",
            Self::Waive => "approved, whoever is ready,",
        }
    }
}

/// What opening a journal had to repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a last write that was torn, cut off. What it held was never sent.
    pub torn_bytes: u64,
}

/// The open journal, locked against other processes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    node: NodeId,
    sink: Sink,
    hooks: Hooks,
    sequence: u64,
    bytes: u64,
    buffer: Vec<u8>,
    buffered: u64,
    poisoned: bool,
}

impl Journal {
    /// Creates the journal of a new key, on disk when this returns. Goes with creating the key, and
    /// only with that.
    ///
    /// # Errors
    /// [`StorageError::JournalExists`], or if the operating system refuses.
    ///
    /// ```
    /// # use ssid_protocol::id::SubjectId;
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Journal, JournalRecord};
    /// #
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("votes.journal");
    /// # let node = testing::key(0).node_id();
    /// use ssid_storage::StorageError;
    ///
    /// let journal = Journal::create(&path, node)?;
    /// assert_eq!(journal.sequence(), 1);
    /// let refused = Journal::create(&path, node).unwrap_err();
    /// assert!(matches!(refused, StorageError::JournalExists(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(path: &Path, node: NodeId) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.append(true).read(true).create_new(true);
        let file = match options.open(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                return Err(StorageError::JournalExists(path.to_owned()));
            }
            created => created.context("create", path)?,
        };
        // before the first record: two nodes of one key must never both go on
        lock(path, &file)?;
        let mut contents = Header {
            sequence: 1,
            kept: 1,
        }
        .to_bytes()
        .to_vec();
        frame::write(&mut contents, &JournalRecord::Created { node })?;
        let mut journal = Self::over(
            path,
            node,
            file,
            Hooks::default(),
            (1, contents.len() as u64),
        );
        journal
            // on disk before the caller makes the key: a key is never without its journal
            .sink
            .append(&contents)
            .and_then(|()| journal.sink.sync())
            .context("write", path)?;
        // the name, too: a crash must not leave a key without its journal
        sync_parent(path)?;
        Ok(journal)
    }

    /// Opens the journal of `node` and reads all of it; the first record is `Created`. `known` is
    /// the sequence that the database holds
    /// ([`Store::journal_sequence`](crate::Store::journal_sequence)), 0 if nobody knows one: what
    /// comes after it was never sent.
    ///
    /// A last write that was torn is cut off, and the cut synced.
    ///
    /// # Errors
    /// [`StorageError::JournalMissing`]; `JournalDamaged` if it is damaged anywhere else; another
    /// node's, a newer version's, in use; or if the operating system refuses.
    ///
    /// ```
    /// # use ssid_protocol::id::SubjectId;
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Journal, JournalRecord};
    /// #
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("votes.journal");
    /// # let node = testing::key(0).node_id();
    /// # let mut journal = Journal::create(&path, node)?;
    /// # journal.append(&[JournalRecord::Done(vec![SubjectId([3; 32])])])?;
    /// # journal.commit()?;
    /// # drop(journal);
    /// // the power went while the last record was written
    /// let whole = std::fs::read(&path)?;
    /// std::fs::write(&path, &whole[..whole.len() - 5])?;
    ///
    /// let (journal, records, recovery) = Journal::open(&path, node, 1)?;
    /// assert_eq!(records, [JournalRecord::Created { node }]);
    /// assert!(recovery.torn_bytes > 0);
    /// assert_eq!(journal.bytes(), std::fs::metadata(&path)?.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        path: &Path,
        node: NodeId,
        known: u64,
    ) -> Result<(Self, Vec<JournalRecord>, Recovery), StorageError> {
        Self::open_on(path, node, known, Hooks::default())
    }

    pub(crate) fn open_on(
        path: &Path,
        node: NodeId,
        known: u64,
        hooks: Hooks,
    ) -> Result<(Self, Vec<JournalRecord>, Recovery), StorageError> {
        // locked first, so that nobody appends while it is read
        let file = open_locked(path)?;
        let contents = regular::read(path, u64::MAX).context("read", path)?;
        let read = recover::read(path, &contents, node, known)?;
        let recovery = Recovery {
            torn_bytes: (contents.len() - read.end) as u64,
        };
        if recovery.torn_bytes > 0 {
            tracing::warn!(path = %path.display(), bytes = recovery.torn_bytes, "cut a torn write off the journal");
            // cut before anything is appended: behind torn bytes a record would be lost
            file.set_len(read.end as u64)
                .and_then(|()| file.sync_all())
                .context("cut the torn end off", path)?;
        }
        let journal = Self::over(path, node, file, hooks, (read.sequence, read.end as u64));
        Ok((journal, read.records, recovery))
    }

    fn over(
        path: &Path,
        node: NodeId,
        file: File,
        hooks: Hooks,
        (sequence, bytes): (u64, u64),
    ) -> Self {
        let buffer = Vec::new();
        let buffered = 0;
        let sink = Sink::file(file, hooks.clone());
        Self {
            path: path.to_owned(),
            node,
            sink,
            hooks,
            sequence,
            bytes,
            buffer,
            buffered,
            poisoned: false,
        }
    }

    /// Takes records in, to be written by the next [`Self::commit`].
    ///
    /// # Errors
    /// If a record is larger than 4 MiB, or a write failed before.
    pub fn append(&mut self, records: &[JournalRecord]) -> Result<(), StorageError> {
        self.check_poison()?;
        let start = self.buffer.len();
        let mut frames = 0;
        for record in records {
            // all of `records` or none: what a refusal leaves would be committed with the next
            frames += frame::write(&mut self.buffer, record)
                .inspect_err(|_| self.buffer.truncate(start))?;
        }
        self.buffered += frames;
        Ok(())
    }

    /// Writes what was appended, in one write, and returns once it is on disk. Only then may it be
    /// sent.
    ///
    /// # Errors
    /// If the write or the sync fails. The journal is poisoned then: this and every later call
    /// fails, as nobody knows what is on disk until it is opened again.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        self.check_poison()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self
            .sink
            .append(&self.buffer)
            .and_then(|()| self.sink.sync());
        self.poisoned = written.is_err();
        written.context("write", &self.path)?;
        // counted only now: a failed write must not raise the sequence
        self.bytes += self.buffer.len() as u64;
        self.sequence += self.buffered;
        self.buffered = 0;
        self.buffer.clear();
        // one large tick must not keep its megabytes for good
        self.buffer.shrink_to(64 * 1024);
        Ok(())
    }

    /// How many records were ever committed, those compacted away included; `Created` is the first.
    /// Never decreases: a journal whose sequence is less than it was has been rolled back.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Compaction: puts a file with just `records` (and `Created` before them) in the journal's
    /// place, on disk when this returns. The sequence stays. What is appended and not committed
    /// stays so.
    ///
    /// # Errors
    /// If a record is too large, or a write fails: the journal is as it was then, but poisoned if
    /// the failure came so late that either file may be the journal.
    ///
    /// ```
    /// # use ssid_protocol::id::SubjectId;
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Journal, JournalRecord};
    /// #
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("votes.journal");
    /// # let node = testing::key(0).node_id();
    /// # let mut journal = Journal::create(&path, node)?;
    /// for subject in 0..100 {
    ///     journal.append(&[JournalRecord::Done(vec![SubjectId([subject; 32])])])?;
    /// }
    /// journal.commit()?;
    /// let before = journal.bytes();
    ///
    /// let subjects = (0..100).map(|subject| SubjectId([subject; 32])).collect();
    /// journal.rewrite(vec![JournalRecord::Done(subjects)])?;
    /// assert!(journal.bytes() < before);
    /// assert_eq!(journal.sequence(), 101, "as before: compaction takes back nothing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rewrite(&mut self, records: Vec<JournalRecord>) -> Result<(), StorageError> {
        self.check_poison()?;
        let mut frames = Vec::new();
        // the owner first, as in every journal
        let mut kept = frame::write(&mut frames, &JournalRecord::Created { node: self.node })?;
        for record in records
            .iter()
            .filter(|record| !matches!(record, JournalRecord::Created { .. }))
        {
            kept += frame::write(&mut frames, record)?;
        }
        // they may be large, and the frames hold all of them
        drop(records);
        let mut contents = Header {
            sequence: self.sequence,
            kept,
        }
        .to_bytes()
        .to_vec();
        contents.append(&mut frames);
        // whole and synced under another name before it takes the journal's place
        let file = write_beside(
            &self.path,
            &contents,
            OpenOptions::new().append(true).read(true),
            &self.hooks,
            COMPACTION,
        )?;
        take_place(&self.path, &self.hooks, COMPACTION).inspect_err(|_| self.poisoned = true)?;
        // from here on commits go to the new file; the old one has no name any more
        self.sink = Sink::file(file, self.hooks.clone());
        self.bytes = contents.len() as u64;
        Ok(())
    }

    fn check_poison(&self) -> Result<(), StorageError> {
        if self.poisoned {
            Err(StorageError::JournalPoisoned(self.path.clone()))
        } else {
            Ok(())
        }
    }
}

fn open_locked(path: &Path) -> Result<File, StorageError> {
    let file = match regular::open(OpenOptions::new().append(true).read(true), path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(StorageError::JournalMissing(path.to_owned()));
        }
        opened => opened.context("open", path)?,
    };
    lock_current(path, &file)?;
    Ok(file)
}
