//! What the counted closes of a quorum put in force for the next epoch (SPEC §4, *Entering*).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::id::{Choice, NodeId, SubjectId};
use ssid_protocol::set_tree::LockEntry;
use ssid_protocol::sync::LockProof;
use ssid_protocol::vote::RoundId;
use ssid_storage::{CloseRow, LockRow, StorageError};

use super::boundary::Boundary;
use crate::engine::Engine;

/// What the counted closes leave to the next epoch.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// Certificates that this node did not take by themselves.
    pub(super) certified: Vec<Certificate>,
    /// Locks on subjects that are not certified, the latest of each.
    pub(super) locks: BTreeMap<SubjectId, LockRow>,
    /// Subjects that this node has certified, and others perhaps not.
    pub(super) again: BTreeMap<SubjectId, LockRow>,
}

/// What several closes name for one subject, by their closers' weight.
#[derive(Debug, Default)]
struct Named {
    /// By choice: the weight of those who list it as certified, and of those who name it in either
    /// set.
    choices: BTreeMap<Choice, (u64, u64)>,
    /// The locks that are named.
    pub(super) locks: BTreeSet<(RoundId, Choice)>,
}

impl Named {
    pub(super) fn add_certified(&mut self, choice: Choice, weight: u64) {
        let (certified, any) = self.choices.entry(choice).or_default();
        *certified += weight;
        *any += weight;
    }

    pub(super) fn add_lock(&mut self, at: RoundId, choice: Choice, weight: u64) {
        self.choices.entry(choice).or_default().1 += weight;
        self.locks.insert((at, choice));
    }

    /// The weight of those who list this choice as certified.
    pub(super) fn certified(&self, choice: &Choice) -> u64 {
        self.choices
            .get(choice)
            .map_or(0, |(certified, _)| *certified)
    }

    /// The weight of those who name this choice in either set.
    pub(super) fn any(&self, choice: &Choice) -> u64 {
        self.choices.get(choice).map_or(0, |(_, any)| *any)
    }
}

impl Engine {
    /// What the closes of a quorum put in force. What an epoch before the one that ends alone proves
    /// is, if closes of weight above F name it: whoever stole its keys cannot add anything.
    pub(super) fn in_force(
        &self,
        boundary: &Boundary,
        ending: &EpochContext,
        next: &EpochContext,
        rows: &BTreeMap<NodeId, Arc<CloseRow>>,
    ) -> Result<InForce, StorageError> {
        let voters = ending.voters();
        let named = named(ending, rows);
        let mut in_force = InForce::default();
        let mut locks: BTreeMap<SubjectId, LockRow> = BTreeMap::new();
        let mut add_lock = |row: LockRow| {
            let known = locks.get(&row.entry.subject);
            if known.is_none_or(|known| known.entry.at < row.entry.at) {
                locks.insert(row.entry.subject, row);
            }
        };
        for (subject, certificate) in &boundary.certificates {
            if self.is_certified(subject) {
                continue;
            }
            let said = named.get(subject);
            let certified = said.map_or(0, |named| named.certified(&certificate.choice));
            let any = said.map_or(0, |named| named.any(&certificate.choice));
            // also of the epoch that ends: whoever comes late may have been shown one that was made
            // when that was over
            let is_of_ending = certificate.epoch == boundary.epoch && certified > 0;
            if is_of_ending || voters.exceeds_faulty(certified) {
                in_force.certified.push(certificate.clone());
            } else if voters.exceeds_faulty(any) || certificate.epoch == boundary.epoch && any > 0 {
                add_lock(lock_by(certificate, *subject));
            }
        }
        let certified: BTreeSet<_> = in_force
            .certified
            .iter()
            .map(|certificate| certificate.subject.id(ending.federation()))
            .collect();
        for (entry, proof) in rows.values().flat_map(|row| &row.locks) {
            let said = named.get(&entry.subject);
            let any = said.map_or(0, |named| named.any(&entry.choice));
            let is_in_force = entry.at.epoch == boundary.epoch || voters.exceeds_faulty(any);
            let is_certified =
                certified.contains(&entry.subject) || self.is_certified(&entry.subject);
            if let (Some(proof), true, false) = (proof, is_in_force, is_certified) {
                let (entry, proof) = (*entry, proof.clone());
                add_lock(LockRow { entry, proof });
            }
        }
        in_force.locks = locks;
        if next.voters().index_of(&self.me).is_some() {
            in_force.again = self.certified_alone(rows)?;
        }
        Ok(in_force)
    }

    /// Subjects that this node holds certified and some counted close lacks, or names as a lock.
    fn certified_alone(
        &self,
        rows: &BTreeMap<NodeId, Arc<CloseRow>>,
    ) -> Result<BTreeMap<SubjectId, LockRow>, StorageError> {
        let lacking = rows.values().flat_map(|row| &row.without).copied();
        let locked = rows.values().flat_map(|row| &row.locks);
        let locked = locked.map(|(entry, _)| entry.subject);
        let subjects: BTreeSet<_> = lacking.chain(locked).collect();
        let mut again = BTreeMap::new();
        for subject in subjects {
            let Some((sequence, _)) = self.certified_choice(&subject) else {
                continue;
            };
            if let Some(certificate) = self.store.certificate(sequence)? {
                again.insert(subject, lock_by(&certificate, subject));
            }
        }
        Ok(again)
    }
}

/// What the closes name, by subject. Of one closer each choice of a subject counts once.
fn named(
    ending: &EpochContext,
    rows: &BTreeMap<NodeId, Arc<CloseRow>>,
) -> BTreeMap<SubjectId, Named> {
    let mut named: BTreeMap<SubjectId, Named> = BTreeMap::new();
    for (closer, row) in rows {
        let Some(voter) = ending.voters().index_of(closer) else {
            continue;
        };
        let weight = ending.voters().weight(voter);
        let certified: BTreeMap<_, _> = row
            .besides
            .iter()
            .map(|entry| (entry.subject, entry.choice))
            .collect();
        for (subject, choice) in &certified {
            named
                .entry(*subject)
                .or_default()
                .add_certified(*choice, weight);
        }
        for (entry, _) in &row.locks {
            let LockEntry {
                subject,
                at,
                choice,
            } = *entry;
            let is_said = certified.get(&subject) == Some(&choice);
            let weight = if is_said { 0 } else { weight };
            named
                .entry(subject)
                .or_default()
                .add_lock(at, choice, weight);
        }
    }
    named
}

/// The lock that a certificate proves.
fn lock_by(certificate: &Certificate, subject: SubjectId) -> LockRow {
    let entry = LockEntry {
        subject,
        at: RoundId {
            epoch: certificate.epoch,
            round: certificate.round,
        },
        choice: certificate.choice,
    };
    LockRow {
        entry,
        proof: LockProof::Certificate(Box::new(certificate.clone())),
    }
}
