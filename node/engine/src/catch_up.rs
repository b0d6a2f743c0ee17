//! Catching up: asking a peer for its log and its open instances when it holds something this node
//! lacks (SPEC §7 rule 9, §10), and asking about single subjects and events that are late.
//!
//! Per peer there is at most one conversation: its status, then pages of its log from the cursor,
//! then pages of its open instances. A conversation that breaks off starts again with the peer's
//! next heartbeat.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{BatchProof, Statements};
use ssid_protocol::event::Event;
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{LogId, NodeId, SubjectId, UnixMillis};
use ssid_protocol::sync::{LOG_PAGE, NAMES, Request};
use ssid_storage::Cursor;

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::messages::{CheckedAnswer, Validity};
use super::open::Asked;
use super::proof::Proof;
use super::settings::STALLED_AFTER;
use super::shown::Syncs;

/// While this node itself still certifies, a peer's different set is no news; but it is looked at
/// at least this often.
const COMPARE_AT_LEAST: Duration = Duration::from_mins(1);
/// Stalled instances are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pages of open subjects that a peer may have beyond one for each subject that this node knows.
const OPEN_PAGES: u64 = 16;
/// Subjects asked about in one question.
const ASK_SUBJECTS: usize = 256;

/// Conversations under way, and when this node last had any.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// Whom this node is asking, and how far that has come.
    under_way: BTreeMap<NodeId, Conversation>,
    /// When a connected peer was last asked for its status, with which every conversation that this
    /// node starts begins.
    started: BTreeMap<NodeId, Steady>,
    compared: BTreeMap<NodeId, Steady>,
    last_certified: Option<Steady>,
    last_count: u64,
    look_at: Option<Steady>,
    pub(super) syncs: Syncs,
}

/// A conversation under way. Each page of one may be true while all of them cannot: what they may
/// add up to is bounded.
#[derive(Debug, Default)]
struct Conversation {
    /// Entries of the peer's log that this node held already.
    known_entries: u64,
    /// Pages of its open subjects.
    open_pages: u64,
}

impl CatchUp {
    /// A conversation has ended; whether there was one: given up when the peer went away, it was
    /// counted there.
    fn ended(&mut self, node: &NodeId, now: UnixMillis, well: bool) -> bool {
        if self.under_way.remove(node).is_none() {
            return false;
        }
        if well {
            self.syncs.successful += 1;
            self.syncs.last = Some(now);
        } else {
            self.syncs.failed += 1;
        }
        true
    }

    /// Whether a peer is being asked.
    pub(super) fn is_under_way(&self, node: &NodeId) -> bool {
        self.under_way.contains_key(node)
    }

    /// Breaks off every conversation: what they began with does not hold any more.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
        self.compared.clear();
    }

    /// A peer has gone: a conversation with it breaks off. Whether there was one.
    pub(super) fn break_off(&mut self, node: &NodeId, now: UnixMillis) -> bool {
        self.started.remove(node);
        self.ended(node, now, false)
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.look_at
    }

    /// Conversations under way.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.len() as u64
    }
}

impl Engine {
    /// A member has connected: its status says whether there is anything to fetch.
    pub(super) fn start_catch_up(&mut self, tick: &mut Tick, node: NodeId) {
        self.catch_up.started.insert(node, tick.steady);
        if !self.catch_up.is_under_way(&node) {
            self.catch_up
                .under_way
                .insert(node, Conversation::default());
            // a guest has signed nothing that anybody could tell it
            let first = if self.startup_check.is_some() && self.is_member() {
                Request::Own
            } else {
                Request::Status
            };
            tick.effects.asks.push((node, first));
        }
        tick.effects.asks.push((node, self.evidence_question()));
    }

    /// Asks every connected member at once, because its operator wants to.
    pub(super) fn catch_up_with_all(&mut self, tick: &mut Tick) {
        let connected: Vec<NodeId> = self.peers.connected.iter().copied().collect();
        for node in connected {
            self.start_catch_up(tick, node);
        }
    }

