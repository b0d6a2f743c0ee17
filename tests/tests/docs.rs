//! What the documents claim is what the program computes and knows.

use std::collections::BTreeMap;

use serde_json::Value;
use ssid_node::config::Settings;
use ssid_protocol::quorum::{faults_tolerated, quorum};

const SETTING_UP: &str = include_str!("../../docs/setting-up.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const NOTIFICATIONS: &str = include_str!("../../docs/notifications.md");

#[test]
fn the_table_of_what_is_tolerated_is_computed() {
    let rows: Vec<Vec<u64>> = SETTING_UP
        .lines()
        .map(|line| {
            line.split('|')
                .filter_map(|cell| cell.trim().parse().ok())
                .collect::<Vec<u64>>()
        })
        .filter(|cells| cells.len() == 4)
        .collect();
    assert!(rows.len() >= 5, "the table is there");
    for row in rows {
        let quorum = quorum(row[0], 6600, 2);
        assert_eq!(
            row,
            [row[0], quorum, row[0] - quorum, faults_tolerated(row[0])]
        );
    }
}

/// Every key of the configuration with its default, by its path. Lists and what is keyed by event
/// type are values.
fn keys_of(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                keys_of(member, &path, into);
            }
        }
        _ => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

/// The rows of a document's tables, as their cells.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands in backticks in a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_key_of_the_configuration_is_documented_with_its_default() {
    let mut keys = BTreeMap::new();
    let defaults = serde_json::to_value(Settings::default()).expect("settings are JSON");
    keys_of(&defaults, "", &mut keys);
    assert!(keys.len() > 90, "the keys are found: {}", keys.len());

    for cells in rows(CONFIGURATION) {
        let mut names: Vec<String> = Vec::new();
        for name in quoted(cells[0]) {
            let full = match (name.strip_prefix('.'), names.first()) {
                (Some(last), Some(first)) => {
                    format!(
                        "{}.{last}",
                        first.rsplit_once('.').expect("a path in the file").0
                    )
                }
                _ => name.to_owned(),
            };
            names.push(full);
        }
        for name in &names {
            let default = keys
                .remove(name)
                .unwrap_or_else(|| panic!("there is no key {name}, or it is documented twice"));
            let is_one = names.len() == 1;
            if is_one && (default.is_number() || default.is_boolean()) {
                assert_eq!(cells[1].trim_matches('`'), default.to_string(), "{name}");
            }
            if let (true, Some(text)) = (is_one, default.as_str()) {
                let text = if text.is_empty() { "empty" } else { text };
                assert_eq!(cells[1].trim_matches('`'), text, "{name}");
            }
        }
    }
    for name in rows(NOTIFICATIONS).flat_map(|cells| quoted(cells[0])) {
        let key = format!("notifications.events.{name}");
        assert!(keys.remove(&key).is_some(), "there is no key {key}");
    }
    assert!(keys.is_empty(), "not documented: {keys:?}");
}
