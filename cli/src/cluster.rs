//! A local federation of real processes: `ssid run` once for each node, on loopback, in one
//! directory.
//!
//! ```text
//! D/genesis.json        what all of them joined
//! D/node-0/…            data directory of the first, the coordinator
//!         node.log      what it wrote to standard error
//!         cluster.pid   which process it is
//! D/node-1/…
//! ```
//!
//! The directory says everything: any later command finds the nodes again. A `Cluster` keeps the
//! children it started itself, to collect them; it does not stop them when dropped.

mod build;
mod process;
mod ready;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ssid_node::home::{Home, check_directory};
use ssid_protocol::manifest::Manifest;

use build::node_dir;
pub(crate) use build::{ClusterSpec, NODES_MAX, Prepare};
use process::Running;

use crate::client::Client;
use crate::error::{CliError, Code, OrCode as _};
use crate::process::Interruption;
use crate::setup;

/// How long a node may take to end after SIGTERM; then it is killed.
const STOP: Duration = Duration::from_secs(8);
/// How often a cluster is made anew because a port was lost between choosing and binding it.
const ATTEMPTS: usize = 5;

/// A local cluster: its directory, and the processes this program has started for it.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    nodes: usize,
    /// Not yet collected.
    children: BTreeMap<usize, Child>,
    /// Meant to run.
    started: BTreeSet<usize>,
}

