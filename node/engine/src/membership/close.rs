//! One voter's close of the epoch that ends: what of it is here, and what is asked for next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::set_tree::{
    CertifiedEntry, EntrySet, LockEntry, Part, Prefix, SentPart, Walk, WalkError,
};
use ssid_protocol::sync::{ClosedSet, LockProof};
use ssid_protocol::vote::EpochClose;
use ssid_storage::CloseRow;

use super::boundary::Sets;
use crate::clock::Steady;

/// How long an answer is waited for before somebody else is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long what a close names is looked for before it is set aside (SPEC §4, *Entering*).
const PROVE_WITHIN: Duration = Duration::from_secs(30);
/// For how long then.
const ASIDE: Duration = Duration::from_mins(1);
/// How soon the next is asked after an answer that brought nothing.
pub(super) const ASK_ANOTHER: Duration = Duration::from_millis(200);
/// Locks in a close, at most (SPEC §12).
pub(super) const LOCKS: u64 = 100_000;

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

impl Close {
    pub(super) fn new(signed: &Signed, named: EpochClose, now: Steady) -> Self {
        Self {
            signed: signed.clone(),
            named,
            walks: None,
            proofs: BTreeMap::new(),
            begun: now,
            next_at: now,
            asked: None,
            turn: 0,
            is_refused: named.locks_count > LOCKS,
            counted_by: BTreeSet::new(),
            confirmed_by: BTreeSet::new(),
            counted: None,
        }
    }

    /// It is compared with other sets from now on: ways through its own begin anew.
    pub(super) fn begin_anew(&mut self) {
        self.walks = None;
    }

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
