//! What this node serves of changes of members: the chain, proposed manifests, and what voters
//! closed an epoch with (SPEC §10).

use std::sync::Arc;

use ssid_protocol::id::{Epoch, ManifestHash, NodeId, SubjectId};
use ssid_protocol::set_tree::{CertifiedEntry, EntrySet, LockEntry, Prefix, SentPart};
use ssid_protocol::sync::{
    Answer, ChangeAnswer, ChangeRequest, ClosedSet, HeldClose, LockProof, MANIFESTS, NAMES,
    PREFIXES, SentManifest,
};
use ssid_protocol::wire;
use ssid_storage::{CloseRow, StorageError, Store};

use super::handovers;
use crate::engine::{Engine, Tick};
use crate::messages::Ticket;
use crate::request::Reply;
use crate::settings::ANSWER_BYTES;

/// A close whose sets are served, and those once somebody has asked for them.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) row: Arc<CloseRow>,
    certified: Option<EntrySet<{ CertifiedEntry::LEN }>>,
    locks: Option<EntrySet<{ LockEntry::LEN }>>,
}

impl Served {
    pub(super) fn new(row: Arc<CloseRow>) -> Self {
        Self {
            row,
            certified: None,
            locks: None,
        }
    }

    /// The certified set, made from this node's log.
    fn certified(
        &mut self,
        store: &Store,
    ) -> Result<&EntrySet<{ CertifiedEntry::LEN }>, StorageError> {
        let entries = match self.certified.take() {
            Some(known) => known,
            None => certified_of(&self.row, store)?,
        };
        Ok(self.certified.insert(entries))
    }

    fn locks(&mut self) -> &EntrySet<{ LockEntry::LEN }> {
        let row = &self.row;
        self.locks.get_or_insert_with(|| {
            let entries = row.locks.iter().map(|(entry, _)| entry.to_bytes());
            EntrySet::of(entries.collect()).unwrap_or_default()
        })
    }
}

fn certified_of(
    row: &CloseRow,
    store: &Store,
) -> Result<EntrySet<{ CertifiedEntry::LEN }>, StorageError> {
    let without: std::collections::HashSet<_> = row.without.iter().collect();
    let mut entries: Vec<_> = row.besides.iter().map(CertifiedEntry::to_bytes).collect();
    for known in store.certified_choices(row.base) {
        let (subject, choice) = known?;
        if !without.contains(&subject) {
            entries.push(CertifiedEntry { subject, choice }.to_bytes());
        }
    }
    Ok(EntrySet::of(entries).unwrap_or_default())
}

impl Engine {
    /// The closes that are on disk.
    pub(super) fn load_served(&mut self) -> Result<(), StorageError> {
        for row in self.store.clone().confirmed() {
            let (key, close) = row?;
            self.membership.confirmed.insert(key, close);
        }
        for row in self.store.clone().closes() {
            let (key, row) = row?;
            self.membership
                .served
                .insert(key, Served::new(Arc::new(row)));
        }
        Ok(())
    }

    /// Answers a peer that asks about changes of members.
    pub(crate) fn answer_change(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        request: &ChangeRequest,
        ticket: Ticket,
    ) {
        let answer = match request {
            ChangeRequest::Epochs { from } => self.epochs_from(*from),
            ChangeRequest::Manifests { hashes } => Ok(self.manifests(hashes)),
            ChangeRequest::Standing => Ok(self.epoch_standing()),
            ChangeRequest::Closes { epoch } => {
                self.membership
                    .note_late(*epoch, self.epochs.current().number());
                Ok(self.closes(*epoch))
            }
            ChangeRequest::Sets {
                epoch,
                closer,
                set,
                prefixes,
            } => self.parts(&(*epoch, *closer), *set, prefixes),
            ChangeRequest::Polkas {
                epoch,
                closer,
                subjects,
            } => Ok(self.lock_proofs(&(*epoch, *closer), subjects)),
            ChangeRequest::Ready { manifest } => Ok(self.ready_for(tick, from, manifest)),
        };
        let answer = match answer {
            Ok(answer) => Answer::Change(answer),
            Err(error) => {
                tracing::error!(%error, "cannot read what a peer asks for");
                Answer::Refused("this node cannot read its database".to_owned())
            }
        };
        tick.reply(ticket, Reply::Answer(answer));
    }