    /// Looks at a peer's heartbeat: the same certified set moves the cursor, another one starts a
    /// conversation.
    pub(super) fn compare(&mut self, tick: &mut Tick, node: NodeId, heartbeat: &Heartbeat) {
        let same_certified = heartbeat.certified_digest == self.store.certified_digest().value();
        // all that the peer has is here: nothing of its log is left to read
        if same_certified {
            let cursor = Cursor {
                peer: node,
                log_id: heartbeat.log_id,
            };
            if self
                .store
                .cursor(&cursor)
                .is_ok_and(|at| at < heartbeat.log_size)
            {
                tick.changes.cursors.push((cursor, heartbeat.log_size));
            }
        }
        // who is not trusted is asked when nobody else is
        let waits = self.is_asked_last(&node) && !self.catch_up.under_way.is_empty();
        if waits || self.catch_up.under_way.contains_key(&node) {
            return;
        }
        if self.is_unheard(&node) {
            self.start_catch_up(tick, node); // the conversation broke off
            return;
        }
        // the digest last: working it out costs most
        let same_open = || {
            heartbeat.open_count == self.open_count() && heartbeat.open_digest == self.open_digest()
        };
        if same_certified && same_open() {
            return;
        }
        // while decisions are being made sets differ for a moment, and that means nothing
        let busy = self
            .catch_up
            .last_certified
            .is_some_and(|at| tick.steady.since(at) < STALLED_AFTER);
        let compared = self
            .catch_up
            .compared
            .get(&node)
            .is_some_and(|at| tick.steady.since(*at) < COMPARE_AT_LEAST);
        if !(busy && compared) {
            self.catch_up.compared.insert(node, tick.steady);
            self.catch_up
                .under_way
                .insert(node, Conversation::default());
            self.ask_log(tick, node, heartbeat.log_id);
        }
    }

    fn ask_log(&mut self, tick: &mut Tick, node: NodeId, log_id: LogId) {
        let from = self
            .store
            .cursor(&Cursor { peer: node, log_id })
            .unwrap_or_default();
        tick.effects.asks.push((
            node,
            Request::Log {
                from,
                limit: LOG_PAGE,
            },
        ));
    }

