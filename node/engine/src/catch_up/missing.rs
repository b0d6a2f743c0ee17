//! What is late is asked for by its name: events, and subjects in which nothing new arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::sync::{NAMES, Request};

use crate::clock::Steady;
use crate::engine::{Engine, Tick};
use crate::open::Asked;

/// Stalled instances are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Subjects asked about in one question.
const ASK_SUBJECTS: usize = 256;

impl Engine {
    /// Asks for events that are late, and about instances in which nothing new arrives. Each time a
    /// different peer, with growing pauses.
    pub(crate) fn ask_what_is_missing(&mut self, tick: &mut Tick) {
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
