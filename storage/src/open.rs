//! Opening a store: whose it is, whether it is whole, and what to do if it is not (SPEC §11; §10,
//! `log_id`).
//!
//! A start reads every row once: sled opens some damaged files without a word, so what it gives
//! back is added up and compared with what was written (`tally`), and the log with its own root and
//! with `log.head`. The same pass rebuilds what the writer keeps in memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssid_protocol::heartbeat::CertifiedDigest;
use ssid_protocol::id::{FederationId, LogId, NodeId};
use ssid_protocol::merkle;

use crate::codec::{self, Refusal};
use crate::database::{Batch, Database};
use crate::error::StorageError;
use crate::hooks::Hooks;
use crate::log_head::{Found, HeadFile, HeadState};
use crate::path_error::PathContext as _;
use crate::rows::LogEntry;
use crate::store::{LogHead, Owner, Shown, Store};
use crate::tables::{self, LOG_PREFIX, STATE_PREFIX};
use crate::tally::{State, Tallies};
use crate::tiles::RightEdge;
use crate::writer::{Memory, Writer};

/// Name of the database's directory.
const DATABASE: &str = "db";
/// Name of the head's file.
pub(crate) const HEAD: &str = "log.head";

/// Who owns the database and which log it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) federation: FederationId,
    pub(crate) node: NodeId,
    pub(crate) log_id: LogId,
}

/// A damaged database was moved away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now, with its `log.head`.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

pub(crate) fn open(
    dir: &Path,
    owner: Owner,
    new_log: LogId,
    hooks: &Hooks,
) -> Result<(Store, Writer), StorageError> {
    // its lock is the data directory's: taken before anything is read
    let mut head = open_head(dir, hooks)?;
    let loaded = load(dir, owner, new_log, &mut head, hooks)?;
    Ok(loaded.into_store(owner, head))
}

pub(crate) fn open_or_set_aside(
    dir: &Path,
    owner: Owner,
    new_log: LogId,
) -> Result<(Store, Writer, Option<SetAside>), StorageError> {
    let hooks = Hooks::default();
    let mut head = open_head(dir, &hooks)?;
    let (loaded, aside) = match load_twice(dir, owner, new_log, &mut head) {
        Ok(loaded) => (loaded, None),
        Err(StorageError::Damaged { reason, .. }) => {
            // only damage is answered so: data of another owner or a newer version stays where it
            // is
            let moved_to = set_aside(dir, &mut head, new_log)?;
            tracing::warn!(moved_to = %moved_to.display(), reason, "the database is damaged and was set aside");
            (
                load(dir, owner, new_log, &mut head, &hooks)?,
                Some(SetAside { moved_to, reason }),
            )
        }
        Err(other) => return Err(other),
    };
    let (store, writer) = loaded.into_store(owner, head);
    Ok((store, writer, aside))
}

/// Loads what seems damaged once more: real damage is there again, and what only befell this
/// process is not.
fn load_twice(
    dir: &Path,
    owner: Owner,
    new_log: LogId,
    head: &mut HeadFile,
) -> Result<Loaded, StorageError> {
    let hooks = Hooks::default();
    match load(dir, owner, new_log, head, &hooks) {
        Err(damaged @ StorageError::Damaged { .. }) => {
            match load(dir, owner, new_log, head, &hooks) {
                // what panicked may hold its lock until the process ends
                Err(StorageError::InUse(_)) => Err(damaged),
                again => again,
            }
        }
        loaded => loaded,
    }
}

fn open_head(dir: &Path, hooks: &Hooks) -> Result<HeadFile, StorageError> {
    std::fs::create_dir_all(dir).context("create", dir)?;
    HeadFile::open(&dir.join(HEAD), hooks)
}

