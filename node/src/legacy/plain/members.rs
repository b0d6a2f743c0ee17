//! Which nodes have no key and a repository: those of the federation manifest, and those of
//! `ssid nodes observe`.

use std::cmp::Reverse;

use crate::config::Settings;
use crate::git::GitRemote;
use crate::known_members::KnownMembers;
use crate::registry::manifest::{FederationManifest, ManifestNode};

/// A node without a key.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainMember {
    /// As the manifest has it, or will have it: its address without secrets.
    pub node: ManifestNode,
    /// Its address for Git.
    pub remote: String,
}

impl PlainMember {
    /// As it is to be fetched.
    pub(super) fn to_fetch(&self) -> ManifestNode {
        ManifestNode {
            git_remote: self.remote.clone(),
            ..self.node.clone()
        }
    }
}

/// The address of a repository without what is secret in it.
pub fn public_remote(remote: &str) -> String {
    GitRemote::parse(remote, GitRemote::PROTOCOLS)
        .map_or_else(|_| GitRemote::shown(remote), |remote| remote.public())
}

/// All nodes without a key, those of the manifest first. One of `known` that the manifest has, or
/// whose repository is a member's with a key, is not listed again.
pub fn plain_members(
    manifest: Option<&FederationManifest>,
    known: &KnownMembers,
    at: &str,
) -> Vec<PlainMember> {
    let nodes: Vec<_> = manifest
        .iter()
        .flat_map(|manifest| manifest.known_nodes())
        .collect();
    // the manifest is published and has no password in it; the list of known members may
    let secret_of = |public: &str| {
        known
            .iter()
            .map(|member| &member.git_remote)
            .find(|remote| public_remote(remote) == public)
            .cloned()
    };
    let listed = nodes
        .iter()
        .filter(|node| !node.has_key())
        .map(|node| PlainMember {
            remote: secret_of(&public_remote(&node.git_remote))
                .unwrap_or_else(|| node.git_remote.clone()),
            node: node.clone(),
        });
    // by address without what is secret: under two names one repository would count twice
    let is_there = |public: &str| {
        nodes
            .iter()
            .any(|node| public_remote(&node.git_remote) == public)
    };
    let added = known.iter().filter_map(|member| {
        let public = public_remote(&member.git_remote);
        let node = ManifestNode::new(&public, &member.node_name, &member.organization, at);
        (!is_there(&public)).then(|| PlainMember {
            node,
            remote: member.git_remote.clone(),
        })
    });
    listed.chain(added).collect()
}

/// Those whose logs are read, highest trust first; of equals in the order in which they are listed.
pub(super) fn partners(
    manifest: Option<&FederationManifest>,
    known: &KnownMembers,
    settings: &Settings,
    at: &str,
) -> Vec<PlainMember> {
    let own = public_remote(&settings.local_node.git_remote);
    let mut members = plain_members(manifest, known, at);
    members.retain(|member| {
        let remote = &member.node.git_remote;
        member.node.is_active() && !remote.is_empty() && public_remote(remote) != own
    });
    members.sort_by_key(|member| Reverse(member.node.trust_score));
    // two of one id would be one node that counts twice
    let mut seen = std::collections::BTreeSet::new();
    members.retain(|member| seen.insert(member.node.node_id.clone()));
    members
}
