//! What a repository of before holds: read, compared, and nothing changed.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use ssid_protocol::id::EventHash;
use ssid_protocol::manifest::Manifest;
use ssid_storage::{PathContext as _, PathError};

use super::carry_over::in_numbers;
use crate::config::{Config, ConfigError, Settings};
use crate::document::{Document, Unreadable};
use crate::place::{Entry, Place};
use crate::registry::file::FileError;
use crate::registry::manifest::{CarriedOver, FederationManifest, ManifestFileError, ManifestNode};
use crate::registry::parse::{Position, parse};
use crate::registry::paths::RegistryPaths;
use crate::registry::stream::read_all;

/// Files of `registry/events/` that are looked at.
const EVENT_FILES: usize = 1000;
/// Bytes read of each.
const EVENT_FILE_BYTES: u64 = 1024 * 1024;
/// Stretches of the log that are named; others are counted.
const QUARANTINED: usize = 100;

/// Why a repository cannot be surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// It has none of the registry's folders.
    #[error("{} is no governance repository: it has neither 24_meta_orchestration nor 07_governance_legal\n  name one with --repo DIR", .0.display())]
    NoRegistry(PathBuf),
    /// The manifest is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestFileError),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The registry log cannot be read.
    #[error(transparent)]
    Log(#[from] FileError),
    /// Some other file or directory cannot be read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Some other file is not what it should be.
    #[error("cannot read '{}': {reason}", path.display())]
    Malformed {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
}

/// What becomes of a node of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It has no key: its log is read, and counts to nothing.
    ObservationsOnly,
    /// It is a member of the federation by its key.
    Member,
    /// It is left where it stands.
    Skipped,
}

/// One node of the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct SurveyedNode {
    /// As the manifest has it; none if it cannot be read.
    pub node: Option<ManifestNode>,
    /// What becomes of it.
    pub action: Action,
    /// Why; empty if there is nothing to say.
    pub why: String,
}

/// The registry log in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogSurvey {
    /// How many events the log has.
    pub events: u64,
    /// Those with their hash beside them.
    pub with_hash: u64,
    /// Stretches of text between them, which are nothing to mend.
    pub prose: u64,
    /// Stretches that could not be read.
    pub quarantined: u64,
    /// The first of those, by line, and why.
    pub examples: Vec<String>,
    /// Whether it ends in the middle of an object.
    pub is_cut_off: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// Its path, as far as it is Unicode.
    pub repository: String,
    /// Whether there is a federation manifest.
    pub has_manifest: bool,
    /// The nodes that the manifest lists.
    pub nodes: Vec<SurveyedNode>,
    /// Decisions in its history that cannot be read, and why.
    pub unreadable_records: Vec<String>,
    /// What would be carried over; none if there is nothing, or it was done before.
    pub carries: Option<CarriedOver>,
    /// What was carried over before.
    pub carried: Option<CarriedOver>,
    /// The registry log; none if there is none.
    pub log: Option<LogSurvey>,
    /// Events in files of their own that the log does not have: file and event hash.
    pub apart: Vec<(String, String)>,
    /// What `config check` would say of the configuration; none if there is none.
    pub config: Option<Vec<String>>,
    /// Where manifest and configuration say different things; the configuration holds.
    pub disagreements: Vec<String>,
    /// Who the configuration says this node is.
    pub local_node: String,
    /// Whether there is a `telemetry_config.json`.
    pub has_telemetry_config: bool,
}

