//! From [`Changes`] to rows: everything that can be refused is refused here, before anything is
//! written.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_protocol::batch::Kind;
use ssid_protocol::event::Event;
use ssid_protocol::id::{ContentDigest, LogId, MerkleHash, SubjectId};
use ssid_protocol::merkle;
use ssid_protocol::trust::TrustChange;

use crate::changes::{Certified, Changes};
use crate::error::StorageError;
use crate::keys::Key;
use crate::open::Identity;
use crate::rows::{
    BatchKey, ConflictRow, Cursor, OpenSubject, OutboxKey, OutboxRow, ProofRef, StoredBatchRow,
};
use crate::store::Store;
use crate::tables::{self, LEAVES_PER_ROW, Table};
use crate::writer::Memory;

/// A write that may go to disk.
pub(crate) struct Staged {
    /// What happens to which row.
    pub(crate) rows: BTreeMap<Vec<u8>, Row>,
    /// The writer's memory after the write; `writes` and tallies follow with the batch.
    pub(crate) memory: Memory,
    /// Keys given to outbox rows.
    pub(crate) outbox: Vec<OutboxKey>,
}

/// What happens to one row.
pub(crate) enum Row {
    /// Put, over an old one if there is one.
    Put(Vec<u8>),
    /// Put where none is: that was looked up, or follows from the log's size. Saves looking for the
    /// old row.
    New(Vec<u8>),
    /// Removed if it is there.
    Remove,
}

/// Checks `changes` against what is stored and turns them into rows.
pub(crate) fn stage(
    store: &Store,
    memory: &Memory,
    changes: Changes,
) -> Result<Staged, StorageError> {
    // all in memory: a change that is refused leaves nothing behind
    let mut stage = Stage {
        store,
        rows: BTreeMap::new(),
        memory: memory.clone(),
        batches: HashMap::new(),
        certified: HashMap::new(),
    };
    // first: what follows refers to events and batches, of this write or earlier ones
    changes
        .events
        .iter()
        .try_for_each(|event| stage.event(event))?;
    changes
        .batches
        .iter()
        .try_for_each(|batch| stage.batch(batch))?;
    stage.subjects(&changes)?;
    stage.conflicts(&changes)?;
    stage.members(&changes)?;
    stage.own_registry(&changes)?;
    stage.put_all(&tables::DECISIONS, &changes.decisions)?;
    stage.put_all(&tables::ANCHORS, &changes.anchors)?;
    stage.epochs(&changes)?;
    stage.put_or_remove(&tables::KEPT_OFFERS, &changes.kept_offers)?;
    // keys only grow: a new row never takes the place of one that is done
    for key in &changes.outbox_done {
        stage.remove(&tables::OUTBOX, key);
    }
    let outbox = changes
        .outbox
        .iter()
        .map(|row| stage.outbox(row))
        .collect::<Result<_, _>>()?;
    stage.ledger(changes.trust)?;
    if let Some(node) = changes.owner {
        let log_id = store.log_head().log_id;
        let federation = store.owner().federation;
        stage.put(
            &tables::IDENTITY,
            &(),
            &Identity {
                federation,
                node,
                log_id,
            },
        )?;
    }
    // with the rows that it goes with: the database then knows what the journal must have
    if let Some(sequence) = changes.journal_sequence {
        stage.memory.state.journal_sequence = sequence;
    }
    Ok(Staged {
        rows: stage.rows,
        memory: stage.memory,
        outbox,
    })
}

struct Stage<'a> {
    store: &'a Store,
    rows: BTreeMap<Vec<u8>, Row>,
    memory: Memory,
    /// How many statements each batch that was asked for has; `None` if it is not stored.
    batches: HashMap<BatchKey, Option<u32>>,
    /// Subjects certified by this write.
    certified: HashMap<SubjectId, u64>,
}

