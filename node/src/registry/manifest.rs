//! `federation_manifest.json`: the federation as the registry's own files describe it – nodes, the
//! latest decisions, statistics. People and the scripts of a deployment without keys edit the same
//! file, so whatever else stands in it stays, byte for byte. What the schema has no place for is
//! under the one key `ssid`, because those scripts refuse nodes with keys that they do not know.

mod node;
mod record;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ssid_protocol::limits;
use ssid_storage::{PathContext as _, PathError};

pub use node::{ManifestNode, legacy_id};
pub use record::HistoryRecord;

use crate::document::{Document, Unreadable};
use crate::place::Place;

/// Bytes of the largest manifest that is read.
pub const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Decisions that the manifest keeps: the latest.
pub const HISTORY_RECORDS: usize = 100;
/// How often an update is tried again because somebody else wrote the file meanwhile.
const UPDATE_ATTEMPTS: usize = 5;

/// Why the manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFileError {
    /// It is no JSON object, or not one of this schema.
    #[error("{}: {what}\n  mend the file, or take it from the repository's history: git checkout -- {}", path.display(), path.display())]
    Syntax {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Somebody else writes it all the time.
    #[error("{} is being written by another program\n  try again when that has ended", .0.display())]
    Busy(PathBuf),
}

/// Counts in the registry's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManifestStatistics {
    /// Nodes in the manifest.
    pub total_nodes: u64,
    /// Those with status `active`.
    pub active_nodes: u64,
    /// How many syncs there were.
    pub total_syncs: u64,
    /// Nodes that were synced with, over all syncs.
    pub successful_syncs: u64,
    /// Nodes that could not be.
    pub failed_syncs: u64,
    /// Decisions that were reached.
    pub consensus_agreements: u64,
    /// Decisions that were not, or that somebody disagreed with.
    pub consensus_disagreements: u64,
    /// When a decision was last looked for.
    pub last_consensus_check: Option<String>,
}

/// What was taken over from the time before this node, written down once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedOver {
    /// When it was taken over, RFC 3339.
    pub at: String,
    /// Nodes that were there.
    pub nodes: u64,
    /// Decisions that were there.
    pub consensus_records: u64,
    /// The counts as they stood; what this node counts is added to them.
    pub statistics: ManifestStatistics,
    /// Trust scores as recorded by the old scripts, by node id. Shown, and counted nowhere.
    pub trust_scores: std::collections::BTreeMap<String, i64>,
}

/// The manifest's text, and what it means.
#[derive(Clone, Debug)]
pub struct FederationManifest {
    document: Document,
}

impl FederationManifest {
    /// Reads the manifest at `path`; none if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is no JSON object of this schema.
    pub fn read(place: impl Into<Place>) -> Result<Option<Self>, ManifestFileError> {
        let path = &place.into();
        let syntax = |what| ManifestFileError::Syntax {
            path: path.to_path_buf(),
            what,
        };
        let document = match Document::read(path, FILE_BYTES) {
            Ok(document) => document,
            Err(Unreadable::Missing) => return Ok(None),
            Err(Unreadable::Syntax(what)) => return Err(syntax(what)),
            Err(Unreadable::Io(error)) => return Err(error.into()),
        };
        // only what would be misread: whatever else is in it belongs to others and is kept
        for (key, allowed) in [
            ("nodes", "a list"),
            ("consensus_history", "a list"),
            ("statistics", "an object"),
        ] {
            let fits = document.get(key).is_none_or(|v| {
                if allowed == "a list" {
                    v.is_array()
                } else {
                    v.is_object()
                }
            });
            if !fits {
                return Err(syntax(format!("`{key}` must be {allowed}")));
            }
        }
        // shown, searched and compared by pairs: as many as there may be members
        if document.elements("nodes").len() > limits::MEMBERS {
            return Err(syntax(format!(
                "`nodes` has more than members = {} entries",
                limits::MEMBERS
            )));
        }
        Ok(Some(Self { document }))
    }

