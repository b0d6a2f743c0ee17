//! Delivers what waits: one attempt at a time for each channel, all channels at once, rows kept
//! before anything is sent and forgotten only when a channel has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ssid_protocol::id::UnixMillis;
use tokio::task::JoinSet;

use super::channels::{Attempt, Http, Sender};
use super::message::Message;
use super::outbox::{Change, Job, Queue};
use super::outbox_store::{OutboxError, OutboxStore};
use crate::config::Channel;

/// Rows that could not be written have numbers from here on, and are forgotten with the process.
const VOLATILE: u64 = 1 << 63;
/// Longest sleep, so that a clock that was set does not hold anything up.
const SLEEP_AT_MOST: Duration = Duration::from_mins(1);

/// Delivers messages through the channels, with pauses and allowances.
#[derive(Debug)]
pub struct Delivery {
    queue: Queue,
    store: OutboxStore,
    senders: Vec<Sender>,
    http: Http,
    gone: BTreeMap<String, String>,
    under_way: JoinSet<(Job, Attempt)>,
    busy: BTreeSet<Channel>,
    next_volatile: u64,
}

impl Delivery {
    /// Takes the rows that are kept. `gone` are channels that must not be used again, by the
    /// fingerprint of the address that said so.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn new(
        store: OutboxStore,
        senders: Vec<Sender>,
        gone: BTreeMap<String, String>,
    ) -> Result<Self, OutboxError> {
        let queue = Queue::new(store.rows()?);
        let mut delivery = Self {
            queue,
            store,
            senders,
            http: Http::default(),
            gone,
            under_way: JoinSet::new(),
            busy: BTreeSet::new(),
            next_volatile: VOLATILE,
        };
        // told at each start: a channel that is silent because of an old answer is easily forgotten
        for sender in &delivery.senders {
            if delivery.is_gone(sender) {
                tracing::warn!(
                    channel = sender.channel().as_str(),
                    "its address said that it is gone; set another one"
                );
            }
        }
        delivery.senders = std::mem::take(&mut delivery.senders)
            .into_iter()
            .filter(|s| !delivery.is_gone(s))
            .collect();
        Ok(delivery)
    }

    fn is_gone(&self, sender: &Sender) -> bool {
        self.gone.get(sender.channel().as_str()) == Some(&sender.fingerprint())
    }

    /// The channels that can be used.
    pub fn channels(&self) -> Vec<Channel> {
        self.senders.iter().map(Sender::channel).collect()
    }

    /// Channels whose address is gone, by fingerprint.
    pub fn gone(&self) -> &BTreeMap<String, String> {
        &self.gone
    }

    /// Returns the rows that wait.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Keeps messages for channels, those of all in one write; they are sent once they are on disk.
    /// Returns whether they are: what is not is sent all the same, and forgotten with the process.
    pub async fn enqueue(&mut self, messages: &[(Message, Vec<Channel>)], now: UnixMillis) -> bool {
        let mut all = Change::default();
        for channel in self.channels() {
            let of_channel: Vec<_> = messages
                .iter()
                .filter(|(_, to)| to.contains(&channel))
                .map(|(message, _)| message.clone())
                .collect();
            if !of_channel.is_empty() {
                let change = self.queue.admit(channel, &of_channel, now);
                all.put.extend(change.put);
                all.done.extend(change.done);
            }
        }
        all == Change::default() || self.write(all).await
    }

    /// Sends a row again at once. Whether there is such a row.
    pub async fn retry(&mut self, id: u64, now: UnixMillis) -> bool {
        let change = self.queue.retry(id, now).filter(|_| !self.is_under_way(id));
        let found = change.is_some();
        if let Some(change) = change {
            self.write(change).await;
        }
        found
    }

    /// Forgets a row. Whether there was one.
    pub async fn forget(&mut self, id: u64) -> bool {
        let found = self.queue.get(id).is_some() && !self.is_under_way(id);
        if found {
            self.write(Change {
                put: Vec::new(),
                done: vec![id],
            })
            .await;
        }
        found
    }

    /// What is being sent must not be changed meanwhile.
    fn is_under_way(&self, id: u64) -> bool {
        self.queue
            .get(id)
            .is_some_and(|entry| self.busy.contains(&entry.channel))
    }

    /// Begins every attempt that is due.
    pub fn begin(&mut self, now: UnixMillis) {
        for job in self.queue.due(now, &self.waiting_channels()) {
            let Some(sender) = self
                .senders
                .iter()
                .find(|sender| sender.channel() == job.channel)
                .cloned()
            else {
                continue;
            };
            // outside: a slow server holds up its own channel only
            let http = self.http.clone();
            self.busy.insert(job.channel);
            self.under_way.spawn(async move {
                let attempt = sender.send(&http, &job.message, &job.recipients).await;
                (job, attempt)
            });
        }
    }

    /// Waits until an attempt ends, which is then to be [settled](Self::settle), or until another
    /// one is due. Never ends while nothing is under way and nothing waits. May be dropped at any
    /// time.
    pub async fn wait(&mut self, now: UnixMillis) -> Option<(Job, Attempt)> {
        let pause = self.next_at(now).map(|at| at.since(now).min(SLEEP_AT_MOST));
        let ended = tokio::select! {
            Some(ended) = self.under_way.join_next() => ended,
            () = tokio::time::sleep(pause.unwrap_or(SLEEP_AT_MOST)), if pause.is_some() => return None,
            else => std::future::pending().await,
        };
        // which channel's attempt panicked cannot be told, so all are free again
        ended
            .inspect_err(|error| tracing::error!(%error, "an attempt to deliver broke off"))
            .map_or_else(
                |_| {
                    self.busy.clear();
                    None
                },
                Some,
            )
    }

    /// Takes in what became of an attempt.
    pub async fn settle(&mut self, (job, attempt): (Job, Attempt), now: UnixMillis) {
        let (channel, title, count) = (
            job.channel.as_str(),
            job.message.title.as_str(),
            job.rows.len(),
        );
        match &attempt {
            Attempt::Delivered => tracing::info!(channel, title, count, "notification delivered"),
            Attempt::Later { why, .. } => {
                tracing::warn!(channel, title, why, "notification not delivered yet");
            }
            Attempt::Partly {
                later,
                refused,
                why,
            } => {
                let (later, refused) = (later.join(", "), refused.join(", "));
                tracing::warn!(
                    channel,
                    title,
                    later,
                    refused,
                    why,
                    "notification delivered to some of its recipients"
                );
            }
            Attempt::Refused(why) | Attempt::Gone(why) => {
                tracing::error!(
                    channel,
                    title,
                    why,
                    "notification given up; see: ssid telemetry outbox list"
                );
            }
        }
        // not only this row: who answers so does not want to be called again, also after a start
        if let (Attempt::Gone(_), Some(sender)) = (
            &attempt,
            self.senders.iter().find(|s| s.channel() == job.channel),
        ) {
            self.gone.insert(channel.to_owned(), sender.fingerprint());
            self.senders
                .retain(|sender| sender.channel() != job.channel);
        }
        let change = self.queue.settle(&job, &attempt, now, rand::random());
        // on disk before the channel is free: else its row would be sent twice
        self.write(change).await;
        self.busy.remove(&job.channel);
    }

    /// Keeps a change, then takes it. What cannot be kept is still tried, and forgotten with the
    /// process: a node whose storage failed has to be able to say so. Returns whether it is kept.
    async fn write(&mut self, change: Change) -> bool {
        let done = change
            .done
            .iter()
            .copied()
            .filter(|id| *id < VOLATILE)
            .collect();
        let kept = Change {
            put: change.put.clone(),
            done,
        };
        let ids = if kept == Change::default() {
            Ok(Vec::new())
        } else {
            self.store.write(&kept).await
        };
        let is_kept = ids.is_ok();
        let ids = ids.unwrap_or_else(|error| {
            tracing::warn!(%error, "a notification is not kept on disk");
            let first = self.next_volatile;
            self.next_volatile += change.put.len() as u64;
            (first..self.next_volatile).collect()
        });
        self.queue.apply(change, ids);
        is_kept
    }

    /// When something is due next, of what can be sent at all.
    fn next_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.queue.next_at(now, &self.waiting_channels())
    }

    /// Channels whose rows wait: a channel has one attempt at a time, and who cannot be used is as
    /// good as busy.
    fn waiting_channels(&self) -> BTreeSet<Channel> {
        let usable = self.channels();
        let mut waiting = self.busy.clone();
        waiting.extend(
            super::channels::ALL
                .into_iter()
                .filter(|channel| !usable.contains(channel)),
        );
        waiting
    }

    /// Whether nothing waits that could be sent before `until`, and nothing is under way.
    pub fn is_idle(&self, now: UnixMillis, until: UnixMillis) -> bool {
        self.under_way.is_empty() && self.next_at(now).is_none_or(|at| at > until)
    }
}
