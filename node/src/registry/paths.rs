//! Where the registry's files are: in the governance repository that a node serves, or in the node's data directory
//! when it serves none.

use std::path::{Path, PathBuf};

/// The places of the registry's files. None of them needs to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPaths {
    /// What relative paths in the configuration are relative to: the repository or the data directory.
    pub root: PathBuf,
    /// The log of events, JSON objects one after another.
    pub registry_log: PathBuf,
    /// The node's configuration.
    pub federation_config: PathBuf,
    /// Thresholds, channels and filters of notifications.
    pub telemetry_config: PathBuf,
    /// The node's state in the registry's own schema, rewritten by the node.
    pub federation_manifest: PathBuf,
    /// What has been anchored on IPFS.
    pub ipfs_anchor_manifest: PathBuf,
    /// Compliance scores by quarter.
    pub dashboard_csv: PathBuf,
    /// Events that tools wrote as files of their own, read and never written.
    pub event_files: PathBuf,
    /// Where conflict reports go unless the configuration says otherwise.
    pub conflicts: PathBuf,
    /// Where compliance reports go.
    pub reports: PathBuf,
    /// Where quarterly releases go.
    pub releases: PathBuf,
}

impl RegistryPaths {
    /// The places in a governance repository.
    pub fn in_repository(repository: &Path) -> Self {
        let registry = repository.join("24_meta_orchestration/registry");
        let legal = repository.join("07_governance_legal");
        let documentation = repository.join("05_documentation");
        Self {
            root: repository.to_owned(),
            registry_log: registry.join("logs/registry_events.log"),
            federation_config: legal.join("federation_config.json"),
            telemetry_config: legal.join("telemetry_config.json"),
            federation_manifest: registry.join("manifests/federation_manifest.json"),
            ipfs_anchor_manifest: registry.join("manifests/ipfs_anchor_manifest.json"),
            dashboard_csv: documentation.join("reports/dashboard/dashboard_data.csv"),
            event_files: registry.join("events"),
            conflicts: registry.join("conflicts"),
            reports: documentation.join("reports"),
            releases: documentation.join("releases"),
        }
    }

    /// The places of a node without a repository: the same names, side by side in its data directory.
    pub fn in_data_directory(data: &Path) -> Self {
        Self {
            root: data.to_owned(),
            registry_log: data.join("registry_events.log"),
            federation_config: data.join("federation_config.json"),
            telemetry_config: data.join("telemetry_config.json"),
            federation_manifest: data.join("federation_manifest.json"),
            ipfs_anchor_manifest: data.join("ipfs_anchor_manifest.json"),
            dashboard_csv: data.join("dashboard_data.csv"),
            event_files: data.join("events"),
            conflicts: data.join("conflicts"),
            reports: data.join("reports"),
            releases: data.join("releases"),
        }
    }

    /// The places in `repository` if the node serves one, else in `data`.
    pub fn choose(repository: Option<&Path>, data: &Path) -> Self {
        repository.map_or_else(|| Self::in_data_directory(data), Self::in_repository)
    }

    /// Whether the federation manifest has a place: not in a repository that is no governance repository, at whose root
    /// nothing new is put.
    pub fn keeps_manifest(&self) -> bool {
        let manifests = self.federation_manifest.parent();
        manifests == Some(&self.root) || manifests.and_then(Path::parent).is_some_and(Path::is_dir)
    }

    /// Where the manifest of the release of a quarter is, for example `2025-Q4`.
    pub fn release_manifest(&self, quarter: &str) -> PathBuf {
        let name = format!("quarterly_release_manifest_{quarter}.json");
        self.federation_manifest.parent().unwrap_or(&self.root).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_comes_first() {
        let (repo, data) = (Path::new("/repo"), Path::new("/data"));
        let paths = RegistryPaths::choose(Some(repo), data);
        assert_eq!(paths.registry_log, repo.join("24_meta_orchestration/registry/logs/registry_events.log"));
        assert_eq!(paths.federation_config, repo.join("07_governance_legal/federation_config.json"));
        let manifests = repo.join("24_meta_orchestration/registry/manifests");
        assert_eq!(paths.release_manifest("2025-Q4"), manifests.join("quarterly_release_manifest_2025-Q4.json"));
        let paths = RegistryPaths::choose(None, data);
        assert_eq!(paths.registry_log, data.join("registry_events.log"));
        assert_eq!(paths.release_manifest("2025-Q4").parent(), Some(data));
    }
}
