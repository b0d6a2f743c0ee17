//! The outbox through the engine: rows are kept in its own write, each asker is told the keys of
//! its rows, and what is certified gets rows by itself.

use std::sync::Mutex;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::id::Sha256Hash;
use ssid_storage::{AnchorRow, OutboxKey, OutboxRow};

use super::*;
use crate::Ticket;
use crate::outbox::{
    ANCHOR, OUTBOX_ROW_BYTES, OUTBOX_ROWS, OutboxChange, entries_of, row_for, sequences_of,
};
use crate::settings::LATE_RECORDS_EVERY;

fn row(kind: u8, payload: &[u8]) -> OutboxRow {
    OutboxRow {
        kind,
        payload: payload.to_vec(),
    }
}

fn change(add: Vec<OutboxRow>, done: Vec<OutboxKey>, ticket: Ticket) -> Inbound {
    let change = OutboxChange {
        add,
        done,
        ..OutboxChange::default()
    };
    Inbound::Command {
        command: Command::Outbox(change),
        ticket,
    }
}

/// Who was told what of the outbox.
fn told(effects: Effects) -> Vec<(Ticket, Result<Vec<OutboxKey>, OperatorRefusal>)> {
    let replies = effects.replies.into_iter();
    replies
        .filter_map(|(ticket, reply)| match reply {
            Reply::Outbox(keys) => Some((ticket, keys)),
            _ => None,
        })
        .collect()
}

#[test]
fn rows_are_kept_and_forgotten_and_each_asker_gets_its_own_keys() {
    let mut net = Net::new(1);
    let (now, engine) = (net.now, net.engine_mut(0));
    let inputs = vec![
        change(vec![row(1, b"a"), row(2, b"b")], vec![], 7),
        change(vec![], vec![], 8),
        change(vec![row(2, b"c")], vec![], 9),
    ];
    let effects = engine.tick(now, inputs);
    let keys: Vec<_> = told(effects)
        .into_iter()
        .map(|(ticket, keys)| (ticket, keys.unwrap()))
        .collect();
    assert_eq!(
        keys.iter()
            .map(|(ticket, keys)| (*ticket, keys.len()))
            .collect::<Vec<_>>(),
        [(7, 2), (8, 0), (9, 1)]
    );
    let kept = engine.store.outbox(2, 10).unwrap();
    assert_eq!(
        kept.iter()
            .map(|(key, row)| (*key, row.payload.as_slice()))
            .collect::<Vec<_>>(),
        [
            (keys[0].1[1], b"b".as_slice()),
            (keys[2].1[0], b"c".as_slice())
        ]
    );
    engine.tick(now, vec![change(vec![row(2, b"d")], vec![kept[0].0], 10)]);
    let payloads: Vec<_> = engine
        .store
        .outbox(2, 10)
        .unwrap()
        .into_iter()
        .map(|(_, row)| row.payload)
        .collect();
    assert_eq!(payloads, [b"c", b"d"]);
    assert_eq!(
        engine.store.outbox(1, 10).unwrap().len(),
        1,
        "other kinds are left alone"
    );
}

/// Their rows are on disk, and nobody would ever ask again for what was promised an answer.
#[test]
fn askers_are_told_if_compacting_the_journal_fails() {
    let mut net = Net::with(
        testing::manifest(1),
        EngineSettings {
            journal_slack_bytes: 0,
            ..EngineSettings::default()
        },
    );
    // what compaction writes beside the journal has a directory in its place
    std::fs::create_dir(net.homes[0].path().join("votes.journal.new")).unwrap();
    let (now, engine) = (net.now, net.engine_mut(0));
    engine.record.forget_compaction();
    let effects = engine.tick(now, vec![change(vec![row(1, b"a")], vec![], 7)]);
    assert!(engine.status().read_only.is_some());
    let told: Vec<_> = told(effects)
        .into_iter()
        .map(|(ticket, outcome)| (ticket, outcome.is_err()))
        .collect();
    assert_eq!(told, [(7, true)]);
}

#[test]
fn what_is_anchored_is_written_with_the_rows_that_are_done() {
    let mut net = Net::new(1);
    let (now, engine) = (net.now, net.engine_mut(0));
    engine.tick(now, vec![change(vec![row(ANCHOR, b"a")], vec![], 1)]);
    let done = engine
        .store
        .outbox(ANCHOR, 10)
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let anchor = AnchorRow {
        name: "a".into(),
        cid: "Qm".into(),
        at: now,
        services: vec!["local".into()],
    };
    let anchors = vec![(Sha256Hash([7; 32]), anchor)];
    let change = OutboxChange {
        done,
        anchors: anchors.clone(),
        ..OutboxChange::default()
    };
    let command = Command::Outbox(change);
    let effects = engine.tick(now, vec![Inbound::Command { command, ticket: 2 }]);
    assert_eq!(
        told(effects)
            .into_iter()
            .map(|(ticket, keys)| (ticket, keys.unwrap()))
            .collect::<Vec<_>>(),
        [(2, vec![])]
    );
    assert_eq!(engine.store.outbox(ANCHOR, 10).unwrap(), []);
    assert_eq!(
        engine
            .store
            .anchors()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
        anchors
    );
}

