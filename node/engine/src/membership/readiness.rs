//! Who of a proposed manifest's new voters says to be ready (SPEC §4, *Ready*): asked while a
//! proposal waits for it, said by those that it is about, and looked at before it is voted for. It
//! moves no quorum, and is in memory alone: after a restart it is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::id::{Epoch, ManifestHash, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::ready::Ready;
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest, READY, Request};
use ssid_protocol::timeliness::CLOCK_TOLERANCE;

use crate::clock::Steady;
use crate::engine::{Engine, Tick};

/// How long a statement counts, and how long a voter that was heard counts as there (SPEC §12).
const COUNTS_FOR: Duration = Duration::from_mins(10);
/// A statement is signed anew after this (SPEC §12).
const SIGNED_AGAIN: Duration = Duration::from_mins(5);
/// How often others are asked, while somebody is not known to be ready.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// What is known of who is ready.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    said: BTreeMap<(ManifestHash, NodeId), Said>,
    /// When others are asked again.
    ask_at: Steady,
    /// Whose turn it is to be asked about others.
    turn: usize,
}

/// The latest statement of a voter.
#[derive(Debug)]
struct Said {
    batch: SignedBatch,
    at: UnixMillis,
    came: Steady,
}

impl Readiness {
    /// Another epoch has begun.
    pub(super) fn clear(&mut self) {
        self.said.clear();
    }

    fn is_fresh(&self, manifest: &ManifestHash, node: &NodeId, now: Steady, age: Duration) -> bool {
        let said = self.said.get(&(*manifest, *node));
        said.is_some_and(|said| now.since(said.came) < age)
    }
}

/// The one statement of a batch of kind 6.
fn ready_in(batch: &SignedBatch) -> Option<&Ready> {
    match &batch.statements {
        Statements::Ready(ready) => Some(ready),
        _ => None,
    }
}

/// Voters of a manifest.
fn voters_of(manifest: &Manifest) -> impl Iterator<Item = NodeId> {
    let voters = manifest.members.iter().filter(|member| member.is_voter());
    voters.map(|member| member.node_id)
}

/// The key that a member's key takes the place of.
fn former(manifest: &Manifest, node: NodeId) -> NodeId {
    let succeeds = manifest.change.iter().flat_map(|change| &change.succeeds);
    let mut replaced = succeeds.filter(|replaced| replaced.member == node);
    replaced.next().map_or(node, |replaced| replaced.former)
}

impl Engine {
    /// Whether a member is there: this node, one that is connected, or one that was heard lately.
    fn is_there(&self, now: Steady, node: &NodeId) -> bool {
        let heard = self.peers.states.get(node).and_then(|state| state.heard);
        *node == self.me
            || self.peers.connected.contains(node)
            || heard.is_some_and(|(at, _)| now.since(at) < COUNTS_FOR)
    }

    /// The voters of a proposed manifest that do not vote now. A key that takes the place of one
    /// that votes now and is there is the same node's.
    fn newcomers(&self, now: Steady, manifest: &Manifest) -> Vec<NodeId> {
        let current = self.epochs.current().voters();
        let votes = |node: &NodeId| current.index_of(node).is_some();
        let is_new = |node: &NodeId| {
            let former = former(manifest, *node);
            !(votes(node) || votes(&former) && self.is_there(now, &former))
        };
        voters_of(manifest).filter(is_new).collect()
    }

    /// Whom a proposal waits for: new voters that have not said to be ready, and, where too few of
    /// its voters to decide anything are there, all who are not.
    pub(crate) fn not_ready(
        &self,
        now: Steady,
        hash: &ManifestHash,
        manifest: &Manifest,
    ) -> Vec<NodeId> {
        let readiness = &self.membership.readiness;
        let is_ready = |node: &NodeId| readiness.is_fresh(hash, node, now, COUNTS_FOR);
        let newcomers = self.newcomers(now, manifest).into_iter();
        let mut missing: Vec<NodeId> = newcomers.filter(|node| !is_ready(node)).collect();
        let Some(voters) = self.membership.proposals.voters(hash) else {
            return missing;
        };
        let is_there = |node: &NodeId| {
            self.is_there(now, &former(manifest, *node))
                || self.is_there(now, node)
                || is_ready(node)
        };
        let (there, away): (Vec<_>, Vec<_>) = voters_of(manifest).partition(is_there);
        let places = there.iter().filter_map(|node| voters.index_of(node));
        let weight = places.map(|place| voters.weight(place)).sum();
        if !voters.is_quorum(weight, there.len()) {
            missing.extend(away);
        }
        let mut seen = BTreeSet::new();
        missing.retain(|node| seen.insert(*node));
        missing
    }

    /// The same of all proposals that wait for somebody.
    pub(crate) fn all_not_ready(&self) -> Vec<(ManifestHash, Vec<NodeId>)> {
        let proposals = self.membership.proposals.all();
        let missing = proposals
            .map(|(hash, manifest)| (*hash, self.not_ready(self.now.steady, hash, manifest)));
        missing.filter(|(_, nodes)| !nodes.is_empty()).collect()
    }

