//! Runs Git: one loop that owns mirrors and branch, syncs when that is due or asked for, and says
//! which road votes take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ssid_engine::{Inbound, NodeEvent};
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{NodeId, Sha256Hash, UnixMillis};
use ssid_protocol::record::Transport;
use ssid_protocol::trust::TrustRules;
use ssid_storage::RewrittenRow;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::Git;
use super::commits;
use super::failure::GitError;
use super::handle::{GitHandle, REQUESTS, SyncRequest, SyncRoad};
use super::intake::Road;
use super::metrics::GitMetrics;
use super::mirror::{Brought, REWRITTEN_KEPT};
use super::plan::{Plan, PlannedMember};
use super::publish::{Publisher, Wanted};
use super::read::Segments;
use super::repository::Repository;
use super::schedule::Why;
use super::state::{MemberSync, OwnBranch, SyncOutcome, SyncState};
use super::sync::{self, Retry, Target};
use crate::clock;
use crate::engine::EngineHandle;

/// How long conversations over the live network are waited for.
const LIVE_AT_MOST: Duration = Duration::from_secs(30);
/// Fetches that brought something, of one member, after which its mirror is looked after.
const TIDY_AFTER: u64 = 64;

/// What the task lives among.
pub struct Surroundings {
    /// The handle to the engine.
    pub engine: EngineHandle,
    /// Its local inputs.
    pub inputs: mpsc::Sender<Inbound>,
    /// What is remembered.
    pub store: ssid_storage::Store,
    /// The epochs that the node knows: what lines are checked against.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// How trust is counted, for the order of fetches.
    pub trust: TrustRules,
    /// Counters of fetches, pushes and lines.
    pub metrics: GitMetrics,
    /// Cancelled when the node stops.
    pub shutdown: CancellationToken,
}

/// Starts the task on the tracker.
pub fn start(
    plan: Plan,
    around: Surroundings,
    tracker: &tokio_util::task::TaskTracker,
) -> GitHandle {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let Surroundings {
        engine,
        inputs,
        store,
        epochs,
        trust,
        metrics,
        shutdown,
    } = around;
    let road = Road {
        me: plan.me,
        epochs,
        store,
        inputs,
    };
    let federation = road.checker().federation();
    let publisher = plan.own.clone().ok().map(|remote| {
        Publisher::new(
            plan.me,
            federation,
            remote,
            plan.branch.clone(),
            plan.own_dir.clone(),
        )
    });
    let known = |member: &PlannedMember| Known {
        read_again: Some(Segments::new()),
        rewritten: rewritten_before(&road.store, &member.node),
        ..Known::default()
    };
    let members: Vec<_> = plan.members.iter().map(known).collect();
    let state = first_state(&plan, &members);
    let (sender, receiver) = watch::channel(Arc::new(state.clone()));
    let beside = commits::Surroundings {
        engine: engine.clone(),
        inputs: road.inputs.clone(),
        syncs: receiver.clone(),
        shutdown: shutdown.clone(),
    };
    tracker.spawn(commits::Task::new(&plan, beside).run());
    let task = Task {
        plan,
        engine,
        road,
        publisher,
        trust,
        metrics,
        shutdown,
        git: None,
        members,
        quiet: 0,
        state,
        shown: sender,
    };
    tracker.spawn(task.run(inbox));
    GitHandle {
        requests,
        state: receiver,
    }
}

/// What was seen in earlier lives.
fn rewritten_before(store: &ssid_storage::Store, node: &NodeId) -> Vec<RewrittenRow> {
    store.rewritten_of(node).unwrap_or_else(|error| {
        tracing::error!(%error, "the rewritten histories of a member cannot be read");
        Vec::new()
    })
}

