//! The end of one epoch as this node sees it (SPEC §4, *Entering*): whose closes it holds, what of
//! them it has still to fetch, and whether enough of them are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, Epoch, ManifestHash, NodeId, SubjectId};
use ssid_protocol::manifest::{Manifest, Succession};
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::set_tree::{
    CertifiedEntry, EntrySet, LockEntry, Part, Prefix, SentPart, Walk, WalkError,
};
use ssid_protocol::sync::{ClosedSet, LockProof};
use ssid_protocol::vote::{EpochClose, RoundId};
use ssid_storage::CloseRow;

use crate::clock::Steady;

/// The longest time between knowing that an epoch has ended and closing it (SPEC §12).
pub(super) const PAUSE: Duration = Duration::from_secs(2);
/// How long a node that is starting waits for what it signed before, to compare others' sets with
/// those of its own close. It counts their closes without one then, and closes when it may.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How soon others are asked again for their closes.
pub(super) const ASK_CLOSES: Duration = Duration::from_millis(200);
/// How long an answer is waited for before somebody else is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How soon the next is asked after an answer that brought nothing.
pub(super) const ASK_ANOTHER: Duration = Duration::from_millis(200);
/// How long what a close names is looked for before it is set aside (SPEC §4, *Entering*).
const PROVE_WITHIN: Duration = Duration::from_secs(30);
/// For how long then.
const ASIDE: Duration = Duration::from_mins(1);
/// Locks in a close, at most (SPEC §12).
pub(super) const LOCKS: u64 = 100_000;

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

/// One voter's close.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) signed: Signed,
    /// What it says.
    pub(super) named: EpochClose,
    /// The ways through its two sets, once they are begun.
    walks: Option<Walks>,
    /// What proves locks of its that this node does not hold itself.
    pub(super) proofs: BTreeMap<SubjectId, LockProof>,
    begun: Steady,
    /// Nothing is asked about it before this.
    pub(super) next_at: Steady,
    /// Who was asked last, until the answer has come.
    pub(super) asked: Option<NodeId>,
    /// How often somebody was asked in vain.
    pub(super) turn: usize,
    /// Its sets are none: it never counts.
    pub(super) is_refused: bool,
    /// Who says to have counted it, and not to have entered the next epoch then: this node among
    /// them, if it is so.
    pub(super) counted_by: BTreeSet<NodeId>,
    /// Who says that voters of a quorum of the next epoch have counted it.
    pub(super) confirmed_by: BTreeSet<NodeId>,
    /// Once all that it names is here.
    pub(super) counted: Option<Arc<CloseRow>>,
}

#[derive(Debug)]
struct Walks {
    certified: Walk<{ CertifiedEntry::LEN }>,
    locks: Walk<{ LockEntry::LEN }>,
}

/// Whose fault it is that a part of a set was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Whoever served it: it is not the part that its parent names.
    Server,
    /// Whoever signed the close: there is no such set.
    Closer,
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
            close.walks = None;
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
        let close = Close {
            signed: signed.clone(),
            named: close,
            walks: None,
            proofs: BTreeMap::new(),
            begun: now,
            next_at: now,
            asked: None,
            turn: 0,
            is_refused: close.locks_count > LOCKS,
            counted_by: BTreeSet::new(),
            confirmed_by: BTreeSet::new(),
            counted: None,
        };
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

impl Close {
    /// Whether something of it is to be asked for, now or later.
    pub(super) fn is_under_way(&self) -> bool {
        self.counted.is_none() && !self.is_refused
    }

    /// Whether it is time to ask for more of it. What nobody proves in time is set aside for a
    /// while, and begun anew then.
    pub(super) fn is_due(&mut self, now: Steady) -> bool {
        if !self.is_under_way() || self.next_at > now {
            return false;
        }
        if self.walks.is_some() && now.since(self.begun) > PROVE_WITHIN {
            self.walks = None;
            self.asked = None;
            self.next_at = now.after(ASIDE);
            return false;
        }
        if self.asked.take().is_some() {
            self.turn += 1; // no answer came
        }
        true
    }

