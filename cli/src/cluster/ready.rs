//! Waiting until the nodes of a cluster are ready, and saying which is not and why.

use std::time::Duration;

use anyhow::Result;
use ssid_node::view::StatusView;
use tokio::time::{Instant, sleep};

use super::{Cluster, process};
use crate::error::{CliError, Code};

/// How often nodes are asked.
const POLL: Duration = Duration::from_millis(50);
/// Lines of a node's log that are shown.
const LINES: usize = 12;
/// What a node says of a port that another program has.
const PORT_IN_USE: &str = "the port is in use";

impl Cluster {
    /// Waits until every running node can decide and is connected to every other running one.
    pub(crate) async fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let running: Vec<usize> = (0..self.len())
                .filter(|index| self.pid(*index).is_some())
                .collect();
            if let Some(ended) = self.children_ended(&running) {
                return Err(self.not_ready(ended, "ended before it was ready"));
            }
            let mut waiting = None;
            for index in &running {
                if let Some(reason) = self.not_yet(*index, running.len()).await? {
                    waiting = Some((*index, reason));
                    break;
                }
            }
            let Some((index, reason)) = waiting else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let what = format!("is not ready after {} s: {reason}", limit.as_secs());
                return Err(self.not_ready(index, &what));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until one node answers, whether or not it can decide already.
    pub(crate) async fn wait_answering(&mut self, index: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.client(index)?.ready().await.is_none() {
            if self.pid(index).is_none() {
                return Err(self.not_ready(index, "ended before it was ready"));
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(
                    index,
                    &format!("does not answer after {} s", limit.as_secs()),
                ));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether a node that ended named its port as the reason.
    pub(super) fn lost_a_port(&self) -> bool {
        (0..self.len()).any(|index| {
            process::tail(&self.log_file(index), LINES)
                .iter()
                .any(|l| l.contains(PORT_IN_USE))
        })
    }

    /// A node that this program started and that is not among the running ones.
    fn children_ended(&self, running: &[usize]) -> Option<usize> {
        self.started
            .iter()
            .copied()
            .find(|index| !running.contains(index))
    }

    /// What a node still waits for; `None` if nothing.
    async fn not_yet(&self, index: usize, running: usize) -> Result<Option<String>> {
        let client = self.client(index)?;
        let Some(ready) = client.ready().await else {
            return Ok(Some("it does not answer yet".to_owned()));
        };
        if !ready.ready {
            return Ok(Some(format!("it waits for {}", ready.reasons.join("; "))));
        }
        let status: StatusView = client.get(&["v1", "status"], &[]).await?;
        let connected = status.transport.connected_peers;
        let others = running as u64 - 1;
        Ok((connected < others)
            .then(|| format!("it is connected to {connected} of {others} others")))
    }

    fn not_ready(&self, index: usize, what: &str) -> anyhow::Error {
        let log = self.log_file(index);
        let lines = process::tail(&log, LINES);
        let hint = if lines.is_empty() {
            format!("its log {} is empty", log.display())
        } else {
            format!(
                "the end of its log {}:\n{}",
                log.display(),
                lines.join("\n")
            )
        };
        CliError::new(Code::Failed, format!("node {index} {what}"))
            .hint(hint)
            .into()
    }
}
