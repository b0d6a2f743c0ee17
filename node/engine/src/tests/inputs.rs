//! What the tests feed to engines: lines of registry files, events, signed batches; and what was
//! said of them.

use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;
use ssid_protocol::testing;

use super::Net;
use crate::{Effects, Inbound, OwnLine, RegistryNews, Reply, Validity};

/// What was said of the one thing delivered.
pub(super) fn verdict(effects: &Effects) -> Validity {
    match effects.replies.as_slice() {
        [(1, Reply::Verdict(validity))] => *validity,
        other => panic!("{other:?}"),
    }
}

/// Lines in the own registry file, to be announced.
pub(super) fn observed(events: Vec<Event>) -> Inbound {
    let lines = events.into_iter().map(|event| OwnLine {
        event,
        announce: true,
    });
    Inbound::Registry(RegistryNews::Lines(lines.collect()))
}

/// Another event of the same subject, which does not agree with it.
pub(super) fn other(event: &Event) -> Event {
    Event {
        commit_hash: "fffffff".into(),
        ..event.clone()
    }
}

/// Two events of one subject that do not agree.
pub(super) fn two() -> (Event, Event) {
    let a = testing::event("blueprint_tagged", "v4.4.0");
    (a.clone(), other(&a))
}

/// The subject of an event in the fixtures' federation of four.
pub(super) fn subject_of(event: &Event) -> SubjectId {
    let manifest = testing::manifest(4);
    let subject = manifest.event_policies.subject_of(event);
    subject.id(&manifest.federation_id())
}

/// So many events, each of a subject of its own.
pub(super) fn events(count: usize) -> Vec<Event> {
    (0..count)
        .map(|i| testing::event("blueprint_tagged", &format!("v{i}")))
        .collect()
}

/// Hands a batch to a node, signed by another.
pub(super) fn deliver(net: &mut Net, to: usize, signer: usize, statements: Statements) {
    let (_, federation, _, keys) = testing::federation(net.ids.len());
    let batch = VerifiedBatch::sign(&keys[signer], &federation, statements).unwrap();
    let input = Inbound::Batch {
        batch: Arc::new(batch),
        from: net.ids[signer],
        ticket: Some(9),
    };
    net.tick(to, vec![input]);
}
