//! What waits to be delivered: which rows are due, what becomes one message, how long to wait, what
//! is given up. Pure: rows are kept by `outbox_store`, delivered by `delivery`.
//!
//! A message is one row a channel, from the moment it is told until its channel has it. A channel
//! that asks to wait holds all its rows. A few messages go out singly; more than a channel's
//! allowance become one digest, so that a storm is a handful of messages. What was sent once, and
//! may have arrived, is never changed: it is sent again as it was, before anything newer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssid_protocol::backoff::Backoff;
use ssid_protocol::id::UnixMillis;

use super::channels::Attempt;
use super::message::{Message, Severity, Topic};
use crate::config::Channel;

/// Messages that a channel may be sent in a row.
const ALLOWANCE: f64 = 5.0;
/// After which it may be sent one more.
const ALLOWANCE_EVERY: Duration = Duration::from_mins(1);
/// Rows of a channel that wait; more are made one digest at once.
pub const WAITING: usize = 20;
/// Titles in a digest.
const DIGEST_LINES: usize = 20;
/// Pauses after failed attempts, where none is asked for.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_hours(1));
/// Attempts after which a message is given up: with the pauses above about eight hours.
const ATTEMPTS: u32 = 16;
/// Messages given up that are kept; past that the oldest go.
pub const DEAD: usize = 200;

/// A row: one message for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// For which channel.
    pub channel: Channel,
    /// What to send.
    pub message: Message,
    /// Of several recipients those who do not have it yet; empty: all.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Since when, milliseconds since 1970.
    pub queued_at: UnixMillis,
    /// Attempts that failed.
    pub attempts: u32,
    /// Not to be sent before.
    pub next_at: UnixMillis,
    /// Why the last attempt failed, without secrets.
    pub last_error: Option<String>,
    /// Whether it is given up: only an operator's `retry` sends it again.
    pub dead: bool,
}

/// Rows to write and rows to remove, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New rows, and changed ones in their new form.
    pub put: Vec<Entry>,
    /// Rows done or replaced.
    pub done: Vec<u64>,
}

/// Something to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// To which channel.
    pub channel: Channel,
    /// Which rows it settles.
    pub rows: Vec<u64>,
    /// The message: a row's own, or a digest of several.
    pub message: Message,
    /// Of several recipients those who are to get it; empty: all.
    pub recipients: Vec<String>,
}

/// How much a channel may be sent.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: UnixMillis,
}

/// The rows, by number.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    rows: BTreeMap<u64, Entry>,
    allowances: BTreeMap<Channel, Allowance>,
}

