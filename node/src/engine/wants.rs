//! Events that votes name and that have not arrived: asked for once they are late (SPEC §7 rule 9).

use std::collections::BTreeMap;

use ssid_protocol::id::{ContentDigest, SubjectId, UnixMillis};

use super::settings::{STALLED_AT_MOST, WANT_AFTER};

/// Wanted events remembered at once; further ones are found again through their stalled instances.
const WANTED: usize = 100_000;

#[derive(Debug)]
struct Want {
    subject: SubjectId,
    ask_at: UnixMillis,
    asked: u32,
}

/// What is wanted, and when to ask for it.
#[derive(Debug, Default)]
pub(super) struct Wants(BTreeMap<ContentDigest, Want>);

impl Wants {
    pub(super) fn add(&mut self, digest: ContentDigest, subject: SubjectId, now: UnixMillis) {
        if self.0.len() < WANTED {
            self.0.entry(digest).or_insert(Want { subject, ask_at: now.after(WANT_AFTER), asked: 0 });
        }
    }

    pub(super) fn arrived(&mut self, digest: &ContentDigest) {
        self.0.remove(digest);
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
        self.0.retain(|digest, want| want.ask_at > now || is_wanted(digest, &want.subject));
        let mut due = Vec::new();
        for (digest, want) in self.0.iter_mut().filter(|(_, want)| want.ask_at <= now).take(limit) {
            due.push((*digest, want.subject, want.asked));
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
