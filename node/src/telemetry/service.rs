//! Telemetry's one owner of state and outbox: looks, tells each cause once, delivers. The task in a
//! running node has one, and so has a command without a node.

use std::collections::BTreeMap;

use ssid_protocol::id::{Epoch, NodeId, UnixMillis};
use ssid_storage::PathContext as _;

use super::channels::{Attempt, Senders};
use super::checks::Checked;
use super::conditions::Condition;
use super::delivery::Delivery;
use super::happenings::route;
use super::look::Places;
use super::message::{Message, Names, Source};
use super::outbox::Job;
use super::outbox_store::{FileRows, OutboxError, OutboxStore};
use super::secret::Secrets;
use super::state::{State, StateError};
use super::view::CheckView;
use crate::clock;
use crate::config::{ConfigError, Notifications};

/// State, outbox and channels.
#[derive(Debug)]
pub struct TelemetryService {
    places: Places,
    wanted: Notifications,
    senders: Senders,
    state: State,
    delivery: Delivery,
    source: Option<Source>,
}

/// Why telemetry does not run.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Its configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What waits to be delivered cannot be read.
    #[error("cannot read the outbox: {0}")]
    Outbox(#[from] OutboxError),
}

impl TelemetryService {
    /// Opens the state and takes what waits.
    ///
    /// # Errors
    /// If the state or the rows cannot be read.
    pub fn open(
        places: Places,
        wanted: Notifications,
        secrets: &Secrets,
        store: OutboxStore,
    ) -> Result<Self, TelemetryError> {
        let senders = Senders::configured(&places.config, secrets, &places.paths);
        let state = State::load(&places.state())?;
        let delivery = Delivery::new(store, senders.usable.clone(), state.gone.clone())?;
        Ok(Self {
            places,
            wanted,
            senders,
            state,
            delivery,
            source: None,
        })
    }

    /// The same for this node, which its messages name.
    #[must_use]
    pub fn of(mut self, source: Option<Source>) -> Self {
        self.source = source;
        self
    }

    /// Conditions that were told and are not over.
    pub fn conditions(&self) -> &[(Condition, UnixMillis)] {
        &self.state.conditions
    }

    /// Remembers which those are, with what is [told](Self::tell) next.
    pub fn set_conditions(&mut self, told: Vec<(Condition, UnixMillis)>) {
        self.state.conditions = told;
    }

    /// The epoch that was told last; `None` if none ever was.
    pub fn epoch(&self) -> Option<Epoch> {
        self.state.last_epoch
    }

