//! The voting instances as the engine steps them: opened, given what happened, and what they want
//! noted.

use ssid_protocol::id::{ContentDigest, SubjectId};
use ssid_protocol::vote::{Phase, Vote};
use ssid_protocol::voting::{Input, Instance, Output};
use ssid_storage::ConflictRow;

use super::{Engine, Tick};
use crate::clock::Now;
use crate::evidence::DoubleVote;
use crate::node_event::NodeEvent;
use crate::open::Open;

impl Engine {
    /// Steps one instance and notes what it wants.
    pub(crate) fn apply(&mut self, tick: &mut Tick, subject: SubjectId, input: Input) {
        let Some(open) = self.open.get_mut(&subject) else {
            return;
        };
        let rules = open.rules(self.rules);
        for output in open.step(self.epochs.current().voters(), rules, input) {
            self.note_output(tick, subject, &output);
        }
        self.recount(&subject);
    }

    fn note_output(&mut self, tick: &mut Tick, subject: SubjectId, output: &Output) {
        match *output {
            Output::Sign(vote) => {
                // a vote of this node for another's subject: it no longer counts into that one's
                // share
                if let Some(open) = self.open.get_mut(&subject) {
                    open.is_supported |= open.origin != Some(self.me);
                }
                tick.votes.push(vote);
            }
            Output::Propose(proposal) => tick.proposals.push(proposal),
            Output::Schedule(timer) => {
                let at = tick.steady.after(self.timeout_of(timer));
                self.timers.start(at, subject, timer);
            }
            Output::Want(choice) => self.wants.add(choice.content_digest, subject, tick.steady),
            // of an epoch that this node has closed the others' closes say what is decided
            Output::Decided { .. } if self.membership.has_closed() => {}
            Output::Decided { round, choice } => tick.decided.push((subject, round, choice)),
            Output::Conflict(round) => {
                // people may take days, and other own events shall not wait for them
                self.own_events.give_way(&subject);
                tick.changes.conflicts.push((
                    subject,
                    ConflictRow {
                        since: tick.now,
                        round,
                    },
                ));
                let (event, version) = self.words_for(subject);
                tracing::warn!(%subject, event, version, round = round.0, "in conflict: people have to choose");
                tick.effects.events.push(NodeEvent::Conflict {
                    subject_id: subject,
                    event,
                    version,
                });
            }
            Output::Review => {
                tracing::info!(%subject, "candidates do not agree: waiting for review");
            }
            Output::Equivocation {
                voter,
                round,
                phase,
                first,
                second,
            } => {
                // the proofs are looked up once all that arrived is held
                tick.double_votes.push(DoubleVote {
                    subject,
                    voter,
                    round,
                    phase,
                    ballots: [first, second],
                });
            }
        }
    }

    /// A non-nil precommit goes to disk with the prevotes that justify it (SPEC §7 State). Once all
    /// that arrived is taken: a batch of which the first votes are taken looks hollow, and each of
    /// them would be kept alone.
    pub(crate) fn keep_justification(&mut self, tick: &mut Tick, vote: Vote) {
        let (Phase::Precommit, Some(choice)) = (vote.phase, vote.ballot) else {
            return;
        };
        let Some(open) = self.open.get(&vote.subject) else {
            return;
        };
        for held in open.votes_for(vote.round, Phase::Prevote, choice) {
            tick.journal
                .extend(self.record.support(held, vote.epoch, vote.subject));
        }
    }

    /// The instance of a subject, made if it is new, with the votes that waited for it; `None` if
    /// it is decided already.
    pub(crate) fn ensure_open(&mut self, tick: &mut Tick, subject: SubjectId) -> Option<&mut Open> {
        if !self.open.contains_key(&subject) {
            if self.has_decision(&subject) {
                return None;
            }
            let machine = Instance::new(
                self.epochs.current().number(),
                subject,
                subject == self.epochs.current().change(),
            );
            let waiting = self.vote_buffer.take(&subject);
            let heard = waiting.as_ref().map(|unheard| Now {
                wall: unheard.first_seen,
                steady: unheard.since,
            });
            let open = Open::new(machine, heard.unwrap_or(tick.now()));
            self.open.insert(subject, open);
            for vote in waiting.into_iter().flat_map(|unheard| unheard.votes) {
                self.count_vote(tick, subject, vote);
            }
        }
        self.open.get_mut(&subject)
    }

    pub(crate) fn has_decision(&self, subject: &SubjectId) -> bool {
        self.closing.contains(subject) || self.is_certified(subject)
    }

    pub(crate) fn is_certified(&self, subject: &SubjectId) -> bool {
        match self.store.subject(subject) {
            Ok(state) => matches!(state, Some(ssid_storage::SubjectState::Certified { .. })),
            Err(error) => {
                // claiming it certified signs nothing for it, which is safe; the next write will
                // fail for good
                tracing::error!(%error, %subject, "cannot look up a subject");
                true
            }
        }
    }

    /// Event type and version of an open subject, empty while unknown.
    pub(crate) fn words_for(&self, subject: SubjectId) -> (String, String) {
        let known = self
            .open
            .get(&subject)
            .and_then(|open| open.subject.as_ref());
        known
            .map(|s| (s.event.clone(), s.version.clone()))
            .unwrap_or_default()
    }

    /// Digests of events that votes name and nobody has sent yet.
    pub(crate) fn is_wanted(&self, digest: &ContentDigest, subject: &SubjectId) -> bool {
        let names = |open: &Open| {
            open.machine
                .wanted()
                .any(|choice| choice.content_digest == *digest)
        };
        self.open.get(subject).is_some_and(names)
            || self.vote_buffer.votes_for(subject, digest).next().is_some()
    }
}
