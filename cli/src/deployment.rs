//! A deployment's files, read and changed without its node: the federation manifest, and the list
//! of members of whom only a repository is known.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ssid_node::clock;
use ssid_node::git::GitRemote;
use ssid_node::known_members::{KnownMember, KnownMembers};
use ssid_node::legacy::plain::{plain_members, public_remote};
use ssid_node::registry::manifest::{FederationManifest, ManifestNode};
use ssid_node::registry::paths::RegistryPaths;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{clean, seconds};

/// What stands in the files of one deployment.
pub(crate) struct Deployment {
    /// Where the registry's files are.
    pub(crate) paths: RegistryPaths,
    /// The manifest, if there is one.
    pub(crate) manifest: Option<FederationManifest>,
    /// The nodes without a key: of the manifest, and of the list.
    pub(crate) without_keys: Vec<ManifestNode>,
}

impl Deployment {
    /// Reads the files of [`repository`], else of the data directory.
    ///
    /// # Errors
    /// If one of them is there and cannot be read.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let paths = RegistryPaths::choose(repository(context).as_deref(), context.home.root());
        let manifest =
            FederationManifest::read(&paths.federation_manifest).or_code(Code::Failed)?;
        let known = KnownMembers::load(&context.home.known_members()).or_code(Code::Failed)?;
        let members = plain_members(manifest.as_ref(), &known, &seconds(&clock::now().iso()));
        Ok(Self {
            paths,
            manifest,
            without_keys: members.into_iter().map(|member| member.node).collect(),
        })
    }

    /// The manifest, in the scripts' words if there is none.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn manifest(&self) -> Result<&FederationManifest, CliError> {
        let missing = || {
            let path = self.paths.federation_manifest.display();
            CliError::new(
                Code::Failed,
                format!("Federation manifest not found: {path}"),
            )
            .hint("run this in the governance repository, or name it with --repo DIR")
        };
        self.manifest.as_ref().ok_or_else(missing)
    }

    /// Takes a node without a key out of the list and the manifest.
    ///
    /// # Errors
    /// If it has a key, or a file cannot be written.
    pub(crate) fn forget(&self, context: &Context, node: &ManifestNode) -> Result<()> {
        if node.has_key() {
            let message = format!(
                "{} is a member with a key: only an epoch change removes it",
                clean(&node.node_name)
            );
            return Err(CliError::new(Code::Failed, message).into());
        }
        let path = context.home.known_members();
        let mut known = KnownMembers::load(&path).or_code(Code::Failed)?;
        let is_it = |member: &KnownMember| {
            public_remote(&member.git_remote) == public_remote(&node.git_remote)
        };
        if known.remove(is_it) {
            known.save(&path).or_code(Code::Failed)?;
        }
        if self.manifest.is_some() {
            let path = &self.paths.federation_manifest;
            let at = clock::now().iso();
            let update = FederationManifest::update(path, &at, |manifest| {
                manifest.remove_node(&node.node_id);
                count_nodes(manifest);
            });
            update.or_code(Code::Failed)?;
        }
        Ok(())
    }
}

/// The repository that the scripts would have found: `--repo`, else the one that the command is run
/// in.
pub(crate) fn repository(context: &Context) -> Option<PathBuf> {
    let is_registry = |at: &Path| at.join("24_meta_orchestration").is_dir();
    context.repo.clone().or_else(|| {
        std::env::current_dir()
            .ok()?
            .ancestors()
            .find(|at| is_registry(at))
            .map(Path::to_owned)
    })
}

/// The error that no node answers, with the command that reads the repository's files instead, if
/// there are any: `ssid compat federation-sync-manager` with `flag`.
pub(crate) fn or_read_files(error: anyhow::Error, flag: &str, context: &Context) -> anyhow::Error {
    let Some(repo) = repository(context) else {
        return error;
    };
    let paths = RegistryPaths::choose(Some(&repo), context.home.root());
    if !paths.federation_manifest.exists() {
        return error;
    }
    let mut error = match error.downcast::<CliError>() {
        Ok(error) if error.code == Code::Unreachable => error,
        Ok(other) => return other.into(),
        Err(other) => return other,
    };
    let files = format!(
        "what the files of {} say, which asks no node: ssid compat federation-sync-manager {flag}{}",
        repo.display(),
        match &context.repo {
            Some(repo) => format!(" --repo {}", repo.display()),
            None => String::new(),
        }
    );
    let start = error.hint.take();
    error
        .hint(
            start
                .into_iter()
                .chain([files])
                .collect::<Vec<_>>()
                .join("\n"),
        )
        .into()
}

/// Puts a node without a key into the federation manifest, without what is secret in its address.
///
/// # Errors
/// If the manifest cannot be read or written.
pub(crate) fn put_in_manifest(
    paths: &RegistryPaths,
    remote: &GitRemote,
    name: &str,
    organization: &str,
) -> Result<ManifestNode> {
    let at = clock::now().iso();
    let node = ManifestNode::new(&remote.public(), name, organization, &seconds(&at));
    let update = FederationManifest::update(&paths.federation_manifest, &at, |manifest| {
        manifest.put_node(&node, None);
        count_nodes(manifest);
    });
    update.or_code(Code::Failed)?;
    Ok(node)
}

/// Puts a member into the list of those without a key, with its whole address. Returns whether it
/// was not there.
///
/// # Errors
/// If the list is damaged, full, or cannot be written.
pub(crate) fn remember(
    context: &Context,
    remote: &GitRemote,
    node_name: &str,
    organization: &str,
) -> Result<bool> {
    let path = context.home.known_members();
    let mut known = KnownMembers::load(&path).or_usage()?;
    let member = KnownMember {
        node_name: node_name.to_owned(),
        organization: organization.to_owned(),
        git_remote: remote.secret().to_owned(),
    };
    let is_new = known.add(member).or_usage()?;
    known.save(&path).or_code(Code::Failed)?;
    Ok(is_new)
}

/// Where no node runs, the manifest's own counts are of the nodes that stand in it.
fn count_nodes(manifest: &mut FederationManifest) {
    let nodes = manifest.known_nodes();
    let mut counts = manifest.statistics();
    counts.total_nodes = nodes.len() as u64;
    counts.active_nodes = nodes.iter().filter(|node| node.is_active()).count() as u64;
    manifest.set_statistics(&counts);
}
