//! Proposed manifests (SPEC §4, *Proposing*, *Knowing*): of an announced change only the manifest
//! says what it is, so that the event counts as known together with that alone.

use std::collections::{BTreeMap, BTreeSet};

use ssid_protocol::event::Event;
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{ManifestHash, NodeId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::sync::SentManifest;
use ssid_storage::{NoteKind, ProposalRow, StorageError};

use super::handovers;
use super::manifests::Wanted;
use super::own_seats::OwnSeats;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::proof::Proof;
use crate::settings::{PROPOSALS, PROPOSALS_OF_ONE};

/// Manifests that are proposed, and announcements whose manifests are awaited.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    known: BTreeMap<ManifestHash, Proposal>,
    pub(super) wanted: Wanted,
    /// Manifests that would make this node a voter, and of which no announcement is here: a guest
    /// hears none. They are there to be said ready for.
    pub(super) own_seats: OwnSeats,
    /// Given to the next proposal, to tell the older from the newer.
    next_place: u64,
}

/// A proposed manifest, valid after the one in force.
#[derive(Debug)]
struct Proposal {
    manifest: Manifest,
    /// Its voters, whose keys are dear to parse: they are asked for with every tick.
    voters: Option<VoterSet>,
    /// Those that came with it, of keys that it replaces.
    handovers: Vec<Handover>,
    proposers: BTreeSet<NodeId>,
    place: u64,
}

impl Proposal {
    fn sent(&self) -> SentManifest {
        SentManifest {
            manifest: self.manifest.to_json().to_jcs(),
            handovers: handovers::texts(&self.handovers),
        }
    }
}

impl Proposals {
    /// When a manifest is asked for again.
    pub(super) fn next(&self) -> Option<Steady> {
        self.wanted.next()
    }

    /// A proposed manifest.
    pub(super) fn manifest(&self, hash: &ManifestHash) -> Option<&Manifest> {
        let proposed = self.known.get(hash).map(|proposal| &proposal.manifest);
        proposed.or_else(|| self.own_seats.get(hash))
    }

    /// The voters of a manifest that was proposed here; of an own seat nobody asks for them.
    pub(super) fn voters(&self, hash: &ManifestHash) -> Option<&VoterSet> {
        self.known.get(hash)?.voters.as_ref()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&ManifestHash, &Manifest)> {
        let known = self.known.iter();
        known
            .map(|(hash, proposal)| (hash, &proposal.manifest))
            .chain(self.own_seats.iter())
    }

    /// A proposed manifest as others ask for it.
    pub(super) fn sent(&self, hash: &ManifestHash) -> Option<SentManifest> {
        self.known.get(hash).map(Proposal::sent)
    }

    /// Everything is forgotten: another epoch has begun. The hashes of what was known.
    pub(super) fn clear(&mut self) -> Vec<ManifestHash> {
        self.wanted.clear();
        self.own_seats.clear();
        std::mem::take(&mut self.known).into_keys().collect()
    }

    /// A new proposal; its row.
    pub(super) fn add(
        &mut self,
        hash: ManifestHash,
        manifest: Manifest,
        handovers: Vec<Handover>,
    ) -> ProposalRow {
        let place = self.next_place;
        self.next_place += 1;
        let proposal = self.known.entry(hash).or_insert(Proposal {
            voters: manifest.voters().ok(),
            manifest,
            handovers,
            proposers: BTreeSet::new(),
            place,
        });
        let SentManifest {
            manifest,
            handovers,
        } = proposal.sent();
        ProposalRow {
            manifest,
            handovers,
        }
    }

