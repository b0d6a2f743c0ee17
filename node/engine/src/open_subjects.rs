//! The subjects that are open here. Of those that were decided before the database was lost the
//! journal keeps the names alone: they are opened like others, and nothing is signed for them.

use std::collections::{BTreeMap, HashSet, btree_map};
use std::ops::RangeBounds;

use ssid_protocol::id::SubjectId;

use super::open::Open;

/// The open subjects, and which of all must not be signed for.
#[derive(Debug, Default)]
pub(super) struct OpenSubjects {
    open: BTreeMap<SubjectId, Open>,
    /// Decided in an earlier life, their certificates lost with the database.
    decided_before: HashSet<SubjectId>,
}

impl OpenSubjects {
    /// Opens a subject. One that was decided before the database was lost may be ended by its
    /// certificate alone.
    pub(super) fn insert(&mut self, subject: SubjectId, mut open: Open) {
        open.may_sign = !self.decided_before.contains(&subject);
        self.open.insert(subject, open);
    }

    pub(super) fn get(&self, subject: &SubjectId) -> Option<&Open> {
        self.open.get(subject)
    }

    pub(super) fn get_mut(&mut self, subject: &SubjectId) -> Option<&mut Open> {
        self.open.get_mut(subject)
    }

    pub(super) fn contains_key(&self, subject: &SubjectId) -> bool {
        self.open.contains_key(subject)
    }

    pub(super) fn remove(&mut self, subject: &SubjectId) -> Option<Open> {
        self.open.remove(subject)
    }

    /// All of them, which are open no more: their epoch has ended.
    pub(super) fn take(&mut self) -> BTreeMap<SubjectId, Open> {
        std::mem::take(&mut self.open)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn iter(&self) -> btree_map::Iter<'_, SubjectId, Open> {
        self.open.iter()
    }

    pub(super) fn iter_mut(&mut self) -> btree_map::IterMut<'_, SubjectId, Open> {
        self.open.iter_mut()
    }

    pub(super) fn keys(&self) -> btree_map::Keys<'_, SubjectId, Open> {
        self.open.keys()
    }

    pub(super) fn values(&self) -> btree_map::Values<'_, SubjectId, Open> {
        self.open.values()
    }

    pub(super) fn values_mut(&mut self) -> btree_map::ValuesMut<'_, SubjectId, Open> {
        self.open.values_mut()
    }

    pub(super) fn range(
        &self,
        range: impl RangeBounds<SubjectId>,
    ) -> btree_map::Range<'_, SubjectId, Open> {
        self.open.range(range)
    }

    /// The journal names a subject as decided, and the database does not know it.
    pub(super) fn note_decided_before(&mut self, subject: SubjectId) {
        self.decided_before.insert(subject);
    }

    /// Its certificate is here again.
    pub(super) fn end_decided_before(&mut self, subject: &SubjectId) {
        self.decided_before.remove(subject);
    }

    /// Whether it was decided before the database was lost, and its certificate is not here yet.
    pub(super) fn is_decided_before(&self, subject: &SubjectId) -> bool {
        self.decided_before.contains(subject)
    }

    /// Those of which that holds.
    pub(super) fn decided_before(&self) -> &HashSet<SubjectId> {
        &self.decided_before
    }
}

impl<'a> IntoIterator for &'a OpenSubjects {
    type Item = (&'a SubjectId, &'a Open);
    type IntoIter = btree_map::Iter<'a, SubjectId, Open>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
impl std::ops::Index<&SubjectId> for OpenSubjects {
    type Output = Open;

    fn index(&self, subject: &SubjectId) -> &Open {
        &self.open[subject]
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::Epoch;
    use ssid_protocol::voting::Instance;

    use super::*;
    use crate::clock::Now;

    #[test]
    fn nothing_is_signed_for_what_was_decided_before_until_its_certificate_is_here() {
        let subject = SubjectId([1; 32]);
        let open = || Open::new(Instance::new(Epoch::ZERO, subject, false), Now::default());
        let mut subjects = OpenSubjects::default();
        subjects.note_decided_before(subject);
        subjects.insert(subject, open());
        assert!(!subjects.get(&subject).unwrap().may_sign);

        subjects.end_decided_before(&subject);
        subjects.insert(subject, open());
        assert!(subjects.get(&subject).unwrap().may_sign);
    }
}
