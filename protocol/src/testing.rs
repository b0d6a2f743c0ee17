//! Fixtures for tests and simulations, here so that every crate's tests build the same federations and events.

use crate::event::Event;
use crate::identity::VotingKey;

/// An admissible event of the given type and version.
pub fn event(event_type: &str, version: &str) -> Event {
    Event {
        timestamp: "2025-10-11T20:00:00Z".into(),
        event: event_type.into(),
        version: version.into(),
        commit_hash: "3dd05d9".into(),
        blueprint: "v4.4".into(),
        root_24_lock: "active".into(),
        compliance_score: "100/100".into(),
        emitted_by: "registry_event_trigger.sh".into(),
    }
}

/// The voting key of test member `index`.
pub fn key(index: u8) -> VotingKey {
    VotingKey::from_seed(&[index.wrapping_add(1); 32])
}
