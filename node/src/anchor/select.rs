//! Which files an event calls for: the table of blueprint v4.3.
//!
//! Only the kinds of files named here are ever published, by directory, ending and name:
//! configuration, keys and data files of other tools lie beside them.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use ssid_protocol::event::Event;
use ssid_storage::PathContext as _;

use super::error::AnchorError;
use crate::place::Place;
use crate::registry::file::{Change, RegistryFile};
use crate::registry::paths::RegistryPaths;

/// How deep directories are looked into.
const DEPTH: usize = 8;
/// Files looked at in one directory tree.
const FILES: usize = 100_000;

/// A kind of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    RegistryLog,
    ReleaseBundles,
    ReleaseManifests,
    DashboardCsv,
    ComplianceReports,
    DashboardMarkdown,
    DashboardFiles,
    GovernanceDocuments,
}

/// A word in the event type, and the kinds of files that events with it call for. Every event calls
/// for the registry log.
const TABLE: &[(&str, &[Kind])] = &[
    ("", &[Kind::RegistryLog]),
    ("release", &[Kind::ReleaseBundles, Kind::ReleaseManifests]),
    (
        "quarterly",
        &[
            Kind::RegistryLog,
            Kind::DashboardCsv,
            Kind::ComplianceReports,
        ],
    ),
    (
        "governance",
        &[Kind::DashboardFiles, Kind::GovernanceDocuments],
    ),
    ("dashboard", &[Kind::DashboardMarkdown, Kind::DashboardCsv]),
];

/// The event for which something is anchored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// The event's type, which decides the files.
    pub event: String,
    /// The event's version, for the record.
    pub version: String,
    /// When it happened.
    pub timestamp: String,
    /// The blueprint in force.
    pub blueprint: String,
}

impl From<&Event> for Trigger {
    fn from(event: &Event) -> Self {
        Self {
            event: event.event.clone(),
            version: event.version.clone(),
            timestamp: event.timestamp.clone(),
            blueprint: event.blueprint.clone(),
        }
    }
}

/// A file to anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is; opening it may be refused, by name.
    pub place: Place,
    /// The same relative to the repository, with `/` between.
    pub relative: String,
    /// The latest event that calls for it.
    pub trigger: Trigger,
}

/// The kinds of files that events call for, each with the latest event that does. Events come in
/// order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeMap<Kind, Trigger>);

impl Wanted {
    /// Notes an event.
    pub fn add(&mut self, event: &Event) {
        let name = event.event.to_ascii_lowercase();
        for (word, kinds) in TABLE.iter().filter(|(word, _)| name.contains(word)) {
            tracing::trace!(event = name, word, "calls for files");
            for kind in *kinds {
                self.0.insert(*kind, Trigger::from(event));
            }
        }
    }

    /// Notes every event of the registry's own log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_registry(paths: &RegistryPaths) -> Result<Self, AnchorError> {
        let mut wanted = Self::default();
        wanted.add_registry(paths)?;
        Ok(wanted)
    }

    /// The same, besides those noted already.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn add_registry(&mut self, paths: &RegistryPaths) -> Result<(), AnchorError> {
        let mut file = RegistryFile::open(&paths.registry_log)?;
        while let Change::Appended(log) = file.read_new()? {
            log.entries.iter().for_each(|entry| self.add(&entry.event));
        }
        Ok(())
    }

    /// Whether no event was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files of those kinds that exist, in order of their paths.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn files(&self, paths: &RegistryPaths) -> Result<Vec<Candidate>, AnchorError> {
        let mut found: BTreeMap<Place, &Trigger> = BTreeMap::new();
        for (kind, trigger) in &self.0 {
            for place in kind.files(paths)? {
                let latest = found.entry(place).or_insert(trigger);
                if trigger.timestamp > latest.timestamp {
                    *latest = trigger;
                }
            }
        }
        let candidate = |(place, trigger): (Place, &Trigger)| {
            let relative = place
                .strip_prefix(&paths.root)
                .unwrap_or(&place)
                .to_string_lossy()
                .into_owned();
            Candidate {
                place,
                relative,
                trigger: trigger.clone(),
            }
        };
        Ok(found.into_iter().map(candidate).collect())
    }
}