impl Survey {
    /// Looks at `repository`. `federation` is the manifest of the federation that this node is in,
    /// if it is in one.
    ///
    /// # Errors
    /// If it is no governance repository, or one of its files is there and cannot be read.
    pub fn of(
        repository: &Path,
        federation: Option<&Manifest>,
        now: &str,
    ) -> Result<Self, SurveyError> {
        let paths = RegistryPaths::in_repository(repository);
        let has = |name: &str| repository.join(name).is_dir();
        // one of both is enough: old registries have only the second
        if !has("24_meta_orchestration") && !has("07_governance_legal") {
            return Err(SurveyError::NoRegistry(repository.to_owned()));
        }
        let manifest = FederationManifest::read(&paths.federation_manifest)?;
        let config = match Config::load(&paths.federation_config) {
            Err(ConfigError::Missing(_)) => None,
            loaded => Some(loaded?),
        };
        // told and not mended: which of the two is right only people know
        let disagreements = match (&manifest, &config) {
            (Some(manifest), Some(config)) => disagreements(manifest, &config.settings),
            _ => Vec::new(),
        };
        let local = config
            .as_ref()
            .map(|config| config.settings.local_node.clone())
            .unwrap_or_default();
        let read = manifest.as_ref();
        let history = read.map(FederationManifest::history).unwrap_or_default();
        let carried = read.and_then(FederationManifest::carried_over);
        // before the log, which takes those out that it has as well
        let mut apart = event_files(&paths.event_files)?;
        let log = survey_log(&paths.registry_log, &mut apart)?;
        Ok(Self {
            repository: repository.display().to_string(),
            has_manifest: read.is_some(),
            nodes: read
                .map(|m| survey_nodes(m, federation, &local.git_remote))
                .unwrap_or_default(),
            unreadable_records: history.into_iter().filter_map(Result::err).collect(),
            carries: read.and_then(|m| in_numbers(m, now)),
            carried,
            apart: apart
                .into_iter()
                .map(|(file, hash)| (file, hash.to_string()))
                .collect(),
            log,
            config: config.map(|config| config.check().iter().map(ToString::to_string).collect()),
            disagreements,
            local_node: local.node_name,
            has_telemetry_config: is_document(&paths.telemetry_config)?,
        })
    }
}

/// The scripts read these from the manifest and nothing from the configuration; here it is the
/// other way round.
fn disagreements(manifest: &FederationManifest, settings: &Settings) -> Vec<String> {
    let expected = [
        (
            "enabled",
            "federation.enabled",
            json!(settings.federation.enabled),
        ),
        (
            "mode",
            "federation.mode",
            json!(settings.federation.mode.as_str()),
        ),
        (
            "consensus_threshold",
            "consensus_settings.threshold",
            json!(settings.consensus_settings.threshold),
        ),
        (
            "sync_interval_minutes",
            "sync_settings.interval_minutes",
            json!(settings.sync_settings.interval_minutes),
        ),
    ];
    let differs = |(key, configured, expected): &(&str, &str, Value)| {
        let found = manifest.get(&format!("federation.{key}"))?;
        let is_same =
            // 0.66 and 66e-2 are one number
            found == *expected || found.as_f64().is_some() && found.as_f64() == expected.as_f64();
        (!is_same).then(|| {
            let found: String = found.to_string().chars().take(100).collect();
            format!(
                "the manifest says federation.{key} {found}, the configuration {configured} {expected}, which decides"
            )
        })
    };
    expected.iter().filter_map(differs).collect()
}

fn survey_nodes(
    manifest: &FederationManifest,
    federation: Option<&Manifest>,
    own_remote: &str,
) -> Vec<SurveyedNode> {
    let mut seen = BTreeSet::new();
    let judge = |read: Result<ManifestNode, String>| {
        let node = match read {
            Ok(node) => node,
            Err(why) => {
                return SurveyedNode {
                    node: None,
                    action: Action::Skipped,
                    why,
                };
            }
        };
        let members = federation.map(|f| f.members.as_slice()).unwrap_or_default();
        // by address too: in the manifest of old it has another id
        let is_it = |m: &&ssid_protocol::member::Member| {
            m.node_id.to_string() == node.node_id
                || !m.git_remote.is_empty() && m.git_remote == node.git_remote
        };
        // the scripts take the first of one id, and so does this
        let (action, why) = if !seen.insert(node.node_id.clone()) {
            (
                Action::Skipped,
                "its id stands in the manifest twice".to_owned(),
            )
        } else if let Some(member) = members.iter().find(is_it) {
            (
                Action::Member,
                format!("is member {} with a key", member.node_name),
            )
        } else if node.git_remote.is_empty() {
            (
                Action::Skipped,
                "it has no repository and no key".to_owned(),
            )
        } else if node.git_remote == own_remote {
            (Action::Skipped, "it is this repository itself".to_owned())
        } else if node.has_key() {
            (
                Action::Skipped,
                "it has a key, but is in no federation that this node is in".to_owned(),
            )
        } else {
            (Action::ObservationsOnly, String::new())
        };
        SurveyedNode {
            node: Some(node),
            action,
            why,
        }
    };
    manifest.nodes().into_iter().map(judge).collect()
}

