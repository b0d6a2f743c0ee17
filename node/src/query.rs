//! What a node knows of its federation and itself: one value over the store, the engine's status,
//! what the network last reported and Git. The API, the manifest writer and whoever else shows it
//! read it from here; nothing here knows of HTTP.
//!
//! Everything that reads storage blocks.

mod nodes;
mod peers;
mod status;

pub use peers::{PeerInfo, Peers};

use std::sync::Arc;

use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, ContentDigest, NodeId, Sha256Hash, SubjectId, UnixMillis};
use ssid_protocol::member::Member;
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::{TrustChange, TrustRules};
use ssid_storage::{StorageError, Store, SubjectState};
use tokio::sync::watch;

use crate::engine::EngineHandle;
use crate::git::GitHandle;
use crate::view::{EventState, EventView, NamedNode, RecordView};

/// Why something cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Storage cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A certified subject has no account of its decision.
    #[error("log entry {0} has no record")]
    NoRecord(u64),
    /// A choice that is certified or open is here without its event.
    #[error("event {0} is lost")]
    NoEvent(ContentDigest),
}

/// Everything that is known. Cheap to clone.
#[derive(Clone)]
pub struct Knowledge {
    /// This node's id in the federation.
    pub node_id: NodeId,
    /// The epochs that the node knows, as it enters others.
    pub epochs: watch::Receiver<Arc<Epochs>>,
    /// The handle to the engine, which decides.
    pub engine: EngineHandle,
    /// What is remembered.
    pub store: Store,
    /// What the network last reported, as it changes.
    pub peers: watch::Receiver<Arc<Peers>>,
    /// Git as the other transport.
    pub git: GitHandle,
    /// What is shown of the configuration.
    pub settings: Arc<ShownSettings>,
    /// Since when the node runs.
    pub started_at: UnixMillis,
}

/// The settings that are shown, or that what is shown goes by.
#[derive(Clone, Debug)]
pub struct ShownSettings {
    /// The setting `federation.enabled`.
    pub enabled: bool,
    /// The setting `federation.mode`, as a word.
    pub mode: String,
    /// The setting `sync_settings.interval_minutes`, in minutes.
    pub sync_interval_minutes: u64,
    /// `security.max_event_age_days`: what is older is endorsed by no other node, unless it has it
    /// too.
    pub max_event_age_days: u64,
    /// `trust_settings`: how points are counted.
    pub trust: TrustRules,
    /// `compliance.anonymize_node_data`: whether reports show ids instead of names.
    pub anonymize: bool,
}

/// A certified subject's place and record.
pub struct CertifiedSubject {
    /// Its place in the log.
    pub sequence: u64,
    /// This node's account of it.
    pub record: ConsensusRecord,
}

impl CertifiedSubject {
    /// The record as it is shown.
    pub fn view(&self) -> RecordView {
        RecordView::of(&self.record, self.sequence)
    }
}

/// An event that is known here.
pub struct FoundEvent {
    /// Its two hashes, as votes name it.
    pub choice: Choice,
    /// All eight fields.
    pub event: Event,
    /// The subject that it is an event for.
    pub subject_id: SubjectId,
}

impl Knowledge {
    /// The epoch that the node has entered.
    pub fn epoch(&self) -> Arc<EpochContext> {
        self.epochs.borrow().current().clone()
    }

    /// A subject's record, if it is certified.
    ///
    /// # Errors
    /// If storage cannot be read, or has lost the record.
    pub fn certified(&self, subject: &SubjectId) -> Result<Option<CertifiedSubject>, QueryError> {
        let Some(SubjectState::Certified { sequence }) = self.store.subject(subject)? else {
            return Ok(None);
        };
        let record = self.store.record(sequence)?;
        let record = record.ok_or(QueryError::NoRecord(sequence))?;
        Ok(Some(CertifiedSubject { sequence, record }))
    }

    /// The event of a choice that is certified or open here.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn event_of(&self, choice: &Choice) -> Result<Option<Event>, QueryError> {
        Ok(self.store.event(&choice.content_digest)?)
    }

    /// A choice that is certified or open here, with its event.
    ///
    /// # Errors
    /// If storage cannot be read, or has lost the event.
    pub fn found(&self, choice: Choice) -> Result<FoundEvent, QueryError> {
        let lost = QueryError::NoEvent(choice.content_digest);
        let event = self.event_of(&choice)?.ok_or(lost)?;
        Ok(FoundEvent {
            choice,
            subject_id: self.subject_of(&event),
            event,
        })
    }

    /// Whether a certified choice records the same fact as an event (SPEC §2, *agree*).
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn records_the_same(&self, certified: &Choice, event: &Event) -> Result<bool, QueryError> {
        if *certified == event.choice() {
            return Ok(true);
        }
        let other = self.event_of(certified)?;
        Ok(other.is_some_and(|other| other.agrees_with(event)))
    }

    /// What an event is a candidate for.
    pub fn subject_of(&self, event: &Event) -> SubjectId {
        self.epoch().subject_of(event)
    }

    /// An event as it is shown, without who announced it and what of it waits for people.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn event_view(&self, found: FoundEvent) -> Result<EventView, QueryError> {
        let certified = self.certified(&found.subject_id)?;
        let is_conflict = || -> Result<bool, QueryError> {
            let conflicts = self.store.conflicts()?;
            Ok(conflicts.iter().any(|(id, _)| *id == found.subject_id))
        };
        let state = match &certified {
            Some(entry) if entry.record.choice == found.choice => EventState::Certified,
            Some(_) => EventState::Outvoted,
            None if is_conflict()? => EventState::Conflict,
            None => EventState::Open,
        };
        Ok(EventView {
            event_hash: found.choice.event_hash,
            content_digest: found.choice.content_digest,
            proof_anchor: proof_anchor(&found.event),
            event: found.event,
            subject_id: found.subject_id,
            state,
            sequence: certified
                .filter(|_| state == EventState::Certified)
                .map(|entry| entry.sequence),
            announced_by: None,
            review: None,
        })
    }

    /// A node by id and name; without a name if it is no member.
    pub fn named_node(&self, node: &NodeId) -> NamedNode {
        let epoch = self.epoch();
        let member = epoch.manifest().member(node);
        let text = |part: fn(&Member) -> &String| member.map(part).cloned().unwrap_or_default();
        NamedNode {
            node_id: *node,
            node_name: text(|m| &m.node_name),
            organization: text(|m| &m.organization),
        }
    }

    /// A member's ledger and score.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn trust_of(&self, node: &NodeId) -> Result<(Vec<TrustChange>, i32), QueryError> {
        let changes = self.store.trust_of(node)?;
        let score = self.settings.trust.score(&changes);
        Ok((changes, score))
    }

    /// When a member was last heard of, in this life or an earlier one.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub fn last_seen(&self, node: &NodeId) -> Result<Option<UnixMillis>, QueryError> {
        let peers = self.peers.borrow();
        if let Some(live) = peers.members.get(node).and_then(|peer| peer.last_seen) {
            return Ok(Some(live));
        }
        let stored = self.store.peer(node)?.map(|row| row.last_seen);
        Ok(stored.filter(|at| at.0 > 0))
    }
}

/// SHA-256 of the pretty-printed object's text without a final newline: the second hash by which
/// release notes name events.
pub fn proof_anchor(event: &Event) -> Option<String> {
    let text = serde_json::to_string_pretty(event).ok()?;
    Some(Sha256Hash::of(&[text.as_bytes()]).to_string())
}
