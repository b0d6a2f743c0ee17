//! Where the registry's files are: in the governance repository that a node serves, or in the
//! node's data directory when it serves none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::{Place, Root};

/// The places of the registry's files. None of them needs to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPaths {
    /// What relative paths in the configuration are relative to: the repository or the data
    /// directory.
    pub root: PathBuf,
    /// The log of events, JSON objects one after another.
    pub registry_log: Place,
    /// The node's configuration.
    pub federation_config: Place,
    /// Thresholds, channels and filters of notifications.
    pub telemetry_config: Place,
    /// The node's state in the registry's own schema, rewritten by the node.
    pub federation_manifest: Place,
    /// What has been anchored on IPFS.
    pub ipfs_anchor_manifest: Place,
    /// Compliance scores by quarter.
    pub dashboard_csv: Place,
    /// Events that tools wrote as files of their own, read and never written.
    pub event_files: Place,
    /// Where conflict reports go unless the configuration says otherwise.
    pub conflicts: Place,
    /// Where compliance reports go.
    pub reports: Place,
    /// Where quarterly releases go.
    pub releases: Place,
    /// What all of them lie beneath.
    base: Arc<Root>,
    is_repository: bool,
}

impl RegistryPaths {
    /// The places in a governance repository on which no node works.
    pub fn in_repository(repository: &Path) -> Self {
        Self::of_repository(Root::new(repository, None), repository)
    }

    fn of_repository(root: Arc<Root>, repository: &Path) -> Self {
        let at = |path: &str| root.place(path);
        Self {
            root: repository.to_owned(),
            registry_log: at("24_meta_orchestration/registry/logs/registry_events.log"),
            federation_config: at("07_governance_legal/federation_config.json"),
            telemetry_config: at("07_governance_legal/telemetry_config.json"),
            federation_manifest: at(
                "24_meta_orchestration/registry/manifests/federation_manifest.json",
            ),
            ipfs_anchor_manifest: at(
                "24_meta_orchestration/registry/manifests/ipfs_anchor_manifest.json",
            ),
            dashboard_csv: at("05_documentation/reports/dashboard/dashboard_data.csv"),
            event_files: at("24_meta_orchestration/registry/events"),
            conflicts: at("24_meta_orchestration/registry/conflicts"),
            reports: at("05_documentation/reports"),
            releases: at("05_documentation/releases"),
            base: root,
            is_repository: true,
        }
    }

    /// The places of a node without a repository: the same names, side by side in its data
    /// directory.
    pub fn in_data_directory(data: &Path) -> Self {
        let root = Root::new(data, Some(data));
        let at = |path: &str| root.place(path);
        Self {
            root: data.to_owned(),
            registry_log: at("registry_events.log"),
            federation_config: at("federation_config.json"),
            telemetry_config: at("telemetry_config.json"),
            federation_manifest: at("federation_manifest.json"),
            ipfs_anchor_manifest: at("ipfs_anchor_manifest.json"),
            dashboard_csv: at("dashboard_data.csv"),
            event_files: at("events"),
            conflicts: at("conflicts"),
            reports: at("reports"),
            releases: at("releases"),
            base: root,
            is_repository: false,
        }
    }

    /// The places in `repository` if the node whose data directory is `data` serves one, else in
    /// `data`.
    pub fn choose(repository: Option<&Path>, data: &Path) -> Self {
        match repository {
            Some(repository) => Self::of_repository(Root::new(repository, Some(data)), repository),
            None => Self::in_data_directory(data),
        }
    }

    /// What a configuration names by `path`, relative to the root. A repository's must lie in it;
    /// the operator's own, in the data directory, may be anywhere.
    pub fn at(&self, path: &str) -> Place {
        if !self.is_repository && Path::new(path).is_absolute() {
            return Place::from(Path::new(path));
        }
        self.base.place(path)
    }

    /// Whether they are in a repository, which others can change.
    pub fn in_shared_repository(&self) -> bool {
        self.is_repository
    }

    /// Whether the federation manifest has a place: not in a repository that is no governance
    /// repository, at whose root nothing new is put.
    pub fn keeps_manifest(&self) -> bool {
        let manifests = self.federation_manifest.directory();
        manifests.as_path() == self.root || manifests.directory().is_dir()
    }

    /// Where the manifest of the release of a quarter is, for example `2025-Q4`.
    pub fn release_manifest(&self, quarter: &str) -> Place {
        self.federation_manifest
            .with_file_name(format!("quarterly_release_manifest_{quarter}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_comes_first() {
        let (repo, data) = (Path::new("/repo"), Path::new("/data"));
        let paths = RegistryPaths::choose(Some(repo), data);
        assert_eq!(
            paths.registry_log.as_path(),
            repo.join("24_meta_orchestration/registry/logs/registry_events.log")
        );
        assert_eq!(
            paths.federation_config.as_path(),
            repo.join("07_governance_legal/federation_config.json")
        );
        let manifests = repo.join("24_meta_orchestration/registry/manifests");
        assert_eq!(
            paths.release_manifest("2025-Q4").as_path(),
            manifests.join("quarterly_release_manifest_2025-Q4.json")
        );
        let paths = RegistryPaths::choose(None, data);
        assert_eq!(
            paths.registry_log.as_path(),
            data.join("registry_events.log")
        );
        assert_eq!(paths.release_manifest("2025-Q4").parent(), Some(data));
    }
}
