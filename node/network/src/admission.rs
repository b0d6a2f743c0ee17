//! Limits on incoming connections: who may be in a handshake with this node, before anything is
//! known of them but their address.
//! Whoever opens connections and says nothing must not keep members out: each source has its share,
//! some room is for addresses that members are known by, a handshake has [`HANDSHAKE`] to end, and
//! where there is no room the oldest gives way to the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::metrics::Metrics;
use crate::tuning::{
    HANDSHAKE, KNOWN_SOURCES, PENDING_INCOMING, PENDING_OF_SOURCE, PENDING_OF_STRANGERS,
};

type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// Where a connection comes from: an IPv4 address, or an IPv6 network of 64 bits; `None` where
/// there is no IP.
type Source = Option<IpAddr>;

/// The source that a multiaddr begins with.
fn source(address: &Multiaddr) -> Source {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(match ip.to_ipv4_mapped() {
            Some(ip) => ip.into(),
            None => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        }),
        _ => None,
    }
}

/// A handshake under way.
#[derive(Debug)]
struct PendingHandshake {
    source: Source,
    /// Dropped, it aborts the handshake.
    _abort: oneshot::Sender<()>,
}

/// Handshakes under way, oldest first, and the sources that members are known by.
#[derive(Debug, Default)]
struct PendingHandshakes {
    by_id: BTreeMap<u64, PendingHandshake>,
    next: u64,
    known: BTreeSet<IpAddr>,
}

impl PendingHandshakes {
    fn is_known(&self, source: Source) -> bool {
        source.is_some_and(|ip| self.known.contains(&ip))
    }

    /// Admits one: its id, what tells that it was aborted, and how many were aborted for it.
    fn admit(&mut self, source: Source) -> (u64, oneshot::Receiver<()>, usize) {
        let before = self.by_id.len();
        // the source's own oldest gives way: no one address can push out anybody else
        self.make_room(PENDING_OF_SOURCE, |_, handshake| handshake.source == source);
        // and strangers together leave room for the addresses that members are known by
        if !self.is_known(source) {
            self.make_room(PENDING_OF_STRANGERS, |pending, handshake| {
                !pending.is_known(handshake.source)
            });
        }
        // strangers give way first
        if self.by_id.len() >= PENDING_INCOMING {
            let strangers = self
                .by_id
                .values()
                .filter(|handshake| !self.is_known(handshake.source))
                .count();
            if strangers > 0 {
                self.make_room(strangers, |pending, handshake| {
                    !pending.is_known(handshake.source)
                });
            }
            // only known addresses are left: the oldest of them has had its time
            self.make_room(PENDING_INCOMING, |_, _| true);
        }
        let displaced = before - self.by_id.len();
        let (abort, aborted) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.by_id.insert(
            id,
            PendingHandshake {
                source,
                _abort: abort,
            },
        );
        (id, aborted, displaced)
    }

    /// Aborts the oldest until fewer than `most` of those that `counts` are left.
    fn make_room(&mut self, most: usize, counts: impl Fn(&Self, &PendingHandshake) -> bool) {
        let counted: Vec<u64> = self
            .by_id
            .iter()
            .filter(|(_, handshake)| counts(self, handshake))
            .map(|(id, _)| *id)
            .collect();
        let too_many = (counted.len() + 1).saturating_sub(most);
        for id in counted.into_iter().take(too_many) {
            self.by_id.remove(&id);
        }
    }
}

/// The handshakes under way, as the transport that limits them and the owner of the swarm share
/// them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission(Arc<Mutex<PendingHandshakes>>);

impl Admission {
    fn pending(&self) -> MutexGuard<'_, PendingHandshakes> {
        // whoever panicked did so between two consistent states
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members are reached at, or come from, these addresses: there is room for them.
    pub(crate) fn know<'a>(&self, addresses: impl IntoIterator<Item = &'a Multiaddr>) {
        let mut pending = self.pending();
        for ip in addresses.into_iter().filter_map(source) {
            if pending.known.len() < KNOWN_SOURCES {
                pending.known.insert(ip);
            }
        }
    }
}

/// A transport with limits on its incoming connections.
pub(crate) struct LimitedTransport {
    inner: Secured,
    admission: Admission,
    metrics: Metrics,
}

impl LimitedTransport {
    pub(crate) fn new(inner: Secured, admission: Admission, metrics: Metrics) -> Self {
        Self {
            inner,
            admission,
            metrics,
        }
    }