impl Queue {
    /// The rows that were kept.
    pub fn new(rows: impl IntoIterator<Item = (u64, Entry)>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            allowances: BTreeMap::new(),
        }
    }

    /// Every row, oldest first.
    pub fn rows(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.rows.iter().map(|(id, entry)| (*id, entry))
    }

    /// Returns a row by its number.
    pub fn get(&self, id: u64) -> Option<&Entry> {
        self.rows.get(&id)
    }

    /// Takes a change that is written; `ids` are the numbers of its new rows.
    pub fn apply(&mut self, change: Change, ids: Vec<u64>) {
        for id in change.done {
            self.rows.remove(&id);
        }
        self.rows.extend(ids.into_iter().zip(change.put));
    }

    /// Rows for new messages of a channel, those left out that wait already. Too many are made one.
    pub fn admit(&self, channel: Channel, messages: &[Message], now: UnixMillis) -> Change {
        // a cause waits once: conditions that come and go while a channel is away are not piled up
        let held: BTreeSet<&str> = self
            .of(channel)
            .map(|(_, entry)| entry.message.cause.as_str())
            .collect();
        let mut new: Vec<Message> = Vec::new();
        for message in messages
            .iter()
            .filter(|message| !held.contains(message.cause.as_str()))
        {
            // also within this call, where a check finds one thing twice
            if new.iter().all(|other| other.cause != message.cause) {
                new.push(message.clone());
            }
        }
        // what was tried keeps its form: its receiver may have it
        let waiting: Vec<_> = self
            .waiting(channel)
            .filter(|(_, entry)| entry.attempts == 0)
            .collect();
        let mut change = Change::default();
        // rows without end would be the storm that a channel was spared
        if waiting.len() + new.len() > WAITING {
            // one that waits for a pause waits on: joined, it must not be sent earlier
            let hold = waiting
                .iter()
                .fold(now, |at, (_, entry)| at.max(entry.next_at));
            let all: Vec<_> = waiting
                .iter()
                .map(|(_, entry)| &entry.message)
                .chain(&new)
                .collect();
            change.done = waiting.iter().map(|(id, _)| *id).collect();
            change.put.push(Entry {
                next_at: hold,
                ..entry(channel, digest(&all), now)
            });
        } else {
            change.put = new
                .into_iter()
                .map(|message| entry(channel, message, now))
                .collect();
        }
        change
    }

    /// What each channel that is not `busy` may be sent now.
    pub fn due(&mut self, now: UnixMillis, busy: &BTreeSet<Channel>) -> Vec<Job> {
        let channels: BTreeSet<Channel> = self.rows.values().map(|entry| entry.channel).collect();
        channels
            .into_iter()
            .filter(|channel| !busy.contains(channel))
            .filter_map(|c| self.job(c, now))
            .collect()
    }

    fn job(&mut self, channel: Channel, now: UnixMillis) -> Option<Job> {
        // one pause for the whole channel: what a server said of one message holds for all
        if self.held_until(channel).is_none_or(|until| until > now)
            || self.allowance(channel, now) < 1.0
        {
            return None;
        }
        let allowed = self.allowance(channel, now);
        let mut waiting: Vec<_> = self.waiting(channel).collect();
        // the most urgent first, then the oldest
        waiting.sort_by_key(|(id, entry)| (std::cmp::Reverse(entry.message.severity), *id));
        // goes again as it was: whoever has it in spite of the error recognises it by its key
        let tried = waiting.iter().find(|(_, entry)| entry.attempts > 0);
        let first = tried.or_else(|| waiting.first())?;
        // alone while the allowance lasts; after that many are told as one
        let job = if tried.is_some() || waiting.len() == 1 || waiting.len() as f64 <= allowed {
            let recipients = first.1.recipients.clone();
            Job {
                channel,
                rows: vec![first.0],
                message: first.1.message.clone(),
                recipients,
            }
        } else {
            let messages: Vec<_> = waiting.iter().map(|(_, entry)| &entry.message).collect();
            let rows = waiting.iter().map(|(id, _)| *id).collect();
            Job {
                channel,
                rows,
                message: digest(&messages),
                recipients: Vec::new(),
            }
        };
        // taken when it is begun: failed attempts use it up as well
        self.allowances.insert(
            channel,
            Allowance {
                left: allowed - 1.0,
                at: now,
            },
        );
        Some(job)
    }

    /// When something is due next, if anything waits.
    pub fn next_at(&self, now: UnixMillis, busy: &BTreeSet<Channel>) -> Option<UnixMillis> {
        let channels: BTreeSet<Channel> = self.rows.values().map(|entry| entry.channel).collect();
        let free = channels
            .into_iter()
            .filter(|channel| !busy.contains(channel));
        free.filter_map(|channel| {
            let held = self.held_until(channel)?;
            let missing = (1.0 - self.allowance(channel, now)).max(0.0);
            Some(held.max(now.after(ALLOWANCE_EVERY.mul_f64(missing))))
        })
        .min()
    }

    /// What an attempt changes. `jitter` is a random number from 0 to 1.
    pub fn settle(&self, job: &Job, attempt: &Attempt, now: UnixMillis, jitter: f64) -> Change {
        let mut change = Change {
            put: Vec::new(),
            done: job.rows.clone(),
        };
        let entries = job.rows.iter().filter_map(|id| self.rows.get(id));
        match attempt {
            Attempt::Delivered => {}
            Attempt::Later { after, why } => {
                change.put.extend(
                    as_sent(job, entries).map(|entry| again(entry, *after, why, now, jitter)),
                );
            }
            Attempt::Partly {
                later,
                refused,
                why,
            } => {
                // of a digest one row is left: what it was made of was sent with it
                for entry in as_sent(job, entries) {
                    if !refused.is_empty() {
                        change.put.push(given_up(
                            &Entry {
                                recipients: refused.clone(),
                                ..entry.clone()
                            },
                            why,
                        ));
                    }
                    if !later.is_empty() {
                        let entry = Entry {
                            recipients: later.clone(),
                            ..entry
                        };
                        change.put.push(again(entry, None, why, now, jitter));
                    }
                }
            }
            Attempt::Refused(why) => change.put.extend(entries.map(|entry| given_up(entry, why))),
            Attempt::Gone(why) => {
                // whatever else waits for it is given up as well
                let all: Vec<_> = self.waiting(job.channel).collect();
                change.done = all.iter().map(|(id, _)| *id).collect();
                change
                    .put
                    .extend(all.iter().map(|(_, entry)| given_up(entry, why)));
            }
        }
        // the oldest are dropped: what was given up is for people to look at, not for ever
        let dead = self
            .rows
            .iter()
            .filter(|(_, entry)| entry.dead)
            .map(|(id, _)| *id);
        let new = change.put.iter().filter(|entry| entry.dead).count();
        let excess = (dead.clone().count() + new).saturating_sub(DEAD);
        change.done.extend(dead.take(excess));
        change
    }

    /// A row to be sent again at once, whether it was given up or not.
    pub fn retry(&self, id: u64, now: UnixMillis) -> Option<Change> {
        let entry = self.rows.get(&id)?;
        let again = Entry {
            attempts: 0,
            next_at: now,
            dead: false,
            ..entry.clone()
        };
        Some(Change {
            put: vec![again],
            done: vec![id],
        })
    }

    fn of(&self, channel: Channel) -> impl Iterator<Item = (u64, &Entry)> {
        self.rows()
            .filter(move |(_, entry)| entry.channel == channel)
    }

    fn waiting(&self, channel: Channel) -> impl Iterator<Item = (u64, &Entry)> {
        self.of(channel).filter(|(_, entry)| !entry.dead)
    }

    /// Until when a channel's rows wait; `None` if it has none.
    fn held_until(&self, channel: Channel) -> Option<UnixMillis> {
        self.waiting(channel).map(|(_, entry)| entry.next_at).max()
    }

    fn allowance(&self, channel: Channel, now: UnixMillis) -> f64 {
        let Some(allowance) = self.allowances.get(&channel) else {
            return ALLOWANCE;
        };
        let earned = now.since(allowance.at).as_secs_f64() / ALLOWANCE_EVERY.as_secs_f64();
        (allowance.left + earned).min(ALLOWANCE)
    }
}