/// Moves the database and a copy of its head to the first free `db.damaged-<n>`, and starts the
/// head anew. What the old head knew of the journal stays known.
fn set_aside(dir: &Path, head: &mut HeadFile, new_log: LogId) -> Result<PathBuf, StorageError> {
    // never over what was set aside before: it may be all that is left
    let names = (1_u32..).map(|n| dir.join(format!("{DATABASE}.damaged-{n}")));
    let moved_to = names
        .into_iter()
        .find(|path| !path.exists())
        .unwrap_or_else(|| dir.join("db.damaged"));
    let database = dir.join(DATABASE);
    // of a database that is missing the head is kept all the same: it is evidence
    if database.exists() {
        std::fs::rename(&database, &moved_to).context("set aside", &database)?;
    } else {
        std::fs::create_dir(&moved_to).context("create", &moved_to)?;
    }
    // forgetting it would let a journal that lost records pass for whole
    let journal_sequence = match head.read()? {
        Found::State(state) => state.journal_sequence,
        Found::Nothing | Found::Damaged => 0,
    };
    // a copy: the file itself holds the lock
    std::fs::copy(head.path(), moved_to.join(HEAD)).context("copy", head.path())?;
    head.reset(HeadState {
        journal_sequence,
        ..empty_head(new_log)
    })?;
    sync_dir(dir)?;
    Ok(moved_to)
}

/// Makes renames and new files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    Ok(synced.context("sync", dir)?)
}

fn empty_head(log_id: LogId) -> HeadState {
    HeadState {
        writes: 0,
        size: 0,
        root: merkle::root(&[]),
        journal_sequence: 0,
        log_id,
    }
}

/// A database that was found whole.
struct Loaded {
    database: Database,
    log_id: LogId,
    memory: Memory,
}

impl Loaded {
    fn into_store(self, owner: Owner, head: HeadFile) -> (Store, Writer) {
        let Memory { state, digest, .. } = &self.memory;
        let shown = Shown {
            head: LogHead {
                log_id: self.log_id,
                size: state.log_size,
                root: state.log_root,
            },
            digest: *digest,
            journal_sequence: state.journal_sequence,
        };
        let store = Store::new(self.database, owner, shown);
        (store.clone(), Writer::new(store, head, self.memory))
    }
}

fn load(
    dir: &Path,
    owner: Owner,
    new_log: LogId,
    head: &mut HeadFile,
    hooks: &Hooks,
) -> Result<Loaded, StorageError> {
    let path = dir.join(DATABASE);
    // whoever gets this sets the database aside and fills it again from peers
    let damaged = |reason: &str| StorageError::damaged(&path, reason);
    // asked before opening, which creates what is missing
    let existed = Database::exists(&path, hooks);
    let expected = match head.read()? {
        // a head that knows of writes outlives only a database that was lost
        Found::State(state) if !existed && state.writes > 0 => {
            return Err(damaged("it is missing"));
        }
        Found::State(state) => state,
        Found::Damaged => return Err(damaged("log.head beside it is unreadable")),
        Found::Nothing if existed => return Err(damaged("log.head beside it is missing")),
        Found::Nothing => {
            let state = empty_head(new_log);
            head.reset(state)?;
            state
        }
    };
    let database = Database::open(&path, hooks)?;
    // a first start that broke off before its first rows is finished here
    if tables::IDENTITY.get(&database, &())?.is_none() && expected.writes == 0 {
        initialise(&database, owner, &expected)?;
        database.sync_directories()?;
    }
    // whose it is before what is in it: a foreign database is refused and never set aside
    check_identity(&database, owner, &expected)?;
    let memory = read_everything(&database, owner, &expected)?;
    Ok(Loaded {
        database,
        log_id: expected.log_id,
        memory,
    })
}

/// The first rows of a new database; before them there must be none.
fn initialise(database: &Database, owner: Owner, head: &HeadState) -> Result<(), StorageError> {
    if let Some(row) = database.range(vec![0], vec![u8::MAX]).next() {
        row?;
        return Err(StorageError::damaged(
            database.path(),
            "it has rows and does not say whose",
        ));
    }
    // written with the first rows: from now on it opens for this node only
    let identity = Identity {
        federation: owner.federation,
        node: owner.node,
        log_id: head.log_id,
    };
    let key = tables::IDENTITY.key(&());
    let value = tables::IDENTITY.value(&identity)?;
    let mut tallies = Tallies::default();
    tallies.add(&key, &value);
    let state = State {
        writes: 0,
        journal_sequence: head.journal_sequence,
        next_trust: 0,
        next_outbox: 0,
        log_size: 0,
        log_root: head.root,
        tallies,
    };
    // the row that holds the tallies is not in them
    let mut batch = Batch::default();
    batch.insert(key, value);
    batch.insert(tables::STATE.key(&()), tables::STATE.value(&state)?);
    database.apply(batch)
}

