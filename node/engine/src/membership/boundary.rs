//! The end of one epoch as this node sees it (SPEC §4, *Entering*): whose closes it holds, what of
//! them it has still to fetch, and whether enough of them are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Epoch, ManifestHash, NodeId, SubjectId};
use ssid_protocol::manifest::{Manifest, Succession};
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::set_tree::{CertifiedEntry, EntrySet, LockEntry};
use ssid_protocol::sync::LockProof;
use ssid_protocol::vote::EpochClose;

use super::close::{ASK_ANOTHER, Close};
use crate::clock::Steady;

/// The longest time between knowing that an epoch has ended and closing it (SPEC §12).
pub(super) const PAUSE: Duration = Duration::from_secs(2);
/// How long a node that is starting waits for what it signed before, to compare others' sets with
/// those of its own close. It counts their closes without one then, and closes when it may.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How soon others are asked again for their closes.
pub(super) const ASK_CLOSES: Duration = Duration::from_millis(200);

/// The sets of the epoch that ends as this node has them.
#[derive(Debug)]
pub(super) struct Sets {
    /// How many entries of the own log they are of.
    pub(super) base: u64,
    pub(super) certified: Arc<EntrySet<{ CertifiedEntry::LEN }>>,
    pub(super) locks: Arc<EntrySet<{ LockEntry::LEN }>>,
    /// What proves the locks.
    pub(super) proofs: BTreeMap<SubjectId, LockProof>,
}

/// The end of an epoch.
#[derive(Debug)]
pub(super) struct Boundary {
    /// The epoch that ends.
    pub(super) epoch: Epoch,
    /// The manifest of the next.
    pub(super) next: ManifestHash,
    /// Voters of the next epoch whose keys take the places of others', by those: until they enter it
    /// they speak under the former ones.
    voices: BTreeMap<NodeId, NodeId>,
    /// When this node knew.
    pub(super) since: Steady,
    /// What others' sets are compared with.
    pub(super) sets: Option<Arc<Sets>>,
    /// Whether these are written down as those of this node's close, and that is to be signed.
    pub(super) is_drawn_up: bool,
    pub(super) closes: BTreeMap<NodeId, Close>,
    /// Certificates that closes name and that are not in force by themselves (SPEC §4, *Entering*).
    pub(super) certificates: BTreeMap<SubjectId, Certificate>,
    /// When others are asked for their closes again.
    pub(super) ask_at: Steady,
}

impl Boundary {
    pub(super) fn new(ending: &Manifest, next: &Manifest, now: Steady) -> Self {
        Self {
            epoch: ending.epoch,
            next: next.hash(),
            voices: voices(ending, next),
            since: now,
            sets: None,
            is_drawn_up: false,
            closes: BTreeMap::new(),
            certificates: BTreeMap::new(),
            ask_at: now,
        }
    }

    /// When something is due.
    pub(super) fn next_at(&self, now: Steady) -> Steady {
        let under_way = self.closes.values().filter(|close| close.is_under_way());
        let next = match self.sets {
            Some(_) => under_way.map(|close| close.next_at).min(),
            // others' sets are looked at once this node has its own
            None if now.since(self.since) < PAUSE => Some(self.since.after(PAUSE)),
            // past the pause it still waits for what it signed before its start
            None => Some(now.after(ASK_ANOTHER)),
        };
        next.into_iter()
            .chain([self.ask_at])
            .min()
            .unwrap_or(now)
            .max(now)
    }

    /// Others' sets are compared with these from now on: ways through them begin anew.
    pub(super) fn compare_with(&mut self, sets: Arc<Sets>) {
        self.sets = Some(sets);
        for close in self.closes.values_mut() {
            close.begin_anew();
        }
    }

    /// Keeps a close that this node held before a restart.
    pub(super) fn note_again(&mut self, signed: &Signed, now: Steady) {
        if let Statement::Close(close) = signed.statement {
            self.note(signed, close, now);
        }
    }

    /// Keeps a voter's first close of this epoch; whether it is new.
    pub(super) fn note(&mut self, signed: &Signed, close: EpochClose, now: Steady) -> bool {
        let signer = signed.proof.signer;
        let is_of_this = close.epoch == self.epoch && close.next == self.next;
        if !is_of_this || self.closes.contains_key(&signer) {
            return false;
        }
        let close = Close::new(signed, close, now);
        self.closes.insert(signer, close);
        true
    }

    /// Who a node is in the next epoch.
    pub(super) fn voice(&self, node: NodeId) -> NodeId {
        self.voices.get(&node).copied().unwrap_or(node)
    }

    /// The weight in the next epoch of those who said something of a close, and how many they are.
    fn weight_in_next(&self, nodes: &BTreeSet<NodeId>, next: &VoterSet) -> (u64, usize) {
        let voices = nodes.iter().map(|node| self.voice(*node));
        weight_of(&voices.collect(), next)
    }

    fn is_confirmable(&self, close: &Close, next: &VoterSet) -> bool {
        let (counted, signers) = self.weight_in_next(&close.counted_by, next);
        let (confirmed, _) = self.weight_in_next(&close.confirmed_by, next);
        next.is_quorum(counted, signers) || next.exceeds_faulty(confirmed)
    }

    /// Closes that this node may confirm now: voters of a quorum of the next epoch counted them, or
    /// voters of more than F have confirmed them.
    pub(super) fn confirmable(&self, next: &VoterSet, me: &NodeId) -> Vec<NodeId> {
        let may = |(_, close): &(&NodeId, &Close)| {
            !close.confirmed_by.contains(me) && self.is_confirmable(close, next)
        };
        self.closes
            .iter()
            .filter(may)
            .map(|(node, _)| *node)
            .collect()
    }

    /// The counted closes that voters of a quorum of the next epoch have confirmed, if they are
    /// closes of a quorum of the epoch that ends.
    pub(super) fn enough(&self, ending: &VoterSet, next: &VoterSet) -> Option<Vec<NodeId>> {
        let is_trusted = |(_, close): &(&NodeId, &Close)| {
            let (weight, signers) = self.weight_in_next(&close.confirmed_by, next);
            close.counted.is_some() && next.is_quorum(weight, signers)
        };
        let closers = self.closes.iter().filter(is_trusted);
        let closers: BTreeSet<NodeId> = closers.map(|(node, _)| *node).collect();
        let (weight, signers) = weight_of(&closers, ending);
        let is_enough = ending.is_quorum(weight, signers);
        is_enough.then(|| closers.into_iter().collect())
    }
}

/// The weight of those who are voters, and how many they are.
pub(super) fn weight_of(nodes: &BTreeSet<NodeId>, voters: &VoterSet) -> (u64, usize) {
    let indices = nodes.iter().filter_map(|node| voters.index_of(node));
    let weights: Vec<u64> = indices.map(|voter| voters.weight(voter)).collect();
    (weights.iter().sum(), weights.len())
}

/// The keys that the next manifest replaces, with those that follow, of members that keep their
/// network identity: whoever is heard under that is the same node before and after.
fn voices(ending: &Manifest, next: &Manifest) -> BTreeMap<NodeId, NodeId> {
    let change = next.change.iter();
    let named = change.flat_map(|change| &change.succeeds);
    let is_same = |it: &&Succession| {
        let (before, after) = (ending.member(&it.former), next.member(&it.member));
        let peers = before.zip(after);
        peers.is_some_and(|(before, after)| before.peer_id == after.peer_id)
    };
    named
        .filter(is_same)
        .map(|it| (it.former, it.member))
        .collect()
}
