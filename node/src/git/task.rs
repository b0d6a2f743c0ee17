//! Runs Git: one loop that owns mirrors and branch, syncs when that is due or asked for, and says
//! which transport votes take.

mod members;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ssid_engine::{Inbound, NodeEvent};
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::UnixMillis;
use ssid_protocol::record::Transport;
use ssid_protocol::trust::TrustRules;
use ssid_storage::RewrittenRow;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::EngineHandle;
use crate::epoch_watch::EpochWatch;
use crate::git::command::Git;
use crate::git::commits;
use crate::git::failure::GitError;
use crate::git::handle::{GitHandle, REQUESTS, SyncRequest, SyncTransport};
use crate::git::intake::IntakeContext;
use crate::git::metrics::GitMetrics;
use crate::git::mirror::Brought;
use crate::git::plan::Plan;
use crate::git::publish::Publisher;
use crate::git::schedule::Why;
use crate::git::state::{OwnBranch, SyncOutcome, SyncState};
use crate::git::sync;
use members::Known;

/// How long conversations over the live network are waited for.
const LIVE_AT_MOST: Duration = Duration::from_secs(30);

/// What the task works with.
pub struct Context {
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
pub fn start(plan: Plan, context: Context, tracker: &tokio_util::task::TaskTracker) -> GitHandle {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let Context {
        engine,
        inputs,
        store,
        epochs,
        trust,
        metrics,
        shutdown,
    } = context;
    let intake = IntakeContext {
        me: plan.me,
        epochs,
        store,
        inputs,
    };
    let federation = intake.checker().federation();
    // without a remote of its own a node fetches and publishes nothing
    let publisher = plan.own.clone().ok().map(|remote| {
        Publisher::new(
            plan.me,
            federation,
            remote,
            plan.branch.clone(),
            plan.own_dir.clone(),
        )
        .going_on_from(plan.former.clone())
    });
    let members: Vec<_> = plan
        .members
        .iter()
        .map(|member| Known::at_start(member, &intake.store))
        .collect();
    let state = members::first_state(&plan, &members);
    let (sender, receiver) = watch::channel(Arc::new(state.clone()));
    let context = commits::Context {
        epochs: intake.epochs.clone(),
        engine: engine.clone(),
        inputs: intake.inputs.clone(),
        syncs: receiver.clone(),
        shutdown: shutdown.clone(),
    };
    // beside the syncs: a question about a commit does not wait for them
    tracker.spawn(commits::Task::new(&plan, context).run());
    let task = Task {
        plan,
        engine,
        intake,
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

struct Task {
    plan: Plan,
    engine: EngineHandle,
    intake: IntakeContext,
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
        let mut epochs = EpochWatch::new(self.intake.epochs.clone());
        loop {
            if let Some(epoch) = epochs.entered() {
                self.enter(epoch.manifest());
            }
            let now = Instant::now();
            // marked as seen: a change from here on wakes the loop again
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
            let wake = self.next_wake(now);
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                request = inbox.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                changed = status.changed() => if changed.is_err() { return },
                goes_on = epochs.changed() => if !goes_on { return },
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// When something is due next; `None` without Git, or if nothing is.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        if !self.plan.uses_git() {
            return None;
        }
        let retries = self.members.iter().filter_map(|known| known.retry.at());
        let scheduled = self.plan.schedule.next(now);
        scheduled.into_iter().chain(retries).min()
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
        let SyncRequest {
            force,
            transport,
            reply,
        } = request;
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
        if transport == SyncTransport::Git && !self.plan.uses_git() {
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
            if transport != SyncTransport::Git {
                outcome.live_asked = self.sync_live(&mut outcome.remarks).await;
            }
            if transport != SyncTransport::Live && self.plan.uses_git() {
                self.sync_asked(force, &mut outcome).await;
            } else {
                // a live sync counts as one for the interval, too
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
        let before = ended(&status.borrow());
        let asked = status
            .borrow()
            .connected_voters
            .iter()
            .filter(|node| **node != self.plan.me)
            .count() as u64;
        if asked == 0 {
            remarks.push("no member is connected".to_owned());
            return 0;
        }
        if self.intake.inputs.send(Inbound::CatchUp).await.is_ok() {
            // the counts are from before asking, so an answer that comes at once is not missed
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
        // retries of single members are no round of their own: the interval goes on from the last
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
        let outcomes = sync::run(git, &self.intake, targets, parallel, now).await;
        let mut new_bytes = 0;
        let mut fetched = Vec::new();
        for (place, outcome) in outcomes {
            // the node is being stopped: what came so far is in the engine, the rest comes again
            if outcome == Err(GitError::Cancelled) {
                return fetched;
            }
            new_bytes += outcome.as_ref().map_or(0, |brought| brought.bytes);
            let error = self.take_in(place, outcome, why, now).await;
            fetched.push((place, error));
            self.tidy_mirror(git, place).await;
        }
        let is_waiting = self.engine.status().borrow().open > 0;
        self.quiet = if is_waiting && new_bytes == 0 {
            self.quiet + 1
        } else {
            0
        };
        // after the fetches, so that the branch answers those who have just started
        self.publish(git, why == Why::Asked { force: true }, now)
            .await;
        self.tell_heard().await;
        fetched
    }

    /// Notes what became of a fetch, and tells the engine; why it failed and when the next attempt
    /// is, if it did.
    async fn take_in(
        &mut self,
        place: usize,
        outcome: Result<Brought, GitError>,
        why: Why,
        now: UnixMillis,
    ) -> Option<String> {
        let mut well = None;
        let mut histories = None;
        let mut may_pass = false;
        match &outcome {
            Ok(brought) => {
                well = Some(brought.counts.bad == 0 && !brought.rewritten_now);
                histories = self.note_rewritten(place, brought);
            }
            Err(error) => may_pass = error.is_passing(),
        }
        let error = self.note(place, outcome, now);
        let retry = &mut self.members[place].retry;
        let pause = retry.note(may_pass, why, self.plan.effort, Instant::now());
        if let Some(well) = well {
            self.tell_fetched(place, well, histories).await;
        }
        let next = pause.map(|pause| format!("; the next attempt is in {} s", pause.as_secs()));
        error.map(|error| error + &next.unwrap_or_default())
    }

    /// Tells the engine of a fetch, and of histories that are gone, if there are new ones.
    async fn tell_fetched(&self, place: usize, well: bool, histories: Option<Vec<RewrittenRow>>) {
        let node = self.plan.members[place].node;
        let rewritten = histories.map(|histories| Inbound::Rewritten { node, histories });
        let fetched = Inbound::Fetched { node, well };
        for input in rewritten.into_iter().chain([fetched]) {
            // the engine's task has ended if nobody takes it
            self.intake.inputs.send(input).await.ok();
        }
    }

    async fn publish(&mut self, git: &Git, force: bool, now: UnixMillis) {
        let wanted = self.wanted();
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let published = publisher
            .publish(git, &self.engine, &self.intake, &wanted, force, now)
            .await;
        self.metrics
            .pushed(published.as_ref().map_or_else(GitError::word, |_| "ok"));
        let own = &mut self.state.own;
        own.lines = publisher.lines;
        own.error = published.as_ref().err().map(ToString::to_string);
        match published {
            Ok(commit) => {
                own.commit = commit;
                // the branch names their starts now
                for known in &mut self.members {
                    known.answered = known.start;
                }
            }
            // the node is being stopped: nothing is wrong
            Err(GitError::Cancelled) => {}
            Err(error) => {
                tracing::warn!(remote = %publisher.remote(), %error, "the own branch was not published");
            }
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
            self.intake.inputs.send(Inbound::Heard(heard)).await.ok();
        }
    }
}
