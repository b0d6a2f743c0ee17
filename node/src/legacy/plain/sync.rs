//! One sync of a deployment without keys, all six phases; how a node's log is fetched is the
//! caller's.

use std::cell::RefCell;
use std::future::Future;
use std::io::Read;
use std::path::Path;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use ssid_storage::{PathContext as _, PathError};

use super::aftermath::write_reports;
use super::decide::{Comparison, Rules, needed, weigh};
use super::gather::{GatherError, Gatherer, KEEPING};
use super::members::{PlainMember, partners};
use super::record::{Observation, Outcome, write_down};
use super::tally::{Decided, Tally};
use crate::clock;
use crate::config::Settings;
use crate::conflicts;
use crate::known_members::{KnownMembers, KnownMembersError};
use crate::place::Place;
use crate::registry::append::append_behind;
use crate::registry::file::{FileError, RegistryFile};
use crate::registry::manifest::{
    FederationManifest, HistoryRecord, ManifestFileError, ManifestNode,
};
use crate::registry::parse::Position;
use crate::registry::paths::RegistryPaths;

/// Why a sync failed as a whole. What fails at one node is told in its report.
#[derive(Debug, thiserror::Error)]
pub enum PlainSyncError {
    /// The manifest is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestFileError),
    /// The list of known members is not usable.
    #[error(transparent)]
    Known(#[from] KnownMembersError),
    /// There is no usable `git`.
    #[error(transparent)]
    Git(#[from] crate::git::GitError),
    /// The own registry log is not usable.
    #[error(transparent)]
    Log(#[from] FileError),
    /// What the logs say cannot be kept meanwhile, or is too much.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// To append now would cut somebody's line in two.
    #[error("{} is being written by another program\n  try again when that has ended", .0.display())]
    BeingWritten(std::path::PathBuf),
    /// A conflict report cannot be written.
    #[error(transparent)]
    Report(PathError),
    /// The task was broken off.
    #[error("the sync was broken off: {0}")]
    BrokenOff(String),
}

/// What a sync is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainSyncOptions {
    /// Also if the last one was a moment ago.
    pub force: bool,
    /// Append what a quorum has, whatever `conflict_resolution.auto_apply_consensus` says.
    pub apply: bool,
    /// Whether this deployment has members with keys: then plain logs are observed; nothing is
    /// decided or appended.
    pub has_keys: bool,
}

/// A deployment: its files, and where other files may be put meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    /// The registry's files.
    pub paths: &'a RegistryPaths,
    /// The configuration of the repository.
    pub settings: &'a Settings,
    /// Nodes that `ssid nodes observe` made known.
    pub known: &'a KnownMembers,
    /// A directory of this node's.
    pub scratch: &'a Path,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// `federation.enabled` is false.
    NotEnabled,
    /// The last sync, at this time, is less than `sync_settings.interval_minutes` ago.
    Recent(String),
    /// No active node has a repository.
    NoNodes,
    /// `security.allow_unsigned_members` is false, or members have keys and it is not set.
    NotAllowed,
}

/// How it went with one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The node's id in the manifest.
    pub node_id: String,
    /// The node's name in the manifest.
    pub node_name: String,
    /// Its log compared with the own one; none if it could not be had.
    pub comparison: Option<Comparison>,
    /// Stretches of its log that could not be read.
    pub quarantined: u64,
    /// Why its log could not be had.
    pub error: Option<String>,
    /// Whether its repository was read all the same, and what stands where the log should be is
    /// none.
    #[serde(default)]
    pub is_unusable: bool,
}

/// Why a node's log could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What went wrong, in words.
    pub why: String,
    /// Whether its repository was read, and what stands where the log should be is none.
    pub is_unusable: bool,
}

impl From<String> for Unread {
    fn from(why: String) -> Self {
        Self {
            why,
            is_unusable: false,
        }
    }
}

/// How a sync went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlainSyncReport {
    /// Why nothing was done, if nothing was.
    pub skipped: Option<Skipped>,
    /// The active nodes, highest trust first.
    pub nodes: Vec<NodeReport>,
    /// Whether there are members with keys: then nothing is decided by plain logs, and all counts
    /// below are 0.
    pub observed_only: bool,
    /// Events that a quorum has and the own log had not.
    pub achieved: u64,
    /// Events about which enough nodes say something, and no quorum the same.
    pub failed: u64,
    /// Events that too few nodes have said anything about.
    pub insufficient: u64,
    /// How many of those achieved were appended.
    pub applied: u64,
    /// Decisions that fared otherwise than at the last sync, at most as many as the history holds.
    pub changed: Vec<HistoryRecord>,
}

/// Whether plain logs are read: as configured, else as long as nobody has a key.
pub fn allows_unsigned(settings: &Settings, has_keys: bool) -> bool {
    settings
        .security
        .allow_unsigned_members
        .unwrap_or(!has_keys)
}

