//! Looks for the commits that events name, in the repositories of the members that announced them
//! (SPEC §7 rule 1, policy `commit`): asks the engine what it wants to know, looks, and answers
//! with an input.
//!
//! Beside the task that syncs, so that neither waits for the other; every member's repository is
//! looked at on its own, so that one that hangs holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use ssid_engine::{CommitQuestion, CommitStanding, Inbound};
use ssid_protocol::backoff::Backoff;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::Git;
use super::history::{self, History, Place};
use super::plan::Plan;
use super::state::SyncState;
use crate::clock;
use crate::engine::EngineHandle;
use crate::epoch_watch::EpochWatch;

/// One repository is fetched for new questions at most this often.
const PAUSE: Duration = Duration::from_secs(2);
/// Questions to one member that are kept in mind at a time; the others follow once these are
/// answered.
const QUESTIONS: usize = 4096;

/// What the task works with.
pub(super) struct Context {
    pub(super) engine: EngineHandle,
    pub(super) inputs: mpsc::Sender<Inbound>,
    /// Who the members are.
    pub(super) epochs: watch::Receiver<Arc<Epochs>>,
    /// A sync that ended means that repositories are looked at again.
    pub(super) syncs: watch::Receiver<Arc<SyncState>>,
    pub(super) shutdown: CancellationToken,
}

/// When a member's repository is looked at: at once for a new question, then after growing pauses
/// while a commit is missing.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    /// The pause after the first look: `network.fallback_interval_seconds`. Each next is twice as
    /// long.
    first: Duration,
    /// The longest pause: `sync_settings.interval_minutes`.
    longest: Duration,
    started: Option<Instant>,
    looks: u32,
    due: Option<Instant>,
}

impl Rhythm {
    fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest: longest.max(first),
            started: None,
            looks: 0,
            due: None,
        }
    }

    /// There is something to look for that was not looked for yet, or a person wants it looked for
    /// again.
    fn hurry(&mut self, now: Instant) {
        self.looks = 0;
        let soonest = self.started.map_or(now, |started| started + PAUSE).max(now);
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    fn began(&mut self, now: Instant) {
        (self.started, self.due) = (Some(now), None);
    }

    /// A look has ended with something still missing.
    fn ended_without(&mut self, now: Instant) {
        let pause = Backoff::new(self.first, self.longest).pause(self.looks);
        self.looks = self.looks.saturating_add(1);
        // somebody may have hurried it meanwhile
        self.due = Some(self.due.map_or(now + pause, |due| due.min(now + pause)));
    }
}

/// When the engine is asked what it wants to know: for new questions, after a sync and before a
/// look, but at most once in [`PAUSE`], because it tells all of them each time.
#[derive(Debug, Default)]
struct Listing {
    /// Questions that the engine had counted when it was asked last.
    count: u64,
    /// The last sync then.
    synced: Option<String>,
    at: Option<Instant>,
    due: Option<Instant>,
}

impl Listing {
    /// Notes what the engine counts and which sync was the last.
    fn note(&mut self, count: u64, synced: Option<&String>, now: Instant) {
        if count != self.count || synced != self.synced.as_ref() {
            self.due
                .get_or_insert(self.at.map_or(now, |at| at + PAUSE).max(now));
        }
    }

    /// Whether what was told is so old that it may be asked for again.
    fn is_old(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| at + PAUSE <= now)
    }

    /// If it is time: whether there was a sync since, after which repositories are looked at again.
    fn begin(&mut self, count: u64, synced: Option<String>, now: Instant) -> Option<bool> {
        self.due.filter(|due| *due <= now)?;
        let hurries = synced != self.synced;
        *self = Self {
            count,
            synced,
            at: Some(now),
            due: None,
        };
        Some(hurries)
    }
}

/// One member's repository.
struct Member {
    /// Where it is, or why it cannot be looked at.
    place: Result<Place, String>,
    rhythm: Rhythm,
    /// What is to be found there.
    questions: BTreeSet<CommitQuestion>,
    is_busy: bool,
    fetched_at: Option<UnixMillis>,
}

/// What a look brought.
struct Seen {
    node: NodeId,
    asked: BTreeSet<CommitQuestion>,
    answers: Vec<(CommitQuestion, CommitStanding)>,
    fetched_at: Option<UnixMillis>,
}

pub(super) struct Task {
    members: BTreeMap<NodeId, Member>,
    plan: Plan,
    context: Context,
    git: Option<Git>,
    looks: FuturesUnordered<BoxFuture<'static, Seen>>,
}

impl Task {
    pub(super) fn new(plan: &Plan, context: Context) -> Self {
        Self {
            members: BTreeMap::new(),
            plan: plan.clone(),
            context,
            git: None,
            looks: FuturesUnordered::new(),
        }
    }

