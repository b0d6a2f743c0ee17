//! Writing: one writer, one atomic batch and one sync per write, `log.head` after it.
//!
//! What a write acknowledged survives `kill -9` and a loss of power. After an error that leaves the
//! disk's state in doubt every later write is refused: the node must stop voting and be restarted.

use std::collections::BTreeMap;

use ssid_protocol::heartbeat::CertifiedDigest;

use crate::changes::{Changes, Written};
use crate::database::Batch;
use crate::error::StorageError;
use crate::log_head::{HeadFile, HeadState};
use crate::staging::{self, Row, Staged};
use crate::store::{LogHead, Shown, Store};
use crate::tables;
use crate::tally::State;
use crate::tiles::RightEdge;

/// What the writer keeps in memory of what is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) state: State,
    pub(crate) edge: RightEdge,
    pub(crate) digest: CertifiedDigest,
}

/// The one that writes. Not to be cloned; reading goes through [`Store`].
#[derive(Debug)]
pub struct Writer {
    store: Store,
    head: HeadFile,
    memory: Memory,
    poisoned: bool,
}

impl Writer {
    pub(crate) fn new(store: Store, head: HeadFile, memory: Memory) -> Self {
        Self {
            store,
            head,
            memory,
            poisoned: false,
        }
    }

    /// The handle for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes all of `changes`, or nothing, and returns once it is on disk.
    ///
    /// # Errors
    /// If `changes` contradict what is stored or refer to what is not: nothing was written, the
    /// writer goes on. If the disk or the database fails ([`StorageError::is_fatal`]): every later
    /// write is refused.
    ///
    /// ```
    /// # use ssid_protocol::id::{FederationId, LogId};
    /// # use ssid_protocol::testing;
    /// # use ssid_storage::{Changes, Owner, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let owner = Owner {
    /// #     federation: FederationId([7; 32]),
    /// #     node: testing::key(0).node_id(),
    /// # };
    /// # let (store, mut writer) = Store::open(dir.path(), owner, LogId([1; 32]))?;
    /// use ssid_storage::StorageError;
    ///
    /// use ssid_protocol::id::{MerkleHash, UnixMillis};
    /// use ssid_protocol::subject::EventPolicies;
    /// use ssid_storage::{BatchRef, OpenSubject, ProofRef};
    ///
    /// let event = testing::event("blueprint_tagged", "v1");
    /// let announced_by_nobody = ProofRef::Batch(BatchRef {
    ///     signer: testing::key(1).node_id(),
    ///     root: MerkleHash([9; 32]),
    ///     index: 0,
    /// });
    /// let refused = writer.write(Changes {
    ///     events: vec![event.clone()],
    ///     open_subjects: vec![OpenSubject {
    ///         subject: EventPolicies::default().subject_of(&event),
    ///         first_seen: UnixMillis(1_760_000_000_000),
    ///         candidates: vec![(event.choice(), Some(announced_by_nobody))],
    ///         prompt: Vec::new(),
    ///     }],
    ///     ..Changes::default()
    /// });
    /// // all of it or nothing: the event was not written either, and the writer goes on
    /// assert!(matches!(refused, Err(StorageError::BatchMissing { .. })));
    /// assert_eq!(store.event(&event.choice().content_digest)?, None);
    /// writer.write(Changes::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&mut self, changes: Changes) -> Result<Written, StorageError> {
        // what is on disk is not known: only a restart reads it
        if self.poisoned {
            return Err(StorageError::Poisoned(
                self.store.database().path().to_owned(),
            ));
        }
        // everything that can be refused is refused here, before the disk is touched
        let staged = staging::stage(&self.store, &self.memory, changes)?;
        let first_sequence = self.memory.state.log_size;
        let outbox = staged.outbox.clone();
        self.commit(staged).inspect_err(|_| self.poisoned = true)?;
        Ok(Written {
            first_sequence,
            outbox,
            head: self.store.log_head(),
        })
    }

    fn commit(&mut self, staged: Staged) -> Result<(), StorageError> {
        let mut memory = staged.memory;
        let grew = memory.state.log_size > self.memory.state.log_size;
        // nothing to write costs no flush: an idle node leaves the disk alone
        let Some(batch) = self.batch(staged.rows, &mut memory.state)? else {
            return Ok(());
        };
        // rows first: a head that knew of more than there is would be taken for a loss
        self.store.database().apply(batch)?;
        self.memory = memory;
        let State {
            writes,
            log_size: size,
            log_root: root,
            journal_sequence,
            ..
        } = self.memory.state;
        let log_id = self.store.log_head().log_id;
        // a head that is behind only says less; what it says must be on disk where entries could be
        // missed
        self.head.write(
            HeadState {
                writes,
                size,
                root,
                journal_sequence,
                log_id,
            },
            grew,
        )?;
        // after it is on disk: readers see nothing that a crash takes back
        self.store.show(Shown {
            head: LogHead { log_id, size, root },
            digest: self.memory.digest,
            journal_sequence,
        });
        Ok(())
    }

    /// The rows that differ from those stored, with the state that counts them; `None` if nothing
    /// changes.
    fn batch(
        &self,
        rows: BTreeMap<Vec<u8>, Row>,
        state: &mut State,
    ) -> Result<Option<Batch>, StorageError> {
        let mut batch = Batch::default();
        let mut changed = state.journal_sequence != self.memory.state.journal_sequence;
        // only what differs: many a tick writes a row as it was
        for (key, row) in rows {
            let (old, new) = match row {
                // one that cannot be there is not looked up: entries of the log, leaves and trust
                // only grow
                Row::New(value) => (None, Some(value)),
                Row::Put(value) => (self.store.database().get(&key)?, Some(value)),
                Row::Remove => (self.store.database().get(&key)?, None),
            };
            if old.as_deref() == new.as_deref() {
                continue;
            }
            changed = true;
            if let Some(old) = old {
                state.tallies.remove(&key, &old);
            }
            if let Some(new) = new {
                state.tallies.add(&key, &new);
                batch.insert(key, new);
            } else {
                batch.remove(key);
            }
        }
        if !changed {
            return Ok(None);
        }
        // the state's own row is not in its tallies, which it holds
        state.writes += 1;
        batch.insert(tables::STATE.key(&()), tables::STATE.value(state)?);
        Ok(Some(batch))
    }
}