    /// Remembers which that is, with what is [told](Self::tell) next.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.state.last_epoch = Some(epoch);
    }

    /// Takes a member that has another key for the one it was: it neither left nor joined.
    pub fn replace_member(&mut self, former: &NodeId, member: NodeId) {
        let members = self.state.members.as_mut();
        if let Some((members, name)) =
            members.and_then(|members| members.remove(former).map(|name| (members, name)))
        {
            members.insert(member, name);
        }
    }

    /// For a command without a node: what waits is kept in a file beside the state.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn without_node(
        places: Places,
        wanted: Notifications,
        secrets: &Secrets,
    ) -> Result<Self, TelemetryError> {
        let rows = FileRows::open(&FileRows::path(&places.state()))?;
        Self::open(places, wanted, secrets, OutboxStore::File(rows))
    }

    /// Takes over what a command without a node left to be delivered. What is for a channel that
    /// cannot be used now, or cannot be kept here, stays in the command's file.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub async fn adopt(&mut self, now: UnixMillis) -> Result<(), StateError> {
        let path = FileRows::path(&self.places.state());
        let mut left = FileRows::open(&path)?;
        let usable = self.delivery.channels();
        let (taken, waiting): (Vec<u64>, Vec<_>) = left
            .rows()
            .iter()
            .filter(|(_, entry)| !entry.dead && usable.contains(&entry.channel))
            .map(|(id, entry)| (*id, (entry.message.clone(), vec![entry.channel])))
            .unzip();
        if !waiting.is_empty() && self.delivery.enqueue(&waiting, now).await {
            left.forget(taken)?;
        }
        Ok(())
    }

    /// The channels that are switched on and cannot be used.
    pub fn senders(&self) -> &Senders {
        &self.senders
    }

    /// Where things are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Returns what delivers, with the rows that wait.
    pub fn delivery(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    /// Whether messages of this topic go to any channel.
    pub fn wants(&self, topic: super::message::Topic) -> bool {
        !route(&self.wanted, topic, &self.delivery.channels()).is_empty()
    }

    /// Looks at dashboard, registry and members, and tells what is new.
    ///
    /// # Errors
    /// If the state cannot be written: then what was found is told again.
    pub async fn check(
        &mut self,
        members: Option<BTreeMap<NodeId, String>>,
        names: Names,
        now: UnixMillis,
    ) -> Result<CheckView, StateError> {
        // the files may be on a slow disk or a network: no task of the node waits for them
        let (places, previous) = (self.places.clone(), self.state.clone());
        let looking = tokio::task::spawn_blocking(move || {
            places.look(&previous, members.as_ref(), &names, now)
        });
        // a panic costs this look and nothing of the state: the next one compares with the same
        let checked = looking.await.unwrap_or_else(|error| {
            let notes = vec![format!("the check broke off: {error}")];
            Checked {
                score: None,
                violations: None,
                messages: Vec::new(),
                state: self.state.clone(),
                notes,
            }
        });
        // which causes were told is not for the check to change
        let told = std::mem::take(&mut self.state.told);
        self.state = State {
            told,
            gone: self.delivery.gone().clone(),
            ..checked.state.clone()
        };
        self.tell(&checked.messages, now).await?;
        Ok(CheckView::of(
            &checked,
            self.delivery.channels(),
            &self.senders,
            self.delivery.queue(),
            now,
        ))
    }

    /// Keeps messages to be delivered, those left out that were told before, then remembers that
    /// they are told.
    ///
    /// # Errors
    /// If the state cannot be written: after a restart they are told again.
    pub async fn tell(&mut self, messages: &[Message], now: UnixMillis) -> Result<(), StateError> {
        let channels = self.delivery.channels();
        let new = messages
            .iter()
            .filter(|message| !self.state.was_told(&message.cause));
        let routed = new.map(|message| {
            let to = route(&self.wanted, message.topic, &channels);
            (
                Message {
                    source: self.source.clone(),
                    ..message.clone()
                },
                to,
            )
        });
        let routed: Vec<_> = routed.collect();
        self.delivery.enqueue(&routed, now).await;
        self.state
            .tell(routed.into_iter().map(|(message, _)| message.cause));
        self.save().await
    }

    /// Takes in what became of an attempt.
    pub async fn settle(&mut self, ended: (Job, Attempt), now: UnixMillis) {
        self.delivery.settle(ended, now).await;
        if self.state.gone != *self.delivery.gone() {
            self.state.gone.clone_from(self.delivery.gone());
            if let Err(error) = self.save().await {
                tracing::warn!(%error, "telemetry's state is not kept");
            }
        }
    }

    async fn save(&self) -> Result<(), StateError> {
        let (state, path) = (self.state.clone(), self.places.state());
        let written = tokio::task::spawn_blocking(move || state.save(&path)).await;
        written
            .map_err(std::io::Error::other)
            .context("write", self.places.state())?
    }

    /// Delivers until nothing is left that could be delivered before `until`.
    pub async fn deliver(&mut self, until: UnixMillis) {
        loop {
            let now = clock::now();
            self.delivery.begin(now);
            if now >= until || self.delivery.is_idle(now, until) {
                return;
            }
            let ended = tokio::time::timeout(until.since(now), self.delivery.wait(now))
                .await
                .ok()
                .flatten();
            if let Some(ended) = ended {
                self.settle(ended, clock::now()).await;
            }
        }
    }
}