impl Stage<'_> {
    /// Subjects on their way: dropped, open, certified, with the record of how.
    fn subjects(&mut self, changes: &Changes) -> Result<(), StorageError> {
        // before those that are opened: a subject may be dropped and heard of again in one write
        for id in &changes.dropped_subjects {
            self.remove(&tables::OPEN, id);
            self.remove(&tables::CONFLICTS, id);
        }
        changes
            .open_subjects
            .iter()
            .try_for_each(|open| self.open_subject(open))?;
        // after the open ones, whose rows it takes away
        self.certified(&changes.certified)?;
        // a record may be of an entry that this write appended
        for (sequence, record) in &changes.records {
            if *sequence >= self.memory.state.log_size {
                return Err(StorageError::NoLogEntry(*sequence));
            }
            self.put(&tables::RECORDS, sequence, record)?;
        }
        Ok(())
    }

    /// Changes of trust. The ledger only grows; its numbers go on over all members.
    fn ledger(&mut self, changes: Vec<TrustChange>) -> Result<(), StorageError> {
        for change in changes {
            let place = self.memory.state.next_trust;
            self.memory.state.next_trust += 1;
            self.put(&tables::TRUST, &(change.member, place), &change)?;
        }
        Ok(())
    }

    /// Ends before beginnings: a conflict may end and begin again in one write.
    fn conflicts(&mut self, changes: &Changes) -> Result<(), StorageError> {
        for id in &changes.conflicts_ended {
            self.remove(&tables::CONFLICTS, id);
        }
        changes
            .conflicts
            .iter()
            .try_for_each(|(id, row)| self.conflict(id, row))
    }

    /// What is known of members. How much of it they may cause is bounded where it is decided.
    fn members(&mut self, changes: &Changes) -> Result<(), StorageError> {
        self.put_all(&tables::PEERS, &changes.peers)?;
        changes
            .cursors
            .iter()
            .try_for_each(|(cursor, at)| self.cursor(cursor, *at))?;
        self.put_all(&tables::EVIDENCE, &changes.evidence)?;
        self.put_all(&tables::REWRITTEN, &changes.rewritten)
    }

    /// What the node's own registry file says.
    fn own_registry(&mut self, changes: &Changes) -> Result<(), StorageError> {
        // the file is read anew: nothing of the old rows may survive beside the new ones
        if changes.own_lines_forgotten {
            self.remove_all(&tables::OWN_LINES)?;
            self.remove_all(&tables::OWN_ORDER)?;
        }
        self.put_or_remove(&tables::OWN_LINES, &changes.own_lines)?;
        self.put_or_remove(&tables::OWN_ORDER, &changes.own_order)?;
        self.put_all(&tables::DIVERGENCES, &changes.divergences)
    }

    fn put<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.rows
            .insert(table.key(key), Row::Put(table.value(value)?));
        Ok(())
    }

    /// Puts a row that is known not to be there.
    fn put_new<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.rows
            .insert(table.key(key), Row::New(table.value(value)?));
        Ok(())
    }

    fn put_all<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        rows: &[(K, V)],
    ) -> Result<(), StorageError> {
        rows.iter()
            .try_for_each(|(key, value)| self.put(table, key, value))
    }

    /// Changes of members: what is proposed, what is closed, and what is in force.
    fn epochs(&mut self, changes: &Changes) -> Result<(), StorageError> {
        self.put_all(&tables::EPOCHS, &changes.epochs)?;
        self.put_or_remove(&tables::PROPOSALS, &changes.proposals)?;
        self.put_or_remove(&tables::CLOSES, &changes.closes)?;
        self.put_or_remove(&tables::INHERITED, &changes.inherited)?;
        self.put_or_remove(&tables::CONFIRMED, &changes.confirmed)?;
        match &changes.entered {
            Some(epoch) => self.put(&tables::ENTERED, &(), epoch),
            None => Ok(()),
        }
    }

    /// Puts rows, and removes those that have no value.
    fn put_or_remove<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
        rows: &[(K, Option<V>)],
    ) -> Result<(), StorageError> {
        for (key, value) in rows {
            match value {
                Some(value) => self.put(table, key, value)?,
                None => self.remove(table, key),
            }
        }
        Ok(())
    }

    /// Removes every row of a table.
    fn remove_all<K: Key, V: Serialize + DeserializeOwned>(
        &mut self,
        table: &Table<K, V>,
    ) -> Result<(), StorageError> {
        let store = self.store;
        for row in table.all(store.database()) {
            self.rows.insert(table.key(&row?.0), Row::Remove);
        }
        Ok(())
    }

    fn remove<K: Key, V: Serialize + DeserializeOwned>(&mut self, table: &Table<K, V>, key: &K) {
        let key = table.key(key);
        // of an empty table no row needs to be looked for: most writes remove nothing
        let nothing_there =
            self.memory.state.tallies.is_empty(&key) && !self.rows.contains_key(&key);
        if !nothing_there {
            self.rows.insert(key, Row::Remove);
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), StorageError> {
        let choice = event.choice();
        // the digest fixes all of it: what is there is the same
        if self.has_event(&choice.content_digest)? {
            return Ok(());
        }
        self.put_new(&tables::EVENTS, &choice.content_digest, event)?;
        self.put_new(&tables::HASHES, &choice, &())
    }

    fn has_event(&self, digest: &ContentDigest) -> Result<bool, StorageError> {
        Ok(self.rows.contains_key(&tables::EVENTS.key(digest))
            || tables::EVENTS.has(self.store.database(), digest)?)
    }

    /// One row a peer: of other incarnations of its log, of which it may name any number, nothing
    /// is kept.
    fn cursor(&mut self, cursor: &Cursor, at: u64) -> Result<(), StorageError> {
        let table = &tables::CURSORS;
        let first = Cursor {
            log_id: LogId([0; 32]),
            ..*cursor
        };
        for row in table.from(self.store.database(), &first) {
            let (other, _) = row?;
            if other.peer != cursor.peer {
                break;
            }
            self.rows.insert(table.key(&other), Row::Remove);
        }
        // an earlier cursor of the same write goes, too
        let of_peer = table.key(&first)..=table.key(&Cursor {
            log_id: LogId([255; 32]),
            ..*cursor
        });
        for (_, staged) in self.rows.range_mut(of_peer) {
            *staged = Row::Remove;
        }
        self.put(table, cursor, &at)
    }

    /// A batch that is stored stays as it is: its name fixes its leaves.
    fn batch(&mut self, batch: &StoredBatchRow) -> Result<(), StorageError> {
        if self.batch_count(&batch.key)?.is_some() {
            return Ok(());
        }
        let count = u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX);
        self.put(&tables::BATCHES, &batch.key, &(batch.signature, count))?;
        for (row, leaves) in (0_u8..).zip(batch.leaves.chunks(LEAVES_PER_ROW)) {
            self.put(&tables::LEAVES, &(batch.key, row), &leaves.to_vec())?;
        }
        self.batches.insert(batch.key, Some(count));
        Ok(())
    }

    fn batch_count(&mut self, key: &BatchKey) -> Result<Option<u32>, StorageError> {
        if let Some(count) = self.batches.get(key) {
            return Ok(*count);
        }
        let count = tables::BATCHES
            .get(self.store.database(), key)?
            .map(|(_, count)| count);
        self.batches.insert(*key, count);
        Ok(count)
    }

    fn check_proof(&mut self, kind: Kind, proof: &ProofRef) -> Result<(), StorageError> {
        let ProofRef::Batch(at) = proof else {
            return Ok(());
        };
        let count = self.batch_count(&BatchKey {
            signer: at.signer,
            kind,
            root: at.root,
        })?;
        // an index past the end would be found out only when the certificate is put together
        if count.is_some_and(|count| at.index < count) {
            return Ok(());
        }
        Err(StorageError::BatchMissing {
            signer: at.signer,
            root: at.root,
            index: at.index,
        })
    }

    fn check_uncertified(&self, subject: SubjectId) -> Result<(), StorageError> {
        // this write may have certified it a moment ago
        let earlier = self.certified.get(&subject).copied();
        match earlier.map_or_else(
            || tables::CERTIFIED.get(self.store.database(), &subject),
            |s| Ok(Some(s)),
        )? {
            Some(sequence) => Err(StorageError::AlreadyCertified { subject, sequence }),
            None => Ok(()),
        }
    }

    fn open_subject(&mut self, open: &OpenSubject) -> Result<(), StorageError> {
        let id = open.subject.id(&self.store.owner().federation);
        self.check_uncertified(id)?;
        let announced = open
            .candidates
            .iter()
            .filter_map(|(_, proof)| proof.as_ref());
        announced
            .into_iter()
            .try_for_each(|proof| self.check_proof(Kind::Events, proof))?;
        self.put(&tables::OPEN, &id, open)
    }

    fn certified(&mut self, certified: &[Certified]) -> Result<(), StorageError> {
        let mut leaves: Vec<MerkleHash> = Vec::with_capacity(certified.len());
        for (sequence, one) in (self.memory.state.log_size..).zip(certified) {
            self.certify(sequence, one)?;
            leaves.push(merkle::leaf_hash(&one.entry.choice.to_bytes()));
        }
        // one tile a level changes, however many were appended
        for (key, tile) in self.memory.edge.append(leaves) {
            self.put(&tables::MERKLE, &key, &tile)?;
        }
        self.memory.state.log_size = self.memory.edge.size();
        self.memory.state.log_root = self.memory.edge.root();
        Ok(())
    }

    fn certify(&mut self, sequence: u64, one: &Certified) -> Result<(), StorageError> {
        let entry = &one.entry;
        let id = entry.subject.id(&self.store.owner().federation);
        self.check_uncertified(id)?;
        if !self.has_event(&entry.choice.content_digest)? {
            return Err(StorageError::EventMissing(entry.choice.content_digest));
        }
        entry
            .precommits
            .iter()
            .try_for_each(|proof| self.check_proof(Kind::Votes, proof))?;
        // new by the log's size, so no old row is looked for
        self.put_new(&tables::LOG, &sequence, entry)?;
        self.put_new(&tables::RECORDS, &sequence, &one.record)?;
        self.put_new(&tables::CERTIFIED, &id, &sequence)?;
        self.remove(&tables::OPEN, &id);
        self.remove(&tables::CONFLICTS, &id);
        self.certified.insert(id, sequence);
        self.memory.digest.add(&id, &entry.choice);
        Ok(())
    }

    /// A conflict and its certificate may come in one write, after a while without a network: what
    /// is certified is in conflict no more.
    fn conflict(&mut self, id: &SubjectId, row: &ConflictRow) -> Result<(), StorageError> {
        match self.check_uncertified(*id) {
            Ok(()) => self.put(&tables::CONFLICTS, id, row),
            Err(StorageError::AlreadyCertified { .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn outbox(&mut self, row: &OutboxRow) -> Result<OutboxKey, StorageError> {
        let key = OutboxKey {
            kind: row.kind,
            counter: self.memory.state.next_outbox,
        };
        self.memory.state.next_outbox += 1;
        self.put(&tables::OUTBOX, &key, row)?;
        Ok(key)
    }
}