fn first_state(plan: &Plan, known: &[Known]) -> SyncState {
    let member = |(member, known): (&PlannedMember, &Known)| MemberSync {
        node_id: member.node,
        node_name: member.name.clone(),
        remote: member
            .source
            .as_ref()
            .and_then(|s| s.as_ref().ok())
            .map(|s| s.remote.to_string()),
        commit: None,
        last_sync: None,
        failures: 0,
        error: member
            .source
            .as_ref()
            .and_then(|source| source.as_ref().err())
            .cloned(),
        bytes: 0,
        lines: 0,
        bad_lines: 0,
        bad_example: None,
        rewritten: known.rewritten.iter().map(Into::into).collect(),
    };
    SyncState {
        uses_git: plan.uses_git(),
        own: OwnBranch {
            remote: plan.own_shown.clone(),
            branch: plan.branch.clone(),
            error: plan.own.as_ref().err().cloned(),
            ..OwnBranch::default()
        },
        members: plan.members.iter().zip(known).map(member).collect(),
        ..SyncState::unused()
    }
}

/// What is known of one member's branch besides what is shown.
#[derive(Default)]
struct Known {
    fetched_at: Option<Instant>,
    /// Whether what was read in an earlier life is still to be offered, and from where on.
    read_again: Option<Segments>,
    /// Whether the last sync left lines for the next.
    is_part: bool,
    retry: Retry,
    /// Its latest start, the one that the own branch answers, and whether it has answered this
    /// node's.
    start: Option<Sha256Hash>,
    answered: Option<Sha256Hash>,
    has_heard: bool,
    brought: u64,
    /// Histories of it that are gone, as they are stored.
    rewritten: Vec<RewrittenRow>,
}

