//! One node of the federation manifest: the twelve keys of the registry's schema.

use serde::Serialize;
use serde_json::{Value, json};
use ssid_protocol::id::Sha256Hash;

use super::{ELEMENT_INDENT, element};
use crate::document::Document;

/// Bytes of the longest text of a node.
const TEXT_BYTES: usize = 2048;

/// A node as the manifest has it, in the order of the registry's schema. The scripts of deployments
/// without keys refuse nodes with any other key, so none is added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManifestNode {
    /// A voting key in hex, or the id of a node without one: [`legacy_id`] of its repository.
    pub node_id: String,
    /// What its operators call it.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
    /// The address of its Git repository, empty if it has none.
    pub git_remote: String,
    /// Its API; empty if none.
    pub api_endpoint: String,
    /// Fingerprint of the key that signs its commits; empty if none is known.
    pub public_key_fingerprint: String,
    /// Since when it is in the federation.
    pub added_at: Option<String>,
    /// When it was last synced with.
    pub last_seen: Option<String>,
    /// `active`, `inactive` or `suspended`.
    pub status: String,
    /// Its compliance score, a number or text; null if it is not known.
    pub compliance_score: Value,
    /// Its blueprint, `unknown` if that is not known.
    pub blueprint_version: String,
    /// Its trust, 0–100; null if none is recorded.
    pub trust_score: Option<i64>,
}

/// The id of a node that has no key: the first 16 hex digits of the SHA-256 of its repository's
/// address.
pub fn legacy_id(git_remote: &str) -> String {
    let mut id = Sha256Hash::of(&[git_remote.as_bytes()]).to_string();
    id.truncate(16);
    id
}

impl ManifestNode {
    /// A node of which only the repository is known.
    pub fn new(git_remote: &str, node_name: &str, organization: &str, added_at: &str) -> Self {
        Self {
            node_id: legacy_id(git_remote),
            node_name: node_name.to_owned(),
            organization: organization.to_owned(),
            git_remote: git_remote.to_owned(),
            api_endpoint: String::new(),
            public_key_fingerprint: String::new(),
            added_at: Some(added_at.to_owned()),
            last_seen: None,
            status: "active".to_owned(),
            compliance_score: Value::Null,
            blueprint_version: "unknown".to_owned(),
            trust_score: Some(50),
        }
    }

    /// Whether it takes part.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Whether its id is a voting key.
    pub fn has_key(&self) -> bool {
        self.node_id.len() == 64
    }

    /// Reads one element of `nodes`. What is missing is empty; an element without an id is none.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        // scripts and people have written numbers and nulls where texts belong: read as what they
        // look like
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let text = |key: &str| match &value[key] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let optional = |key: &str| Some(text(key)).filter(|text| !text.is_empty());
        let node = Self {
            node_id: text("node_id"),
            node_name: text("node_name"),
            organization: text("organization"),
            git_remote: text("git_remote"),
            api_endpoint: text("api_endpoint"),
            public_key_fingerprint: text("public_key_fingerprint"),
            added_at: optional("added_at"),
            last_seen: optional("last_seen"),
            status: optional("status").unwrap_or_else(|| "active".to_owned()),
            compliance_score: value["compliance_score"].clone(),
            blueprint_version: text("blueprint_version"),
            trust_score: score(&value["trust_score"]),
        };
        let texts = [
            &node.node_id,
            &node.node_name,
            &node.organization,
            &node.git_remote,
            &node.status,
        ];
        // one reason at a time, in the order in which a reader would mend them
        match () {
            () if !value.is_object() => Err("no object".to_owned()),
            () if node.node_id.is_empty() => Err("it has no node_id".to_owned()),
            () if texts.iter().any(|text| text.len() > TEXT_BYTES) => {
                Err(format!("a text exceeds {TEXT_BYTES} bytes"))
            }
            () => Ok(node),
        }
    }

    /// A new element of `nodes`.
    pub(super) fn to_element(&self) -> String {
        element(self)
    }

    /// The element `text` with this node's values; its other keys, and the form of what is not
    /// changed, stay.
    pub(super) fn edit(&self, text: &str) -> String {
        let Ok(mut document) = Document::new(format!("{ELEMENT_INDENT}{text}")) else {
            return self.to_element();
        };
        let before = Self::read(text);
        let values = serde_json::to_value(self).unwrap_or_default();
        let old = before
            .ok()
            .and_then(|node| serde_json::to_value(node).ok())
            .unwrap_or_default();
        for (name, value) in values.as_object().into_iter().flatten() {
            // compared as read: a score that somebody wrote as 85.0 stays so while it is 85
            if old[name] != *value || document.get(name).is_none() {
                document.change(name, value);
            }
        }
        document.text().trim_start().to_owned()
    }

    /// The node's values by key, for JSON answers.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|_| json!({ "node_id": self.node_id }))
    }
}

/// A trust score as people and scripts write it.
fn score(value: &Value) -> Option<i64> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0..=100.0)
        .contains(&number)
        .then(|| number.round() as i64)
}
