//! Which part of the engine takes what arrives.

use std::sync::Arc;

use super::{Engine, Tick};
use crate::evidence::note_rewritten;
use crate::messages::{Inbound, Ticket, Validity};
use crate::request::{Command, Reply};

impl Engine {
    pub(crate) fn take(&mut self, tick: &mut Tick, input: Inbound) {
        match input {
            Inbound::Batch {
                batch,
                from,
                ticket,
            } => {
                let validity = self.take_batch(tick, &batch, from);
                tick.verdict(ticket, validity);
            }
            Inbound::Evidence {
                evidence,
                from,
                ticket,
            } => {
                let validity = self.file(tick, &evidence, Some(from));
                // where a verdict is awaited, gossip passes it on
                if validity == Validity::New && ticket.is_none() {
                    tick.effects.evidence.push(Arc::new(*evidence));
                }
                tick.verdict(ticket, validity);
            }
            Inbound::Answered {
                from,
                request,
                answer,
            } => self.take_answer(tick, from, &request, answer),
            Inbound::Carried(carried) => self.take_from_git(tick, carried),
            Inbound::Fetched { node, well } => self.note_sync(tick, node, well),
            Inbound::Rewritten { node, histories } => note_rewritten(tick, node, histories),
            Inbound::Commits(answers) => self.take_commits(tick, answers),
            Inbound::CatchUp => self.catch_up_with_all(tick),
            Inbound::StatusAsked { ticket } => self.answer_status(tick, ticket),
            Inbound::OpenAsked {
                subjects,
                after,
                ticket,
            } => self.answer_open(tick, &subjects, after, ticket),
            Inbound::EventsAsked { digests, ticket } => self.answer_events(tick, &digests, ticket),
            Inbound::OwnAsked { from, ticket } => self.answer_own(tick, from, ticket),
            Inbound::ChangeAsked {
                from,
                request,
                ticket,
            } => {
                self.answer_change(tick, from, &request, ticket);
            }
            Inbound::Heard(nodes) => nodes
                .into_iter()
                .for_each(|node| self.note_heard(tick, node)),
            Inbound::Command { command, ticket } => self.take_command(tick, command, ticket),
            Inbound::Registry(news) => self.take_registry(tick, news),
            Inbound::Projected(sequence) => self.note_projected(tick, sequence),
            Inbound::Connected(nodes) => self.take_connected(tick, nodes),
            Inbound::Addresses { node, addresses } => self.note_addresses(tick, node, addresses),
        }
    }

    fn take_command(&mut self, tick: &mut Tick, command: Command, ticket: Ticket) {
        match command {
            Command::Emit(events) => self.take_emitted(tick, events, ticket),
            Command::Operate(operation, decider) => {
                let outcome = self.operate(tick, operation, decider);
                tick.reply(ticket, Reply::Operated(outcome));
            }
            Command::Propose(manifest, handovers, decider) => {
                let outcome = self.propose(tick, *manifest, &handovers, &decider);
                tick.reply(ticket, Reply::Proposed(outcome));
            }
            Command::Adjust(adjustment) => {
                let adjusted = self.adjust(tick, adjustment);
                tick.reply(ticket, Reply::Adjusted(Ok(adjusted)));
            }
            Command::Outbox(change) => Self::note_outbox(tick, change, ticket),
        }
    }
}
