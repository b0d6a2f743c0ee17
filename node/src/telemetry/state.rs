//! `telemetry_state.json`: what the last check saw, so that the next one tells only what is new.
//! Keys that others put there survive.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssid_protocol::id::{Epoch, EventHash, NodeId, UnixMillis};
use ssid_storage::{PathContext as _, PathError};

use super::conditions::Condition;
use crate::place::Place;

/// Bytes of the largest state that is read.
const FILE_BYTES: u64 = 4 << 20;
/// Causes remembered, so that none is told twice.
const CAUSES: usize = 2000;

/// What the last check saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When the last check was, ISO 8601.
    pub last_check: Option<String>,
    /// The score that was told last.
    pub last_score: Option<f64>,
    /// Whether it was told that the dashboard cannot be read.
    pub dashboard_unknown: bool,
    /// Where it was going: `improving`, `stable` or `declining`.
    pub trend: Option<String>,
    /// Violations that were told last.
    pub last_violations: Option<u64>,
    /// The blueprint that was told last.
    pub last_blueprint: Option<String>,
    /// The last event of the registry that was looked at.
    pub last_event: Option<EventHash>,
    /// The members that were known, and what they were called.
    pub members: Option<BTreeMap<NodeId, String>>,
    /// The epoch that was told last.
    pub last_epoch: Option<Epoch>,
    /// How many changes have been found: numbers their causes.
    pub changes: u64,
    /// Causes told lately, oldest first.
    pub told: Vec<String>,
    /// Conditions that were told and are not over, since when.
    pub conditions: Vec<(Condition, UnixMillis)>,
    /// Channels whose address answered that it is gone, by the address' fingerprint: never used
    /// again.
    pub gone: BTreeMap<String, String>,
    /// What others put there.
    #[serde(flatten)]
    pub others: serde_json::Map<String, Value>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// It holds something else.
    #[error("'{path}' is not what telemetry wrote: {what}; move it away to begin anew", path = path.display())]
    Malformed {
        /// The state's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl State {
    /// Where the state of a node is whose registry log is at `registry_log`.
    pub fn path(registry_log: impl Into<Place>) -> Place {
        registry_log.into().with_file_name("telemetry_state.json")
    }

    /// Reads the state; an empty one if there is none.
    ///
    /// # Errors
    /// If it cannot be read or is something else.
    pub fn load(path: &Place) -> Result<Self, StateError> {
        match read_json(path) {
            Ok(Some(state)) => Ok(state),
            Ok(None) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the state, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Place) -> Result<(), StateError> {
        write_json(path, self)
    }

    /// Whether a cause was told lately.
    pub fn was_told(&self, cause: &str) -> bool {
        self.told.iter().any(|told| told == cause)
    }

    /// Remembers that causes are told.
    pub fn tell(&mut self, causes: impl IntoIterator<Item = String>) {
        self.told.extend(causes);
        let excess = self.told.len().saturating_sub(CAUSES);
        self.told.drain(..excess);
    }
}

/// Reads a JSON file of at most [`FILE_BYTES`]; `None` if there is none.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Place,
) -> Result<Option<T>, StateError> {
    let malformed = |what: String| StateError::Malformed {
        path: path.to_path_buf(),
        what,
    };
    let bytes = match path.read(FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(malformed(error.to_string()));
        }
        read => read.context("read", path)?,
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| malformed(error.to_string()))
}

/// Writes a JSON file, whole or not at all; its directory is made if it is missing.
pub(super) fn write_json(path: &Place, value: &impl Serialize) -> Result<(), StateError> {
    let mut text = serde_json::to_vec_pretty(value).context("write", path)?;
    text.push(b'\n');
    let made = path.directory().make();
    made.and_then(|()| path.replace(&text))
        .context("write", path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_others_wrote_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = State::path(directory.path().join("logs/registry_events.log"));
        assert_eq!(State::load(&path).unwrap(), State::default());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, r#"{"last_score": 100, "their_own": {"a": [1]}}"#).unwrap();
        let mut state = State::load(&path).unwrap();
        assert_eq!(state.last_score, Some(100.0));
        state.last_score = Some(89.0);
        state.members = Some(BTreeMap::from([(NodeId([7; 32]), "Berlin".to_owned())]));
        state.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("their_own") && text.contains("89"), "{text}");
        assert_eq!(State::load(&path).unwrap(), state);
        std::fs::write(&path, "[]").unwrap();
        assert!(
            State::load(&path)
                .unwrap_err()
                .to_string()
                .contains("move it away")
        );
    }

    #[test]
    fn causes_are_remembered_up_to_a_limit() {
        let mut state = State::default();
        state.tell((0..=CAUSES).map(|n| n.to_string()));
        assert_eq!(state.told.len(), CAUSES);
        assert!(!state.was_told("0") && state.was_told("1") && state.was_told(&CAUSES.to_string()));
    }
}