impl Cluster {
    /// The cluster in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let nodes = (0..NODES_MAX)
            .take_while(|i| node_dir(dir, *i).is_dir())
            .count();
        if nodes == 0 || !dir.join("genesis.json").exists() {
            let message = format!("there is no cluster in {}", dir.display());
            let hint = format!(
                "make one with: ssid cluster up --nodes 4 --dir {}",
                dir.display()
            );
            return Err(CliError::usage(message).hint(hint).into());
        }
        check_directory(dir).or_usage()?;
        // the nodes run in directories of their own: a relative path would lead them elsewhere
        let dir = std::path::absolute(dir)
            .with_context(|| format!("cannot find out where {} is", dir.display()))?;
        Ok(Self {
            dir,
            nodes,
            children: BTreeMap::new(),
            started: BTreeSet::new(),
        })
    }

    /// Starts every node that is not running, making the cluster first if `dir` has none, and waits
    /// until all are ready and connected. Nodes are stopped again if they are not in time.
    pub(crate) async fn up(dir: &Path, spec: &ClusterSpec, limit: Duration) -> Result<Self> {
        // a genesis file is written last: with it the cluster is whole, and is started as it is
        if dir.join("genesis.json").exists() {
            let mut cluster = Self::open(dir)?;
            if cluster.nodes != spec.nodes {
                let message = format!(
                    "the cluster in {} has {} nodes, not {}",
                    dir.display(),
                    cluster.nodes,
                    spec.nodes
                );
                let hint = "leave --nodes out to start it as it is, or choose another --dir";
                return Err(CliError::usage(message).hint(hint).into());
            }
            cluster.start_all().await?;
            cluster.wait_ready_or_stop(limit).await?;
            return Ok(cluster);
        }
        for attempt in 1.. {
            build::build(dir, spec)?;
            let mut cluster = Self::open(dir)?;
            let started = match cluster.start_all().await {
                Ok(()) => cluster.wait_ready_or_stop(limit).await,
                Err(e) => Err(e),
            };
            match started {
                Ok(()) => return Ok(cluster),
                // nothing was certified yet under these addresses: all of it is made again with
                // other ports
                Err(e) if attempt < ATTEMPTS && cluster.lost_a_port() => {
                    tracing::debug!(attempt, error = %e, "a port was taken meanwhile");
                    cluster.down().await?;
                    build::remove(dir)?;
                }
                Err(e) => return Err(e),
            }
        }
        Err(CliError::new(Code::Failed, "no free ports").into())
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many nodes it has.
    pub(crate) fn len(&self) -> usize {
        self.nodes
    }

    /// The genesis file.
    pub(crate) fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }

    /// The federation; its members are in the order of the nodes.
    pub(crate) fn manifest(&self) -> Result<Manifest> {
        setup::read_genesis(&self.genesis())
    }

    /// A node's data directory.
    pub(crate) fn home(&self, index: usize) -> Home {
        Home::new(node_dir(&self.dir, index))
    }

    /// Where a node's log lines go.
    pub(crate) fn log_file(&self, index: usize) -> PathBuf {
        node_dir(&self.dir, index).join("node.log")
    }

    /// A client of a node.
    pub(crate) fn client(&self, index: usize) -> Result<Client> {
        Client::new(&self.home(index))
    }

    /// Starts a node, unless it runs.
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        self.check(index)?;
        if self.running(index).is_none() {
            let child = process::spawn(&node_dir(&self.dir, index), &self.log_file(index))?;
            self.children.insert(index, child);
            self.started.insert(index);
        }
        Ok(())
    }

    /// Ends a node at once, as a power cut would: SIGKILL. Whether it was running.
    pub(crate) async fn kill(&mut self, index: usize) -> Result<bool> {
        self.check(index)?;
        self.started.remove(&index);
        let Some(running) = self.running(index) else {
            return Ok(false);
        };
        running.kill()?;
        self.wait_ended(index, STOP).await;
        Ok(true)
    }

    /// Ends a node in order: SIGTERM, and SIGKILL if it takes too long. Whether it was running.
    pub(crate) async fn stop(&mut self, index: usize) -> Result<bool> {
        self.check(index)?;
        self.started.remove(&index);
        let Some(running) = self.running(index) else {
            return Ok(false);
        };
        running.terminate()?;
        if !self.wait_ended(index, STOP).await {
            running.kill()?;
            self.wait_ended(index, STOP).await;
        }
        Ok(true)
    }

    /// Stops a node, if it runs, and starts it again; returns without waiting until it is ready.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<()> {
        self.stop(index).await?;
        self.start(index)
    }

    /// Stops every node that the directory says is running; how many that were.
    pub(crate) async fn down(&mut self) -> Result<usize> {
        self.stop_together((0..self.nodes).collect()).await
    }

    /// Stops the nodes that this program has started.
    pub(crate) async fn stop_children(&mut self) -> Result<()> {
        self.stop_together(self.started.iter().copied().collect())
            .await
            .map(|_| ())
    }

    /// Asks all of them to end before waiting for each; how many were running.
    async fn stop_together(&mut self, nodes: Vec<usize>) -> Result<usize> {
        let mut stopped = 0;
        for index in &nodes {
            if let Some(running) = self.running(*index) {
                running.terminate()?;
                stopped += 1;
            }
        }
        for index in nodes {
            self.stop(index).await?;
        }
        Ok(stopped)
    }

    /// The process of a node, if it runs.
    pub(crate) fn pid(&mut self, index: usize) -> Option<u32> {
        self.running(index).map(|running| running.pid())
    }

    fn running(&mut self, index: usize) -> Option<Running> {
        // collected first: an ended child that nobody waited for still has its number
        if let Some(child) = self.children.get_mut(&index)
            && matches!(child.try_wait(), Ok(Some(_)))
        {
            self.children.remove(&index);
        }
        Running::find(&node_dir(&self.dir, index))
    }

    async fn wait_ended(&mut self, index: usize, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while self.running(index).is_some() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    async fn start_all(&mut self) -> Result<()> {
        for index in 0..self.nodes {
            if let Err(e) = self.start(index) {
                self.stop_children().await?;
                return Err(e);
            }
        }
        Ok(())
    }

    async fn wait_ready_or_stop(&mut self, limit: Duration) -> Result<()> {
        let mut interruption = Interruption::listen()?;
        let ready = tokio::select! {
            ready = self.wait_ready(limit) => ready,
            () = interruption.comes() => {
                Err(CliError::new(Code::Failed, "interrupted").into())
            }
        };
        if ready.is_err() {
            self.stop_children().await?;
        }
        ready
    }

    fn check(&self, index: usize) -> Result<()> {
        if index < self.nodes {
            return Ok(());
        }
        let message = format!(
            "there is no node {index}; the cluster has nodes 0 to {}",
            self.nodes - 1
        );
        Err(CliError::usage(message).into())
    }
}