/// Syncs with every active node without a key. `fetch` gives a node's registry log, or why it
/// cannot. However long the logs are, memory does not grow with them.
///
/// # Errors
/// If the registry's own files cannot be read or written.
pub async fn sync<F, Fut, L, E>(
    deployment: Deployment<'_>,
    options: PlainSyncOptions,
    fetch: F,
) -> Result<PlainSyncReport, PlainSyncError>
where
    F: Fn(ManifestNode) -> Fut,
    Fut: Future<Output = Result<L, E>>,
    L: Read + Send + 'static,
    E: Into<Unread>,
{
    let Deployment {
        paths,
        settings,
        known,
        scratch,
    } = deployment;
    // one time for the whole sync: what is too old is the same for every log
    let began = clock::now();
    let manifest = FederationManifest::read(&paths.federation_manifest)?;
    let nodes = partners(manifest.as_ref(), known, settings, &began.iso());
    // before anything is fetched: a skipped sync costs the others nothing
    if let Some(skipped) = why_not(manifest.as_ref(), settings, options, &nodes) {
        return Ok(PlainSyncReport {
            skipped: Some(skipped),
            ..PlainSyncReport::default()
        });
    }
    let gatherer = Gatherer::new(scratch, Rules::of(settings, began))?;
    let (gatherer, read) = gather(gatherer, &nodes, settings, fetch).await?;
    let work = Work {
        log: paths.registry_log.clone(),
        others: nodes.len(),
        before: manifest
            .iter()
            .flat_map(FederationManifest::history)
            .flatten()
            .collect(),
        // with keys there are votes: plain logs are then shown and decide nothing
        decides: !options.has_keys,
        applies: !options.has_keys
            && (options.apply || settings.conflict_resolution.auto_apply_consensus),
    };
    let applied = work.applies;
    // sorting on the disk takes as long as the logs are
    let done = blocking(move || work.run(gatherer)).await??;

    let is_unusable =
        |read: &Result<u64, Unread>| read.as_ref().is_err_and(|unread| unread.is_unusable);
    let unusable: Vec<bool> = read.iter().map(is_unusable).collect();
    let nodes: Vec<_> = nodes
        .into_iter()
        .map(|member| member.node)
        .zip(observations(read, done.comparisons, &began.iso()))
        .collect();
    let quorum = needed(nodes.len(), &Rules::of(settings, began));
    let own_id = manifest
        .map(|manifest| manifest.text("local_node.node_id"))
        .filter(|id| !id.is_empty());
    let own_id = own_id.unwrap_or_else(|| "local_node".to_owned());
    let mut report = report(&nodes, &unusable, done.decided.as_ref(), done.appended);
    let outcome = Outcome {
        nodes,
        own_id,
        quorum,
        decided: done.decided,
        applied,
    };
    if paths.keeps_manifest() {
        report.changed = keep(paths, settings, &outcome, &began.iso())?;
    }
    Ok(report)
}

/// What was seen of each node's log. Of the comparisons the first is the own log's with itself.
fn observations(
    read: Vec<Result<u64, Unread>>,
    comparisons: Vec<Comparison>,
    began: &str,
) -> impl Iterator<Item = Observation> {
    read.into_iter()
        .zip(comparisons.into_iter().skip(1))
        .map(|(read, comparison)| Observation {
            at: began.to_owned(),
            comparison: read.is_ok().then_some(comparison),
            quarantined: read.as_ref().copied().unwrap_or_default(),
            error: read.err().map(|unread| unread.why),
        })
}

/// Writes what came of a sync into the manifest and the reports of conflicts; the decisions that
/// are new, or say something else than before.
fn keep(
    paths: &RegistryPaths,
    settings: &Settings,
    outcome: &Outcome,
    began: &str,
) -> Result<Vec<HistoryRecord>, PlainSyncError> {
    let at = clock::now().iso();
    let changed = RefCell::default();
    // the scripts' own file, changed as it stands now: they may have written to it meanwhile
    FederationManifest::update(&paths.federation_manifest, &at, |manifest| {
        changed.replace(write_down(manifest, outcome, began, &at));
    })?;
    let changed = changed.take();
    if settings.conflict_resolution.create_conflict_report {
        let directory = conflicts::directory(paths, &settings.conflict_resolution);
        write_reports(&directory, &changed, &at)
            .context("write a conflict report into", &directory)
            .map_err(PlainSyncError::Report)?;
    }
    Ok(changed)
}