/// What a job sent, as a row: several became one.
fn as_sent<'a>(
    job: &Job,
    mut rows: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = Entry> {
    rows.next()
        .map(|first| Entry {
            message: job.message.clone(),
            ..first.clone()
        })
        .into_iter()
}

fn entry(channel: Channel, message: Message, now: UnixMillis) -> Entry {
    let queued_at = now;
    let next_at = now;
    let recipients = Vec::new();
    Entry {
        channel,
        message,
        recipients,
        queued_at,
        attempts: 0,
        next_at,
        last_error: None,
        dead: false,
    }
}

/// A row whose attempt failed and that is tried again, or was tried often enough.
fn again(entry: Entry, after: Option<Duration>, why: &str, now: UnixMillis, jitter: f64) -> Entry {
    let attempts = entry.attempts + 1;
    let pause = pause(attempts, jitter);
    // who says when to come back is believed, only not over and over at once
    let pause = after.map_or(pause, |after| after.max(pause / 5));
    let last_error = Some(why.to_owned());
    let dead = attempts >= ATTEMPTS;
    Entry {
        attempts,
        next_at: now.after(pause),
        last_error,
        dead,
        ..entry
    }
}

fn given_up(entry: &Entry, why: &str) -> Entry {
    Entry {
        attempts: entry.attempts + 1,
        last_error: Some(why.to_owned()),
        dead: true,
        ..entry.clone()
    }
}

/// The pause after so many failed attempts: doubling, with up to half of it left out at random.
fn pause(attempts: u32, jitter: f64) -> Duration {
    PAUSES.jittered(attempts.saturating_sub(1), 0.5, jitter)
}

/// Many messages in one, of the time of the latest: how many of what, and the first titles, most
/// urgent first. The same messages are the same digest.
pub fn digest(messages: &[&Message]) -> Message {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut ordered: Vec<(Severity, &str)> = Vec::new();
    // the cause is made of theirs, so that it does not depend on when it was made
    let mut causes = Sha256::new();
    for message in messages {
        causes.update(message.cause.as_bytes());
        causes.update([0]);
        // of a digest its counts and lines, not itself: one in one would hide what happened
        if message.topic == Topic::Digest {
            for (topic, count) in &message.facts {
                *counts.entry(topic.clone()).or_default() += count.parse().unwrap_or(1);
            }
            ordered.extend(
                message
                    .lines
                    .iter()
                    .map(|line| (message.severity, line.as_str())),
            );
        } else {
            *counts.entry(message.topic.as_str().to_owned()).or_default() += message.count;
            ordered.push((message.severity, message.title.as_str()));
        }
    }
    ordered.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let count = messages.iter().map(|message| message.count).sum();
    let severity = messages
        .iter()
        .map(|message| message.severity)
        .max()
        .unwrap_or(Severity::Info);
    let cause = format!("digest:{}", hex::encode(&causes.finalize()[..16]));
    let at = messages
        // the latest: a receiver orders by it
        .iter()
        .map(|message| message.at)
        .max()
        .unwrap_or(UnixMillis(0));
    let mut digest = Message::new(
        Topic::Digest,
        severity,
        cause,
        &format!("{count} notifications in one"),
        at,
    );
    digest.count = count;
    digest.source = messages.iter().find_map(|message| message.source.clone());
    for (severity, title) in ordered.iter().take(DIGEST_LINES) {
        // a line of an earlier digest has its sign already
        let signs = [Severity::Info, Severity::Warning, Severity::Critical].map(Severity::sign);
        let has_sign = signs.iter().any(|sign| title.starts_with(sign));
        digest = digest.line(&if has_sign {
            (*title).to_owned()
        } else {
            format!("{} {title}", severity.sign())
        });
    }
    counts
        .iter()
        .fold(digest, |digest, (topic, count)| digest.fact(topic, count))
}

#[cfg(test)]
mod tests;
