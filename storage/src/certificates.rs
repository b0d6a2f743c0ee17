//! Certificates put together again from the log, the events and the batches (SPEC §8).

use std::collections::HashMap;

use ssid_protocol::batch::{BatchProof, Kind};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::id::{MerkleHash, Signature};
use ssid_protocol::merkle::MerkleTree;
use ssid_protocol::wire;

use crate::error::StorageError;
use crate::rows::{BatchKey, LogEntry, ProofRef, StoredBatchRow};
use crate::store::Store;
use crate::tables;

/// Trees of batches kept while certificates are put together; the largest take 256 KiB each.
const TREES: usize = 32;

impl Store {
    /// The certificate of log entry `sequence`; `None` if the log is shorter.
    ///
    /// # Errors
    /// If the database fails or is damaged; so for every method here.
    pub fn certificate(&self, sequence: u64) -> Result<Option<Certificate>, StorageError> {
        let Some(entry) = self.log_entry(sequence)? else {
            return Ok(None);
        };
        Prover::new(self).certificate(entry).map(Some)
    }

    /// The certificates of log entries from `from` on: at most `limit`, and of `max_bytes` together
    /// on the wire, but one at least if there is one.
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
    /// # use ssid_storage::{Certified, LogEntry};
    /// # use ssid_protocol::id::{Epoch, Round, UnixMillis};
    /// # use ssid_protocol::record::{ConsensusRecord, Resolution, Transport};
    /// # use ssid_protocol::subject::EventPolicies;
    /// # let certified = |event: &ssid_protocol::event::Event| {
    /// #     let subject = EventPolicies::default().subject_of(event);
    /// #     Certified {
    /// #         record: ConsensusRecord {
    /// #             subject_id: subject.id(&owner.federation),
    /// #             choice: event.choice(),
    /// #             event_type: event.event.clone(),
    /// #             event_version: event.version.clone(),
    /// #             initiated_at: UnixMillis(1),
    /// #             completed_at: UnixMillis(2),
    /// #             epoch: Epoch(0),
    /// #             round: Round(0),
    /// #             eligible_nodes: 1,
    /// #             quorum: 1,
    /// #             node_hashes: Default::default(),
    /// #             endorsing_nodes: Default::default(),
    /// #             silent_nodes: Vec::new(),
    /// #             disagreeing_nodes: Vec::new(),
    /// #             found_later: None,
    /// #             resolution: Resolution::Achieved,
    /// #             transport: Transport::Live,
    /// #         },
    /// #         entry: LogEntry {
    /// #             subject,
    /// #             epoch: Epoch(0),
    /// #             round: Round(0),
    /// #             choice: event.choice(),
    /// #             precommits: Vec::new(),
    /// #         },
    /// #     }
    /// # };
    ///
    /// let events: Vec<_> = ["v1", "v2", "v3", "v4"]
    ///     .map(|version| testing::event("blueprint_tagged", version))
    ///     .to_vec();
    /// writer.write(Changes {
    ///     certified: events.iter().map(certified).collect(),
    ///     events,
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.log_head().size, 4);
    ///
    /// // the whole log in pages of three
    /// let mut versions = Vec::new();
    /// loop {
    ///     let page = store.certificates(versions.len() as u64, 3, usize::MAX)?;
    ///     if page.is_empty() {
    ///         break;
    ///     }
    ///     versions.extend(page.into_iter().map(|certificate| certificate.subject.version));
    /// }
    /// assert_eq!(versions, ["v1", "v2", "v3", "v4"]);
    ///
    /// // what was read and the head fit together
    /// assert_eq!(store.log_root(4)?, Some(store.log_head().root));
    /// assert_eq!(store.log_entry(4)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn certificates(
        &self,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Certificate>, StorageError> {
        // proofs of many entries lie in the same batches, which it reads once
        let mut prover = Prover::new(self);
        let mut page = Vec::new();
        let mut bytes = 0;
        let end = self
            .certified_count()
            .min(from.saturating_add(limit as u64));
        for row in tables::LOG
            .from(self.database(), &from)
            .take(end.saturating_sub(from) as usize)
        {
            let certificate = prover.certificate(row?.1)?;
            // by what goes over the wire: certificates grow with the number of voters
            bytes += wire::encode(&certificate).len();
            // one at least, however large: the asker has to come on
            if bytes > max_bytes && !page.is_empty() {
                break;
            }
            page.push(certificate);
        }
        Ok(page)
    }

    /// The proof that a candidate was announced, as kept in [`OpenSubject`](crate::OpenSubject).
    pub fn announcement(&self, proof: &ProofRef) -> Result<BatchProof, StorageError> {
        Prover::new(self).proof(Kind::Events, proof)
    }

    /// A stored batch.
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
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_storage::StoredBatchRow;
    ///
    /// let events = Statements::Events(vec![testing::event("blueprint_tagged", "v1")]);
    /// let batch = VerifiedBatch::sign(&testing::key(1), &owner.federation, events)?;
    /// let row = StoredBatchRow::from(&batch);
    /// writer.write(Changes {
    ///     batches: vec![row.clone()],
    ///     ..Changes::default()
    /// })?;
    /// assert_eq!(store.batch(&row.key)?, Some(row));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&self, key: &BatchKey) -> Result<Option<StoredBatchRow>, StorageError> {
        let Some((signature, count)) = tables::BATCHES.get(self.database(), key)? else {
            return Ok(None);
        };
        let mut leaves: Vec<MerkleHash> = Vec::new();
        // keys of batches stand beside each other: the next one's leaves follow at once
        for row in tables::LEAVES.from(self.database(), &(*key, 0)) {
            let ((of, _), more) = row?;
            if of != *key {
                break;
            }
            leaves.extend(more);
        }
        // with a leaf missing every proof would be of another root
        if leaves.len() != count as usize {
            let reason = format!(
                "batch {} of {} has {} of {count} leaves",
                key.root,
                key.signer,
                leaves.len()
            );
            return Err(StorageError::damaged(self.database().path(), reason));
        }
        Ok(Some(StoredBatchRow {
            key: *key,
            signature,
            leaves,
        }))
    }
}

