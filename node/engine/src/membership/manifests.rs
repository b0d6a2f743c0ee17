//! Manifests that announcements name and that are not here: they are asked for, and taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_protocol::id::{ManifestHash, NodeId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::{ChangeRequest, MANIFESTS, Request, SentManifest};

use super::handovers;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::proof::Proof;
use crate::settings::{PROPOSALS, PROPOSALS_OF_ONE};

/// How soon a manifest is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Manifests that are awaited, with the announcements that name them.
#[derive(Debug, Default)]
pub(super) struct Wanted(BTreeMap<ManifestHash, Named>);

/// A manifest that an announcement names.
#[derive(Debug, Default)]
struct Named {
    announcements: Vec<(Event, Proof)>,
    ask_at: Steady,
    times: usize,
}

impl Wanted {
    /// When one is asked for again.
    pub(super) fn next(&self) -> Option<Steady> {
        self.0.values().map(|named| named.ask_at).min()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Waits for the manifest of an announcement, within what one origin and all may have.
    pub(super) fn add(&mut self, hash: ManifestHash, event: &Event, proof: &Proof) {
        let of_signer = |named: &&Named| {
            let mut proofs = named.announcements.iter();
            proofs.any(|(_, known)| known.signer() == proof.signer())
        };
        let of_one = self.0.values().filter(of_signer).count();
        let is_new = !self.0.contains_key(&hash);
        if is_new && (of_one >= PROPOSALS_OF_ONE || self.0.len() >= PROPOSALS) {
            return; // it is announced again
        }
        let named = self.0.entry(hash).or_default();
        let is_known = |(_, known): &(Event, Proof)| known.signer() == proof.signer();
        if !named.announcements.iter().any(is_known) {
            named.announcements.push((event.clone(), proof.clone()));
        }
    }

    /// It has come: the announcements that name it, if it was awaited.
    fn take(&mut self, hash: &ManifestHash) -> Option<Vec<(Event, Proof)>> {
        Some(self.0.remove(hash)?.announcements)
    }

    /// Whom to ask for which now. Whoever announced one serves it; and then everybody else.
    fn due(
        &mut self,
        now: Steady,
        connected: &BTreeSet<NodeId>,
    ) -> BTreeMap<NodeId, Vec<ManifestHash>> {
        let mut by_node: BTreeMap<NodeId, Vec<ManifestHash>> = BTreeMap::new();
        if connected.is_empty() {
            return by_node;
        }
        for (hash, named) in self.0.iter_mut().filter(|(_, named)| named.ask_at <= now) {
            named.ask_at = now.after(ASK_AGAIN);
            let signers = named.announcements.iter().map(|(_, proof)| proof.signer());
            let mut whom: Vec<_> = signers.filter(|node| connected.contains(node)).collect();
            whom.extend(connected);
            let at = named.times % whom.len();
            named.times += 1;
            if let Some(node) = whom.get(at) {
                by_node.entry(*node).or_default().push(*hash);
            }
        }
        by_node
    }
}

impl Engine {
    /// Takes manifests that were asked for: proposed ones, and those of epochs that are decided.
    pub(super) fn take_manifests(&mut self, tick: &mut Tick, sent: Vec<SentManifest>) {
        for sent in sent.into_iter().take(MANIFESTS) {
            let Ok(manifest) = Manifest::parse(sent.manifest.as_bytes()) else {
                continue;
            };
            let hash = manifest.hash();
            self.prove(tick, &manifest);
            self.take_own_seat(&hash, &manifest);
            let Some(announcements) = self.membership.proposals.wanted.take(&hash) else {
                continue;
            };
            let event = manifest.epoch_event();
            if let Err(error) = self.membership.chain.check_next(&manifest) {
                tracing::warn!(manifest = %hash, %error, "a proposed manifest is not valid");
                continue;
            }
            let federation = self.epochs.current().federation();
            let handovers = handovers::proven(federation, &manifest, &sent.handovers);
            let announcements = announcements.into_iter();
            for (announced, proof) in announcements.filter(|(announced, _)| *announced == event) {
                if self.make_room_for(tick, proof.signer(), &hash).is_err() {
                    continue;
                }
                let row = self
                    .membership
                    .proposals
                    .add(hash, manifest.clone(), handovers.clone());
                tick.changes.proposals.push((hash, Some(row)));
                let batch = proof.batch().cloned();
                let is_new = self.add_candidate(tick, &announced, Some(proof), false);
                if let Some(batch) = batch.filter(|_| is_new) {
                    self.store_batch(tick, &batch);
                }
            }
        }
    }

    /// Asks for manifests that announcements name.
    pub(super) fn ask_for_manifests(&mut self, tick: &mut Tick) {
        let wanted = &mut self.membership.proposals.wanted;
        let by_node = wanted.due(tick.steady, &self.peers.connected);
        for (node, hashes) in by_node {
            let request = Request::Change(ChangeRequest::Manifests { hashes });
            tick.effects.asks.push((node, request));
        }
    }
}