    fn admit(&self, source: Source, upgrade: <Secured as Transport>::ListenerUpgrade) -> Handshake {
        let (id, aborted, displaced) = self.admission.pending().admit(source);
        for _ in 0..displaced {
            self.metrics.count_refused_connection("handshakes");
        }
        Handshake {
            upgrade,
            aborted,
            time: Box::pin(tokio::time::sleep(HANDSHAKE)),
            id,
            admission: self.admission.clone(),
        }
    }
}

impl Transport for LimitedTransport {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = Handshake;
    type Dial = <Secured as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = ready!(Pin::new(&mut self.inner).poll(context));
        let from = match &event {
            TransportEvent::Incoming { send_back_addr, .. } => source(send_back_addr),
            _ => None,
        };
        Poll::Ready(event.map_upgrade(|upgrade| self.admit(from, upgrade)))
    }
}

/// An incoming connection until its peer is known.
pub(crate) struct Handshake {
    upgrade: <Secured as Transport>::ListenerUpgrade,
    aborted: oneshot::Receiver<()>,
    time: Pin<Box<Sleep>>,
    id: u64,
    admission: Admission,
}

impl Future for Handshake {
    type Output = io::Result<(PeerId, StreamMuxerBox)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(done) = self.upgrade.poll_unpin(context) {
            return Poll::Ready(done);
        }
        if self.aborted.poll_unpin(context).is_ready() {
            let reason = "too many handshakes at once: the oldest gives way";
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                reason,
            )));
        }
        if self.time.poll_unpin(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake did not end in time",
            )));
        }
        Poll::Pending
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.admission.pending().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Source {
        source(&text.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_address_or_half_of_one() {
        assert_eq!(from("/ip4/192.0.2.1/tcp/1"), from("/ip4/192.0.2.1/tcp/2"));
        assert_ne!(from("/ip4/192.0.2.1/tcp/1"), from("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(
            from("/ip6/2001:db8::1/tcp/1"),
            from("/ip6/2001:db8::2/udp/1/quic-v1")
        );
        assert_ne!(
            from("/ip6/2001:db8::1/tcp/1"),
            from("/ip6/2001:db8:0:1::1/tcp/1")
        );
        assert_eq!(
            from("/ip6/::ffff:192.0.2.1/tcp/1"),
            from("/ip4/192.0.2.1/tcp/1")
        );
    }

    #[test]
    fn one_source_takes_its_share_and_its_oldest_give_way() {
        let mut pending = PendingHandshakes::default();
        let mut admitted: Vec<_> = (0..3 * PENDING_OF_SOURCE)
            .map(|_| pending.admit(from("/ip4/192.0.2.1/tcp/1")))
            .collect();
        assert_eq!(pending.by_id.len(), PENDING_OF_SOURCE);
        let is_aborted = |(_, aborted, _): &mut (u64, oneshot::Receiver<()>, usize)| {
            aborted
                .try_recv()
                .is_err_and(|e| e == oneshot::error::TryRecvError::Closed)
        };
        assert!(is_aborted(&mut admitted[0]) && !is_aborted(admitted.last_mut().unwrap()));
        let mut other = pending.admit(from("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(
            pending.by_id.len(),
            PENDING_OF_SOURCE + 1,
            "another source has its own"
        );
        assert!(!is_aborted(&mut other));
    }

    #[test]
    fn however_many_strangers_come_there_is_room_for_members() {
        let admission = Admission::default();
        admission.know([&"/ip4/198.51.100.1/tcp/4170".parse().unwrap()]);
        let mut pending = admission.pending();
        for i in 0..10_000_u32 {
            pending.admit(Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + i).into()));
        }
        assert_eq!(pending.by_id.len(), PENDING_OF_STRANGERS);
        let members: Vec<_> = (0..PENDING_OF_SOURCE)
            .map(|_| pending.admit(from("/ip4/198.51.100.1/tcp/9")))
            .collect();
        for i in 0..10_000_u32 {
            pending.admit(Some(std::net::Ipv4Addr::from_bits(0x0b00_0000 + i).into()));
        }
        assert!(
            members
                .iter()
                .all(|(id, ..)| pending.by_id.contains_key(id)),
            "no stranger displaces a member"
        );
        assert!(pending.by_id.len() <= PENDING_INCOMING);
    }
}