/// Makes proofs of statements; neighbours in the log share batches, so their trees are kept.
struct Prover<'a> {
    store: &'a Store,
    trees: HashMap<BatchKey, (Signature, u32, MerkleTree)>,
}

impl<'a> Prover<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            trees: HashMap::new(),
        }
    }

    fn certificate(&mut self, entry: LogEntry) -> Result<Certificate, StorageError> {
        let digest = entry.choice.content_digest;
        let event = self
            .store
            .event(&digest)?
            .ok_or_else(|| self.missing(&format!("certified event {digest}")))?;
        let precommits = entry
            .precommits
            .iter()
            .map(|proof| self.proof(Kind::Votes, proof));
        let precommits = precommits.collect::<Result<_, _>>()?;
        Ok(Certificate {
            federation_id: self.store.owner().federation,
            epoch: entry.epoch,
            round: entry.round,
            choice: entry.choice,
            event,
            precommits,
            subject: entry.subject,
        })
    }

    fn proof(&mut self, kind: Kind, proof: &ProofRef) -> Result<BatchProof, StorageError> {
        let at = match proof {
            ProofRef::Alone(proof) => return Ok(proof.clone()),
            ProofRef::Batch(at) => at,
        };
        let key = BatchKey {
            signer: at.signer,
            kind,
            root: at.root,
        };
        let path = self.tree(&key)?.and_then(|(signature, count, tree)| {
            let path = tree.inclusion_path(usize::try_from(at.index).ok()?)?;
            Some(BatchProof {
                signer: at.signer,
                index: at.index,
                count: *count,
                path,
                signature: *signature,
            })
        });
        path.ok_or_else(|| self.missing(&format!("statement {} of batch {}", at.index, at.root)))
    }

    fn tree(
        &mut self,
        key: &BatchKey,
    ) -> Result<Option<&(Signature, u32, MerkleTree)>, StorageError> {
        if !self.trees.contains_key(key) {
            let Some(batch) = self.store.batch(key)? else {
                return Ok(None);
            };
            // neighbours share batches, so the oldest are seldom asked for again
            if self.trees.len() >= TREES {
                self.trees.clear();
            }
            let count = u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX);
            self.trees
                .insert(*key, (batch.signature, count, MerkleTree::of(batch.leaves)));
        }
        Ok(self.trees.get(key))
    }

    fn missing(&self, what: &str) -> StorageError {
        StorageError::damaged(self.store.database().path(), format!("{what} is missing"))
    }
}
