//! A federation of nodes that run.

use std::path::{Path, PathBuf};
use std::thread::panicking;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::federation::{Organisation, create_federation};
use crate::turns::Turn;
use crate::{Node, SOON, eventually};

/// Bytes of a directory's path above which sockets in it would not fit.
const PATH_BYTES: usize = 60;

/// What a cluster is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many nodes.
    pub nodes: usize,
    /// Whether nodes vote only for what stands in their own registry: then what differs between
    /// registries differs in the votes, whoever is first.
    pub observed_only: bool,
    /// Whether nodes append what is certified to their registry file.
    pub applies: bool,
    /// Whether the federation settles conflicts without people, by `timestamp_priority`.
    pub auto_resolve: bool,
}

impl Shape {
    /// A plain cluster of so many nodes.
    pub fn of(nodes: usize) -> Self {
        Self {
            nodes,
            observed_only: false,
            applies: true,
            auto_resolve: false,
        }
    }

    fn configure(&self, config: &mut Value) {
        if self.observed_only {
            config["endorsement"]["default"] = "observed".into();
        }
        config["conflict_resolution"]["auto_apply_consensus"] = self.applies.into();
    }
}

/// A federation in a directory of its own. Its processes end when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    // first: processes end before their directory goes
    nodes: Vec<Node>,
    genesis: PathBuf,
    dir: TempDir,
    _turn: Turn,
}

impl Cluster {
    /// Made and started; every node ready and connected to all others.
    pub fn start(nodes: usize) -> Self {
        Self::start_shaped(Shape::of(nodes))
    }

    /// The same, of a certain shape.
    pub fn start_shaped(shape: Shape) -> Self {
        let mut cluster = Self::make(shape);
        cluster.start_all();
        cluster
    }

    /// Made, nothing started.
    ///
    /// # Panics
    /// If a command fails.
    pub fn make(shape: Shape) -> Self {
        Self::make_of(shape, |dir| {
            (0..shape.nodes)
                .map(|i| Organisation::init(dir, &format!("node-{i}")))
                .collect()
        })
    }

    /// The same of organisations that `init` makes in a directory.
    ///
    /// # Panics
    /// If a command fails.
    pub fn make_of(shape: Shape, init: impl FnOnce(&Path) -> Vec<Organisation>) -> Self {
        let turn = Turn::take();
        let temp = std::env::temp_dir();
        let place = if temp.as_os_str().len() <= PATH_BYTES {
            temp
        } else {
            "/tmp".into()
        };
        let dir = tempfile::Builder::new()
            .prefix("ssid-")
            .tempdir_in(place)
            .unwrap();
        let orgs = init(dir.path());
        let mut parameters = vec!["--recurring", "tick"];
        if shape.auto_resolve {
            parameters.push("--auto-resolve");
        }
        let genesis = create_federation(dir.path(), "test", &orgs, &parameters);
        for org in &orgs {
            org.configure(|config| shape.configure(config));
            org.join(&genesis);
        }
        Self {
            nodes: orgs.into_iter().map(Node::of).collect(),
            genesis,
            dir,
            _turn: turn,
        }
    }

    /// Starts every node that does not run, and waits until all are ready and connected.
    pub fn start_all(&mut self) {
        for node in &mut self.nodes {
            if !node.is_running() {
                node.start();
            }
        }
        self.wait_ready();
    }

    /// Waits until every running node is connected to every other running one, and ready if they
    /// are a quorum.
    ///
    /// # Panics
    /// If one has ended, or at the deadline.
    pub fn wait_ready(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.pid().is_some()) {
            node.wait_answering();
        }
        let running: Vec<&Node> = self
            .nodes
            .iter()
            .filter(|node| node.pid().is_some())
            .collect();
        let others = running.len() as u64 - 1;
        for node in &running {
            eventually(
                &format!("{} is connected to {others} others", node.org.name),
                SOON,
                || {
                    let status = node
                        .try_get("/v1/status")
                        .map_err(|e| e.to_string())?
                        .json();
                    let connected = status["transport"]["connected_peers"].as_u64();
                    let voters = status["voting"]["connected_voters"]
                        .as_array()
                        .map(|v| v.len() as u64);
                    // a quorum has told it what it signed before: from then on it signs
                    let is_quorum = status["federation"]["quorum"].as_u64() <= Some(others + 1);
                    let is_started = status["voting"]["starting"].is_null()
                        && node.knows_nobody_to_be_starting();
                    let is_ready = connected == Some(others)
                        && voters == Some(others + 1)
                        && (is_started || !is_quorum);
                    if is_ready {
                        Ok(())
                    } else {
                        Err(status["voting"].to_string())
                    }
                },
            );
        }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The genesis file.
    pub fn genesis(&self) -> &Path {
        &self.genesis
    }

    /// A node.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// A node, to start or end.
    pub fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// Every node.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.pid().is_some())
    }

    /// Waits until every running node holds exactly so many certificates.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_certified(&self, count: usize, within: Duration) {
        for node in self.running() {
            eventually(
                &format!("{} holds {count} certificates", node.org.name),
                within,
                || {
                    let held = node.certified_count();
                    if held == count as u64 {
                        Ok(())
                    } else {
                        Err(held)
                    }
                },
            );
        }
    }

    /// Asserts that every running node holds the same certified set and that each one's log
    /// verifies; its size.
    ///
    /// # Panics
    /// If not.
    pub fn assert_agreed(&self) -> usize {
        let mut running = self.running();
        let first = running.next().unwrap();
        let set = first.certified_set();
        let _ = first.ssid(&["consensus", "verify"]).well();
        for node in running {
            let own = node.certified_set();
            let differs: Vec<_> = own.symmetric_difference(&set).take(3).collect();
            assert!(
                differs.is_empty(),
                "{} and {} differ, for example in {differs:?}",
                first.org.name,
                node.org.name
            );
            let _ = node.ssid(&["consensus", "verify"]).well();
        }
        set.len()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if panicking() {
            for node in &self.nodes {
                let said = node.try_get("/v1/status").ok().map(|reply| reply.json());
                let state = said.map(|status| {
                    format!(
                        "{} {} {}",
                        status["statistics"], status["log"], status["voting"]
                    )
                });
                eprintln!(
                    "---- {}: {}",
                    node.org.name,
                    state.as_deref().unwrap_or("it does not answer")
                );
                eprintln!(
                    "---- the end of the log of {} (process {:?})\n{}",
                    node.org.name,
                    node.pid(),
                    node.log_tail()
                );
            }
        }
    }
}
