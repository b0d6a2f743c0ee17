//! What goes into the trace of a seed.

use ssid_engine::{Effects, NodeEvent, Reply};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::vote::{Ballot, Phase, Vote};

use super::world::World;

impl World<'_> {
    pub(super) fn trace_batch(
        &mut self,
        verb: &str,
        at: usize,
        from: usize,
        batch: &VerifiedBatch,
    ) {
        let now = self.clock.now();
        let signer = self.fed.member(&batch.signer());
        self.trace.line(now, || {
            format!(
                "{at} {verb} from {from}, of {}: {}",
                signer.unwrap_or(99),
                words(batch)
            )
        });
    }

    pub(super) fn trace_effects(&mut self, at: usize, effects: &Effects) {
        let now = self.clock.now();
        for batch in &effects.publish {
            self.trace
                .line(now, || format!("{at} says {}", words(batch)));
        }
        for (node, request) in &effects.asks {
            let to = self.fed.member(node);
            self.trace.line(now, || {
                format!("{at} asks {}: {request:?}", to.unwrap_or(99))
            });
        }
        for event in &effects.events {
            if !matches!(
                event,
                NodeEvent::Connected { .. } | NodeEvent::Disconnected { .. }
            ) {
                self.trace.line(now, || format!("{at}: {event:?}"));
            }
        }
        for (_, reply) in &effects.replies {
            if let Reply::Operated(outcome) = reply {
                self.trace
                    .line(now, || format!("{at} operated: {outcome:?}"));
            }
        }
    }
}

fn words(batch: &VerifiedBatch) -> String {
    match batch.statements() {
        Statements::Events(events) => events
            .iter()
            .map(|event| {
                format!(
                    "event {} {} {}",
                    event.event,
                    event.version,
                    short(Some(event.choice()))
                )
            })
            .collect::<Vec<_>>()
            .join(", "),
        Statements::Votes(votes) => votes
            .iter()
            .take(8)
            .map(vote_words)
            .collect::<Vec<_>>()
            .join(", "),
        Statements::Heartbeat(heartbeat) => {
            let (log, open, digest) = (
                heartbeat.log_size,
                heartbeat.open_count,
                heartbeat.open_digest,
            );
            format!("heartbeat: log {log}, open {open} {digest:?}")
        }
        Statements::Proposals(proposals) => proposals
            .iter()
            .map(|p| {
                format!(
                    "proposal {:?} round {} {} valid {:?}",
                    p.subject,
                    p.round,
                    short(Some(p.choice)),
                    p.valid
                )
            })
            .collect::<Vec<_>>()
            .join(", "),
        Statements::Closes(closes) => format!("{closes:?}"),
        Statements::Ready(ready) => format!("{ready:?}"),
    }
}

fn vote_words(vote: &Vote) -> String {
    let phase = if vote.phase == Phase::Prevote {
        "prevote"
    } else {
        "precommit"
    };
    format!(
        "{phase} {:?} round {} {}",
        vote.subject,
        vote.round,
        short(vote.ballot)
    )
}

fn short(ballot: Ballot) -> String {
    ballot.map_or_else(
        || "nil".to_owned(),
        |choice| choice.content_digest.to_string()[..6].to_owned(),
    )
}
