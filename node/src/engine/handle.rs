//! The engine as the rest of the node sees it: a cheap handle that sends commands in, a stream of
//! typed events and a watched status that come out.

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_engine::outbox::OutboxChange;
use ssid_engine::{
    Adjusted, Adjustment, Command, CommitQuestion, Decider, EmitOutcome, EngineStatus,
    InstanceView, NodeEvent, OfferPage, Operated, Operation, Proposed, Reply,
};
use ssid_protocol::event::Event;
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::manifest::Manifest;
use ssid_storage::OutboxKey;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::error::EngineError;

/// Calls waiting for the engine; a sender waits when it is full.
pub(super) const CALLS: usize = 64;
/// Events kept for slow subscribers; one that falls further behind is told how many it missed.
pub(super) const NODE_EVENTS: usize = 16_384;
/// Events in one [`EngineHandle::emit`].
pub const EMIT_EVENTS: usize = 16_384;

/// What the handle sends to the engine's task.
#[derive(Debug)]
pub enum Call {
    /// Change something, in a tick.
    Command {
        /// What is to be done.
        command: Command,
        /// Sent when it is on disk.
        reply: oneshot::Sender<Reply>,
    },
    /// Show open instances.
    Instances {
        /// Only this one; all when `None`.
        subject: Option<SubjectId>,
        /// At most this many, in order of subject id.
        limit: usize,
        /// Only those after this one.
        after: Option<SubjectId>,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<InstanceView>>,
    },
    /// The state in numbers, as of now: not older than what this caller has been told before.
    Status {
        /// Where the answer goes.
        reply: oneshot::Sender<EngineStatus>,
    },
    /// What this node has to say on its Git branch about open instances.
    Offer {
        /// Also for whom: members who cannot publish themselves.
        relayed: Arc<BTreeSet<NodeId>>,
        /// Only instances after this one.
        after: Option<SubjectId>,
        /// Where the answer goes.
        reply: oneshot::Sender<OfferPage>,
    },
    /// Commits that votes of this node wait for.
    CommitQuestions {
        /// Only those after this one.
        after: Option<CommitQuestion>,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<CommitQuestion>>,
    },
}

/// A cheap, cloneable way to the engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) events: broadcast::Sender<Arc<NodeEvent>>,
    pub(crate) status: watch::Receiver<Arc<EngineStatus>>,
}

impl EngineHandle {
    /// Offers events to the federation. Returns when every accepted one is on disk; waits while the
    /// engine is busy.
    ///
    /// # Errors
    /// If the engine has stopped, or more than [`EMIT_EVENTS`] are offered at once.
    pub async fn emit(&self, events: Vec<Event>) -> Result<Vec<EmitOutcome>, EngineError> {
        if events.len() > EMIT_EVENTS {
            let (count, limit) = (events.len(), EMIT_EVENTS);
            return Err(EngineError::Refused(format!(
                "{count} events at once exceed emit_events = {limit}; send them in parts"
            )));
        }
        match self.command(Command::Emit(events)).await? {
            Reply::Emitted(outcomes) => Ok(outcomes),
            _ => Err(EngineError::OtherReply),
        }
    }

    /// Proposes a change of members, with hand-overs of keys that it replaces, and approves it.
    /// Returns when it is on disk, and announced.
    ///
    /// # Errors
    /// If the engine has stopped, or the manifest cannot be proposed now: why, in words.
    pub async fn propose(
        &self,
        manifest: Manifest,
        handovers: Vec<Handover>,
        decider: Decider,
    ) -> Result<Proposed, EngineError> {
        let command = Command::Propose(Box::new(manifest), handovers, decider);
        match self.command(command).await? {
            Reply::Proposed(outcome) => outcome.map_err(EngineError::NotTaken),
            _ => Err(EngineError::OtherReply),
        }
    }

    /// Takes an operator's decision: endorses or refuses a candidate (SPEC §7 rule 1), or chooses
    /// one in a conflict (rule 7). Returns when it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped, or the decision cannot be taken now: why, in words.
    pub async fn operate(
        &self,
        operation: Operation,
        decider: Decider,
    ) -> Result<Operated, EngineError> {
        match self.command(Command::Operate(operation, decider)).await? {
            Reply::Operated(outcome) => outcome.map_err(EngineError::NotTaken),
            _ => Err(EngineError::OtherReply),
        }
    }

    /// Changes a member's score by hand (SPEC §9). Returns when it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped, or is read-only.
    pub async fn adjust(&self, adjustment: Adjustment) -> Result<Adjusted, EngineError> {
        match self.command(Command::Adjust(adjustment)).await? {
            Reply::Adjusted(outcome) => outcome.map_err(EngineError::NotTaken),
            _ => Err(EngineError::OtherReply),
        }
    }

    /// Keeps rows of the outbox, and forgets others, in one write beside what the engine writes
    /// anyway. Returns the keys of the new rows, in order, when all of it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped or is read-only, or a limit is exceeded.
    pub async fn outbox(&self, change: OutboxChange) -> Result<Vec<OutboxKey>, EngineError> {
        change
            .check()
            .map_err(|error| EngineError::Refused(error.to_string()))?;
        match self.command(Command::Outbox(change)).await? {
            Reply::Outbox(keys) => keys.map_err(EngineError::NotTaken),
            _ => Err(EngineError::OtherReply),
        }
    }

    /// Open instances in order of subject id.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn instances(
        &self,
        after: Option<SubjectId>,
        limit: usize,
    ) -> Result<Vec<InstanceView>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Call::Instances {
                subject: None,
                limit,
                after,
                reply,
            },
            answer,
        )
        .await
    }

    /// One open instance, if it is open.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn instance(&self, subject: SubjectId) -> Result<Option<InstanceView>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let mut found = self
            .ask(
                Call::Instances {
                    subject: Some(subject),
                    limit: 1,
                    after: None,
                    reply,
                },
                answer,
            )
            .await?;
        Ok(found.pop())
    }

    /// A page of what stands on this node's Git branch of open instances: its own batches, those of
    /// the members in `relayed`, and the events it voted for. All of it is on disk.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn offer(
        &self,
        relayed: Arc<BTreeSet<NodeId>>,
        after: Option<SubjectId>,
    ) -> Result<OfferPage, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Call::Offer {
                relayed,
                after,
                reply,
            },
            answer,
        )
        .await
    }

    /// A page of the commits that votes of this node wait for, in order; answered with
    /// [`Inbound::Commits`](ssid_engine::Inbound::Commits). Empty after the last.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn commit_questions(
        &self,
        after: Option<CommitQuestion>,
    ) -> Result<Vec<CommitQuestion>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Call::CommitQuestions { after, reply }, answer)
            .await
    }

    async fn command(&self, command: Command) -> Result<Reply, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Call::Command { command, reply }, answer).await
    }

    async fn ask<T>(&self, call: Call, answer: oneshot::Receiver<T>) -> Result<T, EngineError> {
        self.calls
            .send(call)
            .await
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// Everything that happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<NodeEvent>> {
        self.events.subscribe()
    }

    /// The engine's state in numbers as it is now: what [`status`](Self::status) shows may be older
    /// by some milliseconds than what this caller has been told of.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub async fn current_status(&self) -> Result<EngineStatus, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Call::Status { reply }, answer).await
    }

    /// The engine's state in numbers, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Arc<EngineStatus>> {
        self.status.clone()
    }
}
