//! When to dial whom, and where: one attempt at a time for each peer, back-off with jitter,
//! addresses from the manifest, earlier runs, mDNS, heartbeats and identify. Decides only; the
//! owner dials.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::tuning::{ADDRESSES_PER_PEER, FOUND_FOR, FOUND_PER_PEER, REDIAL};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting(Instant),
    Dialing,
    Connected,
}

/// Attempts at one place.
#[derive(Debug)]
struct Attempts {
    state: State,
    failures: u32,
}

impl Attempts {
    fn new(now: Instant) -> Self {
        Self {
            state: State::Waiting(now),
            failures: 0,
        }
    }

    fn retry(&mut self, now: Instant) {
        let pause = REDIAL.jittered(self.failures, 0.5, rand::random());
        self.state = State::Waiting(now + pause);
        self.failures = self.failures.saturating_add(1);
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(at) => Some(at),
            State::Dialing | State::Connected => None,
        }
    }
}

#[derive(Debug)]
struct Peer {
    attempts: Attempts,
    /// The ones that worked first.
    addresses: Vec<Multiaddr>,
    /// Those that multicast found, and until when each is tried. They are told to nobody, and so
    /// never stored.
    found: Vec<(Multiaddr, Instant)>,
}

impl Peer {
    fn has_places(&self) -> bool {
        !(self.addresses.is_empty() && self.found.is_empty())
    }

    /// There is a new place to try: not after the pause that the old ones earned.
    fn try_soon(&mut self, now: Instant) {
        if matches!(self.attempts.state, State::Waiting(at) if at > now)
            && self.attempts.failures <= 3
        {
            self.attempts.state = State::Waiting(now);
        }
    }
}

/// An address of whom is not known.
#[derive(Debug)]
struct Bootstrap {
    attempts: Attempts,
    address: Multiaddr,
    dial: Option<ConnectionId>,
}

/// What is to be dialed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A member, at all of its addresses at once.
    Peer(PeerId, Vec<Multiaddr>),
    /// Whoever answers there.
    Address(Multiaddr),
}

/// The members to reach and the places to look.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    peers: BTreeMap<PeerId, Peer>,
    bootstrap: Vec<Bootstrap>,
}

impl Dialer {
    /// Makes `members` the peers to reach; keeps what is known of those that stay.
    pub(crate) fn set_members(&mut self, members: impl IntoIterator<Item = PeerId>, now: Instant) {
        let mut known = std::mem::take(&mut self.peers);
        let entry = |peer| {
            let new = || Peer {
                attempts: Attempts::new(now),
                addresses: Vec::new(),
                found: Vec::new(),
            };
            (peer, known.remove(&peer).unwrap_or_else(new))
        };
        self.peers = members.into_iter().map(entry).collect();
    }

    /// Adds a place to look: a member's if the address says so, else whoever answers.
    pub(crate) fn add_bootstrap(&mut self, address: Multiaddr, now: Instant) {
        match peer_in(&address) {
            Some(peer) => {
                self.add(&peer, [address], now);
            }
            None => self.bootstrap.push(Bootstrap {
                attempts: Attempts::new(now),
                address,
                dial: None,
            }),
        }
    }

    /// Adds addresses of a member, and tries a member again at once that has new ones; `true` if
    /// any was new. Past [`ADDRESSES_PER_PEER`] nothing is added.
    pub(crate) fn add(
        &mut self,
        peer: &PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.peers.get_mut(peer) else {
            return false;
        };
        let before = entry.addresses.len();
        for address in addresses
            .into_iter()
            .filter_map(|address| without_peer(address, peer))
        {
            if entry.addresses.len() < ADDRESSES_PER_PEER && !entry.addresses.contains(&address) {
                entry.addresses.push(address);
            }
        }
        let grew = entry.addresses.len() > before;
        if grew {
            entry.try_soon(now);
        }
        grew
    }

    /// An address that multicast found, of whoever says to be that member.
    pub(crate) fn found(&mut self, peer: &PeerId, address: Multiaddr, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else {
            return;
        };
        let Some(address) = without_peer(address, peer) else {
            return;
        };
        let is_new = !entry
            .found
            .iter()
            .any(|(other, until)| *other == address && *until > now);
        entry
            .found
            .retain(|(other, until)| *other != address && *until > now);
        if entry.addresses.contains(&address) {
            return;
        }
        entry.found.push((address, now + FOUND_FOR));
        let too_many = entry.found.len().saturating_sub(FOUND_PER_PEER);
        entry.found.drain(..too_many);
        if is_new {
            entry.try_soon(now);
        }
    }

