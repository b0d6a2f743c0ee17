//! What is left of an engine whose storage failed: it answers whoever waits that it is read-only,
//! and shows nothing that is not on disk.

use super::engine::{Engine, Tick};
use super::messages::{Effects, Inbound};
use super::node_event::NodeEvent;
use super::request::Reply;

impl Engine {
    /// A write failed, for this reason: nothing of the tick is shown, and nothing is voted any
    /// more.
    pub(super) fn halt(&mut self, mut tick: Tick, reason: String) -> Effects {
        tracing::error!(
            error = reason,
            "a write failed: this node votes no more until it is restarted"
        );
        self.standing.make_read_only(reason.clone());
        let words = self.read_only_words();
        // whoever waits is told, and nothing that this tick found out is; also those whose rows are
        // on disk already, if it was the journal's compaction that failed
        let found = tick.effects.replies.drain(..);
        let mut replies: Vec<_> = found
            .map(|(ticket, reply)| (ticket, reply.refused(&words)))
            .collect();
        let held_back = self.offers.take_waiting();
        replies.extend(
            held_back.map(|(ticket, count)| (ticket, Reply::emit_refused(count, &words, false))),
        );
        let rows = tick.outbox.drain(..);
        replies.extend(
            rows.map(|(ticket, _)| (ticket, Reply::Outbox(Ok(Vec::new())).refused(&words))),
        );
        Effects {
            replies,
            events: vec![NodeEvent::ReadOnly { reason }],
            ..Effects::default()
        }
    }

    /// Answers whoever waits.
    pub(super) fn refuse_all(&self, inputs: &[Inbound]) -> Effects {
        let words = self.read_only_words();
        let replies = inputs.iter().filter_map(|input| input.refused(&words));
        Effects {
            replies: replies.collect(),
            ..Effects::default()
        }
    }

    fn read_only_words(&self) -> String {
        let reason = self.standing.read_only().unwrap_or_default();
        format!("this node is read-only: {reason}")
    }
}
