//! What telemetry answers to commands and on the API.

use serde::{Deserialize, Serialize};
use ssid_protocol::id::UnixMillis;

use super::channels::Senders;
use super::checks::Checked;
use super::message::{Message, Severity, Topic};
use super::outbox::{Entry, Queue};
use crate::config::Channel;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// When it was checked, RFC 3339.
    pub checked_at: String,
    /// The score; `null` if it is not known.
    pub score: Option<f64>,
    /// Where it is going: `improving`, `stable` or `declining`.
    pub trend: Option<String>,
    /// Violations; `null` if they are not known.
    pub violations: Option<u64>,
    /// What is told.
    pub messages: Vec<Message>,
    /// What deserves a remark and no message.
    pub notes: Vec<String>,
    /// The channels that are told.
    pub channels: Vec<Channel>,
    /// Channels that are switched on and cannot be used.
    pub unusable: Vec<UnusableView>,
    /// Notifications that wait to be delivered.
    pub waiting: u64,
    /// Notifications given up.
    pub dead: u64,
}

/// A channel that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableView {
    /// The channel that cannot be used.
    pub channel: Channel,
    /// Why, and what to do.
    pub reason: String,
}

/// A notification in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    /// The number by which it is retried or dropped.
    pub id: u64,
    /// For which channel.
    pub channel: Channel,
    /// `waiting` or `dead`.
    pub state: String,
    /// What it is about.
    pub topic: Topic,
    /// How urgent it is.
    pub severity: Severity,
    /// The message's title.
    pub title: String,
    /// How many happenings it stands for.
    pub count: u64,
    /// Of several recipients those who do not have it; empty: none of them has.
    pub recipients: Vec<String>,
    /// Since when it waits, RFC 3339.
    pub queued_at: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next; `null` if it is given up.
    pub next_at: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl EntryView {
    /// A row as it is shown.
    pub fn of(id: u64, entry: &Entry) -> Self {
        let message = &entry.message;
        Self {
            id,
            channel: entry.channel,
            state: if entry.dead { "dead" } else { "waiting" }.to_owned(),
            topic: message.topic,
            severity: message.severity,
            title: message.title.clone(),
            count: message.count,
            recipients: entry.recipients.clone(),
            queued_at: entry.queued_at.iso(),
            attempts: entry.attempts,
            next_at: (!entry.dead).then(|| entry.next_at.iso()),
            last_error: entry.last_error.clone(),
        }
    }

    /// Every row, oldest first.
    pub fn all(queue: &Queue) -> Vec<Self> {
        queue
            .rows()
            .map(|(id, entry)| Self::of(id, entry))
            .collect()
    }
}

impl CheckView {
    /// What a check found, and what waits.
    pub fn of(
        checked: &Checked,
        channels: Vec<Channel>,
        senders: &Senders,
        queue: &Queue,
        now: UnixMillis,
    ) -> Self {
        let state = &checked.state;
        let dead = queue.rows().filter(|(_, entry)| entry.dead).count();
        let unusable = senders.unusable.iter();
        Self {
            checked_at: now.iso(),
            score: checked.score,
            // a trend of a score that is not known now would be taken for its own
            trend: checked.score.and(state.trend.clone()),
            violations: checked.violations,
            messages: checked.messages.clone(),
            notes: checked.notes.clone(),
            channels,
            unusable: unusable
                .map(|(channel, why)| UnusableView {
                    channel: *channel,
                    reason: why.clone(),
                })
                .collect(),
            // what was given up waits for nobody
            waiting: (queue.rows().count() - dead) as u64,
            dead: dead as u64,
        }
    }
}
