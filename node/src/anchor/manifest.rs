//! `ipfs_anchor_manifest.json`: what is anchored, in the registry's own schema. People and other
//! tools write it too: whatever they have put there stays as it is, byte for byte; records are
//! added at the end, `statistics` follow, and the file is replaced whole or not at all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ssid_storage::PathContext as _;

use super::error::AnchorError;
use crate::document::{Document, Unreadable};
use crate::place::Place;

/// Bytes of the largest manifest that is read: about 100,000 anchors.
pub const MANIFEST_BYTES: u64 = 64 << 20;

/// One anchor, as the manifest's `anchor_schema` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnchorRecord {
    /// Relative to the repository.
    pub file_path: String,
    /// Its last part.
    pub file_name: String,
    /// SHA-256 of the content.
    pub file_hash: String,
    /// What IPFS calls it.
    pub ipfs_cid: String,
    /// Where anybody can fetch it.
    pub ipfs_gateway_url: String,
    /// When it was anchored.
    pub anchored_at: String,
    /// Type of the event that called for it.
    pub event_type: String,
    /// That event's version.
    pub event_version: String,
    /// When that event happened.
    pub event_timestamp: String,
    /// The blueprint in force at that event.
    pub blueprint_version: String,
    /// Whether somebody keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// The pinning service that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_service: Option<String>,
    /// The provider it was uploaded to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_provider: Option<String>,
}

/// The manifest, read.
#[derive(Debug)]
pub struct AnchorManifest {
    document: Document,
    /// Its anchors in order; what is no record at all is left out here, and stays in the file.
    pub anchors: Vec<AnchorRecord>,
}

impl AnchorManifest {
    /// Reads it; one that is not there is empty.
    ///
    /// # Errors
    /// If it cannot be read, is too large or no JSON object with a list of anchors.
    pub fn read(place: impl Into<Place>) -> Result<Self, AnchorError> {
        let path = &place.into();
        let unusable = |reason: String| AnchorError::Manifest {
            path: path.to_path_buf(),
            reason,
        };
        // what the old instructions make with touch
        let is_empty = path.read(0).is_ok();
        let document = match if is_empty {
            Err(Unreadable::Missing)
        } else {
            // written by scripts and people too: what cannot be read as an anchor is kept and not
            // counted
            Document::read(path, MANIFEST_BYTES)
        } {
            Ok(document) => document,
            Err(Unreadable::Missing) => {
                Document::new(fresh()).map_err(|e| unusable(e.to_string()))?
            }
            Err(Unreadable::Syntax(reason)) => return Err(unusable(reason)),
            Err(Unreadable::Io(error)) => return Err(error.into()),
        };
        let listed = document.get("anchors").unwrap_or_else(|| json!([]));
        let Value::Array(listed) = listed else {
            return Err(unusable("`anchors` is no list".to_owned()));
        };
        let anchors = listed
            .into_iter()
            .filter_map(|item| serde_json::from_value(item).ok())
            .collect();
        Ok(Self { document, anchors })
    }

    /// Adds records to the file at `path`, which is made where it is missing. Another process that
    /// does the same waits.
    ///
    /// # Errors
    /// If it cannot be read or written; it is then as it was.
    pub fn append(
        place: impl Into<Place>,
        records: &[AnchorRecord],
        now: &str,
    ) -> Result<(), AnchorError> {
        let path = &place.into();
        let directory = path.directory();
        directory.make().context("write", path)?;
        let lock = directory.open_directory().context("write", path)?;
        lock.lock().context("write", path)?;
        let mut manifest = Self::read(path)?;
        manifest.add(records, now);
        let text = manifest.document.text();
        Ok(path.replace(text.as_bytes()).context("write", path)?)
    }

    fn add(&mut self, records: &[AnchorRecord], now: &str) {
        let mut elements = self.document.elements("anchors");
        let indented = |text: String| text.replace('\n', "\n    ");
        elements.extend(
            records
                .iter()
                .filter_map(|r| serde_json::to_string_pretty(r).ok())
                .map(indented),
        );
        self.document.set_elements("anchors", &elements);
        self.anchors.extend_from_slice(records);
        for (name, value) in self.statistics() {
            self.document.set(&format!("statistics.{name}"), &value);
        }
        self.document.set("last_updated", &json!(now));
    }