    /// The oldest of a proposer's that may be dropped for a new one; an error if it has its share
    /// and none may.
    fn surplus(
        &self,
        proposer: &NodeId,
        is_needed: impl Fn(&ManifestHash) -> bool,
    ) -> Result<Option<ManifestHash>, ()> {
        let of_it = self
            .known
            .iter()
            .filter(|(_, proposal)| proposal.proposers.contains(proposer));
        let mut of_it: Vec<_> = of_it
            .map(|(hash, proposal)| (proposal.place, *hash))
            .collect();
        if of_it.len() < PROPOSALS_OF_ONE && self.known.len() < PROPOSALS {
            return Ok(None);
        }
        of_it.sort_unstable();
        let oldest = of_it.into_iter().map(|(_, hash)| hash);
        oldest
            .into_iter()
            .find(|hash| !is_needed(hash))
            .map(Some)
            .ok_or(())
    }
}

/// The manifest that a `federation_epoch` event names.
pub(super) fn manifest_of(event: &Event) -> Option<ManifestHash> {
    event.commit_hash.parse().ok()
}

impl Engine {
    pub(super) fn load_proposals(&mut self) -> Result<(), StorageError> {
        for row in self.store.clone().proposals() {
            let (hash, row) = row?;
            // checked again: the disk may lie, and what was entered since ended it
            if let Ok(manifest) = Manifest::parse(row.manifest.as_bytes())
                && manifest.hash() == hash
                && self.membership.chain.check_next(&manifest).is_ok()
            {
                let federation = self.epochs.current().federation();
                let handovers = handovers::proven(federation, &manifest, &row.handovers);
                self.membership.proposals.add(hash, manifest, handovers);
            }
        }
        Ok(())
    }

    /// Whether the manifest that a `federation_epoch` event names is known, and the event the one
    /// that follows from it. If the manifest is not here it is asked for.
    pub(crate) fn knows_manifest(
        &mut self,
        tick: &mut Tick,
        event: &Event,
        proof: Option<&Proof>,
    ) -> bool {
        let Some(hash) = manifest_of(event) else {
            return false;
        };
        let signer = proof.map(Proof::signer);
        let voter = signer.filter(|node| self.epochs.current().voters().index_of(node).is_some());
        if let Some(proposal) = self.membership.proposals.known.get(&hash) {
            if proposal.manifest.epoch_event() != *event {
                return false;
            }
            let is_new = voter.is_some_and(|node| !proposal.proposers.contains(&node));
            if is_new && let Some(node) = voter {
                if self.make_room_for(tick, node, &hash).is_err() {
                    return false;
                }
                if let Some(proposal) = self.membership.proposals.known.get_mut(&hash) {
                    proposal.proposers.insert(node);
                }
            }
            return true;
        }
        if let (Some(proof), Some(_)) = (proof, voter) {
            self.membership.proposals.wanted.add(hash, event, proof);
        }
        false
    }

    /// Makes room for one more proposal of a member: its oldest goes that nobody voted for.
    pub(super) fn make_room_for(
        &mut self,
        tick: &mut Tick,
        proposer: NodeId,
        new: &ManifestHash,
    ) -> Result<(), ()> {
        let membership = &mut self.membership;
        if membership.proposals.known.contains_key(new) {
            return Ok(());
        }
        let subject = self.epochs.current().change();
        let open = self.open.get(&subject);
        let choice_of = |hash: &ManifestHash| {
            let manifest = membership.proposals.manifest(hash)?;
            Some(manifest.epoch_event().choice())
        };
        let is_needed = |hash: &ManifestHash| {
            let (Some(choice), Some(open)) = (choice_of(hash), open) else {
                return false;
            };
            !open.machine.may_forget(choice)
                || open.noted(NoteKind::Endorse) == Some(choice)
                || open.noted(NoteKind::Stand) == Some(choice)
        };
        let Some(oldest) = membership.proposals.surplus(&proposer, is_needed)? else {
            return Ok(());
        };
        let choice = choice_of(&oldest);
        membership.proposals.known.remove(&oldest);
        tick.changes.proposals.push((oldest, None));
        if let (Some(choice), Some(open)) = (choice, self.open.get_mut(&subject)) {
            open.forget_candidate(choice);
        }
        Ok(())
    }
}