    /// Looks into the repositories of the members of another epoch; those that stay keep what is
    /// known of them.
    fn enter(&mut self, manifest: &Manifest) {
        self.plan.enter(manifest);
        let schedule = &self.plan.schedule;
        let rhythm = Rhythm::new(schedule.fallback_every, schedule.interval);
        let mut before = std::mem::take(&mut self.members);
        for planned in &self.plan.members {
            let place = planned.place(&self.plan.histories);
            let member = match before.remove(&planned.node) {
                Some(known) => Member { place, ..known },
                None => Member {
                    place,
                    rhythm,
                    questions: BTreeSet::new(),
                    is_busy: false,
                    fetched_at: None,
                },
            };
            self.members.insert(planned.node, member);
        }
    }

    pub(super) async fn run(mut self) {
        let mut status = self.context.engine.status();
        let mut listing = Listing::default();
        let mut epochs = EpochWatch::new(self.context.epochs.clone());
        loop {
            if let Some(epoch) = epochs.entered() {
                self.enter(epoch.manifest());
            }
            let now = Instant::now();
            let count = status.borrow_and_update().commits_asked;
            let last = self.last_sync();
            let is_due = self.next_look().is_some_and(|at| at <= now);
            listing.note(count, last.as_ref(), now);
            if is_due && listing.is_old(now) {
                listing.due = Some(now); // what is not wanted any more is not looked for
            }
            let listed = listing.begin(count, last, now);
            if let Some(hurries) = listed
                && self.ask_engine(hurries, now).await.is_none()
            {
                return;
            }
            if is_due || listed.is_some() {
                self.look(now).await;
            }
            let wake = self.next_look().into_iter().chain(listing.due).min();
            tokio::select! {
                () = self.context.shutdown.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
                // its sender lives as long as the node's other Git task
                changed = self.context.syncs.changed() => if changed.is_err() { return },
                goes_on = epochs.changed() => if !goes_on { return },
                Some(seen) = self.looks.next() => self.note(seen).await,
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// When the next look may begin; none while as many are under way as may be.
    fn next_look(&self) -> Option<Instant> {
        let idle = self
            .members
            .values()
            .filter(|member| !member.is_busy && self.free() > 0);
        idle.filter_map(|member| member.rhythm.due).min()
    }

    fn free(&self) -> usize {
        self.plan
            .effort
            .parallel
            .max(1)
            .saturating_sub(self.looks.len())
    }

    fn last_sync(&mut self) -> Option<String> {
        self.context.syncs.borrow_and_update().last_sync.clone()
    }

    /// Learns what is to be found; `None` if the engine has ended.
    async fn ask_engine(&mut self, hurries: bool, now: Instant) -> Option<()> {
        let mut wanted: BTreeMap<NodeId, BTreeSet<CommitQuestion>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.context.engine.commit_questions(after).await.ok()?;
            after = page.last().cloned();
            if after.is_none() {
                break;
            }
            for question in page {
                let questions = wanted.entry(question.node).or_default();
                if questions.len() < QUESTIONS {
                    questions.insert(question);
                }
            }
        }
        for (node, member) in &mut self.members {
            let questions = wanted.remove(node).unwrap_or_default();
            let has_new = !questions.is_subset(&member.questions);
            member.questions = questions;
            if member.questions.is_empty() {
                member.rhythm.due = None;
            } else if has_new || hurries {
                member.rhythm.hurry(now);
            }
        }
        Some(())
    }

    /// Starts what is due, as many at a time as syncs are.
    async fn look(&mut self, now: Instant) {
        let due: Vec<NodeId> = self
            .members
            .iter()
            .filter(|(_, m)| m.rhythm.is_due(now) && !m.is_busy)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            let git = self.git().await;
            let Some(member) = self.members.get_mut(&node) else {
                continue;
            };
            // without Git, or with a remote that is refused, the questions are answered all the
            // same: with why
            let place = member.place.clone().and_then(|place| Ok((place, git?)));
            let asked = member.questions.clone();
            let fetched_at = member.fetched_at;
            match place {
                Ok((place, git)) if self.plan.effort.parallel.max(1) > self.looks.len() => {
                    member.is_busy = true;
                    // what is under way is not begun again
                    member.rhythm.began(now);
                    self.looks
                        .push(Box::pin(look_at(git, place, node, asked, fetched_at)));
                }
                Ok(_) => {} // one of those under way ends first
                Err(reason) => {
                    member.rhythm.began(now);
                    let unseen = |question| {
                        (
                            question,
                            CommitStanding::Unseen {
                                reason: reason.clone(),
                            },
                        )
                    };
                    let answers = asked.iter().cloned().map(unseen).collect();
                    self.note(Seen {
                        node,
                        asked,
                        answers,
                        fetched_at,
                    })
                    .await;
                }
            }
        }
    }

    async fn git(&mut self) -> Result<Git, String> {
        if let Some(git) = &self.git {
            return Ok(git.clone());
        }
        let found = Git::find(
            &self.plan.allowed,
            self.plan.timeout,
            self.context.shutdown.clone(),
        )
        .await;
        let git = found.map_err(|error| error.to_string())?;
        self.git = Some(git.clone());
        Ok(git)
    }

    async fn note(&mut self, seen: Seen) {
        let Seen {
            node,
            asked,
            answers,
            fetched_at,
        } = seen;
        let is_missing = answers
            .iter()
            .any(|(_, standing)| *standing != CommitStanding::Exists);
        if let Some(member) = self.members.get_mut(&node) {
            (member.is_busy, member.fetched_at) = (false, fetched_at);
            if is_missing || !member.questions.is_subset(&asked) {
                member.rhythm.ended_without(Instant::now());
            }
        }
        tracing::debug!(%node, answers = answers.len(), is_missing, "a repository was looked at for commits");
        // the engine's task has ended if nobody takes it
        self.context
            .inputs
            .send(Inbound::Commits(answers))
            .await
            .ok();
    }
}

/// Looks into what is here, and fetches if not all is found in that.
async fn look_at(
    git: Git,
    place: Place,
    node: NodeId,
    asked: BTreeSet<CommitQuestion>,
    fetched_at: Option<UnixMillis>,
) -> Seen {
    // what was fetched before costs no conversation
    let here = history::kept(&git, &place).await;
    let has_all = |history: &History| asked.iter().all(|question| history.has(&question.commit));
    let (found, fetched_at, failure) = if has_all(&here) {
        (here, fetched_at, None)
    } else {
        match history::fetch(&git, &place).await {
            Ok(history) => (history, Some(clock::now()), None),
            Err(error) => {
                let last = fetched_at
                    .map(|at| format!("; it was last fetched at {}", at.iso()))
                    .unwrap_or_default();
                (here, fetched_at, Some(format!("{error}{last}")))
            }
        }
    };
    // only a fetch that succeeded shows that something is missing
    let standing = |question: &CommitQuestion| match (&failure, fetched_at) {
        _ if found.has(&question.commit) => CommitStanding::Exists,
        (None, Some(fetched_at)) => CommitStanding::Missing { fetched_at },
        (failure, _) => CommitStanding::Unseen {
            reason: failure.clone().unwrap_or_default(),
        },
    };
    let answers = asked
        .iter()
        .map(|question| (question.clone(), standing(question)))
        .collect();
    Seen {
        node,
        asked,
        answers,
        fetched_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn new_questions_are_looked_up_at_once_and_missing_commits_after_growing_pauses() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rhythm = Rhythm::new(Duration::from_secs(30), Duration::from_secs(100));
        assert!(!rhythm.is_due(at(0)));
        rhythm.hurry(at(0));
        assert!(rhythm.is_due(at(0)));
        rhythm.began(at(0));
        assert!(!rhythm.is_due(at(50)), "it is under way");
        // another question a moment later waits for a pause, and not for the pause after a look
        // without success
        rhythm.ended_without(at(1));
        rhythm.hurry(at(1));
        assert_eq!(rhythm.due, Some(at(2)));
        rhythm.began(at(2));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            rhythm.ended_without(at(10));
            pauses.extend(rhythm.due.map(|due| (due - at(10)).as_secs()));
            rhythm.began(at(10));
        }
        assert_eq!(pauses, [30, 60, 100, 100]);
    }

    #[tokio::test]
    async fn the_engine_is_asked_at_once_and_then_after_a_pause_however_much_it_counts() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut listing = Listing::default();
        listing.note(0, None, at(0));
        assert_eq!(listing.begin(0, None, at(0)), None, "nothing is asked");
        listing.note(1, None, at(0));
        assert_eq!(listing.begin(1, None, at(0)), Some(false));
        let sync = Some("2026-01-01".to_owned());
        for millis in [1, 500, 1999] {
            listing.note(1 + millis, sync.as_ref(), at(millis));
            assert_eq!(listing.begin(1 + millis, sync.clone(), at(millis)), None);
            assert_eq!(listing.due, Some(at(2000)), "it is not put off either");
        }
        assert_eq!(listing.begin(2000, sync.clone(), at(2000)), Some(true));
        listing.note(2000, sync.as_ref(), at(9000));
        assert_eq!(listing.due, None);
    }
}