    /// An address that multicast found is there no more.
    pub(crate) fn lost(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let (Some(entry), Some(address)) = (
            self.peers.get_mut(peer),
            without_peer(address.clone(), peer),
        ) {
            entry.found.retain(|(other, _)| *other != address);
        }
    }

    /// An address at which the member was reached: it comes to the front.
    pub(crate) fn worked(&mut self, peer: &PeerId, address: Multiaddr) {
        let Some(entry) = self.peers.get_mut(peer) else {
            return;
        };
        let Some(address) = without_peer(address, peer) else {
            return;
        };
        if entry.found.iter().any(|(other, _)| *other == address) {
            return; // where it listens it says itself
        }
        entry.addresses.retain(|other| *other != address);
        entry.addresses.insert(0, address);
        entry.addresses.truncate(ADDRESSES_PER_PEER);
    }

    /// The addresses known of a member.
    pub(crate) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |entry| &entry.addresses)
    }

    /// When something is to be dialed next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let peers = self
            .peers
            .values()
            .filter(|peer| peer.has_places())
            .map(|peer| &peer.attempts);
        peers
            .chain(self.bootstrap.iter().map(|place| &place.attempts))
            .filter_map(Attempts::due)
            .min()
    }

    /// What is to be dialed now; each is then under way until it [`connected`](Self::connected) or
    /// [`failed`](Self::failed).
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Target> {
        let is_due = |attempts: &Attempts| attempts.due().is_some_and(|at| at <= now);
        let mut targets = Vec::new();
        for (id, peer) in &mut self.peers {
            if !is_due(&peer.attempts) || !peer.has_places() {
                continue;
            }
            peer.found.retain(|(_, until)| *until > now);
            let found = peer.found.iter().map(|(address, _)| address.clone());
            let places: Vec<_> = peer.addresses.iter().cloned().chain(found).collect();
            if !places.is_empty() {
                peer.attempts.state = State::Dialing;
                targets.push(Target::Peer(*id, places));
            }
        }
        for place in &mut self.bootstrap {
            if is_due(&place.attempts) {
                place.attempts.state = State::Dialing;
                targets.push(Target::Address(place.address.clone()));
            }
        }
        targets
    }

    /// The dial of a bootstrap address has this id.
    pub(crate) fn dialing(&mut self, address: &Multiaddr, dial: ConnectionId) {
        if let Some(place) = self
            .bootstrap
            .iter_mut()
            .find(|place| place.address == *address)
        {
            place.dial = Some(dial);
        }
    }

    /// A connection is up, from either side. A bootstrap address that led to a member becomes one
    /// of its addresses.
    pub(crate) fn connected(&mut self, peer: &PeerId, dial: ConnectionId, now: Instant) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.attempts.state = State::Connected;
        }
        if let Some(at) = self
            .bootstrap
            .iter()
            .position(|place| place.dial == Some(dial))
        {
            let place = self.bootstrap.swap_remove(at);
            self.add(peer, [place.address], now);
        }
    }

    /// The peer takes part in gossip: the next attempts after a loss begin quickly again. Not yet
    /// when a connection is up, for the other side may refuse it right after.
    pub(crate) fn succeeded(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.attempts.failures = 0;
        }
    }

    /// The last connection to a peer is gone, or an attempt to reach it failed.
    pub(crate) fn failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.attempts.retry(now);
        }
    }

    /// The dial of a bootstrap address failed, or led to a stranger.
    pub(crate) fn dial_failed(&mut self, dial: ConnectionId, now: Instant) {
        if let Some(place) = self
            .bootstrap
            .iter_mut()
            .find(|place| place.dial == Some(dial))
        {
            place.dial = None;
            place.attempts.retry(now);
        }
    }

    /// A bootstrap address that is this node's own is dropped.
    pub(crate) fn is_self(&mut self, dial: ConnectionId) {
        self.bootstrap.retain(|place| place.dial != Some(dial));
    }
}

/// The peer that an address names at its end.
fn peer_in(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The address without a trailing `/p2p/<peer>`; `None` if it names another peer, or is empty.
fn without_peer(mut address: Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    if let Some(named) = peer_in(&address) {
        if named != *peer {
            return None;
        }
        address.pop();
    }
    (!address.is_empty()).then_some(address)
}

#[cfg(test)]
mod tests;