/// The log in numbers. Events that stand in it are taken out of `apart`.
fn survey_log(
    path: &Place,
    apart: &mut Vec<(String, EventHash)>,
) -> Result<Option<LogSurvey>, SurveyError> {
    let mut survey = LogSurvey::default();
    let mut elsewhere: BTreeSet<EventHash> = apart.iter().map(|(_, hash)| *hash).collect();
    let read = read_all(path, |log| {
        survey.events += log.entries.len() as u64;
        survey.with_hash += log
            .entries
            .iter()
            .filter(|entry| entry.stated_hash.is_some())
            .count() as u64;
        // a log may have millions of lines: hashed only while there is something to find
        for entry in log.entries.iter().filter(|_| !apart.is_empty()) {
            elsewhere.remove(&entry.event.event_hash());
        }
        let quarantined = log.quarantined();
        let lines: Vec<_> = quarantined
            .map(|s| format!("lines {}-{}: {}", s.first_line, s.last_line, s.reason))
            .collect();
        survey.prose += (log.skipped.len() - lines.len()) as u64;
        survey.quarantined += lines.len() as u64;
        // a few examples say what is wrong; the count says how much
        let room = QUARANTINED.saturating_sub(survey.examples.len());
        survey.examples.extend(lines.into_iter().take(room));
        survey.is_cut_off = log.incomplete.is_some();
    })?;
    apart.retain(|(_, hash)| elsewhere.contains(hash));
    Ok(read.map(|_| survey))
}

/// Events in `registry/events/*.json`. Most files there are no events at all.
fn event_files(directory: &Place) -> Result<Vec<(String, EventHash)>, SurveyError> {
    let listed = match directory.entries(EVENT_FILES) {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        listed => listed.context("read", directory)?,
    };
    let is_event = |entry: &Entry| {
        entry
            .place
            .extension()
            .is_some_and(|ending| ending == "json")
    };
    let mut found = Vec::new();
    for entry in listed
        .into_iter()
        .filter(|entry| is_event(entry) && entry.place.is_file())
    {
        let mut bytes = Vec::new();
        let read = entry
            .place
            .open()
            // of a huge file only its beginning: the limit is far above any event
            .and_then(|file| file.take(EVENT_FILE_BYTES).read_to_end(&mut bytes));
        read.context("read", &entry.place)?;
        let events = parse(&bytes, Position::START)
            .entries
            .into_iter()
            .map(|entry| entry.event.event_hash());
        found.extend(events.map(|hash| (entry.name.clone(), hash)));
    }
    Ok(found)
}

/// Whether there is a JSON document; an error if what is there is none.
fn is_document(path: &Place) -> Result<bool, SurveyError> {
    match Document::read(path, crate::config::FILE_BYTES) {
        Ok(_) => Ok(true),
        Err(Unreadable::Missing) => Ok(false),
        Err(Unreadable::Syntax(reason)) => Err(SurveyError::Malformed {
            path: path.to_path_buf(),
            reason,
        }),
        Err(Unreadable::Io(error)) => Err(error.into()),
    }
}