    /// A manifest without nodes, as it is written where there is none.
    pub fn empty(now: &str) -> Self {
        #[derive(Serialize)]
        struct New<'a> {
            blueprint_version: &'a str,
            manifest_version: &'a str,
            description: &'a str,
            created_at: &'a str,
            last_updated: &'a str,
            federation: Value,
            nodes: [u8; 0],
            local_node: Value,
            consensus_history: [u8; 0],
            statistics: ManifestStatistics,
        }
        Self {
            document: Document::of(&New {
                blueprint_version: "v4.4",
                manifest_version: "1.0.0",
                description: "The federation as this node sees it; rewritten by the node, other keys are kept",
                created_at: now,
                last_updated: now,
                federation: json!({}),
                nodes: [],
                local_node: json!({}),
                consensus_history: [],
                statistics: ManifestStatistics::default(),
            }),
        }
    }

    /// Changes the manifest at `path` with `change`, and writes it if that changed anything, whole
    /// or not at all; only then `last_updated` is `now`. Whether it was written. Without a file it
    /// begins with [`empty`](Self::empty).
    ///
    /// # Errors
    /// If the file cannot be read or written, or somebody else never stops writing it.
    pub fn update(
        place: impl Into<Place>,
        now: &str,
        change: impl Fn(&mut Self),
    ) -> Result<bool, ManifestFileError> {
        let path = &place.into();
        for _ in 0..UPDATE_ATTEMPTS {
            let found = Self::read(path)?;
            let mut manifest = found.clone().unwrap_or_else(|| Self::empty(now));
            change(&mut manifest);
            // the time alone is no change: whoever watches the file would see one at each look
            if found
                .as_ref()
                .is_some_and(|found| found.document.text() == manifest.document.text())
            {
                return Ok(false);
            }
            manifest.set("last_updated", &json!(now));
            // the scripts and people write without a lock: what they wrote since it was read is not
            // undone
            let still = Self::read(path)?;
            if still.map(|m| m.document.text().to_owned())
                != found.map(|m| m.document.text().to_owned())
            {
                continue;
            }
            manifest.write(path)?;
            return Ok(true);
        }
        Err(ManifestFileError::Busy(path.to_path_buf()))
    }

    fn write(&self, path: &Place) -> Result<(), ManifestFileError> {
        let text = self.document.text().as_bytes();
        let made = path.directory().make();
        made.and_then(|()| path.replace(text))
            .context("write", path)?;
        Ok(())
    }

    /// The value of a key, with dots between the sections it is in.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.document.get(key)
    }

    /// The text of a key; empty if it has none.
    pub fn text(&self, key: &str) -> String {
        self.get(key)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Sets a key, unless it has that value already.
    pub fn set(&mut self, key: &str, value: &Value) {
        self.document.change(key, value);
    }

    /// The nodes, each as far as it can be read: of those that cannot, why not.
    pub fn nodes(&self) -> Vec<Result<ManifestNode, String>> {
        self.document
            .elements("nodes")
            .iter()
            .map(|text| ManifestNode::read(text))
            .collect()
    }

    /// The nodes that can be read.
    pub fn known_nodes(&self) -> Vec<ManifestNode> {
        self.nodes().into_iter().flatten().collect()
    }

    /// Puts `node` where one of its id, or of the id `instead_of`, stands, keeping whatever else
    /// that says; else at the end.
    pub fn put_node(&mut self, node: &ManifestNode, instead_of: Option<&str>) {
        let mut elements = self.document.elements("nodes");
        let is_it = |text: &String| {
            let id = ManifestNode::read(text).map(|found| found.node_id);
            id.is_ok_and(|id| id == node.node_id || Some(id.as_str()) == instead_of)
        };
        match elements.iter_mut().find(|text| is_it(text)) {
            Some(text) => *text = node.edit(text),
            None => elements.push(node.to_element()),
        }
        self.set_list("nodes", &elements);
    }

    /// Takes the node of this id out; whether there was one.
    pub fn remove_node(&mut self, node_id: &str) -> bool {
        let mut elements = self.document.elements("nodes");
        let before = elements.len();
        elements
            .retain(|text| ManifestNode::read(text).map_or(true, |node| node.node_id != node_id));
        self.set_list("nodes", &elements);
        elements.len() < before
    }

    /// The decisions, the oldest first, each as far as it can be read.
    pub fn history(&self) -> Vec<Result<HistoryRecord, String>> {
        self.document
            .elements("consensus_history")
            .iter()
            .map(|text| HistoryRecord::read(text))
            .collect()
    }

    /// Adds decisions, or puts them in the place of those that they are about; the latest
    /// [`HISTORY_RECORDS`] stay.
    pub fn add_history(&mut self, records: &[HistoryRecord]) {
        let mut elements = self.document.elements("consensus_history");
        let mut keys: Vec<_> = elements
            .iter()
            .map(|text| HistoryRecord::read(text).ok().map(|r| r.key()))
            .collect();
        for record in records {
            let key = Some(record.key());
            match keys.iter().rposition(|found| *found == key) {
                Some(place) if HistoryRecord::read(&elements[place]).as_ref() == Ok(record) => {}
                Some(place) => elements[place] = element(record),
                None => {
                    keys.push(key);
                    elements.push(element(record));
                }
            }
        }
        elements.drain(..elements.len().saturating_sub(HISTORY_RECORDS));
        self.set_list("consensus_history", &elements);
    }

    /// The counts; what is missing or no number is 0.
    pub fn statistics(&self) -> ManifestStatistics {
        let count = |key: &str| {
            let value = self.get(&format!("statistics.{key}")).unwrap_or_default();
            value
                .as_u64()
                .or_else(|| value.as_f64().filter(|n| *n >= 0.0).map(whole))
                .unwrap_or_default()
        };
        let last = self.text("statistics.last_consensus_check");
        ManifestStatistics {
            total_nodes: count("total_nodes"),
            active_nodes: count("active_nodes"),
            total_syncs: count("total_syncs"),
            successful_syncs: count("successful_syncs"),
            failed_syncs: count("failed_syncs"),
            consensus_agreements: count("consensus_agreements"),
            consensus_disagreements: count("consensus_disagreements"),
            last_consensus_check: Some(last).filter(|at| !at.is_empty()),
        }
    }

    /// Sets every count.
    pub fn set_statistics(&mut self, statistics: &ManifestStatistics) {
        self.set_keys("statistics", statistics);
    }

    /// What was carried over, once it was.
    pub fn carried_over(&self) -> Option<CarriedOver> {
        serde_json::from_value(self.get("ssid.carried_over")?).ok()
    }

    /// Writes down what was carried over.
    pub fn set_carried_over(&mut self, carried: &CarriedOver) {
        self.set_keys("ssid.carried_over", carried);
    }

    /// Sets the keys of `value` in `section`, others there are kept.
    fn set_keys(&mut self, section: &str, value: &impl Serialize) {
        // plain structs of text and numbers: nothing in them could not be written
        let keys = serde_json::to_value(value).unwrap_or_default();
        for (name, value) in keys.as_object().into_iter().flatten() {
            self.document.change(&format!("{section}.{name}"), value);
        }
    }

    /// Writes a list only if it is another than the one that stands there.
    fn set_list(&mut self, key: &str, elements: &[String]) {
        if self.document.elements(key) != elements {
            self.document.set_elements(key, elements);
        }
    }
}

/// A number as whole as the registry's schema has it.
#[expect(clippy::cast_sign_loss, reason = "checked by the callers")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// How deep the elements of the manifest's lists are indented.
const ELEMENT_INDENT: &str = "    ";

/// `value` as an element of one of the manifest's lists.
fn element(value: &impl Serialize) -> String {
    // text in JSON holds no raw line ends: those that are there are between the keys
    serde_json::to_string_pretty(value)
        .unwrap_or_default()
        .replace('\n', &format!("\n{ELEMENT_INDENT}"))
}
