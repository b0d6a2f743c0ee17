//! Making a cluster's directories: the same code as `init`, `federation create` and `join`.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use ssid_node::home::check_directory;
use ssid_protocol::card::MemberCard;
use ssid_protocol::manifest::TieBreak;

use crate::error::{CliError, Code, OrCode as _};
use crate::setup::{self, NewFederation, NewNode};
use ssid_node::home::Home;

/// Nodes one machine is asked to carry.
pub(crate) const NODES_MAX: usize = 64;

/// A cluster to be made.
#[derive(Clone, Debug)]
pub(crate) struct ClusterSpec {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// The federation's name.
    pub(crate) name: String,
    /// Names of nodes and organisations, in order; nodes beyond get plain ones.
    pub(crate) names: Vec<(String, String)>,
    /// Event types of which each timestamp is an occurrence of its own.
    pub(crate) recurring: Vec<String>,
    /// Where nodes publish what they signed, each under a name of its own; empty: nowhere.
    pub(crate) git_remotes: String,
    /// Puts into a node's directory what it begins with.
    pub(crate) prepare: Prepare,
}

/// Called with a node's number, how many there are, and its directory.
#[derive(Clone)]
pub(crate) struct Prepare(Arc<Call>);

type Call = dyn Fn(usize, usize, &Home) -> Result<()> + Send + Sync;

impl Prepare {
    pub(crate) fn new(
        prepare: impl Fn(usize, usize, &Home) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(prepare))
    }
}

impl fmt::Debug for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepare(…)")
    }
}

impl ClusterSpec {
    /// A plain cluster.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            name: "cluster".to_owned(),
            names: Vec::new(),
            recurring: Vec::new(),
            git_remotes: String::new(),
            prepare: Prepare::new(|_, _, _| Ok(())),
        }
    }

    fn name_of(&self, index: usize) -> (String, String) {
        let plain = || (format!("Node-{index}"), format!("Organization {index}"));
        self.names.get(index).cloned().unwrap_or_else(plain)
    }
}

/// Makes the directories of a new cluster. The ports are held until everything is written, then let
/// go for the nodes.
pub(super) fn build(dir: &Path, spec: &ClusterSpec) -> Result<()> {
    if !(2..=NODES_MAX).contains(&spec.nodes) {
        let message = format!(
            "--nodes {}: a federation on one machine has 2 to {NODES_MAX} nodes",
            spec.nodes
        );
        return Err(CliError::usage(message).into());
    }
    refuse_others(dir)?;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|e| CliError::new(Code::Failed, format!("cannot make {}: {e}", dir.display())))?;
    check_directory(dir).or_usage()?;
    let dir = dir.canonicalize()?;
    let ports = (0..spec.nodes)
        .map(|_| free_port())
        .collect::<Result<Vec<_>, _>>()?;
    let made = make_nodes(&dir, spec, &ports);
    if made.is_err() {
        remove(&dir)?;
    }
    made
}

fn make_nodes(dir: &Path, spec: &ClusterSpec, ports: &[TcpListener]) -> Result<()> {
    let mut cards: Vec<MemberCard> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        // held open meanwhile, so that nobody else is given it
        let address = format!("/ip4/127.0.0.1/tcp/{}", port.local_addr()?.port());
        let (name, organization) = spec.name_of(index);
        let node = NewNode {
            name,
            organization,
            git_remote: git_remote(&spec.git_remotes, index),
            addresses: vec![address.clone()],
            listen: vec![address],
            observer: false,
            mdns: false,
        };
        cards.push(setup::init_node(
            &Home::new(node_dir(dir, index)),
            None,
            &node,
            None,
        )?);
    }
    // a federation needs a coordinator: here it is the first node
    let coordinators = vec![
        cards
            .first()
            .map(|card| card.member.node_id.to_string())
            .unwrap_or_default(),
    ];
    let manifest = setup::create_federation(&NewFederation {
        name: spec.name.clone(),
        cards,
        coordinators,
        threshold_bp: 6600,
        min_participating_nodes: 2,
        tie_breaking: TieBreak::TimestampPriority,
        auto_resolve_conflicts: false,
        recurring: spec.recurring.clone(),
    })?;
    // last: a directory with a genesis file is a whole cluster
    let genesis = dir.join("genesis.new");
    fs::write(&genesis, manifest.to_pretty())?;
    for index in 0..ports.len() {
        let home = Home::new(node_dir(dir, index));
        setup::join(&home, &genesis)?;
        (spec.prepare.0)(index, spec.nodes, &home)?;
    }
    fs::rename(&genesis, dir.join("genesis.json"))?;
    Ok(())
}

fn git_remote(base: &str, index: usize) -> String {
    if base.is_empty() {
        String::new()
    } else {
        format!("{base}/node-{index}.git")
    }
}

/// Removes what [`build`] has made.
pub(super) fn remove(dir: &Path) -> Result<()> {
    for index in (0..NODES_MAX).take_while(|index| node_dir(dir, *index).exists()) {
        setup::remove_dir(&node_dir(dir, index))?;
    }
    for name in ["genesis.json", "genesis.new"] {
        // best effort: what is left is overwritten
        let _ = fs::remove_file(dir.join(name));
    }
    Ok(())
}

/// A directory that holds something else is not built into.
fn refuse_others(dir: &Path) -> Result<()> {
    if node_dir(dir, 0).exists() {
        let message = format!("{} holds nodes, but no genesis.json", dir.display());
        return Err(CliError::usage(message)
            .hint("choose another --dir, or remove what is left there")
            .into());
    }
    Ok(())
}

/// A port that is free now, held until the listener is dropped.
fn free_port() -> Result<TcpListener, CliError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_code(Code::Failed)
}

/// Where node `index` of the cluster in `dir` is.
pub(super) fn node_dir(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("node-{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_a_valid_federation_of_its_nodes() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("fed");
        build(&dir, &ClusterSpec::new(3)).unwrap();
        let cluster = super::super::Cluster::open(&dir).unwrap();
        let manifest = cluster.manifest().unwrap();
        assert_eq!((cluster.len(), manifest.members.len()), (3, 3));
        for index in 0..3 {
            let card = setup::read_card(&cluster.home(index).card()).unwrap();
            assert_eq!(card.member.node_id, manifest.members[index].node_id);
            assert!(
                cluster.home(index).genesis().exists()
                    && cluster.home(index).votes_journal().exists()
            );
        }
        assert!(build(&dir, &ClusterSpec::new(1)).is_err());
        remove(&dir).unwrap();
        assert!(super::super::Cluster::open(&dir).is_err());
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("node-0")).unwrap();
        fs::write(dir.path().join("node-0/precious"), "x").unwrap();
        assert!(build(dir.path(), &ClusterSpec::new(2)).is_err());
        assert!(dir.path().join("node-0/precious").exists());
    }
}
