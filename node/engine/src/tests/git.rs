//! Votes that go by Git: what is offered, what comes of it, and how long is waited meanwhile.

use std::time::Duration;

use ssid_protocol::record::Transport;
use ssid_protocol::voting::{Step, Timer};

use super::*;

impl Net {
    /// Gives each node's offer, and its log, to every other, as one sync over Git does.
    fn sync_over_git(&mut self, relayed: &BTreeSet<NodeId>) {
        for node in 0..self.engines.len() {
            let Some(engine) = &self.engines[node] else {
                continue;
            };
            let page = engine.offer(relayed, None);
            assert_eq!(page.next, None);
            let certificates = engine.store.certificates(0, 1000, 1 << 30).unwrap();
            let events: Vec<_> = page
                .events
                .into_iter()
                .map(|proven| (proven.event, proven.announced))
                .collect();
            for other in (0..self.engines.len()).filter(|other| *other != node) {
                let (batches, statements) = (page.batches.clone(), page.statements.clone());
                let (events, certificates) = (events.clone(), certificates.clone());
                self.tick(
                    other,
                    vec![Inbound::Carried(Carried {
                        batches,
                        statements,
                        events,
                        certificates,
                    })],
                );
            }
        }
    }

    fn switch_off(&mut self) {
        for node in 0..self.engines.len() {
            self.tick(node, vec![Inbound::Connected(BTreeSet::new())]);
        }
        self.connected.clear();
        self.messages.clear();
    }
}

#[test]
fn offers_alone_certify_and_the_records_say_so() {
    let mut net = Net::new(4);
    net.settle();
    net.switch_off();
    let all = events(30);
    net.emit(0, &all[..20]);
    net.emit(2, &all[20..]);
    for _ in 0..3 {
        net.sync_over_git(&BTreeSet::new());
    }
    for node in 0..4 {
        assert_eq!(net.certified(node).len(), 30, "node {node}");
        let store = net.store(node);
        assert!((0..30).all(|at| store.record(at).unwrap().unwrap().transport == Transport::Git));
        let page = net.engine(node).offer(&BTreeSet::new(), None);
        assert!(
            page.batches.is_empty() && page.events.is_empty(),
            "what is certified is no more offered"
        );
    }
}

#[test]
fn a_quorum_that_came_live_is_live_whatever_came_besides() {
    let mut net = Net::new(4);
    net.settle();
    net.emit(0, &events(1));
    net.settle();
    net.sync_over_git(&BTreeSet::new());
    let store = net.store(3);
    assert_eq!(store.record(0).unwrap().unwrap().transport, Transport::Live);
}

#[test]
fn members_that_cannot_publish_are_spoken_for() {
    let mut net = Net::new(4);
    net.settle();
    // node 1 reaches only node 0, which carries what it signs
    net.emit(1, &events(1));
    net.settle_except(|to, input| to > 1 && matches!(input, Inbound::Batch { .. }));
    net.switch_off();
    let engine = net.engine(0);
    let own = engine.offer(&BTreeSet::new(), None);
    assert!(own.batches.iter().all(|batch| batch.signer() == net.ids[0]));
    assert_eq!(
        own.events.len(),
        1,
        "an event voted for that nobody's batch here announces"
    );
    let with_node_1 = engine.offer(&BTreeSet::from([net.ids[1]]), None);
    assert!(
        with_node_1
            .batches
            .iter()
            .any(|batch| batch.signer() == net.ids[1])
    );
    assert!(
        with_node_1.events.is_empty(),
        "the announcement itself is carried"
    );
}

#[test]
fn timeouts_are_three_fetches_while_the_quorum_needs_git() {
    let settings = EngineSettings {
        git_fetch_every: Some(Duration::from_secs(30)),
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let timer = Timer {
        round: ssid_protocol::id::Round(1),
        step: Step::Precommit,
    };
    let of = |net: &Net| net.engine(0).timeout_of(timer);
    assert_eq!(of(&net), Duration::from_millis(1500));
    net.switch_off();
    assert_eq!(of(&net), Duration::from_secs(90));
    // without Git there is nothing to wait longer for
    let mut without = Net::new(4);
    without.settle();
    without.switch_off();
    assert_eq!(of(&without), Duration::from_millis(1500));
}
