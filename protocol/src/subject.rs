//! Subjects: what nodes vote on (SPEC §3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, FEDERATION_EPOCH};
use crate::id::{FederationId, SubjectId, length_prefix, sha256};

/// Whether there is one event of a type and version, or one per timestamp. Fixed by the genesis
/// manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// There is one: two with different content are a conflict. The default.
    #[default]
    Unique,
    /// Each timestamp is an occurrence of its own.
    Recurring,
}

/// The genesis manifest's `event_policies`: policy by event type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPolicies(pub BTreeMap<String, Policy>);

impl EventPolicies {
    /// The policy for an event type; `federation_epoch` is always unique.
    pub fn of(&self, event_type: &str) -> Policy {
        if event_type == FEDERATION_EPOCH {
            return Policy::Unique;
        }
        self.0.get(event_type).copied().unwrap_or_default()
    }

    /// The subject that `event` is a candidate for.
    ///
    /// ```
    /// use ssid_protocol::testing::{event, manifest};
    ///
    /// let policies = manifest(4).event_policies; // `compliance_audit` recurs
    /// assert_eq!(policies.subject_of(&event("blueprint_tagged", "v1")).occurrence, "");
    /// let audit = event("compliance_audit", "v1");
    /// assert_eq!(policies.subject_of(&audit).occurrence, audit.timestamp);
    /// ```
    pub fn subject_of(&self, event: &Event) -> Subject {
        let occurrence = match self.of(&event.event) {
            Policy::Unique => String::new(),
            Policy::Recurring => event.timestamp.clone(),
        };
        Subject {
            event: event.event.clone(),
            version: event.version.clone(),
            occurrence,
        }
    }
}

/// An event type, a version and, for recurring types, the timestamp.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The event type.
    pub event: String,
    /// The event's version, as text.
    pub version: String,
    /// Empty for unique event types, the event's timestamp for recurring ones.
    pub occurrence: String,
}

impl Subject {
    /// `H("ssid/subject/1\0" ‖ federation_id ‖ lp(event) ‖ lp(version) ‖ lp(occurrence))`.
    ///
    /// ```
    /// use ssid_protocol::testing::{event, federation};
    ///
    /// let (manifest, id, ..) = federation(4);
    /// let subject = |version| manifest.event_policies.subject_of(&event("release", version)).id(&id);
    /// assert_eq!(subject("v1"), subject("v1"));
    /// assert_ne!(subject("v1"), subject("v2"));
    /// ```
    pub fn id(&self, federation: &FederationId) -> SubjectId {
        SubjectId(sha256(&[
            b"ssid/subject/1\0",
            &federation.0,
            &length_prefix(&self.event),
            self.event.as_bytes(),
            &length_prefix(&self.version),
            self.version.as_bytes(),
            &length_prefix(&self.occurrence),
            self.occurrence.as_bytes(),
        ]))
    }
}
