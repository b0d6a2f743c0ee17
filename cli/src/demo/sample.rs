//! What the demo's registries hold: a log as found in the wild, and what one of them says
//! differently.

use anyhow::{Context as _, Result};
use ssid_node::config::write_atomic;
use ssid_node::home::Home;
use ssid_node::registry::parse::{ParsedLog, Position, parse};
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::view::EventDraft;

/// Prose, pretty-printed and one-line objects, both line endings, and a broken object in the
/// middle.
const LOG: &str = include_str!("sample.log");
/// The release that one organisation recorded with another commit.
const DISPUTED: (&str, &str) = ("quarterly_release", "2026-Q1");
/// The commit of the release, and what the divergent registry says instead.
const COMMITS: (&str, &str) = ("4be91d7", "9c02f6e");
/// Events that happen while a node is down.
const LATER: [(&str, &str, &str); 5] = [
    ("policy_update", "v4.5.2", "41f7c0d"),
    ("root_lock_check", "2026-08", "41f7c0d"),
    ("governance_update", "v4.5.2", "6b02d9a"),
    ("compliance_audit", "2026-Q3", "c77e15b0"),
    ("blueprint_tagged", "v4.6.0", "f3a90c2"),
];
/// Names of nodes and organisations.
const NAMES: [(&str, &str); 6] = [
    ("Berlin", "Registry Office Berlin"),
    ("Vienna", "Danube Audit Cooperative"),
    ("Zurich", "Foundation for Open Records"),
    ("Lisbon", "Atlantic Standards Institute"),
    ("Oslo", "Nordic Compliance Board"),
    ("Dublin", "Liffey Trust Services"),
];

/// The names for a cluster; nodes beyond get plain ones.
pub(super) fn names() -> Vec<(String, String)> {
    NAMES
        .iter()
        .map(|(node, organization)| ((*node).to_owned(), (*organization).to_owned()))
        .collect()
}

/// Type and version of the event that one registry holds differently.
pub(super) fn disputed() -> (&'static str, &'static str) {
    DISPUTED
}

/// The sample log, read.
pub(super) fn parsed() -> ParsedLog {
    parse(LOG.as_bytes(), Position::START)
}

/// The log of a node: the last of them has another commit for one release.
fn log_of(index: usize, nodes: usize) -> String {
    if index + 1 == nodes {
        LOG.replace(COMMITS.0, COMMITS.1)
    } else {
        LOG.to_owned()
    }
}

/// Puts its registry log into a node's directory, where the node finds it.
pub(super) fn feed(index: usize, nodes: usize, home: &Home) -> Result<()> {
    let path = RegistryPaths::in_data_directory(home.root()).registry_log;
    write_atomic(&path, log_of(index, nodes).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What is announced while a node is down; the node that is offered it fills in the time and the
/// rest.
pub(super) fn later() -> Vec<EventDraft> {
    let draft = |(event, version, commit): &(&str, &str, &str)| EventDraft {
        event: (*event).to_owned(),
        version: (*version).to_owned(),
        commit_hash: (*commit).to_owned(),
        ..EventDraft::default()
    };
    LATER.iter().map(draft).collect()
}

/// How many events there are in the end.
pub(super) fn count() -> usize {
    parsed().entries.len() + LATER.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_of_the_wild_form_and_every_event_a_subject_of_its_own() {
        let log = parsed();
        assert_eq!((log.entries.len(), log.incomplete), (14, None));
        assert!(LOG.starts_with("Registry events initialized.\n") && LOG.contains("\r\n"));
        assert!(
            log.skipped
                .iter()
                .any(|s| matches!(s.reason, ssid_node::registry::parse::SkipReason::OpenString))
        );
        assert_eq!(
            log.entries
                .iter()
                .filter(|e| e.stated_hash.is_some())
                .count(),
            5
        );
        let mut subjects: Vec<_> = log
            .entries
            .iter()
            .map(|e| (e.event.event.clone(), e.event.version.clone()))
            .collect();
        subjects.extend(
            later()
                .into_iter()
                .map(|draft| (draft.event, draft.version)),
        );
        subjects.sort();
        let all = subjects.len();
        subjects.dedup();
        assert_eq!(subjects.len(), all);
    }

    #[test]
    fn one_node_differs_in_one_event() {
        let (usual, other) = (log_of(0, 4), log_of(3, 4));
        let read = |text: &str| parse(text.as_bytes(), Position::START).entries;
        let differing: Vec<_> = read(&usual)
            .into_iter()
            .zip(read(&other))
            .filter(|(a, b)| a.event != b.event)
            .collect();
        assert_eq!(differing.len(), 1);
        assert_eq!(
            (
                differing[0].0.event.event.as_str(),
                differing[0].0.event.version.as_str()
            ),
            DISPUTED
        );
        assert!(!differing[0].0.event.agrees_with(&differing[0].1.event));
    }
}
