//! Messages that are told together because what they tell happened together.

use std::time::Duration;

use ssid_protocol::id::UnixMillis;
use tokio::time::Instant;

use crate::telemetry::message::{Message, Severity, Topic};
use crate::telemetry::outbox::{WAITING, digest};

/// What happens within this time is told together.
const GATHER: Duration = Duration::from_millis(500);
/// Happenings gathered; past that they are made one message at once.
const GATHERED: usize = 1000;

/// What has happened and is not told yet.
pub(super) struct Gathered {
    pub(super) messages: Vec<Message>,
    /// Events certified besides those gathered: of thousands a second only the first are worth a
    /// message of their own.
    more_certified: u64,
    until: Instant,
}

impl Gathered {
    pub(super) fn new() -> Self {
        Self {
            messages: Vec::new(),
            more_certified: 0,
            until: Instant::now(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is more than is told singly.
    pub(super) fn is_a_digest(&self) -> bool {
        self.messages.len() > WAITING
    }

    /// When it is told, unless it is empty.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn add(&mut self, message: Message) {
        if self.messages.is_empty() {
            self.until = Instant::now() + GATHER;
        }
        self.messages.push(message);
        if self.messages.len() >= GATHERED {
            self.messages = vec![digest_of(&self.messages)];
        }
    }

    /// Counts a certified event that gets no message of its own.
    pub(super) fn count_certified(&mut self) {
        self.more_certified += 1;
    }

    /// What is told now; nothing is left.
    pub(super) fn take(&mut self, now: UnixMillis) -> Vec<Message> {
        let mut messages = std::mem::take(&mut self.messages);
        let more = std::mem::take(&mut self.more_certified);
        messages.extend(more_certified(more, messages.last(), now));
        if messages.len() > WAITING {
            messages = vec![digest_of(&messages)];
        }
        messages
    }
}

fn digest_of(messages: &[Message]) -> Message {
    digest(&messages.iter().collect::<Vec<_>>())
}

/// So many certified events as one message, gathered after `last`.
fn more_certified(count: u64, last: Option<&Message>, now: UnixMillis) -> Option<Message> {
    let cause = format!(
        "certified-more:{}:{count}",
        last.map_or("", |message| message.cause.as_str())
    );
    let title = format!(
        "Certified: {count} more {}",
        if count == 1 { "event" } else { "events" }
    );
    let message = Message::new(Topic::ConsensusAchieved, Severity::Info, cause, &title, now);
    (count > 0).then_some(Message { count, ..message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_worth_a_message_of_its_own_counts_in_the_digest() {
        let at = UnixMillis(0);
        let message = |n| {
            Message::new(
                Topic::ConsensusAchieved,
                Severity::Info,
                format!("c{n}"),
                "Certified: a v1",
                at,
            )
        };
        let mut gathered = Gathered::new();
        gathered.add(message(0));
        assert_eq!(gathered.take(at), [message(0)]);
        assert!(gathered.is_empty());
        (0..=WAITING).for_each(|n| gathered.add(message(n)));
        assert!(gathered.is_a_digest());
        (0..979).for_each(|_| gathered.count_certified());
        let told = gathered.take(at);
        assert_eq!(
            (told.len(), told[0].count, &told[0].facts[..]),
            (
                1,
                1000,
                &[("consensus_achieved".to_owned(), "1000".to_owned())][..]
            )
        );
        assert!(gathered.is_empty() && gathered.take(at).is_empty());
    }
}
