//! A peer's answers: what they bring, and the next question of the conversation.

use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, Statements};
use ssid_protocol::event::Event;
use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::sync::{LOG_PAGE, Request};
use ssid_storage::Cursor;

use crate::engine::{Engine, Tick};
use crate::messages::{CheckedAnswer, Validity};
use crate::proof::Proof;

/// Pages of open subjects that a peer may have beyond one for each subject that this node knows.
const OPEN_PAGES: u64 = 16;

impl Engine {
    /// A peer's answer, and the next question of the conversation it belongs to.
    pub(crate) fn take_answer(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        request: &Request,
        answer: Option<CheckedAnswer>,
    ) {
        // questions about single things stand beside the conversation: they neither go on nor end
        // it
        let in_conversation = match request {
            Request::Own | Request::Status | Request::Log { .. } => true,
            Request::Open { subjects, .. } => subjects.is_empty(),
            Request::Events { .. } | Request::Evidence { .. } | Request::Change(_) => false,
        };
        let answer = answer.filter(|answer| {
            let may_be_true = self.may_be_true(&from, request, answer);
            if !may_be_true {
                tracing::warn!(%from, "its answers say more than there can be: none of them is believed any more");
                tick.effects.false_answers.push(from);
            }
            may_be_true
        });
        self.note_change_answered(tick, from, request, answer.as_ref());
        let has_failed = answer.is_none();
        let is_answered = !matches!(answer, None | Some(CheckedAnswer::Refused(_)));
        if has_failed && !in_conversation && self.peers.connected.contains(&from) {
            self.note_sync(tick, from, false);
        }
        let next = answer.and_then(|answer| self.use_answer(tick, from, request, answer));
        // what is open is nothing to a guest, and refused to it
        let next = next.filter(|next| self.is_member() || !matches!(next, Request::Open { .. }));
        match next {
            Some(question) if self.peers.connected.contains(&from) => {
                tick.effects.asks.push((from, question));
            }
            next if in_conversation => {
                let well = is_answered && next.is_none();
                // open subjects come last: with them all that the peer says was heard
                if well && matches!(request, Request::Open { .. }) {
                    self.note_conversation(tick, from);
                }
                // a refusal is neither
                if self.catch_up.ended(&from, tick.now, well) && (well || has_failed) {
                    self.note_sync(tick, from, well);
                }
            }
            _ => {}
        }
    }

    /// Whether an answer can be true beside the earlier ones of its conversation. A log has each
    /// subject once: of what this node has certified it has no more entries than this node itself;
    /// twice that and a page, because an answer to a conversation that broke off may still come in.
    /// Pages of open subjects have one each at least, which is open or certified here by then, or
    /// was refused because many are.
    fn may_be_true(&mut self, from: &NodeId, request: &Request, answer: &CheckedAnswer) -> bool {
        let (certified, open) = (
            self.store.certified_count(),
            self.open.len() + self.vote_buffer.subjects(),
        );
        match (request, answer) {
            (Request::Log { .. }, CheckedAnswer::Log { certificates, .. }) => {
                let subjects = certificates
                    .iter()
                    .map(|certificate| certificate.subject.id(self.epochs.current().federation()));
                let known = subjects
                    .filter(|subject| self.is_certified(subject))
                    .count() as u64;
                let Some(conversation) = self.catch_up.under_way.get_mut(from) else {
                    return true;
                };
                conversation.known_entries += known;
                conversation.known_entries <= 2 * certified + u64::from(LOG_PAGE)
            }
            (Request::Open { subjects, .. }, CheckedAnswer::Open { .. }) if subjects.is_empty() => {
                let Some(conversation) = self.catch_up.under_way.get_mut(from) else {
                    return true;
                };
                conversation.open_pages += 1;
                conversation.open_pages <= certified + open as u64 + OPEN_PAGES
            }
            _ => true,
        }
    }

