//! Votes for subjects of which no event is known (SPEC §7 rule 9, §12). They wait here, a hundred
//! bytes or two each, until an event or a certificate opens the subject's instance: an instance of
//! its own for every name that somebody makes up would take thousands. Their events are asked for
//! like those of open instances.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ssid_protocol::id::{Choice, ContentDigest, SubjectId, UnixMillis};
use ssid_protocol::limits;
use ssid_protocol::quorum::{VoterIndex, VoterSet};

use super::clock::{Now, Steady};
use super::open::{Asked, Held};
use super::proof::Proof;
use super::settings::WAITING_AT_MOST;

/// The votes of one subject.
#[derive(Debug)]
pub(super) struct Unheard {
    /// By the wall clock, to be shown.
    pub(super) first_seen: UnixMillis,
    pub(super) since: Steady,
    /// In order of arrival.
    pub(super) votes: Vec<Held>,
    pub(super) asked: Asked,
}

/// What became of a vote.
#[derive(Debug)]
pub(super) enum Kept {
    /// It waits.
    New,
    /// It waits, and contradicts this one.
    Conflicting(Held),
    /// It waits already, or proves nothing new.
    Known,
    /// Its voter has too many.
    Full,
}

/// Votes that wait, by subject; each voter's are counted.
#[derive(Debug, Default)]
pub(super) struct VoteBuffer {
    subjects: BTreeMap<SubjectId, Unheard>,
    /// The same, oldest first.
    by_age: BTreeSet<(Steady, SubjectId)>,
    by_voter: HashMap<VoterIndex, usize>,
}

impl VoteBuffer {
    /// Keeps a vote, within its voter's bounds.
    pub(super) fn keep(&mut self, now: Now, subject: SubjectId, vote: &Held) -> Kept {
        let known = self
            .subjects
            .get(&subject)
            .map_or(&[][..], |unheard| &unheard.votes);
        let own = || known.iter().filter(|held| held.voter == vote.voter);
        let same_place: Vec<_> = own()
            .filter(|held| (held.round, held.phase) == (vote.round, vote.phase))
            .collect();
        // two that contradict each other prove it; a third proves nothing more
        if same_place.len() > 1 || same_place.iter().any(|held| held.ballot == vote.ballot) {
            return Kept::Known;
        }
        let count = self.by_voter.get(&vote.voter).copied().unwrap_or_default();
        if count >= limits::UNKNOWN_VOTES || own().count() >= limits::UNKNOWN_VOTES_OF_SUBJECT {
            return Kept::Full;
        }
        let kept = same_place
            .first()
            .map_or(Kept::New, |first| Kept::Conflicting((*first).clone()));
        self.by_voter.insert(vote.voter, count + 1);
        let new = || Unheard {
            first_seen: now.wall,
            since: now.steady,
            votes: Vec::new(),
            asked: Asked::new(now.steady),
        };
        let unheard = self.subjects.entry(subject).or_insert_with(new);
        self.by_age.insert((unheard.since, subject));
        unheard.asked = Asked::new(now.steady);
        // exactly one more: most names are heard of once
        unheard.votes.reserve_exact(1);
        unheard.votes.push(vote.clone());
        kept
    }

    /// Takes a subject's votes out: its instance opens.
    pub(super) fn take(&mut self, subject: &SubjectId) -> Option<Unheard> {
        let unheard = self.subjects.remove(subject)?;
        self.by_age.remove(&(unheard.since, *subject));
        for vote in &unheard.votes {
            if let Some(count) = self.by_voter.get_mut(&vote.voter) {
                *count = count.saturating_sub(1);
            }
        }
        Some(unheard)
    }

    /// Drops votes whose event nobody had for [`WAITING_AT_MOST`]: names that somebody made up
    /// would take their voter's room for good. Whoever still holds a real one offers it again with
    /// its open instances.
    pub(super) fn expire(&mut self, now: Steady) {
        while let Some((since, subject)) = self.by_age.first().copied() {
            if now.since(since) < WAITING_AT_MOST {
                return;
            }
            self.take(&subject);
        }
    }

    pub(super) fn get(&self, subject: &SubjectId) -> Option<&Unheard> {
        self.subjects.get(subject)
    }

    /// All of them in order of subject, from the one after `after`.
    pub(super) fn after(
        &self,
        after: Option<SubjectId>,
    ) -> impl Iterator<Item = (&SubjectId, &Unheard)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.subjects.range((from, std::ops::Bound::Unbounded))
    }

    /// When each was last asked about, to change.
    pub(super) fn asked_mut(&mut self) -> impl Iterator<Item = (&SubjectId, &mut Asked)> {
        self.subjects
            .iter_mut()
            .map(|(subject, unheard)| (subject, &mut unheard.asked))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Of how many subjects there are votes.
    pub(super) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// How many votes there are.
    pub(super) fn len(&self) -> usize {
        self.by_voter.values().sum()
    }

    /// Votes of this subject for an event of this content.
    pub(super) fn votes_for(
        &self,
        subject: &SubjectId,
        digest: &ContentDigest,
    ) -> impl Iterator<Item = &Held> {
        let votes = self
            .subjects
            .get(subject)
            .into_iter()
            .flat_map(|unheard| &unheard.votes);
        votes.filter(move |held| {
            held.ballot
                .is_some_and(|choice| choice.content_digest == *digest)
        })
    }

    /// Whether voters of weight > F, an honest one among them, voted for `choice` in one round and
    /// phase.
    pub(super) fn is_backed(&self, voters: &VoterSet, subject: &SubjectId, choice: Choice) -> bool {
        let mut by_place: BTreeMap<_, BTreeSet<VoterIndex>> = BTreeMap::new();
        for held in self
            .votes_for(subject, &choice.content_digest)
            .filter(|held| held.ballot == Some(choice))
        {
            by_place
                .entry((held.round, held.phase))
                .or_default()
                .insert(held.voter);
        }
        let weight = |signers: &BTreeSet<VoterIndex>| {
            signers.iter().map(|voter| voters.weight(*voter)).sum()
        };
        by_place
            .values()
            .any(|signers| voters.exceeds_faulty(weight(signers)))
    }

    pub(super) fn proofs_mut(&mut self) -> impl Iterator<Item = &mut Proof> {
        self.subjects
            .values_mut()
            .flat_map(|unheard| &mut unheard.votes)
            .map(|held| &mut held.proof)
    }
}
