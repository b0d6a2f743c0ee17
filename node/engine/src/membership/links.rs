//! The chain of manifests (SPEC §4, *Chain*): each is in force once its certificate proves it. This
//! node learns of one by deciding it itself, or by asking whoever names a later epoch.

use std::time::Duration;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::chain::Link;
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::id::{Epoch, NodeId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::{ChangeRequest, Request};
use ssid_storage::EpochRow;

use super::boundary::Boundary;
use super::proposals::manifest_of;
use crate::engine::{Engine, Tick};

/// How soon others are asked again for a manifest that a certificate names.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Certificates of later epochs that wait for their manifests.
const UNPROVEN: usize = 64;

impl Engine {
    /// A link as it was written: proven again, since the disk may lie. Whether it holds.
    pub(super) fn take_stored_link(&mut self, row: EpochRow) -> bool {
        let manifest = Manifest::parse(row.manifest.as_bytes());
        let (Ok(manifest), Some(certificate)) = (manifest, row.certificate) else {
            tracing::error!("a stored manifest is unreadable: it is fetched again");
            return false;
        };
        self.extend_chain(manifest, certificate)
    }

    /// Takes a manifest into the chain, if its certificate proves it. Whether it does.
    fn extend_chain(&mut self, manifest: Manifest, certificate: Certificate) -> bool {
        if !self.agrees_with_pin(&manifest) {
            tracing::error!(epoch = manifest.epoch.0, manifest = %manifest.hash(), "the invite pins another manifest of this epoch: this chain is not the federation that invited this node");
            return false;
        }
        let genesis = self.epochs.current();
        let context = EpochContext::new(
            *genesis.federation(),
            genesis.policies().clone(),
            manifest.clone(),
        );
        let link = Link {
            manifest,
            certificate,
        };
        let proven = self.membership.chain.extend(link);
        match (proven, context) {
            (Ok(()), Ok(context)) => {
                std::sync::Arc::make_mut(&mut self.epochs).add(context);
                true
            }
            (Err(error), _) => {
                tracing::warn!(%error, "a certificate of a change of members proves nothing");
                false
            }
            (Ok(()), Err(error)) => {
                // a valid manifest has voters that can decide: its validity says so
                tracing::error!(%error, "a manifest in force has no voters");
                false
            }
        }
    }

    /// The change that this node itself has decided goes into the chain once its certificate is on
    /// disk; its manifest may have to be asked for.
    pub(super) fn prove_decided_change(&mut self, tick: &mut Tick) {
        let current = self.epochs.current().number();
        if !self.membership.is_decided || self.membership.chain.latest().epoch > current {
            return;
        }
        let Some(certificate) = self.certificate(&self.epochs.current().change()) else {
            return; // written with this tick
        };
        let hash = manifest_of(&certificate.event);
        let proposed = hash.and_then(|hash| self.membership.proposals.manifest(&hash));
        let proposed = proposed.cloned();
        self.membership.unproven.insert(current.next(), certificate);
        if let Some(manifest) = proposed {
            self.prove(tick, &manifest);
            return;
        }
        self.ask_for_links(tick);
    }

    /// A manifest has come: if a certificate waits for it, the chain goes on.
    pub(super) fn prove(&mut self, tick: &mut Tick, manifest: &Manifest) {
        let hash = manifest.hash();
        let epoch = manifest.epoch;
        let is_named = |certificate: &Certificate| manifest_of(&certificate.event) == Some(hash);
        if epoch != self.membership.chain.latest().epoch.next()
            || !self.membership.unproven.get(&epoch).is_some_and(is_named)
        {
            return;
        }
        let Some(certificate) = self.membership.unproven.remove(&epoch) else {
            return;
        };
        if self.extend_chain(manifest.clone(), certificate.clone()) {
            tracing::info!(epoch = epoch.0, manifest = %hash, "a change of members is decided");
            self.membership.links_at = None;
            // of the own epoch it decides like any other, wherever it came from
            if certificate.epoch == self.epochs.current().number() {
                self.take_certificates(tick, vec![certificate.clone()]);
            }
            let row = EpochRow {
                manifest: manifest.to_json().to_jcs(),
                certificate: Some(certificate),
            };
            tick.changes.epochs.push((epoch, row));
            tick.effects
                .events
                .push(crate::node_event::NodeEvent::EpochDecided {
                    epoch,
                    manifest: hash,
                });
        }
    }

    /// A member names an epoch: of a later one than is known here its certificate is asked for.
    pub(crate) fn note_epoch_of(&mut self, tick: &mut Tick, node: NodeId, epoch: Epoch) {
        let latest = self.membership.chain.latest().epoch;
        if epoch <= latest {
            self.membership.ahead.remove(&node);
            return;
        }
        if self.peers.connected.contains(&node) && self.membership.ahead.insert(node) {
            let from = latest.next();
            let request = Request::Change(ChangeRequest::Epochs { from });
            tick.effects.asks.push((node, request));
        }
    }

    /// Certificates of epochs, from whoever was asked for them. They prove themselves once their
    /// manifests are here.
    pub(super) fn take_epochs(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        certificates: Vec<Certificate>,
    ) {
        self.membership.ahead.remove(&from);
        let latest = self.membership.chain.latest().epoch;
        let mut hashes = Vec::new();
        for certificate in certificates.into_iter().take(UNPROVEN) {
            // it is of the epoch before the one that it brings in
            let epoch = certificate.epoch.next();
            let Some(hash) = manifest_of(&certificate.event).filter(|_| epoch > latest) else {
                continue;
            };
            self.membership.unproven.insert(epoch, certificate);
            hashes.push(hash);
        }
        while self.membership.unproven.len() > UNPROVEN {
            self.membership.unproven.pop_last();
        }
        if !hashes.is_empty() {
            let request = Request::Change(ChangeRequest::Manifests { hashes });
            tick.effects.asks.push((from, request));
        }
    }

    /// Asks all who are connected for what comes after the chain's latest.
    fn ask_for_links(&mut self, tick: &mut Tick) {
        if self.membership.links_at.is_some_and(|at| at > tick.steady) {
            return;
        }
        self.membership.links_at = Some(tick.steady.after(ASK_AGAIN));
        let from = self.membership.chain.latest().epoch.next();
        for node in self.peers.connected.clone() {
            let request = Request::Change(ChangeRequest::Epochs { from });
            tick.effects.asks.push((node, request));
        }
    }

    /// Begins with what ends the epoch before the latest, once that is known and not entered.
    pub(super) fn begin_boundary(&mut self, tick: &mut Tick) {
        let latest = self.membership.chain.latest();
        let current = self.epochs.current().number();
        let Some(ending) = latest.epoch.0.checked_sub(1).map(Epoch) else {
            return;
        };
        let is_begun = |boundary: &Boundary| boundary.epoch == ending;
        if latest.epoch <= current || self.membership.boundary.as_ref().is_some_and(is_begun) {
            return;
        }
        let boundary = {
            let mut manifests = self.membership.chain.manifests();
            let before = manifests.find(|manifest| manifest.epoch == ending);
            before.map(|before| Boundary::new(before, latest, tick.steady))
        };
        let Some(boundary) = boundary else { return };
        self.membership.boundary = Some(boundary);
        self.rules.signing = self.signing();
        // what was said before this node knew that the epoch had ended
        for close in self.evidence_pool.closes_of(ending) {
            self.note_close(&close);
        }
        self.resume_counting(ending);
        // others learn how much this node holds: equal sets close at once
        self.tell_state_soon(tick.steady);
    }

    /// What this node said of the closes of an epoch before a restart, it goes on saying.
    fn resume_counting(&mut self, epoch: Epoch) {
        let me = self.me;
        let now = self.now.steady;
        let all = (epoch, NodeId([0; 32]))..=(epoch, NodeId([255; 32]));
        let confirmed: Vec<_> = self.membership.confirmed.range(all.clone()).collect();
        let counted = self.membership.served.range(all);
        let counted =
            counted.filter_map(|((_, closer), served)| Some((*closer, served.row.close.clone()?)));
        let counted: Vec<_> = counted.collect();
        let may_count = self.membership.entered_once < epoch.next();
        let Some(boundary) = &mut self.membership.boundary else {
            return;
        };
        for ((_, closer), close) in confirmed {
            boundary.note_again(close, now);
            if let Some(known) = boundary.closes.get_mut(closer) {
                known.confirmed_by.insert(me);
            }
        }
        for (closer, close) in counted {
            boundary.note_again(&close, now);
            if let Some(known) = boundary.closes.get_mut(&closer).filter(|_| may_count) {
                known.counted_by.insert(me);
            }
        }
    }
}
