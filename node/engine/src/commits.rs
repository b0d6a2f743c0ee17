//! Commits that events name (SPEC §7 rule 1, policy `commit`): which this node wants to see in
//! which member's repository, and what it was told. The engine looks into no repository itself: it
//! says what it asks, and whoever looks answers with an input, so that the same inputs give the
//! same votes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use ssid_protocol::id::SubjectId;

use super::engine::{Engine, Tick};
use super::request::{CommitQuestion, CommitStanding};
use super::settings::Endorsement;

/// Questions in one page.
const PAGE: usize = 1024;

/// What is asked, for the open subjects it matters to.
#[derive(Debug, Default)]
pub(super) struct Commits {
    asked: BTreeMap<CommitQuestion, Asked>,
    by_subject: HashMap<SubjectId, BTreeSet<CommitQuestion>>,
    /// Questions since the start: whoever looks waits for this to change.
    pub(super) count: u64,
}

#[derive(Debug, Default)]
struct Asked {
    subjects: BTreeSet<SubjectId>,
    standing: Option<CommitStanding>,
}

impl Commits {
    fn ask(&mut self, subject: SubjectId, question: CommitQuestion) {
        if self
            .by_subject
            .entry(subject)
            .or_default()
            .insert(question.clone())
        {
            self.count += 1;
            self.asked
                .entry(question)
                .or_default()
                .subjects
                .insert(subject);
        }
    }

    /// What is known.
    pub(super) fn standing(&self, question: &CommitQuestion) -> Option<&CommitStanding> {
        self.asked.get(question)?.standing.as_ref()
    }

    /// Notes an answer; the subjects that waited for it, if it is that the commit is there.
    fn answer(&mut self, question: &CommitQuestion, standing: CommitStanding) -> Vec<SubjectId> {
        // of what is not asked any more nothing is kept
        let Some(asked) = self.asked.get_mut(question) else {
            return Vec::new();
        };
        if asked.standing == Some(CommitStanding::Exists) {
            return Vec::new();
        }
        let exists = standing == CommitStanding::Exists;
        asked.standing = Some(standing);
        if exists {
            asked.subjects.iter().copied().collect()
        } else {
            Vec::new()
        }
    }

    /// A subject is not open any more.
    pub(super) fn forget(&mut self, subject: &SubjectId) {
        for question in self.by_subject.remove(subject).unwrap_or_default() {
            if let Some(asked) = self.asked.get_mut(&question) {
                asked.subjects.remove(subject);
                if asked.subjects.is_empty() {
                    self.asked.remove(&question);
                }
            }
        }
    }
}

impl Engine {
    /// Asks for the commits of a subject's candidates, if its type's policy is `commit`.
    pub(super) fn ask_commits(&mut self, subject: SubjectId) {
        let Some(open) = self.open.get(&subject) else {
            return;
        };
        let Some(event_type) = open.subject.as_ref().map(|subject| &subject.event) else {
            return;
        };
        if self.settings.endorsement_of(event_type) != Endorsement::Commit {
            return;
        }
        for candidate in open.machine.candidates() {
            let Some(voter) = candidate
                .announced_by
                .and_then(|voter| self.epochs.current().voters().get(voter))
            else {
                continue;
            };
            let commit = candidate.event.commit_hash.clone();
            self.commits.ask(
                subject,
                CommitQuestion {
                    node: voter.key.id(),
                    commit,
                },
            );
        }
    }

    /// A page of the questions that a vote of this node waits for, in order, those after `after`.
    pub fn commit_questions(&self, after: Option<&CommitQuestion>) -> Vec<CommitQuestion> {
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        // whatever is said first of the subject: another candidate's objection must not hide this
        // one's question
        let waits = |subject: &SubjectId| {
            self.open
                .get(subject)
                .is_some_and(|open| self.review(open).is_some())
        };
        let open = self
            .commits
            .asked
            .range::<CommitQuestion, _>(range)
            .filter(|(_, asked)| {
                asked.standing != Some(CommitStanding::Exists) && asked.subjects.iter().any(waits)
            });
        open.map(|(question, _)| question.clone())
            .take(PAGE)
            .collect()
    }

    /// What was found in members' repositories.
    pub(super) fn take_commits(
        &mut self,
        tick: &mut Tick,
        answers: Vec<(CommitQuestion, CommitStanding)>,
    ) {
        for (question, standing) in answers {
            for subject in self.commits.answer(&question, standing) {
                self.endorse(tick, subject);
            }
        }
    }
}