/// Phases 1 and 2: every log is fetched, as many at a time as configured, and read as it comes. Of
/// each node how many stretches could not be read, or why its log could not be had.
async fn gather<F, Fut, L, E>(
    mut gatherer: Gatherer,
    nodes: &[PlainMember],
    settings: &Settings,
    fetch: F,
) -> Result<(Gatherer, Vec<Result<u64, Unread>>), PlainSyncError>
where
    F: Fn(ManifestNode) -> Fut,
    Fut: Future<Output = Result<L, E>>,
    L: Read + Send + 'static,
    E: Into<Unread>,
{
    let parallel = if settings.performance.parallel_sync {
        settings.performance.max_parallel_syncs
    } else {
        1
    };
    // in their order, whichever ends first: places are observers
    let fetching: Vec<_> = nodes
        .iter()
        .map(|member| fetch(member.to_fetch()))
        .collect();
    let mut fetched =
        futures::stream::iter(fetching).buffered(usize::try_from(parallel).unwrap_or(1).max(1));
    let mut read = Vec::new();
    while let Some(log) = fetched.next().await {
        // the manifest has no more nodes than fit
        let observer = u16::try_from(read.len() + 1).unwrap_or(u16::MAX);
        read.push(match log {
            Err(error) => Err(error.into()),
            Ok(log) => {
                // it goes there and back: reading a log takes as long as it is, and off this thread
                let (back, quarantined) = blocking(move || {
                    let quarantined = gatherer.add(observer, log);
                    (gatherer, quarantined)
                })
                .await?;
                gatherer = back;
                quarantined.map_err(|error| Unread::from(error.to_string()))
            }
        });
    }
    Ok((gatherer, read))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PlainSyncError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| PlainSyncError::BrokenOff(e.to_string()))
}

/// Phases 3 to 5, on the disk alone.
struct Work {
    log: Place,
    others: usize,
    before: Vec<HistoryRecord>,
    decides: bool,
    applies: bool,
}

struct Done {
    comparisons: Vec<Comparison>,
    decided: Option<Decided>,
    appended: u64,
}

impl Work {
    fn run(self, mut gatherer: Gatherer) -> Result<Done, PlainSyncError> {
        // last: its rows are compared with those of all others
        let read_until = gatherer.add_own(&self.log)?;
        let gathered = gatherer.finish()?;
        let scratch = &gathered.scratch;
        if !self.decides {
            let comparisons = weigh(&gathered, self.others, |_| Ok(()))
                .context(KEEPING, scratch)
                .map_err(GatherError::Io)?;
            return Ok(Done {
                comparisons,
                decided: None,
                appended: 0,
            });
        }
        let mut tally = Tally::new(&self.before, gathered.scratch.clone());
        let comparisons = weigh(&gathered, self.others, |decision| tally.take(decision))
            .context(KEEPING, scratch)
            .map_err(GatherError::Io)?;
        // before anything is appended: a script in the middle of a line would have it torn
        if self.applies
            && tally.all.achieved > 0
            && RegistryFile::open(&self.log)?.is_being_written()?
        {
            return Err(PlainSyncError::BeingWritten(self.log.to_path_buf()));
        }
        let (mut appended, mut behind): (u64, Position) = (0, read_until);
        let decided = tally.finish(&gathered, |events| {
            if self.applies && !events.is_empty() {
                // what came behind that meanwhile is read first, so that no line stands there twice
                let (written, at) = append_behind(&self.log, behind, events)?;
                (appended, behind) = (appended + written, at);
            }
            Ok(())
        })?;
        Ok(Done {
            comparisons,
            decided: Some(decided),
            appended,
        })
    }
}

fn why_not(
    manifest: Option<&FederationManifest>,
    settings: &Settings,
    options: PlainSyncOptions,
    nodes: &[PlainMember],
) -> Option<Skipped> {
    let last = manifest
        .map(|manifest| manifest.text("federation.last_sync"))
        .unwrap_or_default();
    let minutes = i64::try_from(settings.sync_settings.interval_minutes).unwrap_or(i64::MAX);
    let is_recent = last.parse::<jiff::Timestamp>().is_ok_and(|at| {
        let age = jiff::Timestamp::now()
            .as_second()
            .saturating_sub(at.as_second());
        (0..minutes.saturating_mul(60)).contains(&age)
    });
    match () {
        () if !settings.federation.enabled => Some(Skipped::NotEnabled),
        () if nodes.is_empty() => Some(Skipped::NoNodes),
        () if !allows_unsigned(settings, options.has_keys) => Some(Skipped::NotAllowed),
        () if is_recent && !options.force => Some(Skipped::Recent(last)),
        () => None,
    }
}

fn report(
    nodes: &[(ManifestNode, Observation)],
    unusable: &[bool],
    decided: Option<&Decided>,
    applied: u64,
) -> PlainSyncReport {
    let node =
        |((node, observation), is_unusable): (&(ManifestNode, Observation), &bool)| NodeReport {
            node_id: node.node_id.clone(),
            node_name: node.node_name.clone(),
            comparison: observation.comparison,
            quarantined: observation.quarantined,
            error: observation.error.clone(),
            is_unusable: *is_unusable,
        };
    let counts = decided.map(|decided| decided.all).unwrap_or_default();
    PlainSyncReport {
        skipped: None,
        nodes: nodes.iter().zip(unusable).map(node).collect(),
        observed_only: decided.is_none(),
        achieved: counts.achieved,
        failed: counts.failed,
        insufficient: counts.insufficient,
        applied,
        changed: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