    /// Asks new voters whether they are ready, and others who is, as long as somebody is not.
    pub(super) fn ask_who_is_ready(&mut self, tick: &mut Tick) {
        if self.membership.readiness.ask_at > tick.steady || self.peers.connected.is_empty() {
            return;
        }
        self.membership.readiness.ask_at = tick.steady.after(ASK_EVERY);
        let connected: Vec<NodeId> = self.peers.connected.iter().copied().collect();
        let turn = self.membership.readiness.turn;
        self.membership.readiness.turn = turn.wrapping_add(1);
        let mut asks = BTreeSet::new();
        for (hash, manifest) in self.membership.proposals.all() {
            let stale = self
                .newcomers(tick.steady, manifest)
                .into_iter()
                .filter(|node| {
                    let readiness = &self.membership.readiness;
                    *node != self.me && !readiness.is_fresh(hash, node, tick.steady, SIGNED_AGAIN)
                });
            for node in stale {
                // itself if it is here, else anybody who may have heard it
                let another = connected.get(turn % connected.len()).copied();
                let whom = Some(node).filter(|node| self.peers.connected.contains(node));
                asks.extend(whom.or(another).map(|whom| (whom, *hash)));
            }
        }
        for (node, manifest) in asks {
            let request = Request::Change(ChangeRequest::Ready { manifest });
            tick.effects.asks.push((node, request));
        }
    }

    /// When others are to be asked who is ready; `None` while nothing is proposed.
    pub(super) fn next_ready_question(&self) -> Option<Steady> {
        let is_proposed = self.membership.proposals.all().next().is_some();
        is_proposed.then_some(self.membership.readiness.ask_at)
    }

    /// Takes what others say of who is ready. The signatures were checked.
    pub(super) fn take_ready(
        &mut self,
        tick: &mut Tick,
        asked: &ManifestHash,
        batches: Vec<SignedBatch>,
    ) {
        let Some(manifest) = self.membership.proposals.manifest(asked) else {
            return;
        };
        let (epoch, newcomers) = (manifest.epoch, self.newcomers(tick.steady, manifest));
        for batch in batches.into_iter().take(READY) {
            let Some(ready) = ready_in(&batch).copied() else {
                continue;
            };
            let is_of_it = ready.manifest == *asked && ready.epoch == epoch;
            let away = ready.at.since(tick.now).max(tick.now.since(ready.at));
            let place = (*asked, batch.signer);
            let known = self.membership.readiness.said.get(&place);
            let is_news = known.is_none_or(|known| known.at < ready.at);
            if is_of_it && is_news && away <= CLOCK_TOLERANCE && newcomers.contains(&batch.signer) {
                let (at, came) = (ready.at, tick.steady);
                let said = Said { batch, at, came };
                self.membership.readiness.said.insert(place, said);
            }
        }
        self.follow_approval(tick);
    }

    /// Who is known to be ready for a manifest; this node itself, if it is one of its new voters
    /// and lacks nothing. One that is not known here is asked for, of whoever asked.
    pub(super) fn ready_for(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        hash: &ManifestHash,
    ) -> ChangeAnswer {
        match self.membership.proposals.manifest(hash) {
            None => self.want_own_seat(tick, from, hash),
            Some(manifest) => {
                let epoch = manifest.epoch;
                if self.newcomers(tick.steady, manifest).contains(&self.me) && self.lacks_nothing()
                {
                    self.say_ready(tick, *hash, epoch);
                }
            }
        }
        let of_it = (*hash, NodeId([0; 32]))..=(*hash, NodeId([255; 32]));
        let said = self.membership.readiness.said.range(of_it);
        let fresh = said.filter(|(_, said)| tick.steady.since(said.came) < COUNTS_FOR);
        ChangeAnswer::Ready(
            fresh
                .map(|(_, said)| said.batch.clone())
                .take(READY)
                .collect(),
        )
    }

    /// Not in the journal: it is no vote, and a second one contradicts nothing.
    fn say_ready(&mut self, tick: &Tick, manifest: ManifestHash, epoch: Epoch) {
        let readiness = &mut self.membership.readiness;
        if readiness.is_fresh(&manifest, &self.me, tick.steady, SIGNED_AGAIN) {
            return;
        }
        let ready = Ready {
            epoch,
            manifest,
            at: tick.now,
        };
        let federation = self.epochs.current().federation();
        let signed = VerifiedBatch::sign(&self.key, federation, Statements::Ready(ready));
        if let Ok(signed) = signed {
            let said = Said {
                batch: signed.batch().clone(),
                at: tick.now,
                came: tick.steady,
            };
            readiness.said.insert((manifest, self.me), said);
        }
    }

    /// Whether this node may say that it is ready: it has been heard out after its start if it is a
    /// member, has its
    /// whole past, is in the latest epoch that it knows, and holds as much as voters of a quorum
    /// said that they hold.
    fn lacks_nothing(&self) -> bool {
        let voters = self.epochs.current().voters();
        let own = self.store.log_head().size;
        let is_level = |node: &NodeId| {
            let known = self.peers.states.get(node);
            let heartbeat = known.and_then(|state| state.row.last_heartbeat.as_ref());
            heartbeat.is_some_and(|said| said.log_size <= own)
        };
        let level = self.peers.connected.iter().filter(|node| is_level(node));
        let places: Vec<_> = level.filter_map(|node| voters.index_of(node)).collect();
        let weight = places.iter().map(|place| voters.weight(*place)).sum();
        (self.startup_check.is_none() || !self.is_member())
            && self.standing.abstaining().is_none()
            && !self.has_epoch_ended()
            && self.registry.trouble().is_none()
            && voters.is_quorum(weight, places.len())
    }
}