    /// Takes what an answer brought; the question that goes on from there.
    fn use_answer(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        request: &Request,
        answer: CheckedAnswer,
    ) -> Option<Request> {
        let open_page = |after| Request::Open {
            subjects: Vec::new(),
            after,
        };
        match answer {
            CheckedAnswer::Status(batch) => {
                // how its log stands only its own heartbeat says
                let heartbeat = batch.as_ref().and_then(|batch| match batch.statements() {
                    Statements::Heartbeat(heartbeat) if batch.signer() == from => {
                        Some((batch, heartbeat.clone()))
                    }
                    _ => None,
                });
                let Some((batch, heartbeat)) = heartbeat else {
                    return Some(open_page(None));
                };
                self.take_heartbeat(tick, batch, &heartbeat, from);
                if heartbeat.certified_digest == self.store.certified_digest().value() {
                    return Some(open_page(None));
                }
                let at = self
                    .store
                    .cursor(&Cursor {
                        peer: from,
                        log_id: heartbeat.log_id,
                    })
                    .unwrap_or_default();
                Some(Request::Log {
                    from: at,
                    limit: LOG_PAGE,
                })
            }
            CheckedAnswer::Own {
                heartbeat,
                votes,
                complete,
            } => {
                // its past first: until it is known this node signs nothing
                self.take_own(tick, from, heartbeat, votes, complete);
                Some(Request::Status)
            }
            CheckedAnswer::Log {
                log_id,
                size,
                certificates,
            } => {
                let Request::Log { from: asked, .. } = request else {
                    return None;
                };
                let next = asked + certificates.len() as u64;
                let got_some = !certificates.is_empty();
                self.take_certificates(tick, certificates);
                let cursor = Cursor { peer: from, log_id };
                let known = self.store.cursor(&cursor).unwrap_or_default();
                if *asked > known {
                    // the place of another incarnation of its log: this one is asked for with the
                    // next heartbeat
                    return None;
                }
                // written together with the entries: after a crash both are asked for again. While
                // an epoch ends, of other epochs some are passed over, and come again
                if !self.has_epoch_ended() {
                    tick.changes.cursors.push((cursor, next.max(known)));
                }
                let goes_on = got_some && next < size;
                Some(if goes_on {
                    Request::Log {
                        from: next,
                        limit: LOG_PAGE,
                    }
                } else {
                    open_page(None)
                })
            }
            CheckedAnswer::Open { carried, next } => {
                self.take_carried(tick, carried, |_| from);
                let Request::Open { subjects, after } = request else {
                    return None;
                };
                // a page that leads back would be asked for for ever
                let goes_on = |next: &SubjectId| {
                    subjects.is_empty() && after.is_none_or(|after| *next > after)
                };
                next.filter(goes_on).map(|next| open_page(Some(next)))
            }
            CheckedAnswer::Events(events) => {
                self.take_events(tick, events);
                None
            }
            CheckedAnswer::Change(answer) => {
                if let Request::Change(request) = request {
                    self.take_change_answer(tick, from, request, answer);
                }
                None
            }
            CheckedAnswer::Evidence(pieces) => {
                let mut is_new = false;
                for evidence in pieces {
                    if self.file(tick, &evidence, Some(from)) == Validity::New {
                        is_new = true;
                        tick.effects.evidence.push(Arc::new(evidence));
                    }
                }
                // what did not fit comes with the next answer; nothing new means that there is no
                // more
                is_new.then(|| self.evidence_question())
            }
            CheckedAnswer::Refused(reason) => {
                tracing::debug!(%from, reason, "a peer refused to answer");
                None
            }
        }
    }

    pub(crate) fn take_events(
        &mut self,
        tick: &mut Tick,
        events: Vec<(Event, Option<BatchProof>)>,
    ) {
        for (event, proof) in events {
            if event
                .check_admissible(self.epochs.current().number())
                .is_ok()
            {
                self.add_candidate(tick, &event, proof.map(Proof::alone), false);
            }
        }
    }
}
