//! The way through another's set tree: into parts that differ from one's own only, checking that
//! what is walked is the one tree that a set has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entries::EntrySet;
use super::part::{Part, PartError, Prefix};
use super::{CHILDREN, DIGITS, LEAF_ENTRIES};
use crate::id::SetHash;

/// Why a walk ends without the set: the close whose root it is, is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A part that was not asked for.
    #[error("a part of a set tree came that was not asked for")]
    Unasked,
    /// A part that is not what its parent names: whoever served it is at fault, another may be
    /// asked.
    #[error(transparent)]
    Part(#[from] PartError),
    /// An inner node over entries that fit a leaf.
    #[error("an inner node of a set tree stands for more than {max} entries, this one for {0}", max = LEAF_ENTRIES)]
    TooFew(u64),
    /// Another number of entries than the close says.
    #[error("a set of {count} entries; its tree has {found}, or more")]
    Count {
        /// What the close says.
        count: u64,
        /// What was found so far.
        found: u64,
    },
}

/// An inner node whose parts are not all known yet.
#[derive(Clone, Copy, Debug)]
struct Inner {
    /// Parts that are still to come.
    left: usize,
    /// Entries of those that came.
    entries: u64,
}

/// A walk through the tree of a set of which one's own set has most.
#[derive(Debug)]
pub struct Walk<const N: usize> {
    own: Arc<EntrySet<N>>,
    count: u64,
    /// Parts that differ from one's own, with the digest that their parent names.
    wanted: BTreeMap<Prefix, SetHash>,
    inner: BTreeMap<Prefix, Inner>,
    /// Inner nodes so far by depth: each stands for entries of its own.
    inner_at: [u64; DIGITS + 1],
    /// Parts that are equal to one's own.
    equal: Vec<Prefix>,
    /// The entries of the leaves that differ.
    walked: Vec<[u8; N]>,
    missing: Vec<[u8; N]>,
    found: u64,
    is_done: bool,
}

impl<const N: usize> Walk<N> {
    /// Begins at the root of a set of `count` entries.
    ///
    /// # Errors
    /// If the root is that of one's own set, and the count is not.
    pub fn new(own: Arc<EntrySet<N>>, count: u64, root: SetHash) -> Result<Self, WalkError> {
        let is_equal = own.root() == root;
        let len = own.len() as u64;
        let mut walk = Self {
            own,
            count,
            wanted: BTreeMap::new(),
            inner: BTreeMap::new(),
            inner_at: [0; DIGITS + 1],
            equal: Vec::new(),
            walked: Vec::new(),
            missing: Vec::new(),
            found: 0,
            is_done: false,
        };
        if is_equal {
            walk.found = len;
            walk.equal.push(Prefix::ROOT);
            walk.end_part(Prefix::ROOT, len)?;
        } else {
            walk.wanted.insert(Prefix::ROOT, root);
        }
        Ok(walk)
    }

    /// The parts to ask for next, at most `most` of them, the deepest first, so that little is
    /// pending at a time. None once all of the tree is known.
    pub fn wanted(&self, most: usize) -> Vec<Prefix> {
        let mut all: Vec<_> = self.wanted.keys().copied().collect();
        all.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        all.truncate(most);
        all
    }

    /// Takes a part that was asked for. After an error of a [`WalkError::Part`] or
    /// [`WalkError::Unasked`] the walk goes on; after another the set is none.
    ///
    /// # Errors
    /// If it is not the part that its parent names, or there is no set that has such a tree.
    pub fn take(&mut self, prefix: Prefix, part: Part<N>) -> Result<(), WalkError> {
        let named = *self.wanted.get(&prefix).ok_or(WalkError::Unasked)?;
        part.check(&prefix, &named)?;
        self.wanted.remove(&prefix);
        match part {
            Part::Leaf(entries) => {
                self.add_found(entries.len() as u64)?;
                let count = entries.len() as u64;
                let is_new = |entry: &&[u8; N]| !self.own.contains(entry);
                self.missing.extend(entries.iter().filter(is_new));
                self.walked.extend(entries);
                self.end_part(prefix, count)
            }
            Part::Inner(children) => self.enter(prefix, &children),
        }
    }

    /// Whether all of the tree is known.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The entries of the other's set that are not in one's own, so far; all of them once the walk
    /// is done.
    pub fn missing(&self) -> &[[u8; N]] {
        &self.missing
    }

    /// The other's whole set, once the walk is done; `None` before.
    pub fn set(&self) -> Option<EntrySet<N>> {
        if !self.is_done {
            return None;
        }
        let equal = self.equal.iter().flat_map(|part| self.own.under(part));
        EntrySet::of(equal.chain(&self.walked).copied().collect()).ok()
    }

    fn enter(&mut self, prefix: Prefix, children: &[SetHash; CHILDREN]) -> Result<(), WalkError> {
        // inner nodes side by side stand for more than 32 entries each: a tree that never ends is
        // noticed before it costs more than the set could
        self.inner_at[prefix.len()] += 1;
        let at_least = self.inner_at[prefix.len()].saturating_mul(LEAF_ENTRIES as u64 + 1);
        if at_least > self.count {
            return Err(WalkError::Count {
                count: self.count,
                found: at_least,
            });
        }
        let node = Inner {
            left: CHILDREN,
            entries: 0,
        };
        self.inner.insert(prefix, node);
        // only what differs is asked for: nearly equal sets cost a few parts
        let below = (0..).map_while(|digit| prefix.child(digit)).zip(children);
        for (child, named) in below {
            if self.own.digest(&child) == *named {
                let count = self.own.under(&child).len() as u64;
                self.add_found(count)?;
                self.equal.push(child);
                self.end_part(child, count)?;
            } else {
                self.wanted.insert(child, *named);
            }
        }
        Ok(())
    }

    fn add_found(&mut self, entries: u64) -> Result<(), WalkError> {
        self.found = self.found.saturating_add(entries);
        if self.found > self.count {
            return Err(WalkError::Count {
                count: self.count,
                found: self.found,
            });
        }
        Ok(())
    }

    /// A part of so many entries is known: so may be the nodes above it.
    fn end_part(&mut self, mut prefix: Prefix, mut entries: u64) -> Result<(), WalkError> {
        // upwards as long as this was the last part that was missing
        while let Some(parent) = prefix.parent() {
            let Some(node) = self.inner.get_mut(&parent) else {
                return Ok(());
            };
            node.left -= 1;
            node.entries += entries;
            if node.left > 0 {
                return Ok(());
            }
            entries = node.entries;
            self.inner.remove(&parent);
            // an inner node over few entries has another digest than the set that it stands for
            if entries <= LEAF_ENTRIES as u64 {
                return Err(WalkError::TooFew(entries));
            }
            prefix = parent;
        }
        // the close names how many: a set that proves to be another size was not what was signed
        if entries != self.count {
            let (count, found) = (self.count, entries);
            return Err(WalkError::Count { count, found });
        }
        self.is_done = true;
        Ok(())
    }
}