fn check_identity(database: &Database, owner: Owner, head: &HeadState) -> Result<(), StorageError> {
    let path = database.path().to_owned();
    let identity = tables::IDENTITY.get(database, &())?;
    let Some(identity) = identity else {
        return Err(StorageError::damaged(
            &path,
            "the row that says whose it is is missing",
        ));
    };
    // refused before anything else is looked at: it is whole, and somebody else's
    if identity.federation != owner.federation {
        let found = identity.federation;
        let expected = owner.federation;
        return Err(StorageError::OtherFederation {
            path,
            found,
            expected,
        });
    }
    if identity.node != owner.node {
        return Err(StorageError::OtherNode {
            path,
            found: identity.node,
            expected: owner.node,
        });
    }
    // a head of another log would take a rolled back database for a whole one
    if identity.log_id != head.log_id {
        return Err(StorageError::damaged(
            &path,
            "log.head beside it belongs to another log",
        ));
    }
    Ok(())
}

/// The one pass over all rows.
fn read_everything(
    database: &Database,
    owner: Owner,
    head: &HeadState,
) -> Result<Memory, StorageError> {
    let damaged = |reason: String| StorageError::damaged(database.path(), reason);
    let state = tables::STATE
        .get(database, &())?
        .ok_or_else(|| damaged("its counts are missing".to_owned()))?;
    // the head is written after the rows, so it never knows of more than there is
    if state.writes < head.writes {
        let found = state.writes;
        let written = head.writes;
        return Err(damaged(format!(
            "it ends with write {found}, log.head beside it knows of {written}"
        )));
    }
    let mut tallies = Tallies::default();
    let mut log = LogPass {
        database,
        owner,
        head,
        edge: RightEdge::default(),
        digest: CertifiedDigest::default(),
    };
    // a head of no entries is compared before the first
    log.check_against_head()?;
    for row in database.range(vec![0], vec![u8::MAX]) {
        let (key, value) = row?;
        match key.split_first() {
            // the row that holds the tallies is not in them
            Some((&STATE_PREFIX, _)) => continue,
            Some((&LOG_PREFIX, sequence)) => log.add(sequence, &value)?,
            _ => {}
        }
        tallies.add(&key, &value);
    }
    // rows that sled lost or gave back as they were before
    if let Some(difference) = tallies.difference(&state.tallies) {
        return Err(damaged(difference));
    }
    let LogPass { edge, digest, .. } = log;
    // and the log by its own hashes: more than sums of checksums can tell
    if (edge.size(), edge.root()) != (state.log_size, state.log_root) || edge.size() < head.size {
        return Err(damaged(format!(
            "its log has {} entries and not the root that was written",
            edge.size()
        )));
    }
    Ok(Memory {
        state,
        edge,
        digest,
    })
}

/// The log's part of the pass: entries come in order of sequence.
struct LogPass<'a> {
    database: &'a Database,
    owner: Owner,
    head: &'a HeadState,
    edge: RightEdge,
    digest: CertifiedDigest,
}

impl LogPass<'_> {
    fn add(&mut self, sequence: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let expected = self.edge.size();
        let damaged = |what: &str| {
            StorageError::damaged(self.database.path(), format!("log entry {expected} {what}"))
        };
        // the rows come in order, so a gap shows at once
        if sequence != expected.to_be_bytes() {
            return Err(damaged("is missing"));
        }
        let entry: LogEntry = codec::decode(value).map_err(|refusal| match refusal {
            Refusal::Newer(format) => damaged(&format!("has format {format}")),
            Refusal::Malformed(why) => damaged(&format!("is unreadable: {why}")),
        })?;
        self.edge
            .append([merkle::leaf_hash(&entry.choice.to_bytes())]);
        self.digest
            .add(&entry.subject.id(&self.owner.federation), &entry.choice);
        self.check_against_head()
    }

    fn check_against_head(&self) -> Result<(), StorageError> {
        if self.edge.size() == self.head.size && self.edge.root() != self.head.root {
            let reason = format!(
                "its first {} log entries are not those that log.head knows",
                self.head.size
            );
            return Err(StorageError::damaged(self.database.path(), reason));
        }
        Ok(())
    }
}
