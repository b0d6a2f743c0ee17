//! Waiting until subjects are decided, for callers that ask with `?wait=certified`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ssid_engine::NodeEvent;
use ssid_protocol::id::{Choice, SubjectId};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, timeout_at};

use super::ApiState;
use super::error::Failure;

/// Open instances asked of the engine at once.
const PAGE: usize = 1024;

/// How a subject ended while somebody waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Certified for this choice.
    Certified(Choice),
    /// Waiting for people.
    Conflict,
}

/// Made before events are offered, so that no decision falls between offering and waiting.
pub(super) struct Waiter {
    events: Receiver<Arc<NodeEvent>>,
}

impl Waiter {
    /// Listens from now on.
    pub(super) fn new(state: &ApiState) -> Self {
        Self {
            events: state.known.engine.subscribe(),
        }
    }

    /// Waits until every one of `pending` is certified or in conflict, or the deadline; says how
    /// those that did ended.
    pub(super) async fn until_decided(
        mut self,
        state: &ApiState,
        mut pending: HashSet<SubjectId>,
        deadline: Instant,
    ) -> Result<HashMap<SubjectId, Ended>, Failure> {
        let mut ended = HashMap::new();
        // once at the beginning: what was decided before it listened has no event any more
        let mut look = true;
        while !pending.is_empty() {
            if std::mem::take(&mut look) {
                look_up(state, &pending, &mut ended).await?;
                pending.retain(|subject| !ended.contains_key(subject));
                continue;
            }
            let event = match timeout_at(deadline, self.events.recv()).await {
                Err(_) | Ok(Err(RecvError::Closed)) => break,
                // too slow for its channel: what was missed stands in storage
                Ok(Err(RecvError::Lagged(_))) => {
                    look = true;
                    continue;
                }
                Ok(Ok(event)) => event,
            };
            // whichever comes first ends it: a conflict needs people, which no caller waits for
            let (subject, end) = match &*event {
                NodeEvent::Certified {
                    subject_id, choice, ..
                } => (subject_id, Ended::Certified(*choice)),
                NodeEvent::Conflict { subject_id, .. } => (subject_id, Ended::Conflict),
                _ => continue,
            };
            if pending.remove(subject) {
                ended.insert(*subject, end);
            }
        }
        Ok(ended)
    }
}

impl Waiter {
    /// Waits until one subject is certified, or the deadline; for what it is.
    pub(super) async fn until_certified(
        mut self,
        state: &ApiState,
        wanted: SubjectId,
        deadline: Instant,
    ) -> Result<Option<Choice>, Failure> {
        loop {
            if let Some(entry) = state.known.certified(&wanted)? {
                return Ok(Some(entry.record.choice));
            }
            match timeout_at(deadline, self.events.recv()).await {
                Err(_) | Ok(Err(RecvError::Closed)) => return Ok(None),
                // something happened: what is on disk is looked at again
                Ok(_) => {}
            }
        }
    }
}

/// Where the pending subjects stand now: for what was decided before the waiter listened, or while
/// it lagged.
async fn look_up(
    state: &ApiState,
    pending: &HashSet<SubjectId>,
    ended: &mut HashMap<SubjectId, Ended>,
) -> Result<(), Failure> {
    // certified before conflict: of a subject that is both by now the decision counts
    for subject in pending {
        if let Some(entry) = state.known.certified(subject)? {
            ended.insert(*subject, Ended::Certified(entry.record.choice));
        }
    }
    // in pages: the engine answers between two ticks
    let mut after = None;
    loop {
        let page = state.known.engine.instances(after, PAGE).await?;
        let in_conflict = page
            .iter()
            .filter(|open| open.in_conflict && pending.contains(&open.subject_id));
        for open in in_conflict {
            ended.entry(open.subject_id).or_insert(Ended::Conflict);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.subject_id),
            _ => return Ok(()),
        }
    }
}
