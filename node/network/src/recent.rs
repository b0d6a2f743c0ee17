//! A bounded memory of what was seen lately.

use std::collections::HashSet;
use std::hash::Hash;

/// Remembers at least the last half of its capacity, at most all of it: two generations, the older
/// of which is dropped whole.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    half: usize,
    young: HashSet<T>,
    old: HashSet<T>,
}

impl<T: Eq + Hash> Recent<T> {
    /// Remembers at most `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            half: (capacity / 2).max(1),
            young: HashSet::new(),
            old: HashSet::new(),
        }
    }

    /// Whether it was seen lately.
    pub(crate) fn contains(&self, item: &T) -> bool {
        self.young.contains(item) || self.old.contains(item)
    }

    /// Remembers it; `false` if it was remembered already.
    pub(crate) fn insert(&mut self, item: T) -> bool {
        if self.contains(&item) {
            return false;
        }
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_latest_and_stays_bounded() {
        let mut recent = Recent::new(8);
        for i in 0..1000 {
            assert!(recent.insert(i));
            assert!(!recent.insert(i));
        }
        assert!((996..1000).all(|i| recent.contains(&i)));
        assert!(!recent.contains(&0));
        assert!(recent.young.len() + recent.old.len() <= 8);
    }
}
