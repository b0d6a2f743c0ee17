//! Rows that follow from others, in the end: conflicts, open subjects, cursors and records say what
//! the engine and the log say.

use std::collections::BTreeSet;

use ssid_protocol::id::SubjectId;
use ssid_storage::{StorageError, Store};

use super::world::World;

impl World<'_> {
    /// Every honest machine's derived rows.
    pub(super) fn look_at_rows(&mut self) -> Result<(), String> {
        for at in self.honest_machines() {
            let (Some(store), Some(engine)) = (&self.machines[at].store, &self.machines[at].engine)
            else {
                continue;
            };
            let views = engine.instances(None, None, usize::MAX);
            let open: BTreeSet<SubjectId> = views.iter().map(|view| view.subject_id).collect();
            let in_conflict: BTreeSet<SubjectId> = views
                .iter()
                .filter(|view| view.in_conflict)
                .map(|view| view.subject_id)
                .collect();
            let failed = |error: StorageError| error.to_string();
            let rows = store
                .conflicts()
                .map_err(failed)?
                .into_iter()
                .map(|(id, _)| id)
                .collect::<BTreeSet<_>>();
            if let Some(id) = rows.difference(&open).next() {
                return Err(format!(
                    "machine {at} holds the row of a conflict about {id}, which is not open"
                ));
            }
            if let Some(id) = in_conflict.difference(&rows).next() {
                return Err(format!(
                    "machine {at} has no row of the conflict about {id}"
                ));
            }
            let stored = store
                .open_subjects()
                .map(|row| row.map(|(id, _)| id))
                .collect::<Result<BTreeSet<_>, _>>();
            if let Some(id) = stored.map_err(failed)?.difference(&open).next() {
                return Err(format!(
                    "machine {at} holds the row of subject {id}, which is not open"
                ));
            }
            let cursors = store.cursors().map_err(failed)?;
            if cursors.len() > self.fed.members() {
                return Err(format!(
                    "machine {at} holds {} cursors for {} members",
                    cursors.len(),
                    self.fed.members()
                ));
            }
            records(store).map_err(|what| format!("machine {at}: {what}"))?;
            self.coverage
                .add("rows of conflicts in the end", rows.len() as u64);
        }
        Ok(())
    }
}

/// Each entry of the log has this node's account of just that.
fn records(store: &Store) -> Result<(), String> {
    let failed = |error: StorageError| error.to_string();
    for sequence in 0..store.certified_count() {
        let entry = store.log_entry(sequence).map_err(failed)?;
        let record = store.record(sequence).map_err(failed)?;
        let (Some(entry), Some(record)) = (entry, record) else {
            return Err(format!("log entry {sequence} or its record is missing"));
        };
        let id = entry.subject.id(&store.owner().federation);
        if (record.subject_id, record.choice, record.round) != (id, entry.choice, entry.round) {
            return Err(format!(
                "the record of log entry {sequence} is of something else: {record:?}"
            ));
        }
    }
    Ok(())
}