#[test]
fn a_change_past_a_limit_is_refused_by_the_limits_name() {
    let sized = |rows, bytes| OutboxChange {
        add: vec![row(1, &vec![0; bytes]); rows],
        ..OutboxChange::default()
    };
    assert!(sized(OUTBOX_ROWS, 1).check().is_ok() && sized(1, OUTBOX_ROW_BYTES).check().is_ok());
    let refused = |change: OutboxChange| change.check().unwrap_err().to_string();
    assert!(refused(sized(OUTBOX_ROWS + 1, 1)).contains("exceed outbox_rows = 1024"));
    assert!(refused(sized(1, OUTBOX_ROW_BYTES + 1)).contains("exceed outbox_row_bytes = 262144"));
}

/// An engine of a federation that has certified `events`, with what it stores, for tests of what is
/// delivered then.
fn certified(settings: EngineSettings, events: &[Event]) -> (TempDir, Engine, Store) {
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.emit(0, events);
    net.settle();
    net.assert_all_certified(events);
    let engine = net.engines[0].take().unwrap();
    let store = engine.store.clone();
    (net.homes.swap_remove(0), engine, store)
}

/// An engine that has certified `events` without having heard what the last member observed, and
/// what that said.
fn certified_without_the_last(settings: EngineSettings, events: &[Event]) -> (TempDir, Late) {
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let last = net.ids[3];
    let withheld = std::cell::RefCell::new(Vec::new());
    net.emit(0, events);
    net.settle_except(|to, input| match input {
        Inbound::Batch { batch, from, .. } if to == 0 && *from == last => {
            withheld.borrow_mut().push(batch.clone());
            true
        }
        _ => false,
    });
    net.assert_all_certified(events);
    let engine = net.engines[0].take().unwrap();
    let (store, engine) = (engine.store.clone(), Arc::new(Mutex::new(engine)));
    (
        net.homes.swap_remove(0),
        Late {
            engine,
            store,
            now: net.now,
            last,
            withheld: withheld.into_inner(),
        },
    )
}

/// An engine from which something was withheld.
struct Late {
    engine: Arc<Mutex<Engine>>,
    store: Store,
    now: UnixMillis,
    last: NodeId,
    withheld: Vec<Arc<VerifiedBatch>>,
}

impl Late {
    /// Lets it hear what was withheld; its records say so then.
    fn hear(&mut self) {
        let from = self.last;
        let batches = self
            .withheld
            .drain(..)
            .map(|batch| Inbound::Batch {
                batch,
                from,
                ticket: None,
            })
            .collect();
        let mut engine = self.engine.lock().unwrap();
        engine.tick(self.now, batches);
        engine.tick(self.now.after(LATE_RECORDS_EVERY), Vec::new());
    }
}

#[test]
fn what_is_certified_is_queued_for_those_who_deliver_it_and_only_for_them() {
    let kinds = EngineSettings {
        certified_outbox: vec![ANCHOR, 7],
        ..EngineSettings::default()
    };
    let (_home, mut engine, store) = certified(kinds, &events(20));
    for kind in [ANCHOR, 7] {
        let held = store.outbox(kind, 100).unwrap();
        let queued: Vec<u64> = held
            .iter()
            .flat_map(|(_, row)| entries_of(row).unwrap())
            .collect();
        assert_eq!(
            queued,
            (0..20).collect::<Vec<_>>(),
            "each entry once, in order"
        );
    }
    let done = store
        .outbox(7, 100)
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let add = vec![row_for(ANCHOR, 0..0)];
    engine.tick(START, vec![change(add, done, 1)]);
    assert_eq!(store.outbox(7, 100).unwrap(), []);
    let last = store.outbox(ANCHOR, 100).unwrap().pop().unwrap().1;
    assert_eq!(entries_of(&last), Some(0..0));
    let (_home, _, store) = certified(EngineSettings::default(), &events(3));
    assert!((0..=u8::MAX).all(|kind| store.outbox(kind, 1).unwrap().is_empty()));
}

#[test]
fn a_record_that_changes_after_it_was_written_is_queued_for_those_who_told_of_it() {
    let kinds = EngineSettings {
        changed_outbox: vec![7],
        ..EngineSettings::default()
    };
    let (_home, mut late) = certified_without_the_last(kinds, &events(3));
    let store = late.store.clone();
    let before = store.record(1).unwrap().unwrap();
    assert_eq!(
        (before.silent_nodes.len(), store.outbox(7, 9).unwrap().len()),
        (1, 0)
    );
    late.hear();
    let after = store.record(1).unwrap().unwrap();
    assert!(after.silent_nodes.is_empty());
    let rows = store.outbox(7, 9).unwrap();
    let queued: BTreeSet<u64> = rows.iter().flat_map(|(_, row)| sequences_of(row)).collect();
    assert_eq!(queued, BTreeSet::from([0, 1, 2]));
}