    fn epochs_from(&self, from: Epoch) -> Result<ChangeAnswer, StorageError> {
        let (mut certificates, mut bytes) = (Vec::new(), 0);
        for row in self.store.epochs(from.max(Epoch::ZERO.next())) {
            let Some(certificate) = row?.1.certificate else {
                continue;
            };
            bytes += wire::encode(&certificate).len();
            // one at least: who asks goes on after it
            if bytes > ANSWER_BYTES && !certificates.is_empty() {
                break;
            }
            certificates.push(certificate);
        }
        Ok(ChangeAnswer::Epochs(certificates))
    }

    fn manifests(&self, hashes: &[ManifestHash]) -> ChangeAnswer {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for hash in hashes.iter().take(MANIFESTS) {
            let in_force = || {
                let mut manifests = self.membership.chain.manifests();
                let manifest = manifests.find(|manifest| manifest.hash() == *hash)?;
                Some(SentManifest {
                    manifest: manifest.to_json().to_jcs(),
                    handovers: Vec::new(),
                })
            };
            let proposed = self.membership.proposals.sent(hash);
            let Some(mut sent) = proposed.or_else(in_force) else {
                continue;
            };
            bytes += handovers::fit(&mut sent, ANSWER_BYTES);
            if bytes > ANSWER_BYTES && !all.is_empty() {
                break;
            }
            all.push(sent);
        }
        ChangeAnswer::Manifests(all)
    }

    /// The closes of an epoch, and what this node says of each.
    fn closes(&self, epoch: Epoch) -> ChangeAnswer {
        let boundary = self.membership.boundary.as_ref();
        if let Some(boundary) = boundary.filter(|boundary| boundary.epoch == epoch) {
            let held = boundary.closes.values().map(|close| HeldClose {
                close: close.signed.clone(),
                is_counted: close.counted_by.contains(&self.me),
                is_confirmed: close.confirmed_by.contains(&self.me),
            });
            return ChangeAnswer::Closes(held.collect());
        }
        // of an epoch that this node has left it counts none any more, and says what it confirmed
        let left = (epoch, NodeId([0; 32]))..=(epoch, NodeId([255; 32]));
        let confirmed = self.membership.confirmed.range(left);
        let held = confirmed.map(|(_, close)| HeldClose {
            close: close.clone(),
            is_counted: false,
            is_confirmed: true,
        });
        ChangeAnswer::Closes(held.collect())
    }

    fn parts(
        &mut self,
        key: &(Epoch, NodeId),
        set: ClosedSet,
        prefixes: &[Prefix],
    ) -> Result<ChangeAnswer, StorageError> {
        let Some(served) = self.membership.served.get_mut(key) else {
            return Ok(ChangeAnswer::Sets(Vec::new()));
        };
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for prefix in prefixes.iter().take(PREFIXES) {
            let part = match set {
                ClosedSet::Certified => {
                    SentPart::from(&served.certified(&self.store)?.part(prefix))
                }
                ClosedSet::Locks => SentPart::from(&served.locks().part(prefix)),
            };
            bytes += wire::encode(&part).len();
            if bytes > ANSWER_BYTES && !parts.is_empty() {
                break;
            }
            parts.push((*prefix, part));
        }
        Ok(ChangeAnswer::Sets(parts))
    }

    fn lock_proofs(&self, key: &(Epoch, NodeId), subjects: &[SubjectId]) -> ChangeAnswer {
        let served = self.membership.served.get(key);
        let locks = served.map_or(&[][..], |served| &served.row.locks);
        let (mut proofs, mut bytes) = (Vec::new(), 0);
        for subject in subjects.iter().take(NAMES) {
            let lock = locks.iter().find(|(entry, _)| entry.subject == *subject);
            let proof = lock.and_then(|(_, proof)| proof.clone()).or_else(|| {
                let certificate = self.certificate(subject)?;
                Some(LockProof::Certificate(Box::new(certificate)))
            });
            let Some(proof) = proof else { continue };
            bytes += wire::encode(&proof).len();
            if bytes > ANSWER_BYTES && !proofs.is_empty() {
                break;
            }
            proofs.push(proof);
        }
        ChangeAnswer::Polkas(proofs)
    }
}
