//! Events that votes name and that have not arrived: asked for once they are late (SPEC §7 rule 9).

use std::collections::{BTreeMap, BTreeSet};

use ssid_protocol::backoff::Backoff;
use ssid_protocol::id::{ContentDigest, SubjectId};

use super::clock::Steady;
use super::settings::{STALLED_AT_MOST, WANT_AFTER};

/// Wanted events remembered at once; further ones are found again through their stalled instances.
const WANTED: usize = 100_000;
/// How long after it was asked for in vain it is asked for again.
const ASK_AGAIN: Backoff = Backoff::new(WANT_AFTER.saturating_mul(10), STALLED_AT_MOST);

#[derive(Debug)]
struct Want {
    ask_at: Steady,
    asked: u32,
}

/// A wanted event, and the subject under which votes name it.
type Name = (ContentDigest, SubjectId);

/// What is wanted, and when to ask for it. Of each subject that votes name it under apart: else one
/// that was made up could stand for the real one, whose voters have the event.
#[derive(Debug, Default)]
pub(super) struct Wants {
    wanted: BTreeMap<Name, Want>,
    /// The same, next first: looked at in every tick.
    by_time: BTreeSet<(Steady, Name)>,
}

impl Wants {
    pub(super) fn add(&mut self, digest: ContentDigest, subject: SubjectId, now: Steady) {
        let name = (digest, subject);
        if self.wanted.len() < WANTED && !self.wanted.contains_key(&name) {
            self.put(
                name,
                Want {
                    ask_at: now.after(WANT_AFTER),
                    asked: 0,
                },
            );
        }
    }

    /// Asks for it soon, however often that was done in vain: there is room for it now.
    pub(super) fn ask_anew(&mut self, digest: ContentDigest, subject: SubjectId, now: Steady) {
        self.remove(&(digest, subject));
        self.add(digest, subject, now);
    }

    fn put(&mut self, name: Name, want: Want) {
        self.by_time.insert((want.ask_at, name));
        self.wanted.insert(name, want);
    }

    fn remove(&mut self, name: &Name) -> Option<Want> {
        let want = self.wanted.remove(name)?;
        self.by_time.remove(&(want.ask_at, *name));
        Some(want)
    }

    pub(super) fn arrived(&mut self, digest: &ContentDigest) {
        let of_digest = (*digest, SubjectId([0; 32]))..=(*digest, SubjectId([255; 32]));
        let arrived: Vec<_> = self
            .wanted
            .range(of_digest)
            .map(|(name, _)| *name)
            .collect();
        for name in arrived {
            self.remove(&name);
        }
    }

    /// What to ask for now, the latest due last, at most `limit`, with the number of times it was
    /// asked for before. Those for which `is_wanted` says no are forgotten.
    pub(super) fn due(
        &mut self,
        now: Steady,
        limit: usize,
        is_wanted: impl Fn(&ContentDigest, &SubjectId) -> bool,
    ) -> Vec<(ContentDigest, SubjectId, u32)> {
        let mut due = Vec::new();
        while due.len() < limit {
            let Some((_, name)) = self
                .by_time
                .first()
                .copied()
                .filter(|(ask_at, _)| *ask_at <= now)
            else {
                break;
            };
            let Some(want) = self.remove(&name) else {
                break;
            };
            let (digest, subject) = name;
            if !is_wanted(&digest, &subject) {
                continue;
            }
            due.push((digest, subject, want.asked));
            self.put(
                name,
                Want {
                    ask_at: now.after(ASK_AGAIN.pause(want.asked)),
                    asked: want.asked + 1,
                },
            );
        }
        due
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.by_time.first().map(|(ask_at, _)| *ask_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_subject_does_not_stand_for_the_real_one() {
        let (digest, other) = (ContentDigest([1; 32]), ContentDigest([2; 32]));
        let (real, made_up) = (SubjectId([3; 32]), SubjectId([9; 32]));
        let mut wants = Wants::default();
        for (digest, subject) in [(digest, made_up), (digest, real), (other, real)] {
            wants.add(digest, subject, Steady(0));
        }
        let late = Steady(0).after(WANT_AFTER);
        let due = wants.due(late, 10, |_, subject| *subject == real);
        assert_eq!(due, [(digest, real, 0), (other, real, 0)]);
        wants.add(digest, made_up, late);
        wants.arrived(&digest);
        let later = late.after(STALLED_AT_MOST);
        assert_eq!(wants.due(later, 10, |_, _| true), [(other, real, 1)]);
    }

    #[test]
    fn the_longest_due_are_asked_for_first_and_what_is_not_wanted_takes_no_room() {
        let mut wants = Wants::default();
        let name = |i: u8| (ContentDigest([i; 32]), SubjectId([i; 32]));
        for i in (0..6).rev() {
            wants.add(name(i).0, name(i).1, Steady(u64::from(6 - i)));
        }
        assert_eq!(wants.next(), Some(Steady(1).after(WANT_AFTER)));
        let late = Steady(6).after(WANT_AFTER);
        let asked = |due: Vec<(ContentDigest, SubjectId, u32)>| {
            due.iter().map(|(d, _, _)| d.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(
            asked(wants.due(late, 2, |digest, _| digest.0[0] != 4)),
            [5, 3]
        );
        assert_eq!(asked(wants.due(late, 9, |_, _| true)), [2, 1, 0]);
        assert_eq!(asked(wants.due(late, 9, |_, _| true)), [0; 0]);
        assert_eq!(wants.wanted.len(), wants.by_time.len());
        let again = wants.next().unwrap_or(late);
        assert_eq!(asked(wants.due(again, 9, |_, _| true)), [0, 1, 2, 3, 5]);
    }
}
