//! Rows of the outbox through the engine: kept in its own write, each asker told the keys of its rows.

use ssid_storage::{OutboxKey, OutboxRow};

use super::*;
use crate::engine::{OutboxWrite, Ticket};

fn row(kind: u8, payload: &[u8]) -> OutboxRow {
    OutboxRow { kind, payload: payload.to_vec() }
}

fn change(add: Vec<OutboxRow>, done: Vec<OutboxKey>, ticket: Ticket) -> Inbound {
    Inbound::WriteOutbox { change: OutboxWrite { add, done }, ticket }
}

#[test]
fn rows_are_kept_and_forgotten_and_each_asker_gets_its_own_keys() {
    let mut net = Net::new(1);
    let engine = net.engines[0].as_mut().unwrap();
    let inputs = vec![
        change(vec![row(1, b"a"), row(2, b"b")], vec![], 7),
        change(vec![], vec![], 8),
        change(vec![row(2, b"c")], vec![], 9),
    ];
    let effects = engine.tick(net.now, inputs);
    let keys: Vec<_> = effects.outbox.into_iter().map(|(ticket, keys)| (ticket, keys.unwrap())).collect();
    assert_eq!(keys.iter().map(|(ticket, keys)| (*ticket, keys.len())).collect::<Vec<_>>(), [(7, 2), (8, 0), (9, 1)]);
    let kept = engine.store.outbox(2, 10).unwrap();
    assert_eq!(
        kept.iter().map(|(key, row)| (*key, row.payload.as_slice())).collect::<Vec<_>>(),
        [(keys[0].1[1], b"b".as_slice()), (keys[2].1[0], b"c".as_slice())]
    );
    engine.tick(net.now, vec![change(vec![row(2, b"d")], vec![kept[0].0], 10)]);
    let payloads: Vec<_> = engine.store.outbox(2, 10).unwrap().into_iter().map(|(_, row)| row.payload).collect();
    assert_eq!(payloads, [b"c", b"d"]);
    assert_eq!(engine.store.outbox(1, 10).unwrap().len(), 1, "other kinds are left alone");
}