impl Kind {
    fn files(self, paths: &RegistryPaths) -> Result<Vec<Place>, AnchorError> {
        match self {
            Self::RegistryLog => Ok(existing(&paths.registry_log)),
            Self::DashboardCsv => Ok(existing(&paths.dashboard_csv)),
            Self::ReleaseBundles => {
                walk(&paths.releases, DEPTH, &|name| has_ending(name, &["zip"]))
            }
            Self::ReleaseManifests => {
                let is_manifest =
                    |name: &str| name.contains("release_manifest") && has_ending(name, &["json"]);
                // beside the federation's manifest, not below: there stand other people's files
                let mut files = walk(&paths.federation_manifest.directory(), 0, &is_manifest)?;
                files.extend(walk(&paths.releases, DEPTH, &is_manifest)?);
                Ok(files)
            }
            Self::ComplianceReports => walk(&paths.reports, DEPTH, &|name| {
                name.contains("compliance") && has_ending(name, &["md", "json", "pdf"])
            }),
            Self::DashboardMarkdown => dashboard(paths, &["md"]),
            Self::DashboardFiles => dashboard(paths, &["md", "csv", "html", "svg", "png"]),
            Self::GovernanceDocuments => walk(
                // governance has folders of its own; how deep depends on where the configuration
                // lies
                &paths.federation_config.directory(),
                depth_of(paths),
                &|name| has_ending(name, &["md", "pdf"]),
            ),
        }
    }
}

/// In a repository everything in the dashboard's directory belongs to it; in a data directory its
/// names say so.
fn dashboard(paths: &RegistryPaths, endings: &[&str]) -> Result<Vec<Place>, AnchorError> {
    let directory = paths.dashboard_csv.directory();
    let all = directory
        .file_name()
        .is_some_and(|name| name == "dashboard");
    walk(&directory, depth_of(paths), &|name| {
        (all || name.contains("dashboard")) && has_ending(name, endings)
    })
}

/// A data directory's own folders hold the database and keys: only what lies beside the registry's
/// files is looked at.
fn depth_of(paths: &RegistryPaths) -> usize {
    if paths.in_shared_repository() {
        DEPTH
    } else {
        0
    }
}

/// A file that must not be opened is one that is there: whoever opens it learns why not.
fn existing(place: &Place) -> Vec<Place> {
    if place.exists() {
        vec![place.clone()]
    } else {
        Vec::new()
    }
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, ending)| endings.contains(&ending))
}

/// Files below `directory` whose lower-case names are wanted. Hidden ones, and links to
/// directories, are passed over; a directory that is missing is empty. What must not be opened is
/// found too, a start directory itself: whoever opens it says by name why not.
fn walk(
    directory: &Place,
    depth: usize,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Place>, AnchorError> {
    let mut files = Vec::new();
    // a stack and not recursion: how deep folders are nested is decided in the repository
    let mut open = vec![(directory.clone(), depth)];
    // over all folders together: a tree of many small ones costs as much as a large one
    let mut room = FILES;
    while let Some((directory, depth)) = open.pop() {
        let entries = match directory.entries(room) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            // a link in the place of a directory, or a file
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::NotADirectory
                ) =>
            {
                files.push(directory);
                continue;
            }
            entries => entries.context("read", &directory)?,
        };
        room -= entries.len();
        for entry in entries {
            let name = entry.name.to_lowercase();
            // half-written files and those of editors
            if name.starts_with('.') {
                continue;
            }
            if entry.is_directory {
                if depth > 0 {
                    open.push((entry.place, depth - 1));
                }
            } else if wanted(&name) && !entry.place.is_dir() {
                // a link to a directory would lead out of it, or in a circle
                files.push(entry.place);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
