use super::*;

fn address(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

fn dialer(peers: &[PeerId], now: Instant) -> Dialer {
    let mut dialer = Dialer::default();
    dialer.set_members(peers.iter().copied(), now);
    dialer
}

#[test]
fn a_peer_is_dialed_once_at_a_time_and_not_while_connected() {
    let (now, peer) = (Instant::now(), PeerId::random());
    let mut dialer = dialer(&[peer], now);
    assert_eq!(
        (dialer.next_due(), dialer.due(now)),
        (None, vec![]),
        "no address, nothing to dial"
    );
    assert!(dialer.add(&peer, [address(1), address(2), address(1)], now));
    assert_eq!(
        dialer.due(now),
        [Target::Peer(peer, vec![address(1), address(2)])]
    );
    assert_eq!(dialer.due(now + REDIAL.last), []);
    dialer.failed(&peer, now);
    assert_eq!(dialer.due(now), []);
    assert!(!dialer.due(now + REDIAL.first).is_empty());
    dialer.connected(&peer, ConnectionId::new_unchecked(1), now);
    assert_eq!(dialer.next_due(), None);
    dialer.failed(&peer, now);
    let longer = dialer.next_due().unwrap() - now;
    assert!(
        longer >= REDIAL.first,
        "refused right after connecting, the wait grows: {longer:?}"
    );
    dialer.succeeded(&peer);
    dialer.failed(&peer, now);
    assert!(dialer.next_due().unwrap() - now <= REDIAL.first);
}

#[test]
fn addresses_are_bounded_ordered_and_those_of_the_peer() {
    let (now, peer, other) = (Instant::now(), PeerId::random(), PeerId::random());
    let mut dialer = dialer(&[peer], now);
    assert!(!dialer.add(
        &peer,
        [address(1).with(Protocol::P2p(other)), Multiaddr::empty()],
        now
    ));
    assert!(dialer.add(&peer, [address(1).with(Protocol::P2p(peer))], now));
    assert!(!dialer.add(&other, [address(1)], now), "no member");
    dialer.add(&peer, (2..100).map(address), now);
    assert_eq!(dialer.addresses(&peer).len(), ADDRESSES_PER_PEER);
    dialer.worked(&peer, address(500));
    dialer.worked(&peer, address(3));
    assert_eq!(dialer.addresses(&peer)[..2], [address(3), address(500)]);
    assert_eq!(dialer.addresses(&peer).len(), ADDRESSES_PER_PEER);
}

#[test]
fn a_bootstrap_address_becomes_the_members_or_is_tried_again() {
    let (now, peer) = (Instant::now(), PeerId::random());
    let mut dialer = dialer(&[peer], now);
    dialer.add_bootstrap(address(1), now);
    dialer.add_bootstrap(address(2).with(Protocol::P2p(peer)), now);
    let (first, second) = (
        ConnectionId::new_unchecked(1),
        ConnectionId::new_unchecked(2),
    );
    assert_eq!(
        dialer.due(now),
        [
            Target::Peer(peer, vec![address(2)]),
            Target::Address(address(1))
        ]
    );
    dialer.dialing(&address(1), first);
    dialer.dial_failed(first, now);
    dialer.failed(&peer, now);
    assert_eq!(dialer.due(now + REDIAL.first).len(), 2);
    dialer.dialing(&address(1), second);
    dialer.connected(&peer, second, now);
    assert_eq!(dialer.addresses(&peer), [address(2), address(1)]);
    assert_eq!(dialer.next_due(), None);
}

#[test]
fn what_multicast_found_is_tried_for_a_while_and_keeps_nothing_out() {
    let (now, peer) = (Instant::now(), PeerId::random());
    let mut dialer = dialer(&[peer], now);
    for port in 1..=40 {
        dialer.found(&peer, address(port), now);
    }
    let places = |dialer: &mut Dialer, now| match dialer.due(now).pop() {
        Some(Target::Peer(_, places)) => places,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        places(&mut dialer, now),
        [37, 38, 39, 40].map(address),
        "the latest"
    );
    assert_eq!(dialer.addresses(&peer), [], "told to nobody");
    dialer.worked(&peer, address(40));
    assert_eq!(dialer.addresses(&peer), [], "nor if it worked");
    assert!(
        dialer.add(&peer, [address(50)], now),
        "room for what the member itself says"
    );
    dialer.lost(&peer, &address(39));
    dialer.failed(&peer, now);
    assert_eq!(
        places(&mut dialer, now + REDIAL.last),
        [50, 37, 38, 40].map(address)
    );
    dialer.failed(&peer, now);
    assert_eq!(places(&mut dialer, now + FOUND_FOR), [address(50)]);
}