    /// A peer's answer, and the next question of the conversation it belongs to.
    pub(super) fn take_answer(
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

    pub(super) fn take_events(
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

    /// Asks for events that are late, and about instances in which nothing new arrives. Each time a
    /// different peer, with growing pauses.
    pub(super) fn ask_what_is_missing(&mut self, tick: &mut Tick) {
        let count = self.store.certified_count();
        if count != self.catch_up.last_count {
            self.catch_up.last_count = count;
            self.catch_up.last_certified = Some(tick.steady);
        }
        if self.peers.connected.is_empty() {
            self.catch_up.look_at = None;
            return;
        }
        self.ask_again(tick);
        self.ask_events(tick);
        if self.catch_up.look_at.is_none_or(|at| at <= tick.steady) {
            self.ask_stalled(tick);
            self.catch_up.look_at = (!self.open.is_empty() || !self.vote_buffer.is_empty())
                .then(|| tick.steady.after(LOOK_EVERY));
        }
    }

    /// Asks members again that were not asked for a sync interval, whatever their heartbeats say.
    fn ask_again(&mut self, tick: &mut Tick) {
        let started = self.catch_up.started.iter();
        let due = started.filter(|(_, at)| tick.steady.since(**at) >= self.settings.sync_interval);
        let due: Vec<_> = due.map(|(node, _)| *node).collect();
        for node in self.by_trust(due) {
            self.start_catch_up(tick, node);
        }
    }

    fn ask_events(&mut self, tick: &mut Tick) {
        let mut wants = std::mem::take(&mut self.wants);
        let due = wants.due(tick.steady, NAMES, |digest, subject| {
            self.is_wanted(digest, subject)
        });
        self.wants = wants;
        let mut by_peer: BTreeMap<NodeId, Vec<_>> = BTreeMap::new();
        for (digest, subject, asked) in due {
            // whoever voted for it serves it
            let held = self
                .open
                .get(&subject)
                .into_iter()
                .flat_map(|open| &open.held);
            let counted = held.filter(|v| v.ballot.is_some_and(|c| c.content_digest == digest));
            let signers = counted
                .chain(self.vote_buffer.votes_for(&subject, &digest))
                .map(|vote| vote.proof.signer());
            let voted: Vec<NodeId> = signers
                .filter(|node| self.peers.connected.contains(node))
                .collect();
            let pool = if voted.is_empty() {
                self.peers.connected.iter().copied().collect()
            } else {
                voted
            };
            let pool = self.by_trust(pool);
            if let Some(node) = pool.get(asked as usize % pool.len().max(1)) {
                by_peer.entry(*node).or_default().push(digest);
            }
        }
        tick.effects.asks.extend(
            by_peer
                .into_iter()
                .map(|(node, digests)| (node, Request::Events { digests })),
        );
    }

    fn ask_stalled(&mut self, tick: &mut Tick) {
        // who is not trusted is asked when all others have been
        let (last, first): (Vec<NodeId>, Vec<NodeId>) = self
            .peers
            .connected
            .iter()
            .copied()
            .partition(|node| self.is_asked_last(node));
        let mut questions = Questions {
            now: tick.steady,
            first,
            last,
            by_peer: BTreeMap::new(),
        };
        let mut retry_endorsement = Vec::new();
        let again = &self.membership;
        for (subject, open) in self.open.iter_mut() {
            // of what is certified here nothing is missing
            if !again.is_again(subject)
                && questions.ask(*subject, &mut open.asked, open.is_supported)
            {
                retry_endorsement.push(*subject);
            }
        }
        // of these no event is known: somebody may have forgotten what it signed
        for (subject, asked) in self.vote_buffer.asked_mut() {
            questions.ask(*subject, asked, true);
        }
        let has_quorum = self.has_quorum();
        for subject in retry_endorsement {
            // an event that was ahead of its time may be timely now
            self.endorse(tick, subject);
            let open = self.open.get(&subject);
            // a quorum is there and still nothing moves: other own events go on
            if has_quorum && open.is_some_and(|open| open.asked.is_quiet()) {
                self.own_events.give_way(&subject);
            }
        }
        let asks = questions.by_peer.into_iter();
        tick.effects.asks.extend(asks.map(|(node, subjects)| {
            (
                node,
                Request::Open {
                    subjects,
                    after: None,
                },
            )
        }));
    }
}

/// Questions about subjects in which nothing new arrives.
struct Questions {
    now: Steady,
    first: Vec<NodeId>,
    /// Who is not trusted.
    last: Vec<NodeId>,
    by_peer: BTreeMap<NodeId, Vec<SubjectId>>,
}

impl Questions {
    /// Asks about a subject if that is due; whether it did. Spread over the peers, and another one
    /// each time; who is not trusted when all others have been asked.
    fn ask(&mut self, subject: SubjectId, asked: &mut Asked, is_supported: bool) -> bool {
        let Some(times) = asked.due(self.now, is_supported) else {
            return false;
        };
        let (spread, turn) = (
            usize::from(subject.0[0]),
            times % (self.first.len() + self.last.len()).max(1),
        );
        let node = match turn.checked_sub(self.first.len()) {
            None => self.first.get((spread + turn) % self.first.len()),
            Some(turn) => self.last.get((spread + turn) % self.last.len().max(1)),
        };
        let Some(names) = node.map(|node| self.by_peer.entry(*node).or_default()) else {
            return false;
        };
        if names.len() >= ASK_SUBJECTS {
            return false;
        }
        names.push(subject);
        asked.ask(self.now);
        true
    }
}