    fn statistics(&self) -> [(&'static str, Value); 5] {
        let paths: BTreeSet<&str> = self.anchors.iter().map(|a| a.file_path.as_str()).collect();
        // times are ISO 8601 in UTC: their order is that of their text
        let dates = || {
            self.anchors
                .iter()
                .map(|a| a.anchored_at.as_str())
                .filter(|date| !date.is_empty())
        };
        let providers = self
            .anchors
            .iter()
            .flat_map(|a| [&a.storage_provider, &a.pin_service])
            .flatten();
        [
            ("total_anchors", json!(self.anchors.len())),
            ("total_files_anchored", json!(paths.len())),
            ("first_anchor_date", json!(dates().min())),
            ("last_anchor_date", json!(dates().max())),
            (
                "storage_providers",
                json!(providers.collect::<BTreeSet<_>>()),
            ),
        ]
    }
}

/// A manifest without anchors. It states what is there and claims nothing.
fn fresh() -> String {
    r#"{
  "blueprint_version": "v4.3",
  "manifest_version": "1.0.0",
  "description": "What of this registry is anchored on IPFS, written by ssid anchor",
  "last_updated": null,
  "anchors": [],
  "statistics": {
    "total_anchors": 0,
    "total_files_anchored": 0,
    "first_anchor_date": null,
    "last_anchor_date": null,
    "storage_providers": []
  },
  "verification": {
    "verification_command": "ssid anchor verify",
    "manual_verification": "ipfs cat <CID> | sha256sum  # compare with file_hash"
  }
}
"#
    .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;

    fn record(path: &str, at: &str, provider: &str) -> AnchorRecord {
        AnchorRecord {
            file_path: path.to_owned(),
            anchored_at: at.to_owned(),
            storage_provider: Some(provider.to_owned()),
            ..AnchorRecord::default()
        }
    }

    #[test]
    fn records_and_statistics_are_added_and_everything_else_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/ipfs_anchor_manifest.json");
        fs::create_dir(home.path().join("deep")).unwrap();
        let before = "{\n  \"house\": {\"ours\": 1},\n  \"anchors\": [\n    {\"file_path\": \"a\", \"own\": true, \"anchored_at\": \"2025-01-01T00:00:00Z\"}\n  ],\n  \"statistics\": {\n    \"total_anchors\": 1,\n    \"note\": \"kept\"\n  }\n}\n";
        fs::write(&path, before).unwrap();
        let added = [
            record("a", "2025-03-01T00:00:00Z", "local"),
            record("b", "2025-02-01T00:00:00Z", "remote"),
        ];
        AnchorManifest::append(&path, &added, "2025-03-01T00:00:01Z").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for kept in [
            "\"house\": {\"ours\": 1}",
            "{\"file_path\": \"a\", \"own\": true, ",
            "\"note\": \"kept\"",
        ] {
            assert!(text.contains(kept), "{text}");
        }
        let json: Value = serde_json::from_str(&text).unwrap();
        let statistics = &json["statistics"];
        assert_eq!(
            (
                &statistics["total_anchors"],
                &statistics["total_files_anchored"]
            ),
            (&json!(3), &json!(2))
        );
        assert_eq!(statistics["first_anchor_date"], "2025-01-01T00:00:00Z");
        assert_eq!(statistics["last_anchor_date"], "2025-03-01T00:00:00Z");
        assert_eq!(statistics["storage_providers"], json!(["local", "remote"]));
        assert_eq!(json["last_updated"], "2025-03-01T00:00:01Z");
        assert_eq!(AnchorManifest::read(&path).unwrap().anchors[1..], added);
    }

    #[test]
    fn a_missing_or_empty_one_is_made_and_a_broken_one_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/manifest.json");
        AnchorManifest::append(
            &path,
            &[record("a", "2025-03-01T00:00:00Z", "local")],
            "now",
        )
        .unwrap();
        assert_eq!(AnchorManifest::read(&path).unwrap().anchors.len(), 1);
        fs::write(&path, "").unwrap();
        assert!(AnchorManifest::read(&path).unwrap().anchors.is_empty());
        for broken in ["{\"anchors\": [", "{\"anchors\": 7}", "[]"] {
            fs::write(&path, broken).unwrap();
            let refused = AnchorManifest::append(&path, &[record("a", "x", "local")], "now")
                .unwrap_err()
                .to_string();
            assert!(
                refused.contains("manifest.json") && refused.contains("move it away"),
                "{refused}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("manifest.json");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    AnchorManifest::append(
                        path,
                        &[record(&n.to_string(), "2025-03-01T00:00:00Z", "local")],
                        "now",
                    )
                    .unwrap();
                });
            }
        });
        assert_eq!(AnchorManifest::read(&path).unwrap().anchors.len(), 8);
    }
}
