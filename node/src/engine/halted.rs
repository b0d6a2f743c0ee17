//! What is left of an engine whose storage failed: it answers whoever waits that it is read-only,
//! and shows nothing that is not on disk.

use super::core::{Engine, Tick};
use super::handle::{EmitOutcome, NodeEvent};
use super::messages::{Effects, Inbound, Ticket, Worth};

impl Engine {
    /// A write failed, for this reason: nothing of the tick is shown, and nothing is voted any
    /// more.
    pub(super) fn halt(&mut self, mut tick: Tick, reason: String) -> Effects {
        tracing::error!(
            error = reason,
            "a write failed: this node votes no more until it is restarted"
        );
        self.read_only = Some(reason.clone());
        let waiting = tick
            .effects
            .emitted
            .drain(..)
            .map(|(ticket, outcomes)| (ticket, outcomes.len()));
        let held_back = self.offers.take_waiting();
        let emitted = waiting
            .chain(held_back)
            .map(|(ticket, count)| self.refused(ticket, count))
            .collect();
        let operated = tick
            .effects
            .operated
            .drain(..)
            .map(|(ticket, _)| (ticket, Err(self.read_only_refusal())))
            .collect();
        let adjusted = tick
            .effects
            .adjusted
            .drain(..)
            .map(|(ticket, _)| (ticket, Err(self.read_only_refusal())))
            .collect();
        // also those whose rows are on disk already, if it was the journal's compaction that failed
        let outbox = tick.outbox.drain(..).map(|(ticket, _)| ticket);
        let outbox = outbox.chain(tick.effects.outbox.drain(..).map(|(ticket, _)| ticket));
        let outbox = outbox
            .map(|ticket| (ticket, Err(self.read_only_refusal())))
            .collect();
        // whoever waits is told, and nothing that this tick found out is
        let verdicts = tick
            .effects
            .verdicts
            .drain(..)
            .map(|(ticket, _)| (ticket, Worth::Nothing))
            .collect();
        let answers = tick
            .effects
            .answers
            .drain(..)
            .map(|(ticket, _)| (ticket, Self::read_only_answer()))
            .collect();
        let events = vec![NodeEvent::ReadOnly { reason }];
        Effects {
            verdicts,
            answers,
            emitted,
            operated,
            outbox,
            adjusted,
            events,
            ..Effects::default()
        }
    }

    /// Answers whoever waits.
    pub(super) fn refuse_all(&mut self, inputs: Vec<Inbound>) -> Effects {
        let mut effects = Effects::default();
        for input in inputs {
            match input {
                Inbound::Batch { ticket, .. } => {
                    effects
                        .verdicts
                        .extend(ticket.map(|ticket| (ticket, Worth::Nothing)));
                }
                Inbound::Emit { events, ticket } => {
                    effects.emitted.push(self.refused(ticket, events.len()));
                }
                Inbound::Adjust { ticket, .. } => effects
                    .adjusted
                    .push((ticket, Err(self.read_only_refusal()))),
                Inbound::Outbox { ticket, .. } => {
                    effects.outbox.push((ticket, Err(self.read_only_refusal())));
                }
                Inbound::Operate { ticket, .. } => effects
                    .operated
                    .push((ticket, Err(self.read_only_refusal()))),
                Inbound::StatusAsked { ticket }
                | Inbound::OpenAsked { ticket, .. }
                | Inbound::OwnAsked { ticket, .. }
                | Inbound::EventsAsked { ticket, .. } => {
                    effects.answers.push((ticket, Self::read_only_answer()));
                }
                _ => {}
            }
        }
        effects
    }

    fn refused(&self, ticket: Ticket, count: usize) -> (Ticket, Vec<EmitOutcome>) {
        let reason = format!(
            "this node is read-only: {}",
            self.read_only.as_deref().unwrap_or_default()
        );
        (
            ticket,
            vec![
                EmitOutcome::Refused {
                    reason,
                    retry: false
                };
                count
            ],
        )
    }
}
