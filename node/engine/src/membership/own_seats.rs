//! Manifests that would make this node a voter, as others ask it whether it is ready for them (SPEC
//! §4, *Readiness*). A guest hears no announcements: it learns of its seat by being asked. Any member
//! may ask for anything, so that each has its share, and what it asks for pushes out its own alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ssid_protocol::id::{ManifestHash, NodeId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;
use ssid_protocol::sync::{ChangeRequest, Request};

use crate::clock::Steady;
use crate::engine::{Engine, Tick};

/// Seats of one asker. A proposer has two proposals, and others ask for those of several.
const OF_ONE: usize = 4;
/// Seats of all: past it the oldest of whoever has most goes.
const OF_ALL: usize = 64;
/// How soon a manifest that did not come is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// What others ask this node to be ready for.
#[derive(Debug, Default)]
pub(super) struct OwnSeats(BTreeMap<NodeId, VecDeque<Seat>>);

#[derive(Debug)]
struct Seat {
    hash: ManifestHash,
    /// None until it is here.
    manifest: Option<Manifest>,
    asked_at: Steady,
}

impl OwnSeats {
    /// Somebody asks for a manifest that is not known here. Whether it is to be asked for that
    /// manifest now.
    pub(super) fn note(&mut self, from: NodeId, hash: ManifestHash, now: Steady) -> bool {
        let seats = self.0.entry(from).or_default();
        if let Some(seat) = seats.iter_mut().find(|seat| seat.hash == hash) {
            let is_due = seat.manifest.is_none() && now.since(seat.asked_at) >= AGAIN;
            if is_due {
                seat.asked_at = now;
            }
            return is_due;
        }
        seats.push_back(Seat {
            hash,
            manifest: None,
            asked_at: now,
        });
        if seats.len() > OF_ONE {
            seats.pop_front();
        }
        if self.0.values().map(VecDeque::len).sum::<usize>() > OF_ALL {
            let most = self.0.values_mut().max_by_key(|seats| seats.len());
            most.and_then(VecDeque::pop_front);
        }
        true
    }

    /// Whether a manifest of this hash is waited for.
    pub(super) fn wants(&self, hash: &ManifestHash) -> bool {
        let mut seats = self.0.values().flatten();
        seats.any(|seat| seat.hash == *hash && seat.manifest.is_none())
    }

    /// It has come, and makes this node a voter.
    pub(super) fn fill(&mut self, hash: &ManifestHash, manifest: &Manifest) {
        let seats = self.0.values_mut().flatten();
        for seat in seats.filter(|seat| seat.hash == *hash) {
            seat.manifest = Some(manifest.clone());
        }
    }

    /// The manifests that are here, one for each who asked.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ManifestHash, &Manifest)> {
        let seats = self.0.values().flatten();
        seats.filter_map(|seat| Some((&seat.hash, seat.manifest.as_ref()?)))
    }

    /// One of them.
    pub(super) fn get(&self, hash: &ManifestHash) -> Option<&Manifest> {
        let mut seats = self.iter();
        seats
            .find(|(known, _)| *known == hash)
            .map(|(_, manifest)| manifest)
    }

    /// Another epoch has begun.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Engine {
    /// Somebody asks this node to be ready for a manifest that it does not know. Only who has no
    /// vote has a reason to ask for that.
    pub(super) fn want_own_seat(&mut self, tick: &mut Tick, from: NodeId, hash: &ManifestHash) {
        let seats = &mut self.membership.proposals.own_seats;
        if self.rules.me.is_none() && seats.note(from, *hash, tick.steady) {
            let hashes = vec![*hash];
            let request = Request::Change(ChangeRequest::Manifests { hashes });
            tick.effects.asks.push((from, request));
        }
    }

    /// A manifest has come that may be one of an own seat.
    pub(super) fn take_own_seat(&mut self, hash: &ManifestHash, manifest: &Manifest) {
        let is_own_seat = manifest.member(&self.me).is_some_and(Member::is_voter);
        let is_wanted = self.membership.proposals.own_seats.wants(hash);
        if is_wanted && is_own_seat && self.membership.chain.check_next(manifest).is_ok() {
            self.membership.proposals.own_seats.fill(hash, manifest);
        }
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing;

    use super::*;

    const NOW: Steady = Steady(1_000_000);

    fn named(i: u8) -> ManifestHash {
        ManifestHash([i; 32])
    }

    #[test]
    fn who_asks_for_much_pushes_out_what_it_asked_for_itself() {
        let mut seats = OwnSeats::default();
        let (liar, honest) = (NodeId([1; 32]), NodeId([2; 32]));
        assert!(seats.note(honest, named(0), NOW));
        for i in 1..=200 {
            assert!(seats.note(liar, named(i), NOW));
        }
        assert!(seats.wants(&named(0)) && seats.wants(&named(200)));
        assert!(!seats.wants(&named(1)));
        seats.fill(&named(0), &testing::manifest(4));
        assert!(seats.get(&named(0)).is_some() && !seats.wants(&named(0)));
        // of many liars none takes a place of who asks for one thing
        for i in 10..=60 {
            for hash in 1..=4 {
                seats.note(NodeId([i; 32]), named(hash), NOW);
            }
        }
        assert!(seats.get(&named(0)).is_some());
        assert!(seats.0.values().map(VecDeque::len).sum::<usize>() <= OF_ALL);
    }

    #[test]
    fn what_does_not_come_is_asked_for_again_after_a_while() {
        let mut seats = OwnSeats::default();
        let from = NodeId([1; 32]);
        assert!(seats.note(from, named(0), NOW));
        assert!(!seats.note(from, named(0), NOW));
        assert!(seats.note(from, named(0), NOW.after(AGAIN)));
        seats.fill(&named(0), &testing::manifest(4));
        assert!(!seats.note(from, named(0), NOW.after(2 * AGAIN)));
    }
}