struct Task {
    plan: Plan,
    engine: EngineHandle,
    road: Road,
    publisher: Option<Publisher>,
    trust: TrustRules,
    metrics: GitMetrics,
    shutdown: CancellationToken,
    git: Option<Git>,
    members: Vec<Known>,
    /// Syncs in a row that brought nothing although subjects are open.
    quiet: u64,
    state: SyncState,
    shown: watch::Sender<Arc<SyncState>>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<SyncRequest>) {
        if let OwnBranch {
            remote: Some(remote),
            error: Some(error),
            ..
        } = &self.state.own
        {
            tracing::warn!(remote, error, "this node publishes no branch of its own");
        }
        let mut status = self.engine.status();
        loop {
            let now = Instant::now();
            let has_quorum = status.borrow_and_update().is_connected;
            if self.plan.uses_git() {
                self.note_quorum(has_quorum, now);
                if let Some(why) = self.plan.schedule.due(now).or_else(|| self.retry_due(now)) {
                    self.sync(why).await;
                    if self.shutdown.is_cancelled() {
                        return;
                    }
                }
            }
            let retries = self.members.iter().filter_map(|known| known.retry.at());
            let wake = self
                .plan
                .schedule
                .next(now)
                .into_iter()
                .chain(retries)
                .min();
            let wake = wake.filter(|_| self.plan.uses_git());
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                request = inbox.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    fn retry_due(&self, now: Instant) -> Option<Why> {
        self.members
            .iter()
            .any(|known| known.retry.is_due(now))
            .then_some(Why::Retry)
    }

    fn note_quorum(&mut self, has_quorum: bool, now: Instant) {
        let Some(transport) = self.plan.schedule.note_quorum(has_quorum, now) else {
            return;
        };
        tracing::warn!(?transport, "votes now go over this transport");
        self.metrics.fallback(transport == Transport::Git);
        self.state.transport = transport;
        self.show();
        self.tell(NodeEvent::Transport { transport });
    }

    fn tell(&self, event: NodeEvent) {
        // no subscriber is no error
        self.engine.events.send(Arc::new(event)).ok();
    }

    fn show(&self) {
        self.shown.send_replace(Arc::new(self.state.clone()));
    }

    async fn answer(&mut self, request: SyncRequest) {
        let SyncRequest { force, road, reply } = request;
        let mut outcome = SyncOutcome {
            done: false,
            remarks: Vec::new(),
            live_asked: 0,
            git_fetched: 0,
            git_failed: 0,
            own_published: None,
            plain: None,
            state: self.state.clone(),
        };
        if road == SyncRoad::Git && !self.plan.uses_git() {
            outcome
                .remarks
                .push("no member has a Git remote that may be used".to_owned());
        } else if !force && self.plan.schedule.is_recent(Instant::now()) {
            let minutes = self.plan.schedule.interval.as_secs() / 60;
            outcome.remarks.push(format!(
                "the last sync is less than sync_settings.interval_minutes = {minutes} old"
            ));
        } else {
            outcome.done = true;
            if road != SyncRoad::Git {
                outcome.live_asked = self.sync_live(&mut outcome.remarks).await;
            }
            if road != SyncRoad::Live && self.plan.uses_git() {
                self.sync_asked(force, &mut outcome).await;
            } else {
                self.plan.schedule.began(Instant::now());
            }
        }
        outcome.state = self.state.clone();
        // whoever asked may have gone
        reply.send(outcome).ok();
    }

    async fn sync_asked(&mut self, force: bool, outcome: &mut SyncOutcome) {
        let fetched = self.sync(Why::Asked { force }).await;
        outcome.git_fetched = fetched.len() as u64;
        for (place, error) in fetched {
            if let Some(error) = error {
                outcome.git_failed += 1;
                outcome
                    .remarks
                    .push(format!("{}: {error}", self.plan.members[place].name));
            }
        }
        let own = &self.state.own;
        outcome.own_published = own.remote.as_ref().map(|_| own.error.is_none());
        let own = own.error.iter().map(|error| format!("own branch: {error}"));
        outcome.remarks.extend(own);
    }

    /// Asks every connected member; how many.
    async fn sync_live(&self, remarks: &mut Vec<String>) -> u64 {
        let mut status = self.engine.status();
        let ended = |s: &ssid_engine::EngineStatus| s.syncs.successful + s.syncs.failed;
        let (before, asked) = {
            let now = status.borrow();
            (
                ended(&now),
                now.connected_voters
                    .iter()
                    .filter(|node| **node != self.plan.me)
                    .count() as u64,
            )
        };
        if asked == 0 {
            remarks.push("no member is connected".to_owned());
            return 0;
        }
        if self.road.inputs.send(Inbound::CatchUp).await.is_ok() {
            let done = status.wait_for(|s| ended(s) > before && s.syncing == 0);
            tokio::select! {
                () = self.shutdown.cancelled() => remarks.push(GitError::Cancelled.to_string()),
                () = tokio::time::sleep(LIVE_AT_MOST) => {
                    remarks.push(format!("not every member answered within {} s", LIVE_AT_MOST.as_secs()));
                }
                _ = done => {}
            }
        }
        asked
    }

    /// Syncs over Git; which members were fetched, and why that failed, if it did.
    async fn sync(&mut self, why: Why) -> Vec<(usize, Option<String>)> {
        if why != Why::Retry {
            self.plan.schedule.began(Instant::now());
        }
        self.state.running = true;
        self.show();
        let fetched = match self.git().await {
            Ok(git) => self.sync_with(&git, why).await,
            Err(error) => {
                tracing::error!(%error, "no sync over Git");
                self.state.own.error = Some(error.to_string());
                Vec::new()
            }
        };
        self.state.running = false;
        self.state.last_sync = Some(clock::now().iso());
        self.show();
        fetched
    }

    async fn git(&mut self) -> Result<Git, GitError> {
        if let Some(git) = &self.git {
            return Ok(git.clone());
        }
        let git = Git::find(&self.plan.allowed, self.plan.timeout, self.shutdown.clone()).await?;
        self.git = Some(git.clone());
        Ok(git)
    }

    async fn sync_with(&mut self, git: &Git, why: Why) -> Vec<(usize, Option<String>)> {
        let now = clock::now();
        let targets = self.targets(why);
        let effort = self.plan.effort;
        // one that hangs must not hold up the others' votes
        let parallel = if why == Why::Fallback {
            targets.len()
        } else {
            effort.parallel
        };
        let outcomes = sync::run(git, &self.road, targets, parallel, now).await;
        let mut new_bytes = 0;
        let mut fetched = Vec::new();
        for (place, outcome) in outcomes {
            if outcome == Err(GitError::Cancelled) {
                return fetched;
            }
            new_bytes += outcome.as_ref().map_or(0, |brought| brought.bytes);
            let well = outcome
                .as_ref()
                .ok()
                .map(|brought| brought.counts.bad == 0 && !brought.rewritten_now);
            let histories = outcome
                .as_ref()
                .ok()
                .and_then(|brought| self.note_rewritten(place, brought));
            let may_pass = outcome.as_ref().err().is_some_and(GitError::is_passing);
            let error = self.note(place, outcome, now);
            let pause = self.members[place]
                .retry
                .note(may_pass, why, effort, Instant::now());
            let next = pause.map(|pause| format!("; the next attempt is in {} s", pause.as_secs()));
            fetched.push((place, error.map(|error| error + &next.unwrap_or_default())));
            if let Some(well) = well {
                // the engine's task has ended if nobody takes it
                let node = self.plan.members[place].node;
                if let Some(histories) = histories {
                    self.road
                        .inputs
                        .send(Inbound::Rewritten { node, histories })
                        .await
                        .ok();
                }
                self.road
                    .inputs
                    .send(Inbound::Fetched { node, well })
                    .await
                    .ok();
            }
            self.look_after(git, place).await;
        }
        let is_waiting = self.engine.status().borrow().open > 0;
        self.quiet = if is_waiting && new_bytes == 0 {
            self.quiet + 1
        } else {
            0
        };
        self.publish(git, why == Why::Asked { force: true }, now)
            .await;
        self.tell_heard().await;
        fetched
    }

    /// Whom to fetch: everybody, or those whose mirror is not new enough.
    fn targets(&self, why: Why) -> Vec<Target> {
        let now = Instant::now();
        // after 2, 4, 8, … syncs without news: what the engine had no room for may be what it waits
        // for
        let stalled = self.quiet >= 2 && self.quiet.is_power_of_two();
        let target = |(place, member): (usize, &PlannedMember)| {
            let source = member.source.as_ref()?.as_ref().ok()?.clone();
            let known = &self.members[place];
            let is_left_out = why == Why::Retry && !known.retry.is_due(now);
            if is_left_out || why.passes_over(known.fetched_at, self.plan.fresh_for, now) {
                return None;
            }
            let again = known
                .read_again
                .clone()
                .or_else(|| stalled.then(Segments::new));
            let changes = self.road.store.trust_of(&member.node).unwrap_or_default();
            let (trust, failures) = (
                self.trust.score(&changes),
                self.state.members[place].failures,
            );
            Some(Target {
                place,
                source,
                trust,
                failures,
                again,
            })
        };
        self.plan
            .members
            .iter()
            .enumerate()
            .filter_map(target)
            .collect()
    }

    /// Notes histories that are gone and that were not known yet, also those that a node that was
    /// killed had no time to store; all of them, if there are such.
    fn note_rewritten(&mut self, place: usize, brought: &Brought) -> Option<Vec<RewrittenRow>> {
        let (member, known) = (
            &mut self.state.members[place],
            &mut self.members[place].rewritten,
        );
        let new: Vec<_> = brought
            .rewritten
            .iter()
            .filter(|row| !known.contains(row))
            .cloned()
            .collect();
        for RewrittenRow { was, now, .. } in &new {
            let node = member.node_id;
            tracing::error!(%node, was, now, "this member's Git history was rewritten; what was accepted stays");
            self.metrics.rewritten();
        }
        let is_new = !new.is_empty();
        known.extend(new);
        known.drain(..known.len().saturating_sub(REWRITTEN_KEPT));
        member.rewritten = known.iter().map(Into::into).collect();
        is_new.then(|| known.clone())
    }

    /// Notes what became of a fetch; why it failed, if it did.
    fn note(
        &mut self,
        place: usize,
        outcome: Result<Brought, GitError>,
        now: UnixMillis,
    ) -> Option<String> {
        let (member, known) = (&mut self.state.members[place], &mut self.members[place]);
        self.metrics
            .fetched(outcome.as_ref().map_or_else(GitError::word, |_| "ok"));
        match outcome {
            Ok(brought) => {
                self.state.successful += 1;
                known.fetched_at = Some(Instant::now());
                known.read_again.clone_from(&brought.again);
                known.is_part = brought.is_part;
                known.brought += u64::from(brought.bytes > 0);
                note_brought(member, known, &brought, now);
                if let (Some(publisher), Some(head)) = (&self.publisher, &brought.head) {
                    known.has_heard = head.heard.get(&self.plan.me) == Some(&publisher.start());
                }
                let counts = &brought.counts;
                self.metrics
                    .read(brought.bytes, counts.taken, counts.settled, counts.bad);
                None
            }
            Err(GitError::NoBranch) => {
                self.state.successful += 1;
                (member.failures, member.error) = (0, Some(GitError::NoBranch.to_string()));
                None
            }
            Err(error) => {
                tracing::warn!(node = %member.node_id, name = member.node_name, %error, "a branch was not fetched");
                self.state.failed += 1;
                member.failures += 1;
                member.error = Some(error.to_string());
                Some(error.to_string())
            }
        }
    }

    /// Packs a mirror that has grown, or removes it if none are to be kept.
    async fn look_after(&mut self, git: &Git, place: usize) {
        let Some(Ok(source)) = &self.plan.members[place].source else {
            return;
        };
        let is_due = self.members[place].brought >= TIDY_AFTER;
        // what is read in part goes on from its mirror
        let keeps = self.plan.keeps_mirrors || self.members[place].is_part;
        if keeps && !is_due {
            return;
        }
        self.members[place].brought = 0;
        let looked_after = match Repository::open(git, source.dir.clone()).await {
            Ok(repository) if keeps => repository.tidy(git).await,
            Ok(repository) => repository.remove(),
            Err(error) => Err(error),
        };
        if let Err(error) = looked_after {
            tracing::warn!(%error, "a Git mirror cannot be tidied or removed");
        }
    }

    async fn publish(&mut self, git: &Git, force: bool, now: UnixMillis) {
        let wanted = self.wanted();
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let published = publisher
            .publish(git, &self.engine, &self.road, &wanted, force, now)
            .await;
        self.metrics
            .pushed(published.as_ref().map_or_else(GitError::word, |_| "ok"));
        let own = &mut self.state.own;
        own.lines = publisher.lines;
        own.error = published.as_ref().err().map(ToString::to_string);
        match published {
            Ok(commit) => {
                own.commit = commit;
                for known in &mut self.members {
                    known.answered = known.start;
                }
            }
            Err(GitError::Cancelled) => {}
            Err(error) => {
                tracing::warn!(remote = %publisher.remote(), %error, "the own branch was not published");
            }
        }
    }

    /// Members who cannot publish themselves, and those who ask what they signed, are spoken for
    /// too.
    fn wanted(&self) -> Wanted {
        let all = || {
            self.plan
                .members
                .iter()
                .zip(&self.members)
                .zip(&self.state.members)
        };
        let relayed = all().filter(|((planned, known), shown)| {
            let is_mute = !matches!(planned.source, Some(Ok(_))) || shown.failures > 0;
            is_mute || known.start != known.answered
        });
        let relayed = relayed.map(|((planned, _), _)| planned.node).collect();
        let heard = all()
            .filter_map(|((planned, known), _)| Some((planned.node, known.start?)))
            .collect();
        Wanted {
            relayed: Arc::new(relayed),
            heard,
        }
    }

    /// A node that has just started may sign once a quorum's branches answer its start.
    async fn tell_heard(&self) {
        let has_met = self.publisher.as_ref().is_some_and(Publisher::has_met);
        if has_met && self.engine.status().borrow().startup_check.is_some() {
            let heard = self
                .plan
                .members
                .iter()
                .zip(&self.members)
                .filter(|(_, known)| known.has_heard);
            let heard: BTreeSet<_> = heard.map(|(planned, _)| planned.node).collect();
            // the engine's task has ended if nobody takes it
            self.road.inputs.send(Inbound::Heard(heard)).await.ok();
        }
    }
}

fn note_brought(member: &mut MemberSync, known: &mut Known, brought: &Brought, now: UnixMillis) {
    (member.failures, member.error) = (0, None);
    member.commit = Some(brought.commit.clone());
    member.last_sync = Some(now.iso());
    member.bytes += brought.bytes;
    member.lines += brought.counts.taken;
    member.bad_lines += brought.counts.bad;
    if member.bad_example.is_none() {
        member.bad_example.clone_from(&brought.counts.example);
    }
    known.start = brought.head.as_ref().map(|head| head.start).or(known.start);
}
