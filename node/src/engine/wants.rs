//! Events that votes name and that have not arrived: asked for once they are late (SPEC §7 rule 9).

use std::collections::BTreeMap;

use ssid_protocol::id::{ContentDigest, SubjectId, UnixMillis};

use super::settings::{STALLED_AT_MOST, WANT_AFTER};

/// Wanted events remembered at once; further ones are found again through their stalled instances.
const WANTED: usize = 100_000;

#[derive(Debug)]
struct Want {
    ask_at: UnixMillis,
    asked: u32,
}

/// What is wanted, and when to ask for it. Of each subject that votes name it under apart: else one that was made up could
/// stand for the real one, whose voters have the event.
#[derive(Debug, Default)]
pub(super) struct Wants(BTreeMap<(ContentDigest, SubjectId), Want>);

impl Wants {
    pub(super) fn add(&mut self, digest: ContentDigest, subject: SubjectId, now: UnixMillis) {
        if self.0.len() < WANTED {
            let want = Want { ask_at: now.after(WANT_AFTER), asked: 0 };
            self.0.entry((digest, subject)).or_insert(want);
        }
    }

    pub(super) fn arrived(&mut self, digest: &ContentDigest) {
        let of_digest = (*digest, SubjectId([0; 32]))..=(*digest, SubjectId([255; 32]));
        let arrived: Vec<_> = self.0.range(of_digest).map(|(key, _)| *key).collect();
        for key in arrived {
            self.0.remove(&key);
        }
    }

    /// What to ask for now, at most `limit`, with the number of times it was asked for before. Those for which
    /// `is_wanted` says no are forgotten.
    pub(super) fn due(
        &mut self,
        now: UnixMillis,
        limit: usize,
        is_wanted: impl Fn(&ContentDigest, &SubjectId) -> bool,
    ) -> Vec<(ContentDigest, SubjectId, u32)> {
        if self.next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        self.0.retain(|(digest, subject), want| want.ask_at > now || is_wanted(digest, subject));
        let mut due = Vec::new();
        for ((digest, subject), want) in self.0.iter_mut().filter(|(_, want)| want.ask_at <= now).take(limit) {
            due.push((*digest, *subject, want.asked));
            let pause = WANT_AFTER.saturating_mul(10_u32.saturating_mul(1 << want.asked.min(16)));
            want.ask_at = now.after(pause.min(STALLED_AT_MOST));
            want.asked += 1;
        }
        due
    }

    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.0.values().map(|want| want.ask_at).min()
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
            wants.add(digest, subject, UnixMillis(0));
        }
        let late = UnixMillis(0).after(WANT_AFTER);
        let due = wants.due(late, 10, |_, subject| *subject == real);
        assert_eq!(due, [(digest, real, 0), (other, real, 0)]);
        wants.add(digest, made_up, late);
        wants.arrived(&digest);
        let later = late.after(STALLED_AT_MOST);
        assert_eq!(wants.due(later, 10, |_, _| true), [(other, real, 1)]);
    }
}
