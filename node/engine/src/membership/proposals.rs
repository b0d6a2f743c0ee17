//! Proposed manifests (SPEC §4, *Proposing*, *Knowing*): of an announced change only the manifest
//! says what it is, so that the event counts as known together with that alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{Choice, ManifestHash, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::sync::{ChangeRequest, MANIFESTS, Request, SentManifest};
use ssid_protocol::timeliness::untimely;
use ssid_storage::{NoteKind, ProposalRow, StorageError};

use super::handovers;
use super::own_seats::OwnSeats;
use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::proof::Proof;
use crate::request::{Decider, OperatorRefusal, Proposed, RefusalKind};
use crate::settings::{PROPOSAL_AGE, PROPOSALS, PROPOSALS_OF_ONE};

/// How soon a manifest is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Manifests that are proposed, and announcements whose manifests are awaited.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    known: BTreeMap<ManifestHash, Proposal>,
    wanted: BTreeMap<ManifestHash, Wanted>,
    /// Manifests that would make this node a voter, and of which no announcement is here: a guest
    /// hears none. They are there to be said ready for.
    own_seats: OwnSeats,
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

/// A manifest that an announcement names.
#[derive(Debug, Default)]
struct Wanted {
    announcements: Vec<(Event, Proof)>,
    ask_at: Steady,
    times: usize,
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
        self.wanted.values().map(|wanted| wanted.ask_at).min()
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
    fn add(
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

    /// Waits for the manifest of an announcement, within what one origin and all may have.
    fn want(&mut self, hash: ManifestHash, event: &Event, proof: &Proof) {
        let of_signer = |wanted: &&Wanted| {
            let mut proofs = wanted.announcements.iter();
            proofs.any(|(_, known)| known.signer() == proof.signer())
        };
        let of_one = self.wanted.values().filter(of_signer).count();
        let is_new = !self.wanted.contains_key(&hash);
        if is_new && (of_one >= PROPOSALS_OF_ONE || self.wanted.len() >= PROPOSALS) {
            return; // it is announced again
        }
        let wanted = self.wanted.entry(hash).or_default();
        let is_known = |(_, known): &(Event, Proof)| known.signer() == proof.signer();
        if !wanted.announcements.iter().any(is_known) {
            wanted.announcements.push((event.clone(), proof.clone()));
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

    /// Proposes a manifest with the hand-overs of keys that it replaces, and approves it.
    ///
    /// # Errors
    /// If it is not valid after the manifest in force, or this node may propose nothing now.
    pub(crate) fn propose(
        &mut self,
        tick: &mut Tick,
        manifest: Manifest,
        handovers: &[Handover],
        decider: &Decider,
    ) -> Result<Proposed, OperatorRefusal> {
        let refuse = |kind, reason: String| Err(OperatorRefusal::new(kind, reason));
        if self.rules.me.is_none() {
            let reason = "this node is no voter of the current epoch: only voters propose";
            return refuse(RefusalKind::NoVoter, reason.into());
        }
        if !self.is_signing() {
            let (_, reason) = self.can_sign();
            let reason = format!("this node signs nothing now: {reason}");
            return refuse(RefusalKind::NoVoter, reason);
        }
        if let Err(error) = self.membership.chain.check_next(&manifest) {
            return refuse(RefusalKind::UnknownCandidate, error.to_string());
        }
        let event = manifest.epoch_event();
        let subject = self.epochs.current().change();
        if let Some((_, certified)) = self.certified_choice(&subject) {
            let reason = format!(
                "event {} ends this epoch: that is final",
                certified.event_hash
            );
            return refuse(RefusalKind::Decided, reason);
        }
        if !is_timely_proposal(tick.now, &event) {
            let reason = format!(
                "created_at is {}: a proposal is at most {} days old, and no more than 5 minutes ahead",
                manifest.created_at,
                PROPOSAL_AGE.as_secs() / 86_400
            );
            return refuse(RefusalKind::NotEndorsable, reason);
        }
        let (hash, choice) = (manifest.hash(), event.choice());
        if self.make_room_for(tick, self.me, &hash).is_err() {
            let reason = format!("{PROPOSALS_OF_ONE} proposals of this node are voted on already");
            return refuse(RefusalKind::Voted, reason);
        }
        // held to what others hold it to
        let texts = handovers::texts(handovers);
        let handovers = handovers::proven(self.epochs.current().federation(), &manifest, &texts);
        let row = self.membership.proposals.add(hash, manifest, handovers);
        tick.changes.proposals.push((hash, Some(row)));
        tracing::info!(manifest = %hash, by = decider.by, reason = decider.reason, "a change of members is proposed");
        // announced as own events are, and approved before it is: the prevote goes out with it
        let is_announced = self.announced_as(&subject, choice);
        self.ensure_open(tick, subject);
        self.approve(tick, choice, false);
        if !is_announced {
            tick.own_events.push(event);
        }
        Ok(Proposed {
            manifest: hash,
            subject,
            choice,
        })
    }

    fn announced_as(&self, subject: &ssid_protocol::id::SubjectId, choice: Choice) -> bool {
        let open = self.open.get(subject);
        open.and_then(|open| open.announced.get(&choice))
            .is_some_and(|proof| proof.signer() == self.me)
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
            self.membership.proposals.want(hash, event, proof);
        }
        false
    }

    /// Makes room for one more proposal of a member: its oldest goes that nobody voted for.
    fn make_room_for(
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

    /// Somebody asks this node to be ready for a manifest that it does not know. Only who has no
    /// vote has a reason to ask for that.
    pub(super) fn want_own_seat(&mut self, tick: &mut Tick, from: NodeId, hash: &ManifestHash) {
        let seats = &mut self.membership.proposals.own_seats;
        if self.rules.me.is_none() && seats.note(from, *hash, tick.steady) {
            let hashes = vec![*hash];
            let request = Request::Change(ChangeRequest::Manifests { hashes });
            tick.effects.asks.push((from, request));
        }
    }

    /// A manifest has come that may be one of an own seat.
    fn take_own_seat(&mut self, hash: &ManifestHash, manifest: &Manifest) {
        let is_own_seat = manifest.member(&self.me).is_some_and(Member::is_voter);
        let is_wanted = self.membership.proposals.own_seats.wants(hash);
        if is_wanted && is_own_seat && self.membership.chain.check_next(manifest).is_ok() {
            self.membership.proposals.own_seats.fill(hash, manifest);
        }
    }

    /// Takes manifests that were asked for: proposed ones, and those of epochs that are decided.
    pub(super) fn take_manifests(&mut self, tick: &mut Tick, sent: Vec<SentManifest>) {
        for sent in sent.into_iter().take(MANIFESTS) {
            let Ok(manifest) = Manifest::parse(sent.manifest.as_bytes()) else {
                continue;
            };
            let hash = manifest.hash();
            self.prove(tick, &manifest);
            self.take_own_seat(&hash, &manifest);
            let Some(wanted) = self.membership.proposals.wanted.remove(&hash) else {
                continue;
            };
            let event = manifest.epoch_event();
            if let Err(error) = self.membership.chain.check_next(&manifest) {
                tracing::warn!(manifest = %hash, %error, "a proposed manifest is not valid");
                continue;
            }
            let federation = self.epochs.current().federation();
            let handovers = handovers::proven(federation, &manifest, &sent.handovers);
            let announcements = wanted.announcements.into_iter();
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

    /// Asks for manifests that announcements name and certificates of decided changes do.
    pub(super) fn ask_for_manifests(&mut self, tick: &mut Tick) {
        if self.membership.proposals.wanted.is_empty() || self.peers.connected.is_empty() {
            return;
        }
        let connected: Vec<NodeId> = self.peers.connected.iter().copied().collect();
        let mut by_node: BTreeMap<NodeId, Vec<ManifestHash>> = BTreeMap::new();
        for (hash, wanted) in &mut self.membership.proposals.wanted {
            if wanted.ask_at > tick.steady {
                continue;
            }
            wanted.ask_at = tick.steady.after(ASK_AGAIN);
            // who announced it serves it; and then everybody else
            let signers = wanted.announcements.iter().map(|(_, proof)| proof.signer());
            let mut whom: Vec<_> = signers.filter(|node| connected.contains(node)).collect();
            whom.extend(&connected);
            let at = wanted.times % whom.len();
            wanted.times += 1;
            if let Some(node) = whom.get(at) {
                by_node.entry(*node).or_default().push(*hash);
            }
        }
        for (node, hashes) in by_node {
            let request = Request::Change(ChangeRequest::Manifests { hashes });
            tick.effects.asks.push((node, request));
        }
    }
}

/// Whether a proposal is young enough to be approved: at most 5 minutes ahead of this node's clock,
/// and not older than [`PROPOSAL_AGE`].
pub(crate) fn is_timely_proposal(now: UnixMillis, event: &Event) -> bool {
    untimely(event, now, PROPOSAL_AGE).is_none()
}
