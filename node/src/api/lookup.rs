//! Reading storage for a request: events by the start of their hash, subjects by where they stand,
//! members by name.

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, NodeId, Sha256Hash, SubjectId, UnixMillis};
use ssid_protocol::member::Member;
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::TrustChange;
use ssid_storage::{StorageError, SubjectState};

use super::ApiState;
use super::error::Failure;
use super::names::{Named, resolve};
use crate::view::{EventState, EventView, NamedNode, RecordView};

/// Choices a lookup looks at.
const CHOICES: usize = 16;

/// A certified subject's place and record.
pub(super) struct CertifiedSubject {
    /// Its place in the log.
    pub(super) sequence: u64,
    /// This node's account of it.
    pub(super) record: ConsensusRecord,
}

impl CertifiedSubject {
    /// The record as it is shown.
    pub(super) fn view(&self) -> RecordView {
        RecordView::of(&self.record, self.sequence)
    }
}

/// An event that somebody named.
pub(super) struct FoundEvent {
    /// Its event hash and content digest.
    pub(super) choice: Choice,
    /// The event with all eight fields.
    pub(super) event: Event,
    /// What is voted on.
    pub(super) subject_id: SubjectId,
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::internal(error)
    }
}

impl ApiState {
    /// Runs `work`, which reads storage, where blocking is allowed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let state = self.clone();
        tokio::task::spawn_blocking(move || work(&state))
            .await
            .map_err(Failure::internal)?
    }

    /// A subject's record, if it is certified.
    pub(super) fn certified(
        &self,
        subject: &SubjectId,
    ) -> Result<Option<CertifiedSubject>, Failure> {
        let Some(SubjectState::Certified { sequence }) = self.store.subject(subject)? else {
            return Ok(None);
        };
        let record = self.store.record(sequence)?;
        let record = record
            .ok_or_else(|| Failure::internal(format!("log entry {sequence} has no record")))?;
        Ok(Some(CertifiedSubject { sequence, record }))
    }

    /// The event of a choice that is certified or open here.
    pub(super) fn event_of(&self, choice: &Choice) -> Result<Option<Event>, Failure> {
        Ok(self.store.event(&choice.content_digest)?)
    }

    /// Whether a certified choice records the same fact as an event (SPEC §2, *agree*).
    pub(super) fn records_the_same(
        &self,
        certified: &Choice,
        event: &Event,
    ) -> Result<bool, Failure> {
        if *certified == event.choice() {
            return Ok(true);
        }
        Ok(self
            .event_of(certified)?
            .is_some_and(|other| other.agrees_with(event)))
    }

    /// What an event is a candidate for.
    pub(super) fn subject_of(&self, event: &Event) -> SubjectId {
        self.epoch().subject_of(event)
    }

    /// The event whose hash begins with `name`; `HASH:DIGEST` where one hash fits two choices.
    pub(super) fn find_event(&self, name: &str) -> Result<FoundEvent, Failure> {
        let (hash, digest) = name.split_once(':').unwrap_or((name, ""));
        let digest = digest.to_ascii_lowercase();
        if hash.is_empty() || hash.len() > 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            let shown: String = name.chars().take(80).collect();
            return Err(Failure::bad_request(format!(
                "{shown:?} is no event hash: 1 to 64 hex digits are"
            )));
        }
        let mut choices = self.store.choices_by_hash_prefix(hash, CHOICES)?;
        choices.retain(|choice| choice.content_digest.to_string().starts_with(&digest));
        match choices[..] {
            [] => Err(Failure::unknown(
                &format!("there is no event {name}"),
                self.nearest_hashes(hash)?,
            )),
            [choice] => {
                let event = self.store.event(&choice.content_digest)?;
                let event = event.ok_or_else(|| {
                    Failure::internal(format!("event {} is lost", choice.content_digest))
                })?;
                Ok(FoundEvent {
                    choice,
                    subject_id: self.subject_of(&event),
                    event,
                })
            }
            _ => Err(Failure::ambiguous(
                &format!("event {name}"),
                choices.iter().map(choice_name).collect(),
            )),
        }
    }

    /// Event hashes that share the most first digits with one that is not there.
    fn nearest_hashes(&self, hash: &str) -> Result<Vec<String>, Failure> {
        for length in (0..hash.len()).rev() {
            let near = self.store.choices_by_hash_prefix(&hash[..length], 3)?;
            if !near.is_empty() {
                return Ok(near
                    .iter()
                    .map(|choice| choice.event_hash.to_string())
                    .collect());
            }
        }
        Ok(Vec::new())
    }

    /// An event as it is shown. `open` says whether its subject is known to wait for people.
    pub(super) fn event_view(&self, found: FoundEvent) -> Result<EventView, Failure> {
        let certified = self.certified(&found.subject_id)?;
        let state = match &certified {
            Some(entry) if entry.record.choice == found.choice => EventState::Certified,
            Some(_) => EventState::Outvoted,
            None if self
                .store
                .conflicts()?
                .iter()
                .any(|(id, _)| *id == found.subject_id) =>
            {
                EventState::Conflict
            }
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

    /// The member with this name, or whose id begins with it.
    pub(super) fn find_member(&self, name: &str) -> Result<Member, Failure> {
        let epoch = self.epoch();
        let members = epoch.manifest().members.iter();
        let named = members.map(|m| Named {
            id: m.node_id.to_string(),
            name: m.node_name.clone(),
            item: m.clone(),
        });
        resolve("node", name, named.collect())
    }

    /// A node by id and name; without a name if it is no member.
    pub(super) fn named_node(&self, node: &NodeId) -> NamedNode {
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
    pub(super) fn trust_of(&self, node: &NodeId) -> Result<(Vec<TrustChange>, i32), Failure> {
        let changes = self.store.trust_of(node)?;
        let score = self.settings.trust.score(&changes);
        Ok((changes, score))
    }

    /// When a member was last heard of.
    pub(super) fn last_seen(&self, node: &NodeId) -> Result<Option<UnixMillis>, Failure> {
        let live = self
            .peers
            .borrow()
            .members
            .get(node)
            .and_then(|peer| peer.last_seen);
        let stored = || {
            Ok::<_, StorageError>(
                self.store
                    .peer(node)?
                    .map(|row| row.last_seen)
                    .filter(|at| at.0 > 0),
            )
        };
        Ok(if live.is_some() { live } else { stored()? })
    }
}

/// A choice as `HASH:DIGEST`.
pub(super) fn choice_name(choice: &Choice) -> String {
    format!("{}:{}", choice.event_hash, choice.content_digest)
}

/// SHA-256 of the pretty-printed object's text without a final newline: the second hash by which
/// release notes name events.
pub(super) fn proof_anchor(event: &Event) -> Option<String> {
    let text = serde_json::to_string_pretty(event).ok()?;
    Some(Sha256Hash::of(&[text.as_bytes()]).to_string())
}
