use super::*;

#[tokio::test]
async fn a_bootstrap_address_with_or_without_a_peer_id_finds_its_member() {
    for named in [false, true] {
        let first = TestNode::start(config(0, &members(2))).await;
        let place = if named {
            with_peer(&first.address, 0)
        } else {
            first.address.clone()
        };
        let mut second = TestNode::start(NetworkConfig {
            bootstrap: vec![place],
            ..config(1, &members(2))
        })
        .await;
        second.connected_to(&[0]).await;
        let known = within("an address to remember", async {
            loop {
                if let NetworkEvent::Addresses {
                    node, addresses, ..
                } = second.events.recv().await.unwrap()
                {
                    return (node, addresses);
                }
            }
        });
        assert_eq!(known.await, (id(0), vec![first.address.clone()]));
        first.stop().await;
        second.stop().await;
    }
}

#[tokio::test]
async fn remembered_and_learned_addresses_are_dialed() {
    let first = TestNode::start(config(0, &members(3))).await;
    let remembered = vec![(member(0).peer, vec![first.address.clone()])];
    let second = TestNode::start(NetworkConfig {
        remembered,
        ..config(1, &members(3))
    })
    .await;
    second.connected_to(&[0]).await;
    let third = TestNode::start(config(2, &members(3))).await;
    third
        .network
        .add_address(id(1), vec![second.address.clone()]);
    third.connected_to(&[1]).await;
}

#[tokio::test]
async fn who_is_no_member_cannot_connect_and_is_counted() {
    let node = TestNode::start(config(0, &members(2))).await;
    let mut its_members = members(2);
    its_members[0].addresses = vec![node.address.clone()];
    its_members.push(member(7));
    let stranger = TestNode::start(config(7, &its_members)).await;
    let refused = || node.network.metrics().refused_connections("non_member");
    until("two refusals: it tries again", || refused() >= 2).await;
    assert!(node.network.connected().borrow().is_empty());
    assert!(stranger.network.connected().borrow().is_empty());
}

#[tokio::test]
async fn a_member_restarted_on_its_port_is_found_again() {
    let (mut first, second) = pair(tcp()).await;
    for _ in 0..3 {
        let listen = vec![first.address.clone()];
        first.stop().await;
        second.connected_to(&[]).await;
        first = TestNode::start(NetworkConfig {
            listen,
            ..config(0, &members(2))
        })
        .await;
        second.connected_to(&[0]).await;
        first.connected_to(&[1]).await;
    }
}

#[tokio::test]
async fn members_that_dial_each_other_at_once_stay_connected() {
    let probe = |_| {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    };
    let listen: Vec<Multiaddr> = (0..4)
        .map(probe)
        .map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
        .collect();
    let mut all = members(4);
    for (member, address) in all.iter_mut().zip(&listen) {
        member.addresses = vec![address.clone()];
    }
    let mut nodes = Vec::new();
    for (index, address) in (0..).zip(listen) {
        nodes.push(
            TestNode::start(NetworkConfig {
                listen: vec![address],
                ..config(index, &all)
            })
            .await,
        );
    }
    for (index, node) in (0..).zip(&nodes) {
        let others: Vec<u8> = (0..4).filter(|other| *other != index).collect();
        node.connected_to(&others).await;
    }
    for (index, node) in (0_u8..).zip(&mut nodes) {
        node.network
            .publish(
                Topic::Heartbeats,
                signed(index, testing::heartbeat(index.into())),
            )
            .unwrap();
    }
    for node in &mut nodes {
        let mut signers = std::collections::BTreeSet::new();
        while signers.len() < 3 {
            let (_, batch, ticket) = node.batch().await;
            signers.insert(batch.signer());
            node.network.verdict(ticket, Verdict::Accept);
        }
    }
}

#[tokio::test]
async fn members_are_looked_for_on_the_local_network_only_where_that_is_wanted() {
    let looks = |mdns| {
        let swarm = behaviour::swarm(
            identity(0),
            &Topics::of(&FEDERATION),
            mdns,
            &Admission::default(),
            Metrics::default(),
        )
        .unwrap();
        swarm.behaviour().mdns.is_enabled()
    };
    assert!(!looks(false));
    if libp2p::mdns::tokio::Behaviour::new(libp2p::mdns::Config::default(), member(0).peer).is_err()
    {
        return eprintln!("SKIPPED: this machine has no multicast");
    }
    assert!(looks(true));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    for listen in [tcp(), quic()] {
        let node = TestNode::start(NetworkConfig {
            listen: vec![listen],
            ..config(0, &members(2))
        })
        .await;
        let again = NetworkConfig {
            listen: vec![node.address.clone()],
            ..config(1, &members(2))
        };
        let error = start(again, &TaskTracker::new(), CancellationToken::new()).unwrap_err();
        assert!(
            matches!(&error, NetworkError::AddressInUse { address } if *address == node.address),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_node_outside_the_manifest_does_not_start() {
    let start = |config| start(config, &TaskTracker::new(), CancellationToken::new()).unwrap_err();
    assert!(matches!(
        start(config(5, &members(2))),
        NetworkError::NotAMember(_)
    ));
    let wrong_key = NetworkConfig {
        identity: identity(9),
        ..config(0, &members(2))
    };
    assert!(matches!(start(wrong_key), NetworkError::WrongPeer { .. }));
}

#[tokio::test]
async fn a_new_epoch_lets_in_and_shuts_out() {
    let first = TestNode::start(config(0, &members(2))).await;
    let mut its_members = members(3);
    its_members[0].addresses = vec![first.address.clone()];
    let second = TestNode::start(config(1, &its_members)).await;
    let third = TestNode::start(config(2, &its_members)).await;
    first.connected_to(&[1]).await;
    first.network.set_members(vec![member(0), member(2)]);
    first.connected_to(&[2]).await;
    third.connected_to(&[0]).await;
    second.connected_to(&[]).await;
}

#[tokio::test]
async fn the_time_to_a_member_is_measured_while_it_is_connected() {
    for listen in [tcp(), quic()] {
        let (first, second) = pair(listen).await;
        let mut times = first.network.round_trips();
        let measured = within("a ping", times.wait_for(|times| !times.is_empty()))
            .await
            .unwrap()
            .clone();
        assert_eq!(measured.keys().collect::<Vec<_>>(), [&id(1)]);
        assert!(measured[&id(1)] > Duration::ZERO && measured[&id(1)] < DEADLINE);
        second.stop().await;
        within("forgotten", times.wait_for(|times| times.is_empty()))
            .await
            .unwrap();
        first.stop().await;
    }
}