    /// Begins to compare its sets with this node's, if that is not begun.
    pub(super) fn begin(&mut self, sets: &Sets, now: Steady) {
        if self.walks.is_some() {
            return;
        }
        let EpochClose {
            certified_count,
            certified_root,
            locks_count,
            locks_root,
            ..
        } = self.named;
        let certified = Walk::new(sets.certified.clone(), certified_count, certified_root);
        let locks = Walk::new(sets.locks.clone(), locks_count, locks_root);
        match (certified, locks) {
            (Ok(certified), Ok(locks)) => {
                self.walks = Some(Walks { certified, locks });
                self.begun = now;
            }
            _ => self.is_refused = true,
        }
    }

    /// The parts of its sets to ask for next, at most `most`; none once both are known.
    pub(super) fn wanted(&self, most: usize) -> Option<(ClosedSet, Vec<Prefix>)> {
        let walks = self.walks.as_ref()?;
        let certified = walks.certified.wanted(most);
        if !certified.is_empty() {
            return Some((ClosedSet::Certified, certified));
        }
        let locks = walks.locks.wanted(most);
        (!locks.is_empty()).then_some((ClosedSet::Locks, locks))
    }

    /// Takes a part that was asked for.
    ///
    /// # Errors
    /// Whose fault it is if it is none.
    pub(super) fn take(
        &mut self,
        set: ClosedSet,
        prefix: Prefix,
        part: SentPart,
    ) -> Result<(), Fault> {
        let Some(walks) = &mut self.walks else {
            return Ok(()); // set aside meanwhile
        };
        let taken = match set {
            ClosedSet::Certified => take_part(&mut walks.certified, prefix, part.read()),
            ClosedSet::Locks => take_part(&mut walks.locks, prefix, part.read()),
        };
        self.is_refused |= taken == Err(Fault::Closer);
        taken
    }

    /// Entries of its certified set that are not in this node's, once all of it is known.
    pub(super) fn certified_besides(&self) -> Option<Vec<CertifiedEntry>> {
        let walk = &self.walks.as_ref()?.certified;
        let entries = walk.missing().iter().map(CertifiedEntry::from_bytes);
        walk.is_done().then(|| entries.collect())
    }

    /// Its lock set, once all of it is known.
    pub(super) fn locks(&self) -> Option<Vec<LockEntry>> {
        let set = self.walks.as_ref()?.locks.set()?;
        Some(set.entries().iter().map(LockEntry::from_bytes).collect())
    }

    /// The entries of the own certified set that are not in its.
    pub(super) fn certified_without(
        &self,
        own: &EntrySet<{ CertifiedEntry::LEN }>,
    ) -> Vec<SubjectId> {
        if own.root() == self.named.certified_root {
            return Vec::new();
        }
        let walk = self.walks.as_ref().and_then(|walks| walks.certified.set());
        let Some(its) = walk else { return Vec::new() };
        let missing = own.entries().iter().filter(|entry| !its.contains(entry));
        missing
            .map(|entry| CertifiedEntry::from_bytes(entry).subject)
            .collect()
    }

    /// Asks nobody about it before `ANSWER_WITHIN` has passed, or the answer has come.
    pub(super) fn note_asked(&mut self, node: NodeId, now: Steady) {
        self.asked = Some(node);
        self.next_at = now.after(ANSWER_WITHIN);
    }

    /// An answer of this node about it has come; whether it brought anything.
    pub(super) fn note_answered(&mut self, from: NodeId, now: Steady, is_of_use: bool) {
        if self.asked == Some(from) {
            self.asked = None;
            self.turn += usize::from(!is_of_use);
            self.next_at = if is_of_use {
                now
            } else {
                now.after(ASK_ANOTHER)
            };
        }
    }
}

fn take_part<const N: usize>(
    walk: &mut Walk<N>,
    prefix: Prefix,
    part: Option<Part<N>>,
) -> Result<(), Fault> {
    let part = part.ok_or(Fault::Server)?;
    match walk.take(prefix, part) {
        // asked twice: the earlier answer came after all
        Ok(()) | Err(WalkError::Unasked) => Ok(()),
        Err(WalkError::Part(_)) => Err(Fault::Server),
        Err(WalkError::TooFew(_) | WalkError::Count { .. }) => Err(Fault::Closer),
    }
}

/// What several closes name for one subject, by their closers' weight.
#[derive(Debug, Default)]
pub(super) struct Named {
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
